"""Which stores the rows name."""

from __future__ import annotations

from django.apps import apps
from django.db.models import Count

from accounts import stores
from accounts.models import Tenant
from objects.models import Version


def in_unset_stores() -> dict[str, int]:
    """Return how many versions there are in each store that is not set any more."""
    rows = Version.objects.exclude(store__in=stores.aliases()).order_by()
    return dict(rows.values_list("store").annotate(Count("pk")))


def is_used(store: str) -> bool:
    """Whether a tenant uploads to the store, or a row has its bytes there.

    What lies in another was put there by other means, as by `storage_copy`.
    """
    uploads = apps.is_installed("uploads") and (
        apps.get_model("uploads", "Upload").objects.filter(store=store)
    )
    return (
        Tenant.objects.filter(store=store).exists()
        or Version.objects.filter(store=store).exists()
        or bool(uploads and uploads.exists())
    )
