"""Which stores objects may be kept in: aliases that the operator sets."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

NOT_FOR_OBJECTS = "staticfiles"


def aliases() -> list[str]:
    """Return the aliases of STORAGES that objects may be kept in."""
    return [alias for alias in settings.STORAGES if alias != NOT_FOR_OBJECTS]


def check_alias(alias: str) -> None:
    """Raise ValidationError where no store of objects has the alias."""
    if alias not in aliases():
        raise ValidationError(
            _("There is no store %(alias)s. There are: %(known)s."),
            params={"alias": alias, "known": ", ".join(aliases())},
        )
