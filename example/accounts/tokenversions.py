"""What ends with a user's tokens: whatever was given out with the version of then.

Apart from `accounts.tokens`, for those who need no tokens: they take long to import.
"""

from __future__ import annotations

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models import User


def is_version_of(version: object, user: User) -> bool:
    """Whether what was given then is good still."""
    return constant_time_compare(str(version), version_of(user))


def version_of(user: User) -> str:
    """Return what changes with the user's ``token_version`` and password.

    It tells neither, and goes into whatever is to end with the user's tokens.
    """
    value = f"{user.token_version}:{user.password}"
    return salted_hmac(
        "accounts.tokens", value, secret=settings.TOKEN_SIGNING_KEY, algorithm="sha256"
    ).hexdigest()[:32]
