"""Files of events that come in parts, and can be gone on with: begun, and taken.

What has come whole becomes the event's in the transaction that stores it, whoever ends
the upload: a request, a job, or the sweep. Nobody has to come back for that.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import PurePosixPath

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from config import locks
from events import access, media, organising
from events.access import Access
from events.models import Arrival, Event, Part, Session, Speaker
from objects import changing, storing
from objects.models import Version
from objects.pictures import BadPicture, check_picture, check_size
from pages.kinds import PICTURES
from uploads.purposes import Purpose, Unfit

PURPOSE = "events"
KINDS: dict[str, type[Part]] = {"speaker": Speaker, "session": Session}
LONGEST = 200
"""Characters of what a speaker or a session is called."""


def kind_for(name: str) -> type[Part]:
    """Return what a file without more becomes: a picture is a speaker's photo."""
    return Speaker if PurePosixPath(name).suffix.lower() in PICTURES else Session


def new_part(event: Event, kind: type[Part], name: str) -> Part:
    """Return a speaker or a session, not saved, that is called as its file is."""
    part = kind()
    part.event = event
    field = "name" if isinstance(part, Speaker) else "title"
    setattr(part, field, PurePosixPath(name).stem[:LONGEST])
    return part


def begin(
    event: Event, part: Part | None, *, user: User, size: int, name: str
) -> Version:
    """Return the pending version of a file that comes, for the part or a new one.

    The name is clean. Raises QuotaExceeded, ValidationError where there are too many
    parts, storing.Deleted, and Http404 where the event was deleted meanwhile.
    """
    kind = kind_for(name) if part is None else type(part)
    with transaction.atomic():
        organising.lock(event)
        if part is None:
            organising.check_room(event, kind)
        if part is None or part.media is None:
            version = media.begin(event, kind, user=user, size=size, name=name)
        else:
            version = storing.begin_another(
                part.media, user=user, size=size, content_type=media.type_of(name)
            )
        Arrival.objects.create(
            version=version,
            event=event,
            kind=kind._meta.model_name or "",
            part_id=None if part is None else part.pk,
            name=name,
        )
    return version


class ForEvents(Purpose):
    """A photo or slides. Who may edit the event may end it, as they are then."""

    def may_edit(self, user: User, version: Version) -> bool:
        arrival = _arrival(version)
        if arrival is None:
            # It has arrived. Whoever sent it is told so, though it is another's now:
            # a response that was lost must not make them send it again.
            return version.state == Version.State.STORED
        event = arrival.event
        return event is not None and access.allows(user, event, Access.EDIT)

    def verify(self, version: Version) -> None:
        arrival = _arrival(version)
        if arrival is None or KINDS[arrival.kind] is not Speaker:
            return
        size = version.size or 0
        try:
            check_size(size)
            with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as copy:
                # A copy: the check takes an error of the store for one of the picture.
                with version.storage.open(version.key) as file:
                    shutil.copyfileobj(file, copy)
                check_picture(copy, size)
        except BadPicture as error:
            raise Unfit(str(error)) from None

    def check(self, version: Version) -> None:
        arrival = _arrival(version)
        if arrival is None:
            raise storing.Refused
        event, user = _whose(arrival, version)
        there = locks.locked(Event.objects.filter(pk=event.pk))
        if there.first() is None or not access.allows(user, event, Access.EDIT):
            raise storing.Refused
        # Another file that the part got meanwhile is deleted once this is stored.
        part = _part(arrival, event)
        held = getattr(part, f"{part.media_field}_id")
        changing.lock_all({version.object_id, held or version.object_id})

    def stored(self, version: Version) -> None:
        arrival = Arrival.objects.get(version=version)
        event, user = _whose(arrival, version)
        part = _part(arrival, event)
        before, file = part.media, version.object
        if before == file:
            media.rename_as(version, arrival.name, user)
        else:
            # What the part got since this began is not what it is to replace.
            before = None
            media.hand_over(file, event, user)
            setattr(part, part.media_field, file)
        try:
            organising.save_part(part, user, replaced=before)
        except ValidationError as error:
            raise Unfit(" ".join(error.messages)) from None
        arrival.delete()


def _arrival(version: Version) -> Arrival | None:
    rows = Arrival.objects.select_related("event__tenant", "event__owner")
    return rows.filter(version=version).first()


def _whose(arrival: Arrival, version: Version) -> tuple[Event, User]:
    """Return the event, and who sends it the file; raises storing.Refused."""
    user = User.objects.filter(pk=version.created_by_id or 0).first()
    if arrival.event is None or user is None:
        raise storing.Refused
    return arrival.event, user


def _part(arrival: Arrival, event: Event) -> Part:
    """Return the part that gets the file; raises storing.Refused where it is gone."""
    kind = KINDS[arrival.kind]
    if arrival.part_id is None:
        return new_part(event, kind, arrival.name)
    rows = kind.rows().select_related(f"{kind.media_field}__current")
    part: Part | None = rows.filter(event=event, pk=arrival.part_id).first()
    if part is None:
        raise storing.Refused
    part.event = event
    return part
