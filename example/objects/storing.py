"""An upload becomes a version: bytes first, then the row that says they are there."""

from __future__ import annotations

import contextlib

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from accounts import quotas
from accounts.models import Tenant, User
from objects.access import grant_creator
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version, upload_key

ATTEMPTS = 20


class NotStored(Exception):
    """The store holds other bytes than were sent."""


def store(
    content: IncomingFile, *, tenant: Tenant, user: User, folder: str, name: str
) -> Version:
    """Store the content as the newest version of the object of that name.

    The object is made where there is none. Folder and name are clean (``names``).
    Raises QuotaExceeded before anything is stored, NotStored where the store does not
    hold what was sent, and what the content and the store raise; nothing is left then
    but what the sweep finds.
    """
    quotas.reserve(tenant.pk, size=content.size, objects=1)
    try:
        version = begin(content, tenant=tenant, user=user, folder=folder, name=name)
        try:
            save(version, content)
            settle(version, content)
        except BaseException:
            abandon(version)
            raise
    except BaseException:
        quotas.give_back(tenant.pk, size=content.size, objects=1)
        raise
    return version


def begin(
    content: IncomingFile, *, tenant: Tenant, user: User, folder: str, name: str
) -> Version:
    """Return a new pending version; its object is made where there is none."""
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return _begin(content, tenant, user, folder, name)
        except IntegrityError:
            # Another writer made the object, or took the number: look again.
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError  # The last attempt raises.


def _begin(
    content: IncomingFile, tenant: Tenant, user: User, folder: str, name: str
) -> Version:
    found, is_new = StoredObject.objects.get_or_create(
        tenant=tenant,
        folder=folder,
        name=name,
        deleted_at=None,
        defaults={"owner": user, "content_type": content.content_type},
    )
    if is_new:
        grant_creator(found, user)
    last = found.versions.aggregate(last=Max("number"))["last"] or 0
    version = Version(
        object=found,
        number=last + 1,
        store=tenant.store,
        content_type=content.content_type,
        created_by=user,
    )
    version.key = upload_key(version)
    version.save()
    return version


def save(version: Version, content: IncomingFile) -> None:
    """Send the bytes to the store; raises NotStored unless it holds just these."""
    stored = version.storage.save(version.key, content)
    if stored != version.key:
        # Nobody else writes names of this id: what was stored is a second copy.
        version.storage.delete(stored)
        raise NotStored("The name in the store was taken.")
    if content.taken != content.size or version.storage.size(stored) != content.size:
        raise NotStored("The store holds another number of bytes than were sent.")


def settle(version: Version, content: IncomingFile) -> None:
    """Let the version be stored, and the object's newest unless a later one is."""
    with transaction.atomic():
        found = StoredObject.objects.select_for_update().get(pk=version.object_id)
        version.size, version.sha256 = content.size, content.sha256
        version.state = Version.State.STORED
        version.save(update_fields=["size", "sha256", "state"])
        newest = found.current
        if newest is None or newest.number < version.number:
            found.current = version
            found.size, found.sha256 = version.size, version.sha256
            found.content_type = version.content_type
            found.updated_at = timezone.now()
            found.save()
        quotas.settle(found.tenant_id, size=content.size, objects=1)
        version.object = found


def abandon(version: Version) -> None:
    """Remove a pending version, and its object where that has no other."""
    with contextlib.suppress(Exception):
        version.storage.delete(version.key)
    with transaction.atomic():
        Version.objects.filter(pk=version.pk, state=Version.State.PENDING).delete()
        StoredObject.objects.filter(
            pk=version.object_id, current=None, versions=None
        ).delete()
