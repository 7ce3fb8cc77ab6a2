"""An archive becomes a new folder, or a new event: once it was looked at wholly.

What it makes is below a folder that bears the job's id, so that nothing is mixed with
what was there. A job that is begun anew goes on where the one before was killed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts import quotas, stores
from accounts.models import User
from accounts.quotas import QuotaExceeded
from audit.actions import Action
from audit.recording import record
from config import locks
from events import documents, media
from events.models import Event, Session, Speaker
from exports import access, resuming
from exports.checking import Checked, NotImportable, check
from exports.manifest import ArchivedFile
from exports.models import Export
from exports.names import safe_name
from exports.resuming import Lying
from jobs.kinds import Failed, Work
from jobs.models import Job
from jobs.starting import start
from objects import access as object_access
from objects import changing, finding, mediatypes, names, storing
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version

KIND = "exports.import"
CLEAR = "exports.clear"
FOLDER = "imported"
AT_ONCE = 1000
"""Objects that are deleted by one query: databases take so many values and no more.

More are deleted by a job.
"""


def start_import(user: User, thing: StoredObject | Export) -> Job:
    """Start an import of an object or an export, which the user may see."""
    kind = "export" if isinstance(thing, Export) else "object"
    with transaction.atomic():
        job = start(KIND, owner=user, arguments={kind: str(thing.pk)})
        record(
            Action.EXPORT_IMPORT,
            thing,
            tenant_id=user.tenant_id,
            actor=user,
            job=str(job.pk),
        )
    return job


def run(work: Work) -> dict[str, Any]:
    """Check the archive, and make of it what it says; returns where that is.

    Raises Failed with a sentence for people; Interrupted; what a store raises.
    """
    user = work.job.owner
    if user is None or not object_access.may_anything(user):
        raise Failed(_("Who started the import may do so no more."))
    store, key, size = _archive(user, work.arguments)

    def on_read(done: int, of: int) -> None:
        work.progress(done, 2 * of)  # Looked at once, and then read once more.

    def on_said(checked: Checked) -> None:
        # Before all of it is read, which may take hours, whether there is room for it.
        if checked.document is None:
            _lying_in_folder(user, checked, work)
        elif not _made(user, checked.document, work).exists():
            _lying_in_event(user, checked, checked.document, work)

    try:
        with stores.storage_of(store).open(key) as file:
            checked = check(file, size, on_read, on_said)
            return _make(user, checked, work)
    except FileNotFoundError:
        raise Failed(_("The archive is not there any more.")) from None
    except NotImportable as error:
        raise Failed(str(error)) from None
    except QuotaExceeded:
        raise Failed(_("The tenant has no room for what is in it.")) from None
    except storing.Refused:
        work.check()  # Whose user is erased has been cancelled.
        raise Failed(_("Who started the import may do so no more.")) from None


def end(job: Job) -> None:
    """Let what an import made be deleted, where it came to nothing.

    A job does so where that is much: whoever cancels one that waits is in a request.
    """
    if job.state == Job.State.DONE or job.owner is None:
        return
    few = list(_pks_made(job)[: AT_ONCE + 1])
    if len(few) > AT_ONCE:
        start(CLEAR, tenant=job.tenant, arguments={"import": str(job.pk)})
    else:
        changing.delete_all(few, actor=job.owner)


def clear(work: Work) -> dict[str, int]:
    """Delete what an import made that came to nothing, and is not tried again."""
    ended = (Job.State.FAILED, Job.State.CANCELLED)
    jobs = Job.objects.filter(pk=work.arguments["import"], state__in=ended)
    deleted = 0
    while True:
        with transaction.atomic():
            # Locked: from when it is tried again, what lies there is its own.
            job = locks.locked(jobs).first()
            if job is None or job.owner is None:
                break
            if not (few := list(_pks_made(job)[:AT_ONCE])):
                break
            changing.delete_all(few, actor=job.owner)
        deleted += len(few)
        work.progress(deleted)
    return {"deleted": deleted}


def _pks_made(job: Job) -> QuerySet[StoredObject, Any]:
    """Return the ids of what an import made without a result, and is there."""
    places = finding.below(_root(job))
    mark = _mark(job)
    if not Event.objects.filter(tenant=job.tenant, slug__contains=mark).exists():
        # What attempts that were killed stored of an event that was never made.
        places |= Q(
            folder__startswith=f"{media.ROOT}/",
            folder__contains=f"{mark}/",
            owner=job.owner,
        )
    made = StoredObject.objects.filter(places, tenant=job.tenant, deleted_at=None)
    return made.order_by("pk").values_list("pk", flat=True)


def _archive(user: User, arguments: dict[str, Any]) -> tuple[str, str, int]:
    """Return the archive's store, its name there and its size."""
    if "export" in arguments:
        rows = access.visible(user).filter(state=Export.State.READY)
        export = rows.filter(pk=arguments["export"]).first()
        if export is None:
            raise Failed(_("The export is not there any more."))
        return export.store, export.key, export.size
    seen = object_access.visible(user).filter(deleted_at=None)
    found = seen.filter(pk=arguments["object"]).select_related("current").first()
    if found is None or found.current is None:
        raise Failed(_("The archive is not there any more."))
    return found.current.store, found.current.key, found.current.size or 0


def _lying(
    user: User,
    checked: Checked,
    places: Q,
    work: Work,
    is_of: Callable[[StoredObject, ArchivedFile], bool],
) -> Lying:
    """Return what attempts before this one stored in these places.

    ``is_of`` says whether an object bears the name that an entry gets. Raises
    QuotaExceeded, before anything is made, where there is no room for the rest.
    """
    files = checked.manifest.files

    def is_ours(version: Version) -> bool:
        return any(
            (version.size, version.content_type) == (one.size, _type_of(one))
            and is_of(version.object, one)
            for one in files
        )

    resuming.give_up_pending(user, places, work.job.created_at, is_ours)
    lying = Lying(user, places, work.hold)
    held = lying.missing(files)
    with transaction.atomic():
        quotas.reserve(user.tenant_id, **held)
        quotas.give_back(user.tenant_id, **held)
    return lying


def _lying_in_folder(user: User, checked: Checked, work: Work) -> Lying:
    root = _new_folder(checked, work)

    def is_of(found: StoredObject, entry: ArchivedFile) -> bool:
        return (found.folder, found.name) == (_folder(root, entry), entry.name)

    return _lying(user, checked, finding.below(_root(work.job)), work, is_of)


def _lying_in_event(
    user: User, checked: Checked, document: dict[str, Any], work: Work
) -> Lying:
    def is_of(found: StoredObject, entry: ArchivedFile) -> bool:
        return media.is_named_after(found.name, entry.name)

    return _lying(user, checked, _places(_slug(document, work)), work, is_of)


def _made(user: User, document: dict[str, Any], work: Work) -> QuerySet[Event]:
    """Return the event that the job makes, if it is there."""
    slug = _slug(document, work)
    return Event.objects.filter(tenant=user.tenant_id, slug=slug)


def _slug(document: dict[str, Any], work: Work) -> str:
    """Return the address of an event that the job makes."""
    # As `organising.free_slug` leaves it: it folds hyphens, and takes those off an end.
    stem = slugify(str(document.get("slug")))[:36].strip("-_") or "event"
    return f"{stem}{_mark(work.job)}"


def _places(slug: str) -> Q:
    """Return where the files of an event lie."""
    return Q(folder__in=[media.folder_of(slug, kind) for kind in (Speaker, Session)])


def _new_folder(checked: Checked, work: Work) -> str:
    """Return the folder that the job makes of an archive of one."""
    return f"{_root(work.job)}/{safe_name(checked.manifest.label)}"


def _mark(job: Job) -> str:
    """Return what the address of an event that the job makes ends in."""
    return f"-{job.pk.hex[:8]}"


def _root(job: Job) -> str:
    """Return the folder of all that the job makes."""
    return f"{FOLDER}/{job.pk}"


def _make(user: User, checked: Checked, work: Work) -> dict[str, Any]:
    if checked.document is not None:
        return _make_event(user, checked, checked.document, work)
    said, root = checked.manifest, _new_folder(checked, work)
    count = total = 0
    for entry in said.files:
        _folder(root, entry)  # Each of them, before anything is made.
        count, total = count + 1, total + entry.size
    lying = _lying_in_folder(user, checked, work)
    done = 0
    for entry in said.files:
        folder = _folder(root, entry)
        there = lying.take(folder, entry.name, entry.sha256, is_exact=True)
        if there is None:
            _store(user, checked, entry, folder, work)
        done += entry.size
        work.progress(total + done, 2 * total)
    work.check()
    return {"folder": root, "files": count}


def _make_event(
    user: User, checked: Checked, document: dict[str, Any], work: Work
) -> dict[str, Any]:
    """Make an event that is not published; its address bears the job's id."""
    said, slug = checked.manifest, _slug(document, work)
    total = sum(one.size for one in said.files)
    done = 0
    entries = {
        "/".join(filter(None, (one.folder, one.name))): one for one in said.files
    }

    def count(entry: ArchivedFile) -> None:
        nonlocal done
        done += entry.size
        work.progress(min(total + done, 2 * total), 2 * total)

    def content(entry: ArchivedFile) -> IncomingFile:
        count(entry)
        return _incoming(checked, entry, work)

    def there(path: str, folder: str) -> StoredObject | None:
        entry = entries[path]
        name = names.clean_name(entry.name)
        found = lying.take(folder, name, entry.sha256, is_exact=False)
        if found is not None:
            count(entry)
        return found

    def then(event: Event) -> None:
        named = [one.pk for one in media.of(event)]
        since = work.job.created_at
        resuming.delete_doubles(user, _places(slug), said.files, named, since)

    # An attempt before this one may have been killed when all was done.
    if not _made(user, document, work).exists():
        lying = _lying_in_event(user, checked, document, work)
        described = document | {"slug": slug, "published": False}
        files = {path: partial(content, entry) for path, entry in entries.items()}
        try:
            event = documents.create(
                user.tenant,
                user,
                described,
                files,
                hold=work.hold,
                there=there,
                then=then,
            )
        except ValidationError as error:
            raise NotImportable(" ".join(error.messages)) from None
        slug = event.slug
    return {"event": slug, "files": len(entries)}


def _type_of(entry: ArchivedFile) -> str:
    return mediatypes.known(entry.media_type)


def _folder(root: str, entry: ArchivedFile) -> str:
    """Return the folder of a file; raises NotImportable where it lies too deep."""
    try:
        return names.clean_folder(f"{root}/{entry.folder}".rstrip("/"))
    except ValidationError as error:
        said = " ".join(error.messages)
        raise NotImportable(f"{entry.path[:200]}: {said}") from None


def _incoming(checked: Checked, entry: ArchivedFile, work: Work) -> IncomingFile:
    """Return a file that is stored only while the job is this worker's."""
    file = IncomingFile(checked.open(entry), entry.size, _type_of(entry))
    file.outlives_tokens = True
    file.before_stored = work.hold
    return file


def _store(
    user: User, checked: Checked, entry: ArchivedFile, folder: str, work: Work
) -> None:
    try:
        storing.store(
            _incoming(checked, entry, work),
            tenant=user.tenant,
            user=user,
            folder=folder,
            name=entry.name,
        )
    except changing.PathTaken:
        raise NotImportable(
            _("%(path)s: a file is where a folder would be.")
            % {"path": entry.path[:200]}
        ) from None
