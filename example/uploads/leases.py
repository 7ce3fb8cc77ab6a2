"""Who works on an upload: one at a time, whichever process or host it is on.

A lease is a row's token and a time. It is renewed while bytes come, and while the store
works on them, and runs out soon after its holder was killed: at once for whoever is on
the same host. What the holder does then counts no more, for each change is made on
condition of its token.
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from config.renewing import renewed
from objects.models import Version
from uploads.models import Upload
from uploads.processes import name_of

LEASE = timedelta(seconds=20)
LONGEST = timedelta(days=7)
"""From its beginning on, however often somebody goes on with it."""
RENEWED = 5.0  # seconds
AWAY = timedelta(seconds=5)
"""For so long nobody goes on after the store has failed."""


class Busy(Exception):
    """Somebody else works on the upload, or it was finished or given up meanwhile."""


@dataclass
class Lease:
    """The right to change an upload, until it runs out or somebody else has it."""

    upload: Upload
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    renewed: float = field(default_factory=time.monotonic)
    is_lost: bool = False
    """Whether somebody else was found to have it, while it was `kept`."""

    @property
    def version(self) -> Version:
        """What the upload becomes; raises Busy where it was given up."""
        if self.upload.version is None:
            raise Busy
        return self.upload.version

    def update(self, **values: Any) -> None:
        """Change the upload's row; raises Busy where the lease is another's by now."""
        found = Upload.objects.filter(pk=self.upload.pk, lease=self.token)
        if not found.update(**values):
            raise Busy
        for name, value in values.items():
            setattr(self.upload, name, value)

    def renew(self) -> None:
        """Go on holding it: called as bytes come, it writes every few seconds."""
        now = time.monotonic()
        if now - self.renewed > RENEWED:
            self.renewed = now
            self.update(leased_until=timezone.now() + LEASE)

    def kept(self) -> AbstractContextManager[None]:
        """Go on holding it for as long as the block takes, whatever that waits for."""
        return renewed(self._keep, RENEWED, "An upload")

    def _keep(self) -> bool:
        found = Upload.objects.filter(pk=self.upload.pk, lease=self.token)
        self.is_lost = not found.update(leased_until=timezone.now() + LEASE)
        return not self.is_lost

    def release(self, *, after: timedelta | None = None) -> None:
        """Let others go on, at once or after a time."""
        until = None if after is None else timezone.now() + after
        Upload.objects.filter(pk=self.upload.pk, lease=self.token).update(
            lease=None, leased_until=until
        )


def acquire(upload: Upload) -> Lease:
    """Return a lease on an upload as it was read; raises Busy.

    Its offset is still what was read, and it is not finished.
    """
    lease, now = Lease(upload), timezone.now()
    if upload.is_leased or not Upload.objects.filter(
        pk=upload.pk,
        offset=upload.offset,
        assembly=upload.assembly,
        finished_at=None,
        version__isnull=False,
        lease=upload.lease,
        leased_until=upload.leased_until,
    ).update(
        lease=lease.token, leased_until=now + LEASE, leased_by=name_of(os.getpid())
    ):
        raise Busy
    upload.lease, upload.leased_until = lease.token, now + LEASE
    return lease


def expiry(upload: Upload | None = None) -> datetime:
    """Return when an upload expires that begins now, or that somebody goes on with."""
    lifetime: timedelta = settings.UPLOAD_LIFETIME
    found = timezone.now() + lifetime
    if upload is None:
        return found
    return min(found, upload.created_at + max(LONGEST, lifetime))
