"""Uploads past the site, to the bucket: believed once the site has hashed them."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.db.models import Value
from django.db.models.functions import Greatest

from objects.incoming import CHUNK, IncomingFile
from objects.models import Version
from tahoestorage.backends.directupload import DirectUpload
from tahoestorage.exceptions import NotConditional
from uploads.finishing import Progress, give_up, returned, settle
from uploads.leases import Busy, Lease, acquire
from uploads.models import Upload


class NotThere(Exception):
    """Nothing was uploaded yet."""


class WrongSize(Exception):
    """The store holds another number of bytes than were announced."""


class NotDirect(Exception):
    """The store can't be uploaded to past the site."""


def sign(version: Version) -> DirectUpload:
    """Return the request that uploads a version's bytes; raises NotDirect."""
    storage: Any = version.storage
    if not hasattr(storage, "upload_url"):
        raise NotDirect
    try:
        signed: DirectUpload = storage.upload_url(
            version.key, version.content_type, version.size or 0
        )
    except (NotImplementedError, NotConditional) as error:
        raise NotDirect from error
    return signed


def end_of(signed: DirectUpload) -> datetime | None:
    """Return until when a signed URL is good, by itself; None where it does not say."""
    query = parse_qs(urlsplit(signed.url).query)
    for signer in ("X-Amz", "X-Goog"):
        with contextlib.suppress(LookupError, ValueError):
            begun = datetime.strptime(query[f"{signer}-Date"][0], "%Y%m%dT%H%M%S%z")
            return begun + timedelta(seconds=int(query[f"{signer}-Expires"][0]))
    return None


def keep_for(upload: Upload, signed: DirectUpload) -> datetime:
    """Let the upload expire no earlier than a URL of it, and return when that ends.

    By the row the site knows until when bytes may come. Raises Busy where it was
    finished or given up meanwhile: nobody is to get the URL then.
    """
    end = end_of(signed) or upload.expires_at
    pending = Upload.objects.filter(pk=upload.pk, version__state=Version.State.PENDING)
    if not pending.update(expires_at=Greatest("expires_at", Value(end))):
        raise Busy
    return end


def check(upload: Upload) -> None:
    """Ask the store whether it has what was announced, as far as its size tells.

    Raises what `verify` does.
    """
    if upload.version is None:
        raise Busy
    try:
        _check_size(upload.version)
    except WrongSize:
        give_up(upload)
        raise


def verify(upload: Upload, progress: Progress | None = None) -> None:
    """Hash what was uploaded, and let its version be stored.

    Raises NotThere, and may be tried again then; WrongSize, and then the upload is
    given up; Busy, what ``progress`` raises, and what the store raises.
    """
    try:
        lease = acquire(upload)
        with returned(lease):
            settle(lease, lease.version, _hash(lease, lease.version, progress))
    except WrongSize:
        give_up(Upload.objects.get(pk=upload.pk))
        raise


def _check_size(version: Version) -> None:
    try:
        size = version.storage.size(version.key)
    except FileNotFoundError:
        raise NotThere from None
    if size != version.size:
        raise WrongSize


def _hash(lease: Lease, version: Version, progress: Progress | None) -> str:
    """Return the SHA-256 of the stored bytes, all of which are read."""
    _check_size(version)
    size = version.size or 0
    with version.storage.open(version.key) as file:
        content = IncomingFile(file, size)
        while content.read(CHUNK):
            lease.renew()
            if progress is not None:
                progress(content.taken, size)
    return content.sha256
