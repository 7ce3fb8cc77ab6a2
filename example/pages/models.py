"""What the pages keep beside the files: small pictures of them, and what failed."""

from __future__ import annotations

import secrets
import uuid

from django.core.files.storage import Storage
from django.db import models
from django.utils import timezone

from accounts.stores import storage_of
from objects.models import Version


class Thumbnail(models.Model):
    """A small picture of a version, made by a job and kept in the version's store.

    The row is there before the bytes are, and until they are gone: it says what to
    delete once its version is. Its bytes count in no quota.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        STORED = "stored"
        NONE = "none"  # The file is no picture, or one that is not opened.
        MISSING = "missing"  # The file's own bytes, or their store.

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.OneToOneField(
        Version, models.SET_NULL, null=True, related_name="thumbnail"
    )
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.WAITING
    )
    store = models.CharField(max_length=100)
    key = models.CharField(max_length=255, blank=True)
    asked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.state}: {self.version_id}"

    @property
    def storage(self) -> Storage:
        """The store that holds the bytes; raises StoreGone."""
        return storage_of(self.store)

    def new_key(self) -> str:
        """Return a name in the store that nobody else writes."""
        return f"thumbnails/{self.id.hex[:2]}/{self.id.hex}-{secrets.token_hex(6)}.webp"


class Failure(models.Model):
    """What went wrong on this site, as `pages.failures` found it in the log."""

    at = models.DateTimeField(db_index=True)
    source = models.CharField(max_length=100)
    text = models.CharField(max_length=300)
    count = models.PositiveIntegerField(default=1)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"
