"""Events are made, changed and deleted, with an entry of the audit for each change."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.http import Http404
from django.utils.text import slugify
from django.utils.translation import gettext as _

from accounts.models import User
from audit.actions import Action
from audit.recording import record
from config import locks
from events import media
from events.access import EVENTS, Access
from events.models import Event, EventUserPermission, Part, Session, Speaker
from objects import changing
from objects.models import StoredObject

RESERVED = {"new"}
"""Addresses that are pages of the site."""
ATTEMPTS = 20
NUMBERED = 500
"""Of so many events of a name the address has a number, of others it is random."""
MAX_PARTS = 500
"""Speakers of an event, and sessions: its page shows all of them."""


def free_slug(name: str) -> str:
    """Return an address for an event of that name that no other has now."""
    longest = Event._meta.get_field("slug").max_length or 50
    stem = slugify(name)[: longest - 5].strip("-") or "event"
    there = Event.objects.filter(slug__startswith=stem)
    taken = RESERVED | set(there.values_list("slug", flat=True))
    numbered = (f"{stem}-{number}" for number in range(2, NUMBERED))
    for slug in (stem, *numbered):
        if slug not in taken:
            return slug
    return f"{stem[: longest - 9]}-{secrets.token_hex(4)}"


def create(event: Event, owner: User) -> Event:
    """Save a new event of a tenant, which the owner administers; it gets an address.

    An address that it has already is kept where it is free.
    """
    event.owner = owner
    slug = event.slug
    for attempt in range(ATTEMPTS):
        event.slug = slug or free_slug(event.name)
        try:
            with transaction.atomic():
                event.save(force_insert=True)
                if owner.tenant_id == event.tenant_id:
                    EventUserPermission.objects.create(
                        user=owner,
                        permission_id=EVENTS.permission_ids()[Access.ADMINISTER],
                        content_object=event,
                    )
                _record(Action.EVENT_CREATE, event, owner)
        except IntegrityError:
            # Another one took the address meanwhile.
            if attempt == ATTEMPTS - 1:
                raise
            event.pk, slug = None, ""
        else:
            return event
    raise AssertionError  # The last attempt raises.


def change(event: Event, actor: User, fields: Iterable[str]) -> None:
    """Save those fields of the event.

    Raises Http404 where it was deleted meanwhile, as all that follow, which do so for
    the speaker or the session, too.
    """
    names = sorted(fields)
    if names:
        with transaction.atomic():
            lock(event)
            event.save(update_fields=names)
            _record(Action.EVENT_CHANGE, event, actor, fields=",".join(names))


def save_part(
    part: Part,
    actor: User,
    fields: Iterable[str] = (),
    *,
    replaced: StoredObject | None = None,
) -> None:
    """Save a speaker or a session, a new one as the last.

    Of one that is there those fields are saved, and its file. A file that somebody else
    gave it meanwhile, so that it is not the ``replaced`` one, goes among the deleted
    objects. Raises ValidationError where the event has too many of them.
    """
    event = part.event
    with transaction.atomic():
        lock(event)
        if part.pk is None:
            check_room(event, type(part))
            siblings = type(part).rows().filter(event=event)
            last = siblings.aggregate(last=Max("position"))["last"]
            part.position = 0 if last is None else last + 1
            part.save()
        else:
            _save_changed(part, actor, fields, replaced)
        _record_part(part, actor, "saved")


def check_room(event: Event, kind: type[Part]) -> None:
    """Raise ValidationError where the event has as many of them as it may."""
    if kind.rows().filter(event=event).count() >= MAX_PARTS:
        text = _("An event has %(most)d of them at most.")
        raise ValidationError(text % {"most": MAX_PARTS})


def _save_changed(
    part: Part, actor: User, fields: Iterable[str], replaced: StoredObject | None
) -> None:
    held = _held(part)
    own = {field.name for field in part._meta.concrete_fields}
    changed = [name for name in fields if name in own]
    others = []
    if part.media != replaced:
        changed.append(part.media_field)
        if held.media not in (part.media, replaced):
            others.append(held.media)
    with _deleting_unused(others, actor):
        part.save(update_fields=changed)


def delete_part(part: Part, actor: User) -> None:
    """Delete a speaker or a session; its file goes among the deleted objects."""
    with transaction.atomic():
        lock(part.event)
        _held(part)
        _record_part(part, actor, "deleted")
        with _deleting_unused([part.media], actor):
            part.delete()


def drop_media(part: Part, actor: User) -> None:
    """Take the file from a part; it goes among the deleted objects."""
    with transaction.atomic():
        lock(part.event)
        _held(part)
        with _deleting_unused([part.media], actor):
            setattr(part, part.media_field, None)
            part.save(update_fields=[part.media_field])
        _record_part(part, actor, "without its file")


def move(part: Part, by: int, actor: User) -> int:
    """Move a part that many places further, and return its place, 1 for the first."""
    event = part.event
    with transaction.atomic():
        lock(event)
        parts = list(type(part).rows().filter(event=event))
        pks = [one.pk for one in parts]
        if part.pk not in pks:
            raise Http404
        old = pks.index(part.pk)
        new = min(max(old + by, 0), len(pks) - 1)
        if new != old:
            pks.insert(new, pks.pop(old))
            for one in parts:
                one.position = pks.index(one.pk)
            type(part).rows().bulk_update(parts, ["position"])
            _record_part(part, actor, "moved")
    return new + 1


def delete(event: Event, actor: User) -> list[StoredObject]:
    """Delete the event, and put its files among the deleted objects; return those.

    For the tenant's time they can be restored, without the event.
    """
    with transaction.atomic():
        lock(event, to_delete=True)
        files = media.of(event)
        _record(Action.EVENT_DELETE, event, actor, files=len(files))
        with _deleting_unused(files, actor) as deleted:
            event.delete()
    return [file for file in files if file.pk in deleted]


@contextlib.contextmanager
def _deleting_unused(
    files: Iterable[StoredObject | None], actor: User
) -> Iterator[set[Any]]:
    """Delete those objects that no part has any more after the block.

    They are locked before it: it changes what is locked after objects. What is yielded
    has the keys of those that went, after the block.
    """
    pks = [file.pk for file in files if file is not None]
    deleted: set[Any] = set()
    changing.lock_all(pks)
    yield deleted
    deleted.update(_unused(pks))
    changing.delete_all(deleted, actor=actor)


def _unused(pks: list[Any]) -> list[Any]:
    """Return those objects that are the file of no speaker and no session any more.

    Two of them have one file where they had one of before it was an object.
    """
    used: set[Any] = set()
    for kind in (Speaker, Session):
        found = kind.rows().filter(**{f"{kind.media_field}__in": pks})
        used.update(found.values_list(kind.media_field, flat=True))
    return [pk for pk in pks if pk not in used]


def lock(event: Event, *, to_delete: bool = False) -> None:
    """Hold the event until the transaction ends; raises Http404 where it is gone.

    Who changes the order, or adds to it, comes one after the other.
    """
    rows = Event.objects.filter(pk=event.pk)
    held = locks.locked_to_delete(rows) if to_delete else locks.locked(rows)
    if held.first() is None:
        raise Http404


def _held(part: Part) -> Part:
    """Return the part as it is now, while its event is locked."""
    held: Part | None = type(part).rows().filter(pk=part.pk).first()
    if held is None:
        raise Http404
    return held


def _record_part(part: Part, actor: User, change: str) -> None:
    kind = str(part._meta.model_name)
    _record(Action.EVENT_CHANGE, part.event, actor, **{kind: part.pk, "what": change})


def _record(action: Action, event: Event, actor: User, **details: Any) -> None:
    record(action, event, tenant_id=event.tenant_id, actor=actor, **details)
