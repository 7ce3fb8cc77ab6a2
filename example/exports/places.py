"""Where an export is kept: which store, and by what name."""

from __future__ import annotations

import re

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from accounts import stores
from accounts.models import Tenant
from exports.models import Export

MAX_TEMPLATE = 90  # characters; what is put into it has 136 at most
_LONGEST = 50  # characters of a slug
_FIELDS = re.compile(r"{(\w*)}")


def check_settings() -> None:
    """Raise ImproperlyConfigured where no export could be kept as the settings say."""
    template: str = settings.EXPORT_PATH
    fields, parts = set(_FIELDS.findall(template)), template.split("/")
    if (
        fields - {"run", "event", "tenant"}
        or "{run}" not in parts[-1]
        or not {"", ".", ".."}.isdisjoint(parts)
        or parts[0] in {"tenants", "uploads"}
        or len(template) > MAX_TEMPLATE
    ):
        raise ImproperlyConfigured(
            "EXPORT_PATH must be like exports/{event}/{run}.zip: with {run} in its "
            "last part, not below tenants or uploads, and not long."
        )
    known = stores.aliases()
    named = {settings.EXPORT_STORAGE or known[0], *settings.EXPORT_STORES}
    if unknown := sorted(named - set(known)):
        raise ImproperlyConfigured(
            f"EXPORT_STORAGE or EXPORT_STORES names a store that is not set: "
            f"{', '.join(unknown)}. There are: {', '.join(known)}."
        )


def store_for(tenant: Tenant) -> str:
    """Return the alias: the tenant's choice, else the site's, else the default one."""
    if tenant.export_store in stores.export_aliases():
        return tenant.export_store
    return stores.site_export_alias()


def path_for(export: Export) -> str:
    """Return the name in the store: the run's id makes it nobody else's."""
    event = export.event.slug if export.event is not None else export.kind
    path: str = settings.EXPORT_PATH
    for name, value in (("event", event), ("tenant", export.tenant.slug)):
        path = path.replace(f"{{{name}}}", value[:_LONGEST])
    return path.replace("{run}", str(export.pk))
