"""The pages to sign in and out, and to set a password: by a mail, and "forgot it?"."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import views
from django.contrib.auth.forms import (
    AuthenticationForm,
    PasswordResetForm,
    SetPasswordForm,
)
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path, reverse_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts import logins, passwords
from accounts.models import User


class SignInForm(AuthenticationForm):
    """Name and password; it says for how long somebody has to wait, and not why."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""

    def clean(self) -> Any:
        """Return what was given; raises ValidationError."""
        with _told_to_wait():
            logins.check(self.cleaned_data.get("username") or "", self.request)
        return super().clean()


class ResetForm(PasswordResetForm):
    """Asks for a link, as the API does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""

    def save(self, *args: Any, request: Any = None, **kwargs: Any) -> None:
        """Have the mail sent; raises LockedOut, which is answered with 403."""
        passwords.request_reset(self.cleaned_data["email"], request)


# Django's class takes no type argument at run time.
class PasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    """Sets the password of a link's user; ``link`` is its uid and token."""

    def __init__(self, *args: Any, link: tuple[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self._link = link

    def save(self, commit: bool = True) -> User:
        """Save it, whatever ``commit`` says; raises LinkNotValid where the link was
        used meanwhile."""
        password = self.cleaned_data["new_password1"]
        return passwords.set_by_link(*self._link, password)


class ChangeInAdminForm(AdminPasswordChangeForm):
    """Changes one's password in the admin, counted and written down as by the API."""

    def clean_old_password(self) -> str:
        """Return what was given; raises ValidationError."""
        with _told_to_wait():
            passwords.count_change(self.user)
        return super().clean_old_password()

    def save(self, commit: bool = True) -> User:
        """Save it, whatever ``commit`` says."""
        password = self.cleaned_data["new_password1"]
        passwords.set_password(self.user, password, by=self.user)
        return self.user


class ChangeInAdminView(views.PasswordChangeView):
    """The admin's page to change one's password."""

    form_class = ChangeInAdminForm
    success_url = reverse_lazy("admin:password_change_done")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return it, with what the admin's pages show."""
        shown = admin.site.each_context(self.request)
        return super().get_context_data(**shown, **kwargs)


class MailLinkView(views.PasswordResetConfirmView):
    """What the link of a mail leads to; whoever tries links is locked out (403)."""

    form_class = PasswordForm

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the form, or that the link is not valid; raises LockedOut."""
        response: Any = None
        with (
            contextlib.suppress(passwords.LinkNotValid),
            logins.guessing(self.request, passwords.LinkNotValid),
        ):
            response = super().dispatch(*args, **kwargs)
            if response.status_code == 200 and not self.validlink:
                raise passwords.LinkNotValid
        return cast(HttpResponseBase, response)

    def get_user(self, uidb64: str) -> User | None:
        """Return the link's user, unless there is none or they are inactive."""
        user = super().get_user(uidb64)
        return user if isinstance(user, User) and user.is_active else None

    def get_form_kwargs(self) -> dict[str, Any]:
        """Return them, with what the form sets the password by."""
        # There is none where the link is not valid; a form is made all the same.
        token = self.request.session.get(views.INTERNAL_RESET_SESSION_TOKEN, "")
        return super().get_form_kwargs() | {"link": (self.kwargs["uidb64"], token)}

    def form_valid(self, form: Any) -> HttpResponse:
        """Set the password, or show that the link is not valid any more."""
        try:
            return super().form_valid(form)
        except passwords.LinkNotValid:
            self.validlink = False
            return self.render_to_response(self.get_context_data())


@contextlib.contextmanager
def _told_to_wait() -> Iterator[None]:
    """Raise ValidationError, which says for how long, where somebody is locked out."""
    try:
        yield
    except logins.LockedOut as error:
        minutes = -(-error.seconds // 60)
        raise ValidationError(
            ngettext(
                "Too many attempts failed. Please wait a minute.",
                "Too many attempts failed. Please wait %(minutes)s minutes.",
                minutes,
            )
            % {"minutes": minutes}
        ) from None


urlpatterns = [
    path(
        "sign-in/",
        views.LoginView.as_view(
            form_class=SignInForm,
            template_name="accounts/sign_in.html",
            redirect_authenticated_user=True,
        ),
        name="sign_in",
    ),
    path("sign-out/", views.LogoutView.as_view(), name="sign_out"),
    path(
        "reset/",
        views.PasswordResetView.as_view(
            form_class=ResetForm,
            template_name="accounts/form.html",
            extra_context={
                "said": _(
                    "A link to set a new password will be sent to your address of mail."
                ),
                "button": _("Send the link"),
            },
        ),
        name="admin_password_reset",
    ),
    path(
        "reset/done/",
        views.PasswordResetDoneView.as_view(
            template_name="accounts/done.html",
            extra_context={
                "said": _(
                    "If somebody here has this address, a mail will be sent there with "
                    "a link to set a password. Look among the unwanted mail, too."
                )
            },
        ),
        name="password_reset_done",
    ),
    path(
        "set/<uidb64>/<token>/",
        MailLinkView.as_view(
            template_name="accounts/form.html",
            extra_context={"button": _("Set the password")},
        ),
        name="password_reset_confirm",
    ),
    path(
        "set/done/",
        views.PasswordResetCompleteView.as_view(
            template_name="accounts/done.html",
            extra_context={"said": _("Your password is set. You can sign in now.")},
        ),
        name="password_reset_complete",
    ),
]
