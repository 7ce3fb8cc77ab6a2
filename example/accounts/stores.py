"""Which stores objects may be kept in: aliases that the operator sets."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.storage import Storage, storages
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config.errors import ForPeople

NOT_FOR_OBJECTS = "staticfiles"


class StoreGone(ForPeople, OSError):
    """A row names a store that the site does not set any more."""


def storage_of(alias: str) -> Storage:
    """Return the store that a row names; raises StoreGone."""
    if alias not in settings.STORAGES:
        raise StoreGone(
            gettext("The store “%(alias)s” is not set any more.") % {"alias": alias}
        )
    return storages[alias]


def aliases() -> list[str]:
    """Return the aliases of STORAGES that objects may be kept in."""
    return [alias for alias in settings.STORAGES if alias != NOT_FOR_OBJECTS]


def export_aliases() -> list[str]:
    """Return those among which a tenant may choose where its exports are kept."""
    allowed = settings.EXPORT_STORES or aliases()
    return [alias for alias in aliases() if alias in allowed]


def site_export_alias() -> str:
    """Return where exports are kept of tenants that chose nothing."""
    named: str = settings.EXPORT_STORAGE
    return named or "default"


def export_choices() -> list[tuple[str, str]]:
    """Return a tenant's choices, each with its label; the first is to choose none."""
    label = gettext("The site's: %(alias)s") % {"alias": site_export_alias()}
    return [("", label), *((alias, alias) for alias in export_aliases())]


def check_alias(alias: str) -> None:
    """Raise ValidationError where no store of objects has the alias."""
    _check(alias, aliases())


def check_export_alias(alias: str) -> None:
    """Raise ValidationError where exports may not be kept in the store of the alias."""
    _check(alias, export_aliases())


def _check(alias: str, known: list[str]) -> None:
    if alias not in known:
        raise ValidationError(
            _("There is no store %(alias)s. There are: %(known)s."),
            params={"alias": alias, "known": ", ".join(known)},
        )
