"""Bytes that were there before their row: how many they are, and their SHA-256."""

from __future__ import annotations

from django.db import transaction

from accounts import quotas
from objects import finding
from objects.models import StoredObject, Version
from objects.reading import hashed


def measure(version: Version) -> None:
    """Write down what the store holds of a version of which nothing is known yet.

    The tenant's quota counts it from then on. Raises what reading the store does.
    """
    size, sha256 = hashed(version.storage, version.key)
    with transaction.atomic():
        found = finding.locked(version.object_id)
        unknown = Version.objects.filter(pk=version.pk, sha256="")
        # Another sweep may have done so by now.
        if found is None or not unknown.update(size=size, sha256=sha256):
            return
        if found.current_id == version.pk:
            StoredObject.objects.filter(pk=found.pk).update(size=size, sha256=sha256)
        quotas.count(found.tenant_id, size=size, objects=0)
