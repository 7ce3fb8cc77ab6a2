"""An upload ends: its parts become a version, or all of it is given up."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from audit.actions import Action
from audit.recording import record
from jobs.kinds import Cancelled
from objects import copies, finding, quarantine, storing
from objects.incoming import Altered, IncomingFile
from objects.keys import is_moved, moved_key
from objects.models import Version
from objects.reading import fresh, whole
from tahoestorage.exceptions import TahoeStorageError
from uploads import assembly, composing, deferring, purposes, receiving
from uploads.assembly import Changed, Lost
from uploads.authors import check_user, is_revoked
from uploads.leases import AWAY, LEASE, Busy, Lease, acquire
from uploads.models import Upload, UploadPart
from uploads.parts import discard

BATCH = 500
"""Rows of parts that are in memory at once."""
logger = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
"""Told how many bytes were read, and of how many; what it raises ends that."""


def _untold(done: int, of: int) -> None:
    """Tell nobody."""


class PartsReader:
    """The kept parts of an upload as one stream, read once from their start."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._left = self._parts()
        self._file: Any = None

    def _parts(self) -> Iterator[UploadPart]:
        """Yield them a batch at a time.

        No query is open while the store is waited for: on SQLite nobody else writes
        then, and the lease is not renewed.
        """
        parts = self._lease.upload.parts.filter(is_kept=True).order_by("start")
        end = -1
        while batch := list(parts.filter(start__gt=end)[:BATCH]):
            yield from batch
            end = batch[-1].start

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end; raises Busy once the lease
        is another's.
        """
        if self._lease.is_lost:
            raise Busy
        while True:
            if self._file is None:
                part = next(self._left, None)
                if part is None:
                    return b""
                self._file = self._lease.upload.storage.open(part.key)
            if data := self._file.read(size):
                return bytes(data)
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def finish(lease: Lease, progress: Progress = _untold) -> None:
    """Make one file in the store of all the parts, and let its version be stored.

    Whatever goes wrong, the parts are still there, and it can be tried again; unless
    it raises Lost.
    """
    version = lease.version
    try:
        with lease.kept():
            if lease.upload.assembly:
                sha256 = assembly.complete(lease)
            elif ended := _ended_with(lease):
                sha256 = ended
            else:
                _claim(lease, version)
                composed = composing.compose(lease.upload, version)
                sha256 = composed or _copy_parts(lease, version, progress)
        settle(lease, version, sha256)
    except Exception:
        with contextlib.suppress(Exception):
            # No row comes back to a key: while none names it, nobody has its bytes.
            if not Version.objects.filter(pk=version.pk, key=version.key).exists():
                version.storage.delete(version.key)
        raise


def _ended_with(lease: Lease) -> str:
    """Return the SHA-256 of what another try has left whole, ``""`` if there is none.

    That one was killed; or it ended after the database was copied that was restored
    since, and its parts are gone. Where it is known what has come, it must be that.
    """
    version = lease.version
    if not _has_size(version, version.key):
        return ""
    try:
        sha256 = whole(version)
    except FileNotFoundError:
        return ""
    return sha256 if _known_sha256(lease) in {None, sha256} else ""


def _has_size(version: Version, key: str) -> bool:
    """Whether another try has left as many bytes by this key as the version has."""
    try:
        # By the first key nobody has written.
        return is_moved(key) and version.storage.size(key) == version.size
    except FileNotFoundError:
        return False


def _known_sha256(lease: Lease) -> str | None:
    """Return the SHA-256 of what has come, None where that is not known."""
    return receiving.running_hash(lease.upload).sha256


def _claim(lease: Lease, version: Version) -> None:
    """Let the row name a key that no other try writes, and delete what the last wrote.

    That may be written still, by somebody slow: it is never the row's again. As many
    bytes as the version has may have been acknowledged before the database was restored
    and others came: they go into quarantine.
    """
    last, key = version.key, moved_key(version)
    with transaction.atomic():
        lease.update(leased_until=timezone.now() + LEASE)
        pending = Version.objects.filter(pk=version.pk, state=Version.State.PENDING)
        if not pending.filter(key=last).update(key=key, sha256=""):
            raise storing.NotStored("The upload was given up meanwhile.")
        version.key = key
        if is_moved(last):  # Else nobody has written there.
            copies.note(version, last)
    if _has_size(version, last):
        quarantine.put(version.storage, last)
    else:
        version.storage.delete(last)


def _copy_parts(lease: Lease, version: Version, progress: Progress) -> str:
    """Return the SHA-256 of what was stored. Raises Lost where parts have changed."""
    with contextlib.closing(PartsReader(lease)) as parts:
        content = IncomingFile(parts, lease.upload.size, version.content_type)
        content.known_sha256 = _known_sha256(lease)
        content.on_read = lambda: progress(content.taken, content.size)
        try:
            storing.save(version, content)
        except Altered:
            raise Changed("The parts are not what had come.") from None
    progress(content.size, content.size)
    return content.sha256


def settle(lease: Lease, version: Version, sha256: str) -> None:
    """Let the version be stored and the upload finished, both or none.

    Raises storing.Deleted where the object was deleted meanwhile, and storing.Refused
    where whoever began may not edit it any more or is revoked, or as Unfit; the upload
    is given up then.
    """
    purpose = purposes.of(lease.upload)
    try:
        with lease.kept():
            purpose.verify(version)
        with transaction.atomic():
            check_user(lease.upload)
            purpose.check(version)
            # As whoever gives the version up: before the upload, which that changes.
            finding.locked(version.object_id)
            lease.update(
                finished_at=timezone.now(),
                # The row of one that was in the store before may say less.
                offset=lease.upload.size,
                lease=None,
                leased_until=None,
            )
            storing.settle_within(version, sha256)
            purpose.stored(version)
    except (storing.Deleted, storing.Refused):
        lease.upload.finished_at = None
        # Whoever has taken it over sees to it: raises Busy then.
        lease.update(leased_until=timezone.now() + LEASE)
        cancel(lease.upload)
        raise
    drop_parts(lease.upload)


def settle_whole(upload: Upload) -> bool:
    """Finish an upload whose object is in the store already; False where it is not.

    So it is where a database was restored from before the upload's end: its bytes were
    acknowledged, and its row says that less has come. Raises Busy, and what `settle`
    raises; what a refused user sent is put into quarantine, unless the object was
    deleted, or erased.
    """
    if upload.version is None:
        return False
    lease = acquire(upload)
    with returned(lease):
        return _settle_whole(lease)


def _settle_whole(lease: Lease) -> bool:
    upload, version = lease.upload, lease.version
    try:
        with lease.kept():
            sha256 = whole(version)
    except FileNotFoundError:
        return False
    if not sha256:
        return False
    if upload.assembly:
        # Somebody may have begun the object's parts anew.
        assembly.abort(upload)
    try:
        check_user(upload)
        if not purposes.of(upload).may_edit(cast(User, upload.user), version):
            raise storing.Refused
    except storing.Refused:
        if version.object.deleted_at is None:
            quarantine.put(version.storage, version.key)
    settle(lease, version, sha256)
    return True


@contextlib.contextmanager
def or_settled(lease: Lease) -> Iterator[None]:
    """Settle as `settle_whole` does where the block fails, for the store has ended the
    upload, or its parts are gone. Where that takes long, a job does it.

    Else what the block raises is raised.
    """
    try:
        yield
    except Changed:
        raise
    except (Lost, FileNotFoundError, FileExistsError):
        if not _settle_or_defer(lease):
            raise


def _settle_or_defer(lease: Lease) -> bool:
    upload, version = lease.upload, lease.version
    try:
        with fresh(version.storage, version.key):
            if version.storage.size(version.key) != version.size:
                return False
    except FileNotFoundError:
        return False
    if upload.size <= settings.UPLOAD_PART_BYTES:
        return _settle_whole(lease)
    with transaction.atomic():
        lease.update(offset=upload.size, hash_state=None)
        deferring.start(upload)
        lease.update(lease=None, leased_until=None)
    return True


def came_to_nothing(pk: str, version: str) -> bool:
    """Whether the upload of the version ended, and the version was not stored.

    It was given up, expired, its user's tokens were revoked, or the object is deleted.
    """
    rows = Upload.objects.select_related("version__object", "user")
    upload = rows.filter(pk=pk).first()
    if upload is None or upload.version is None:
        unstored = (Version.State.PENDING, Version.State.GIVEN_UP)
        found = Version.objects.exclude(state__in=unstored)
        return not found.filter(pk=version).exists()
    return upload.finished_at is None and (
        upload.is_given_up
        or (upload.is_expired and not upload.is_complete)
        or upload.version.object.deleted_at is not None
        or is_revoked(upload, upload.user)
    )


def drop_parts(upload: Upload) -> None:
    """Delete the bytes of all parts; rows remain of those that could not be."""
    for part in upload.parts.select_related("upload"):
        discard(part)
    if upload.assembly:
        try:
            assembly.drop(upload)
        except Exception:
            # The upload's own id is as good as a token.
            logger.exception("Parts of version %s stay in the store", upload.version_id)


def finish_if_complete(upload: Upload) -> None:
    """Finish an upload all of whose bytes have come.

    Raises Busy while somebody else does, and what the store raises; for some seconds
    nobody tries again then.
    """
    if upload.finished_at is not None or not upload.is_complete:
        return
    lease = acquire(upload)
    with returned(lease):
        finish(lease)


@contextlib.contextmanager
def returned(lease: Lease) -> Iterator[None]:
    """Release the lease after the block; some seconds later where the store failed.

    Where what had come is lost, or its job was cancelled, the upload is given up.
    """
    try:
        yield
    except (Lost, Cancelled):
        cancel(lease.upload)
        raise
    except (OSError, TahoeStorageError, storing.NotStored):
        lease.release(after=AWAY)
        raise
    except BaseException:
        lease.release()
        raise
    lease.release()


def terminate(upload: Upload, *, actor: User | None) -> None:
    """Give an upload up; of a finished one only the row goes, not what it became.

    The row of a direct one stays until it expires: its URL is good until then. The
    audit says so of the actor, where there is one. Raises Busy while somebody works on
    it; a job does so for some seconds more.
    """
    if upload.finished_at is None:
        deferring.cancel(upload)
        if upload.version is not None:
            acquire(upload)
            if actor is not None:
                _record(upload.version, actor)
        cancel(upload)
    elif upload.kind == Upload.Kind.TUS or upload.is_expired:
        remove(upload)


def _record(version: Version, actor: User) -> None:
    """Let nobody store a version any more, and say by whose word."""
    pending = Version.objects.filter(pk=version.pk, state=Version.State.PENDING)
    with transaction.atomic():
        if pending.update(state=Version.State.GIVEN_UP):
            record(
                Action.UPLOAD_GIVE_UP,
                version.object,
                tenant_id=version.object.tenant_id,
                actor=actor,
                version=version.number,
                owner=version.object.owner_id,
            )


def give_up(upload: Upload) -> None:
    """Remove an upload that is not finished, with its parts and its version.

    A direct one keeps its rows and its room in the quota until it expires: its URL is
    good until then, and what comes by it has to count. Raises Busy while somebody works
    on it.
    """
    if upload.version is not None:
        acquire(upload)
    cancel(upload)


def cancel(upload: Upload) -> None:
    """As `give_up`, for whoever knows that nobody else works on it."""
    if upload.version is not None:
        if upload.kind == Upload.Kind.DIRECT and not upload.is_expired:
            storing.abandon_bytes(upload.version)
            return
        storing.abandon(upload.version)
    remove(upload)


def remove(upload: Upload) -> None:
    """Delete the parts and then the row, which remains while parts do."""
    drop_parts(upload)
    if not upload.parts.exists() and not upload.assembly:
        upload.delete()
