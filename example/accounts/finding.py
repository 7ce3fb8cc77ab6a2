"""Users as commands name them."""

from __future__ import annotations

from django.core.management.base import CommandError

from accounts.models import User


def find_user(text: str) -> User:
    """Return the user of the name or, where there is none, of the id.

    Raises CommandError where there is no such user.
    """
    found = User.objects.filter(username=text).first()
    if found is None and text.isascii() and text.isdecimal() and len(text) < 19:
        found = User.objects.filter(pk=int(text)).first()
    if found is None:
        raise CommandError(f"There is no user of the name or id {text}.")
    return found
