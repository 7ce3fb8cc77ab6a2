"""Uploads that take more than one request, and the parts that have come so far."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.core.files.storage import Storage
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.stores import storage_of
from jobs.models import Job
from objects.models import Version
from tahoestorage.backends.sentparts import SentPart
from uploads.processes import has_ended

LONGEST_LEASE = timedelta(minutes=1)


class Upload(models.Model):
    """A version on its way: in parts by the tus protocol, or directly to the store.

    The pending version holds its size in the tenant's quota. Whoever knows the id may
    go on with the upload: it is random. But it ends with the tokens that its user had
    then, revoked or by another password, as `uploads.authors` says.
    """

    class Kind(models.TextChoices):
        TUS = "tus", _("in parts")
        DIRECT = "direct", _("directly to the store")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    version = models.OneToOneField(
        Version,
        models.SET_NULL,
        null=True,
        related_name="upload",
        verbose_name=_("version"),
        help_text=_("Empty: it was given up, and the sweep removes what is left."),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("user"),
    )
    # What `accounts.tokenversions.version_of` said of the user when it began.
    user_version = models.CharField(max_length=32, default="", editable=False)
    store = models.CharField(_("store of the parts"), max_length=100)
    size = models.PositiveBigIntegerField(_("bytes"))
    offset = models.PositiveBigIntegerField(_("bytes that came"), default=0)
    metadata = models.TextField(_("metadata"), blank=True)
    # What `uploads.purposes` knows it by.
    purpose = models.CharField(
        # A release of before, which does not know the field, still writes rows.
        max_length=20,
        default="",
        db_default="",
        editable=False,
    )
    # Whoever works on it: a request, or the sweep. See `uploads.leases`.
    lease = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    leased_by = models.CharField(max_length=100, blank=True, editable=False)
    # The SHA-256 of all that has come, under way. See `uploads.hashing`.
    hash_state = models.BinaryField(null=True, editable=False)
    # What the store knows the object by whose parts are there. See `uploads.assembly`.
    assembly = models.TextField(blank=True, editable=False)
    assembly_key = models.CharField(max_length=255, blank=True, editable=False)
    part_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    # What finishes it, where that takes long. See `uploads.deferring`.
    job = models.ForeignKey(
        Job, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("begun"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), db_index=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("upload")
        verbose_name_plural = _("uploads")
        ordering = ("-created_at", "pk")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.offset} of {self.size}"

    @property
    def storage(self) -> Storage:
        """The store that holds the parts; raises StoreGone."""
        return storage_of(self.store)

    @property
    def is_complete(self) -> bool:
        """Whether all of it has come, in parts."""
        return self.kind == self.Kind.TUS and self.offset == self.size

    @property
    def is_given_up(self) -> bool:
        """Whether it only waits for its URL to expire."""
        version = self.version
        return version is not None and version.state == Version.State.GIVEN_UP

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()

    @property
    def is_leased(self) -> bool:
        """Whether somebody works on it now, or the store is waited for.

        Of a process of this host it is known at once that it has ended.
        """
        now = timezone.now()
        # One of longer was given by a clock that was ahead.
        if self.leased_until is None or not (
            now < self.leased_until <= now + LONGEST_LEASE
        ):
            return False
        return self.lease is None or not has_ended(self.leased_by)


class UploadPart(models.Model):
    """Bytes of an upload, as a file of their own in the store.

    Where the store makes the object of parts, only what comes after these. The row is
    made before the bytes are, so that no bytes are without one. It counts once it is
    kept: the kept ones follow each other without a gap up to the upload's offset. The
    others are a killed process's, or of a body that was refused.
    """

    upload = models.ForeignKey(Upload, models.CASCADE, related_name="parts")
    start = models.PositiveBigIntegerField()
    size = models.PositiveBigIntegerField(default=0)
    is_kept = models.BooleanField(default=False)
    key = models.CharField(max_length=255, unique=True)

    class Meta:
        default_permissions = ()
        indexes = (
            models.Index(fields=("upload", "is_kept", "start"), name="part_start"),
        )


class ObjectPart(models.Model):
    """Bytes of an upload that the store has as a part of the object itself.

    All but the last are of ``part_bytes``, and they come before the files of
    `UploadPart`.
    """

    upload = models.ForeignKey(Upload, models.CASCADE, related_name="object_parts")
    number = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField()
    etag = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()
        ordering = ("number",)
        constraints = (
            models.UniqueConstraint(fields=("upload", "number"), name="part_number"),
        )

    @property
    def sent(self) -> SentPart:
        """It as the storage knows it."""
        digest = bytes.fromhex(self.sha256)
        return SentPart(self.number, self.size, self.etag, digest)
