"""An upload becomes a version: bytes first, then the row that says they are there."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from accounts import quotas
from accounts.models import Tenant, User
from accounts.prepared import Parameter, Prepared, PreparedInsert, PreparedUpdate
from accounts.stores import storage_of
from accounts.tokenversions import is_version_of, version_of
from audit.actions import Action
from audit.recording import is_named, record
from config.conflicts import is_conflict
from objects import access, copies, finding, partwise
from objects.access import Access
from objects.changing import ObjectNameTaken, PathTaken, check_path
from objects.conditions import NONE, Conditions, content_etag
from objects.grants import grant_first
from objects.incoming import IncomingFile
from objects.keys import key_of
from objects.models import StoredObject, Version
from objects.purging import delete_row, mark_surplus
from tahoestorage.backends.sentparts import part_length
from tahoestorage.verification import PartsDigest

ATTEMPTS = 20
logger = logging.getLogger(__name__)


def _pending() -> QuerySet[Version]:
    key = Parameter("pk", Version)
    return Version.objects.filter(pk=key, state=Version.State.PENDING)


_AUTHOR = Prepared(lambda: User.objects.filter(pk=Parameter("pk", User)))
_SHA256 = Parameter("sha256", Version, "sha256")
_ADD_OBJECT = PreparedInsert(StoredObject)
_ADD_VERSION = PreparedInsert(Version)
_NOTE = PreparedUpdate(_pending, lambda: {"sha256": _SHA256})
_SETTLE = PreparedUpdate(
    _pending, lambda: {"sha256": _SHA256, "state": Version.State.STORED}
)
_TAKE = PreparedUpdate(
    lambda: StoredObject.objects.filter(pk=Parameter("pk", StoredObject)),
    lambda: {
        name: Parameter(name, StoredObject, name)
        for name in ("current", "size", "sha256", "content_type", "updated_at")
    },
)


class NotStored(Exception):
    """The store holds other bytes than were sent."""


class Refused(Exception):
    """Whoever uploaded may not change the object, or not any more."""


class Revoked(Refused):
    """Whoever uploaded was deactivated, or their tokens ended, meanwhile."""


class Deleted(Exception):
    """The object was deleted while its content was on the way."""


MayEdit = Callable[[User, StoredObject], bool]


def _may_edit(user: User, found: StoredObject) -> bool:
    return access.allows(user, found, Access.EDIT)


def store(
    content: IncomingFile,
    *,
    tenant: Tenant,
    user: User,
    folder: str,
    name: str,
    conditions: Conditions = NONE,
    is_free: bool = False,
) -> Version:
    """Store the content as the newest version of the object of that name.

    The object is made where there is none; ``is_free`` says that there was none a
    moment ago, which spares a look. Folder and name are clean (``names``), and the
    conditions are about the ETag of its content, at the end. Raises QuotaExceeded,
    PathTaken and StoreGone before anything is stored, NotStored where the store does
    not hold what was sent, Unmet, Deleted, Refused, Revoked where the user may nothing
    any more, and what the content and the store raise; nothing is left then but what
    the sweep finds.
    """
    version = begin(
        tenant=tenant,
        user=user,
        folder=folder,
        name=name,
        size=content.size,
        content_type=content.content_type,
        is_free=is_free,
        is_conditional=conditions != NONE,
        id=content.version_id,
    )
    return _fill(version, content, conditions)


def replace(
    content: IncomingFile,
    found: StoredObject,
    *,
    user: User,
    conditions: Conditions = NONE,
    may_edit: MayEdit = _may_edit,
) -> Version:
    """Store the content as the newest version of this object, whatever its name.

    ``may_edit`` is asked at the end, of the user as they are then. Raises what `store`
    does; Deleted where the object is deleted or gone.
    """

    version = begin_another(
        found,
        user=user,
        size=content.size,
        content_type=content.content_type,
        is_conditional=conditions != NONE,
        id=content.version_id,
    )
    return _fill(version, content, conditions, may_edit)


def _fill(
    version: Version,
    content: IncomingFile,
    conditions: Conditions,
    may_edit: MayEdit = _may_edit,
) -> Version:
    try:
        save(version, content)
        _check_since(version, content, may_edit)
        with transaction.atomic():
            if content.before_stored is not None:
                content.before_stored()
            settle_within(version, content.sha256, conditions=conditions)
            if content.on_stored is not None:
                content.on_stored(version)
    except BaseException:
        abandon(version)
        raise
    return version


def begin(
    *,
    tenant: Tenant,
    user: User,
    folder: str,
    name: str,
    size: int,
    content_type: str,
    is_free: bool = False,
    is_conditional: bool = False,
    must_be_new: bool = False,
    id: uuid.UUID | None = None,
) -> Version:
    """Return a new pending version; its object is made where there is none.

    Its id is a random one unless given. ``is_conditional`` tells the sweep that whoever
    settles it looks at conditions. It holds its ``size`` in the tenant's quota,
    and a new object holds its place, until `settle` or `abandon`. Raises QuotaExceeded,
    PathTaken, StoreGone, and with ``must_be_new`` ObjectNameTaken where there is an
    object: nothing was made then.
    """

    def attempt(is_first: bool) -> Version:
        found = None
        if not (is_free and is_first):
            found = finding.of_path(tenant.pk, folder, name, lock=True)
        if found is not None and must_be_new:
            raise ObjectNameTaken
        is_new = found is None
        if found is None:
            found = StoredObject(
                tenant=tenant,
                folder=folder,
                name=name,
                owner=user,
                content_type=content_type,
            )
        return _add(
            found,
            user,
            size,
            content_type,
            is_new=is_new,
            is_conditional=is_conditional,
            id=id,
        )

    if must_be_new:
        with transaction.atomic():
            return attempt(False)
    return _attempts(attempt)


def begin_another(
    found: StoredObject,
    *,
    user: User,
    size: int,
    content_type: str,
    is_conditional: bool = False,
    id: uuid.UUID | None = None,
) -> Version:
    """Return a new pending version of this object, whatever its name; as `begin`.

    Raises QuotaExceeded, and Deleted where the object is deleted or gone.
    """

    def attempt(_is_first: bool) -> Version:
        there = finding.locked(found.pk)
        if there is None or there.deleted_at is not None:
            raise Deleted
        return _add(
            there,
            user,
            size,
            content_type,
            is_new=False,
            is_conditional=is_conditional,
            id=id,
        )

    return _attempts(attempt)


def _attempts(begin: Callable[[bool], Version]) -> Version:
    """Return what ``begin`` does; it is told whether it is called the first time."""
    for attempt in range(ATTEMPTS):
        try:
            with transaction.atomic():
                return begin(not attempt)
        except (IntegrityError, ObjectNameTaken) as error:
            # Another writer made the object, or took the number: look again.
            is_final = isinstance(error, PathTaken) or is_conflict(error)
            if is_final or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError  # The last attempt raises.


def _add(
    found: StoredObject,
    user: User,
    size: int,
    content_type: str,
    *,
    is_new: bool,
    is_conditional: bool,
    id: uuid.UUID | None,
) -> Version:
    # Before anything is made: what is given up has to be deleted there.
    storage_of(found.tenant.store)
    last = 0
    if not is_new:
        last = found.versions.aggregate(last=Max("number"))["last"] or 0
    # It locks the tenant: after the object that there is, before a path is taken.
    quotas.reserve(found.tenant_id, size=size, objects=int(is_new))
    if is_new:
        check_path(found)
        _ADD_OBJECT(found)
        grant_first(found, user)
    version = Version(
        id=id or uuid.uuid4(),
        object=found,
        number=last + 1,
        size=size,
        store=found.tenant.store,
        content_type=content_type,
        created_by=user,
        is_conditional=is_conditional,
    )
    version.key = key_of(version)
    _ADD_VERSION(version)
    return version


def save(version: Version, content: IncomingFile) -> None:
    """Send the bytes to the store; raises NotStored unless it holds just these.

    S3 is sent their SHA-256, and must tell it in its response, Google its CRC-32C. A
    grid and a disk are read once; of more than READ_BACK_BYTES, samples.
    """
    storage: Any = version.storage
    if partwise.is_for(storage, content.size):
        _save_in_parts(version, content)
        return
    digest = content.digest_for(storage, sample_above=settings.READ_BACK_BYTES)
    with digest.sending():
        if hasattr(storage, "create"):
            stored = storage.create(version.key, content, unique=True)
        else:
            stored = storage.save(version.key, content)
    if stored != version.key:
        # Nobody else writes names of this id: what was stored is a second copy.
        version.storage.delete(stored)
        raise NotStored("The name in the store was taken.")
    if digest.is_confirmed(stored):
        return
    # Whoever is killed from here on leaves what tells whether the bytes are right.
    _NOTE(pk=version.pk, sha256=digest.sha256)
    if not digest.is_stored(stored):
        raise NotStored("The store does not hold what was sent.")


def _save_in_parts(version: Version, content: IncomingFile) -> None:
    try:
        parts = partwise.save(version.storage, version.key, content)
    except FileExistsError as error:
        raise NotStored("The name in the store was taken.") from error
    # As for content in one piece.
    _NOTE(pk=version.pk, sha256=content.sha256)
    length = part_length(content.size)
    digest = PartsDigest(version.storage, parts, length, content.sha256)
    if digest.stored(version.key) is None:
        raise NotStored("The store does not hold what was sent.")


def check_author(version: Version, may_edit: MayEdit = _may_edit) -> None:
    """Raise Refused where whoever uploaded it may not edit its object now."""
    author = _author(version)
    if author is None or not may_edit(author, version.object):
        raise Refused


def _check_since(version: Version, content: IncomingFile, may_edit: MayEdit) -> None:
    """Raise Refused where whoever began the upload may not end it any more."""
    began, author = version.created_by, _author(version)
    if began is None or author is None or not access.may_anything(author):
        raise Revoked
    if not (content.outlives_tokens or is_version_of(version_of(began), author)):
        raise Revoked
    # The object of a later version may be another's, made a moment ago.
    if version.number > 1 and not may_edit(author, version.object):
        raise Refused


def _author(version: Version) -> User | None:
    """Return whoever uploaded it as they are now: the request may be hours old."""
    return _AUTHOR.first(pk=version.created_by_id or 0)


def settle(version: Version, sha256: str, *, conditions: Conditions = NONE) -> None:
    """Let the version be stored, and the object's newest unless a later one is.

    The oldest versions beyond the tenant's limit are marked to go. Raises NotStored
    where it is not pending any more: the sweep gave it up; Deleted where the object was
    deleted meanwhile; Unmet where the conditions do not hold for the newest content.
    """
    with transaction.atomic():
        settle_within(version, sha256, conditions=conditions)


def settle_within(
    version: Version, sha256: str, *, conditions: Conditions = NONE
) -> None:
    """As `settle`, in a transaction of the caller's: what it raises ends all of that.

    It takes no savepoint.
    """
    with transaction.atomic(savepoint=False):
        found = finding.locked(version.object_id)
        size = version.size or 0
        version.sha256, version.state = sha256, Version.State.STORED
        if found is None or not _SETTLE(pk=version.pk, sha256=sha256):
            raise NotStored("The upload was given up meanwhile.")
        if found.deleted_at is not None:
            raise Deleted
        newest = found.current
        conditions.check(content_etag(newest))
        if newest is None or newest.number < version.number:
            found.take(version)
            found.updated_at = timezone.now()
            _TAKE(
                pk=found.pk,
                current=version.pk,
                size=found.size,
                sha256=found.sha256,
                content_type=found.content_type,
                updated_at=found.updated_at,
            )
        record(
            Action.OBJECT_CREATE if newest is None else Action.OBJECT_VERSION,
            found,
            tenant_id=found.tenant_id,
            actor=version.created_by,
            version=version.number,
            size=version.size,
            sha256=sha256,
        )
        version.object, version.is_first = found, newest is None
        if version.number > 1:
            mark_surplus(found)
        quotas.settle(found.tenant_id, size=size, objects=int(newest is None))


def abandon(version: Version) -> None:
    """Give up a pending version: bytes first, then its row, then an object without any.

    What they held in the tenant's quota is given back, once, whoever else does the
    same at the same moment. One that is stored meanwhile stays. Where the store can't
    delete now, the row stays until the sweep.
    """
    rows = Version.objects.filter(pk=version.pk)
    if (marked := abandon_bytes(version)) is None:
        return
    version = marked
    with transaction.atomic():
        found = finding.locked(version.object_id, to_delete=True)
        given_up = rows.filter(state=Version.State.GIVEN_UP)
        ends = copies.url_ends(version)
        if found is not None and given_up.delete()[0]:
            objects = 0
            if found.current_id is None and not found.versions.exists():
                if is_named(found):
                    delete_row(found)
                else:
                    found.delete()
                objects = 1
            # Whoever still sends them makes no object of them.
            copies.note(version, version.key, ends)
            quotas.give_back(found.tenant_id, size=version.size or 0, objects=objects)


def abandon_bytes(version: Version) -> Version | None:
    """Give up a pending version, but for its row and what that holds of the quota.

    Returns the version as it is now; None where it was not pending, or the store can't
    delete now.
    """
    rows = Version.objects.filter(pk=version.pk)
    # From here on nobody lets it be stored.
    rows.filter(state=Version.State.PENDING).update(state=Version.State.GIVEN_UP)
    marked = rows.filter(state=Version.State.GIVEN_UP).first()
    if marked is None:
        return None
    try:
        # Its key may have changed since it was read.
        marked.storage.delete(marked.key)
    except Exception:
        logger.exception("What was given up stays in the store %s", marked.store)
        return None
    return marked
