"""Objects that the store makes of the files of an upload, without reading them.

Google Cloud Storage can do it.
"""

from __future__ import annotations

from typing import Any

from objects import storing
from objects.models import Version
from uploads.hashing import RunningHash
from uploads.models import Upload


def is_for(upload: Upload) -> bool:
    """Whether the object may be made so, where its hash is known at the end."""
    return hasattr(upload.storage, "compose")


def running_hash(upload: Upload) -> RunningHash:
    """Return the hash of all that has come, with what the store tells at the end."""
    return RunningHash(upload.offset, upload.hash_state, crc32c=True)


def known_hash(upload: Upload, version: Version) -> RunningHash | None:
    """Return the hash of all of it; None where the object has to be copied.

    That is where nobody could hand on the state of the hash, and where the tenant was
    moved meanwhile.
    """
    if not is_for(upload) or upload.store != version.store or not upload.size:
        return None
    known = running_hash(upload)
    return None if known.sha256 is None else known


def compose(upload: Upload, version: Version) -> str | None:
    """Make the object, and return its SHA-256; None where it has to be copied.

    Raises storing.NotStored, and what the store raises.
    """
    known = known_hash(upload, version)
    if known is None or known.sha256 is None:
        return None
    storage: Any = version.storage
    kept = upload.parts.filter(is_kept=True).order_by("start")
    sources = list(kept.values_list("key", flat=True))
    storage.compose(version.key, sources, version.content_type)
    # Whoever is killed from here on leaves what tells whether the bytes are right.
    pending = Version.objects.filter(pk=version.pk, state=Version.State.PENDING)
    pending.update(sha256=known.sha256)
    told = storage.stored_checksums(version.key)
    if told.get("crc32c") != known.crc32c or storage.size(version.key) != upload.size:
        raise storing.NotStored("The store does not hold what was sent.")
    return known.sha256
