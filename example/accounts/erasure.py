"""A person's data, erased for good; the audit keeps the user's number alone."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import storages
from django.db import transaction
from django.db.models import (
    SET_NULL,
    Exists,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Concat, Left, Length
from django.utils import timezone

from accounts import stores
from accounts.models import User
from api.models import OnceRequest
from audit.actions import Action
from audit.models import ERASED
from audit.recording import (
    erase_names,
    erase_things,
    made_and_gone,
    owned_and_gone,
    record,
)
from config import locks
from exports import removing
from exports.models import Export
from jobs import control
from jobs.models import Job
from objects import finding, purging, quarantine, storing
from objects.keys import PREFIX, read_key
from objects.models import GroupPermission, StoredObject, UserPermission, Version
from pages import thumbnails
from uploads import finishing
from uploads.leases import Busy
from uploads.models import Upload

logger = logging.getLogger(__name__)
MADE = {
    Action.OBJECT_CREATE: StoredObject,
    Action.UPLOAD_GIVE_UP: StoredObject,
    Action.EXPORT_START: Export,
}
"""What the audit names for good after it was purged or deleted, by who made it.

What nobody made, as an object that a sweep recovered, it knows by its owner.
"""


@dataclass
class Erased:
    """What was erased. It is whole unless something is ``left``."""

    objects: int = 0
    versions: int = 0
    bytes: int = 0
    left: list[str] = field(default_factory=list)
    """What is under way, or could not be deleted in its store: to be tried again."""
    archives: list[Export] = field(default_factory=list)
    """Exports that others made, in which files of theirs may lie. They stay."""


def erase(user: User) -> Erased:
    """Erase a user with the objects they own, versions, uploads, links and permissions.

    The user is refused from the first moment. While something is left, so is the user's
    row, and another call goes on: killed anywhere, nothing is half erased for good.
    What they uploaded to objects of others stays, and says no more by whom.
    """
    User.objects.filter(pk=user.pk).update(is_active=False)
    erased = Erased(archives=list(archives_of_others(user)))
    for job in _jobs(user):
        # Until whoever works on it has stopped, it may store more.
        control.cancel(job, actor=None)
    erased.left += [f"job {job.pk}" for job in _jobs(user)]
    for upload in Upload.objects.filter(user=user):
        try:
            finishing.terminate(upload, actor=None)
        except Busy:
            erased.left.append(f"upload of version {upload.version_id}")
    for export in Export.objects.filter(owner=user).select_related("job"):
        _erase_export(export, erased)
    owned = list(StoredObject.objects.filter(owner=user).values_list("pk", flat=True))
    for pk in owned:
        _erase_object(pk, erased)
    for alias in stores.aliases():
        _erase_quarantine(user, owned, alias, erased)
    if erased.left:
        return erased
    _erase_from_audit(user)
    _erase_admin_log(user)
    _let_go(user)
    with transaction.atomic():
        # Whoever adds a row of theirs from here on finds the user gone.
        locks.locked_to_delete(User.objects.filter(pk=user.pk)).first()
        erased.left += _late(user)
        if erased.left:
            return erased
        record(Action.USER_ERASE, user, tenant_id=user.tenant_id, actor=None)
        _erase_from_audit(user)  # What was written down since.
        user.delete()
    return erased


def archives_of_others(user: User) -> QuerySet[Export]:
    """Return the exports by others in which files of the user's may lie.

    Those of a folder in which the user has a file that is older, or below which; of an
    event that shows one; and of an event that is gone, as nobody knows what it had.
    """
    theirs = StoredObject.objects.filter(owner=user, tenant=OuterRef("tenant"))
    older = theirs.filter(created_at__lte=OuterRef("ready_at"))
    start = Concat(OuterRef("folder"), Value("/"))
    within = older.annotate(start=Left("folder", Length(start))).filter(
        Q(folder=OuterRef("folder")) | Q(start=start)
    )
    shown = Q(event__speakers__photo_object__owner=user) | Q(
        event__sessions__slides_object__owner=user
    )
    of_folder = Q(kind=Export.Kind.FOLDER) & (
        Q(Exists(within)) | Q(Exists(older), folder="")
    )
    of_event = Q(kind=Export.Kind.EVENT) & (shown | Q(Exists(older), event=None))
    ready = Export.objects.filter(state=Export.State.READY).exclude(owner=user)
    found = ready.filter(of_folder | of_event).distinct()
    return found.order_by("created_at", "pk")


def _jobs(user: User) -> QuerySet[Job]:
    """Return the user's jobs that have not ended."""
    under_way = (Job.State.WAITING, Job.State.RUNNING)
    return Job.objects.filter(owner=user, state__in=under_way)


def _unfinished(user: User) -> dict[type[Model], QuerySet[Any]]:
    """Return what there may be of the user's that is to be ended, or erased, first."""
    return {
        Job: _jobs(user),
        Upload: Upload.objects.filter(user=user, version__state=Version.State.PENDING),
        Export: Export.objects.filter(owner=user),
        StoredObject: StoredObject.objects.filter(owner=user),
    }


def _late(user: User) -> list[str]:
    """Name what came of the user's while the rest was erased."""
    jobs, uploads, exports, objects = _unfinished(user).values()
    named = [
        *(f"job {job.pk}" for job in jobs),
        *(f"upload of version {upload.version_id}" for upload in uploads),
        *(f"export {export.pk}" for export in exports),
        *(f"object {found.pk}" for found in objects),
    ]
    referring = (relation for relation, rows in _referring(user) if rows.exists())
    return named or [str(one.related_model._meta.verbose_name) for one in referring]


def _referring(user: User) -> Iterator[tuple[Any, QuerySet[Any]]]:
    """Yield each relation to a user, and the rows that refer so to this one."""
    relations: Any = User._meta.get_fields(include_hidden=True)
    for relation in relations:
        if relation.auto_created and (relation.one_to_many or relation.one_to_one):
            rows = relation.related_model._base_manager
            yield relation, rows.filter(**{relation.field.name: user.pk})


def _let_go(user: User) -> None:
    """Delete the rows that go with the user, and take the user out of those that stay.

    One by one, before the user is locked: who has locked one may be about to add a row
    of the user's, and wait for that lock. What is unfinished stays as it is.
    """
    unfinished = _unfinished(user)
    for relation, rows in _referring(user):
        if (kept := unfinished.get(relation.related_model)) is not None:
            rows = rows.exclude(pk__in=kept.values("pk"))
        for one in locks.one_by_one(rows):
            if relation.on_delete is SET_NULL:
                one.update(**{relation.field.name: None})
                continue
            with transaction.atomic():
                if locks.locked_to_delete(one).first() is not None:
                    one.delete()


def _erase_from_audit(user: User) -> None:
    erase_names(user.pk)
    gone = owned_and_gone(user.pk, StoredObject)
    while some := list(islice(gone, 500)):
        # First: afterwards nothing says any more whose they were.
        for one in locks.one_by_one(OnceRequest.objects.filter(object_id__in=some)):
            one.delete()
        erase_things(StoredObject, some)
    # After that: the details go with the names, and whose it was with them.
    for action, model in MADE.items():
        erase_things(model, made_and_gone(user.pk, action, model))


def _erase_admin_log(user: User) -> None:
    kinds = ContentType.objects.get_for_models(User, UserPermission, GroupPermission)
    about = Q(content_type=kinds.pop(User), object_id=str(user.pk))
    # None is written any more: those of before name users and objects by their names.
    about |= Q(content_type__in=kinds.values())
    for one in locks.one_by_one(LogEntry.objects.filter(about)):
        one.delete()


def _erase_quarantine(
    user: User, owned: list[uuid.UUID], alias: str, erased: Erased
) -> None:
    """Delete what a sweep has put aside, and whose key says that it is the user's."""

    def is_theirs(key: str) -> bool:
        said = read_key(key)
        return said is not None and (said.user_id == user.pk or said.object_id in owned)

    try:
        directory = f"{PREFIX}/{user.tenant_id}"
        quarantine.delete(storages[alias], directory, is_theirs)
    except Exception:
        logger.exception("The quarantine of the store %s could not be read", alias)
        erased.left.append(f"quarantine of store {alias}")


def _erase_export(export: Export, erased: Erased) -> None:
    """Delete an archive that the user made; one that is being made is stopped first."""
    if export.job is not None:
        control.cancel(export.job, actor=None)
    # What somebody deleted already is only to be finished.
    is_going = removing.mark(export, actor=None) or export.state == Export.State.GOING
    if is_going and removing.finish(export):
        erased.bytes += export.size if export.ready_at else 0
    elif Export.objects.filter(pk=export.pk).exists():
        erased.left.append(f"export {export.pk}")


def _erase_object(pk: uuid.UUID, erased: Erased) -> None:
    # What was given up still counts as reserved, which a purge knows nothing of.
    given_up = Version.objects.filter(object=pk, state=Version.State.GIVEN_UP)
    for version in given_up:
        storing.abandon(version)
    with transaction.atomic():
        found = finding.locked(pk)
        if found is None:
            return
        if found.deleted_at is None:
            found.deleted_at = timezone.now()
        # At once, and for what is written down when it is purged: whoever is killed
        # from here on may not find it again.
        found.folder, found.name = "", ERASED
        found.save(update_fields=["deleted_at", "folder", "name"])
        erase_things(StoredObject, [pk])
        # What others were told of it, when they stored a version.
        OnceRequest.objects.filter(object_id=pk).delete()
        under_way = (Version.State.PENDING, Version.State.GIVEN_UP)
        if found.versions.filter(state__in=under_way).exists():
            # An upload under way holds the object's place in the quota; it ends, or is
            # given up.
            erased.left.append(f"object {pk}")
            return
        found.versions.update(state=Version.State.GOING, going_since=None)
    if not thumbnails.delete_of(found):
        erased.left.append(f"thumbnails of object {pk}")
        return
    going = found.versions.filter(state=Version.State.GOING)
    done = purging.forget(going)
    erased.objects += done.objects
    erased.versions += done.versions
    erased.bytes += done.bytes
    if StoredObject.objects.filter(pk=pk).exists():
        erased.left.append(f"object {pk}")
