"""The pages to sign in and out, and to set a password: by a mail, and "forgot it?"."""

from __future__ import annotations

import contextlib
from typing import Any, cast

from django.contrib.auth import views
from django.contrib.auth.forms import (
    AuthenticationForm,
    PasswordResetForm,
    SetPasswordForm,
)
from django.core.exceptions import ValidationError
from django.http.response import HttpResponseBase
from django.urls import path
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
        try:
            logins.check(self.cleaned_data.get("username") or "", self.request)
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
    """Sets the password, and writes that down."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""

    def save(self, commit: bool = True) -> User:
        """Save it, whatever ``commit`` says."""
        password = self.cleaned_data["new_password1"]
        passwords.set_password(self.user, password, by=self.user)
        return self.user


class MailLinkView(views.PasswordResetConfirmView):
    """What the link of a mail leads to; whoever tries links is locked out (403)."""

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
                    "A link to set a new password is sent to your address of mail."
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
                    "If somebody here has this address, a mail is on its way with a "
                    "link to set a password. Look among the unwanted mail, too."
                )
            },
        ),
        name="password_reset_done",
    ),
    path(
        "set/<uidb64>/<token>/",
        MailLinkView.as_view(
            form_class=PasswordForm,
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
