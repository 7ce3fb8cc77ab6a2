"""Whoever began an upload, and whether they may go on with it."""

from __future__ import annotations

from accounts.models import User
from accounts.tokenversions import is_version_of
from objects.storing import Refused
from uploads.models import Upload


def is_revoked(upload: Upload, user: User | None) -> bool:
    """Whether the user is inactive, or revoked their tokens since the upload began.

    An upload outlives a token that expires, but none that is refused: another password
    ends it too.
    """
    if user is None or not user.is_active:
        return True
    return not is_version_of(upload.user_version, user)


def check_user(upload: Upload) -> None:
    """Raise Refused where the upload's user, as the database has it, is revoked."""
    user = User.objects.filter(pk=upload.user_id or 0).first()
    if is_revoked(upload, user):
        raise Refused
