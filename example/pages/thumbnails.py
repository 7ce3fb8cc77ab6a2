"""Thumbnails: asked for by lists, made by jobs, deleted after their versions."""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.stores import StoreGone
from config import locks
from jobs.starting import start
from objects.models import StoredObject, Version
from objects.pictures import BadPicture, thumbnail
from pages.models import Thumbnail
from tahoestorage.exceptions import TahoeStorageError

logger = logging.getLogger(__name__)
KIND = "pages.thumbnail"
SIZE = 384
"""Pixels of the longer side: a photo of an event's page is sharp on a phone, too."""
AGAIN = timedelta(minutes=10)
"""After so long without an outcome another job is started."""
PAUSES = {
    Thumbnail.State.WAITING.value: AGAIN,
    Thumbnail.State.MISSING.value: timedelta(hours=1),
}
"""Who looks after so long has it tried once more, by the states that are not final."""


def ask(version: Version) -> Thumbnail:
    """Return the version's thumbnail; a job that makes it is started where none is."""
    found = Thumbnail.objects.filter(version=version).first()
    now = timezone.now()
    if found is not None and found.store != version.store:
        # The version was moved: a new one is made where it is now.
        Thumbnail.objects.filter(pk=found.pk).update(version=None)
        found = None
    if found is None:
        try:
            with transaction.atomic():
                found = Thumbnail.objects.create(version=version, store=version.store)
                _start(version)
        except IntegrityError:  # Somebody else looked at the same moment.
            found = Thumbnail.objects.get(version=version)
    elif found.state in PAUSES and found.asked_at < now - PAUSES[found.state]:
        with transaction.atomic():
            same = Thumbnail.objects.filter(
                pk=found.pk, state=found.state, asked_at=found.asked_at
            )
            if same.update(state=Thumbnail.State.WAITING, asked_at=now):
                found.state = Thumbnail.State.WAITING
                _start(version)
    return found


def lose(found: Thumbnail) -> None:
    """Have it made anew when it is asked for the next time: its bytes are gone."""
    stored = Thumbnail.objects.filter(pk=found.pk, state=Thumbnail.State.STORED)
    stored.update(state=Thumbnail.State.WAITING, asked_at=timezone.now() - 2 * AGAIN)


def _start(version: Version) -> None:
    start(
        KIND,
        owner=version.created_by,
        tenant=version.object.tenant,
        arguments={"version": str(version.pk)},
    )


def make(version_id: str) -> bool:
    """Make the thumbnail that was asked for; returns whether there is one now.

    Raises what the store raises; done again it is made anew, and nothing is left of
    what was made before.
    """
    found = (
        Thumbnail.objects.filter(
            version=uuid.UUID(version_id), state=Thumbnail.State.WAITING
        )
        .select_related("version")
        .first()
    )
    if found is None or found.version is None:
        return False
    try:
        with found.version.storage.open(found.version.key) as file:
            content = thumbnail(file, SIZE)
    except BadPicture:
        _rows(found).update(state=Thumbnail.State.NONE)
        return False
    except (FileNotFoundError, StoreGone):
        # The sweep tells operators of it; to try again at once helps nobody.
        logger.info("Version %s has no bytes to make a thumbnail of", found.version_id)
        _rows(found).update(state=Thumbnail.State.MISSING)
        return False
    last, key = found.key, found.new_key()
    # Named before it is there, so that nothing is there without a name.
    if not _rows(found).update(key=key):
        return False
    if last:
        found.storage.delete(last)
    _save(found.storage, key, content)
    if not _rows(found).filter(key=key).update(state=Thumbnail.State.STORED):
        found.storage.delete(key)  # Another worker was quicker, or the version is gone.
        return False
    return True


def _rows(found: Thumbnail) -> Any:
    return Thumbnail.objects.filter(
        pk=found.pk, state=Thumbnail.State.WAITING, version=found.version_id
    )


def _save(storage: Any, key: str, content: bytes) -> None:
    if hasattr(storage, "create"):
        storage.create(key, io.BytesIO(content), unique=True)
    else:
        storage.save(key, ContentFile(content))


def delete_left(on_each: Callable[[], None] = lambda: None) -> int:
    """Delete the thumbnails of versions that are gone, or elsewhere; returns how many.

    What a store does not delete now stays for the next time, with a line in the log.
    What ``on_each`` raises ends it.
    """
    moved = Thumbnail.objects.exclude(version=None).exclude(store=F("version__store"))
    for one in locks.one_by_one(moved):
        one.update(version=None)
    left = Thumbnail.objects.filter(version=None)
    deleted = 0
    # No query is open while a store is waited for: on SQLite nobody else writes then.
    for pk in list(left.values_list("pk", flat=True)):
        on_each()
        found = left.filter(pk=pk).first()
        deleted += found is not None and _delete(found)
    return deleted


def delete_of(of: StoredObject) -> bool:
    """Delete the thumbnails of all versions; False where a store can't now."""
    found = list(Thumbnail.objects.filter(version__object=of))
    return all(_delete(one) for one in found)


def _delete(found: Thumbnail) -> bool:
    try:
        if found.key:
            found.storage.delete(found.key)
    except (OSError, TahoeStorageError, ImproperlyConfigured) as error:
        logger.warning(
            "A thumbnail stays in the store %s: %s", found.store, type(error).__name__
        )
        return False
    found.delete()
    return True
