"""The pages that set a password: where links of mails lead, and "forgot it?"."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.urls import path, reverse_lazy

from accounts import passwords
from accounts.models import User


class ResetForm(PasswordResetForm):
    """Asks for a link, as the API does."""

    def save(self, *args: Any, request: Any = None, **kwargs: Any) -> None:
        """Have the mail sent; raises LockedOut, which is answered with 403."""
        passwords.request_reset(self.cleaned_data["email"], request)


class PasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    """Sets the password, and writes that down."""

    def save(self, commit: bool = True) -> User:
        """Save it, whatever ``commit`` says."""
        password = self.cleaned_data["new_password1"]
        passwords.set_password(self.user, password, by=self.user)
        return self.user


urlpatterns = [
    path(
        "reset/",
        views.PasswordResetView.as_view(form_class=ResetForm),
        name="admin_password_reset",
    ),
    path(
        "reset/done/",
        views.PasswordResetDoneView.as_view(),
        name="password_reset_done",
    ),
    path(
        "set/<uidb64>/<token>/",
        views.PasswordResetConfirmView.as_view(form_class=PasswordForm),
        name="password_reset_confirm",
    ),
    path(
        "set/done/",
        views.PasswordResetCompleteView.as_view(
            extra_context={"login_url": reverse_lazy("admin:login")}
        ),
        name="password_reset_complete",
    ),
]
