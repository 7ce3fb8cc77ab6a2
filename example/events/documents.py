"""An event as a document: with its speakers and sessions, and files by their paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from accounts.models import Tenant, User
from config.texts import is_storable
from events import media as files_of_events
from events import organising
from events.media import Content
from events.models import Event, Session, Speaker, check_time
from objects import changing, names
from objects.models import StoredObject


def describe(event: Event) -> dict[str, Any]:
    """Return what JSON can hold of the event: all but who may see and change it.

    Speakers of a session are told by their places in the list of speakers, the first
    is 0; a photo or slides by the object's path, None where there is none.
    """
    speakers = list(event.speakers.select_related("photo_object"))
    places = {speaker.pk: place for place, speaker in enumerate(speakers)}
    sessions = event.sessions.select_related("slides_object")
    return {
        "name": event.name,
        "slug": event.slug,
        "starts_at": event.starts_at.isoformat(),
        "place": event.place,
        "description": event.description,
        "published": event.published,
        "speakers": [
            {"name": speaker.name, "photo": _path(speaker.media)}
            for speaker in speakers
        ],
        "sessions": [
            {
                "title": session.title,
                "speakers": [places[one.pk] for one in session.speakers.all()],
                "slides": _path(session.media),
            }
            for session in sessions.prefetch_related("speakers")
        ],
    }


def paths(description: Mapping[str, Any]) -> set[str]:
    """Return the paths of the photos and slides in what ``describe`` returned."""
    photos = [one["photo"] for one in description["speakers"]]
    slides = [one["slides"] for one in description["sessions"]]
    return {path for path in photos + slides if path is not None}


def media(event: Event) -> list[StoredObject]:
    """Return the event's files that are stored and not deleted, each once."""
    return files_of_events.of(event)


def create(
    tenant: Tenant,
    owner: User,
    description: Mapping[str, Any],
    files: Mapping[str, Content],
    *,
    hold: Callable[[], None] = lambda: None,
    there: Callable[[str, str], StoredObject | None] | None = None,
    then: Callable[[Event], None] = lambda event: None,
) -> Event:
    """Make an event of a description as ``describe`` returns, and return it.

    ``files`` has for each path of a photo or slides what opens its content, and no
    other; each is opened in the order of the document. The event belongs to the owner,
    and is published only where the description says so; its address is another one
    where that is taken. All of the description is checked before anything is written:
    raises ValidationError. Raises QuotaExceeded and what storing does; nothing is left
    then but files among the deleted objects. The event is made last, with all of its
    files, in a transaction in which ``hold`` is called first, and ``then`` last: they
    may raise.

    ``there`` is for who tries again: given a path and the folder for it, it returns an
    object of that content that was stored before, or None. Files are left as they are
    then, whatever is raised.
    """
    event, speakers, sessions, chosen = _checked(description, files)
    event.tenant = tenant
    slug = organising.free_slug(description.get("slug") or event.name)
    event.slug = slug
    stored: list[StoredObject] = []
    try:
        parts = [*speakers, *(session for session, _places in sessions)]
        for part in parts:
            path = chosen.get(id(part))
            if path is None:
                continue
            folder = files_of_events.folder_of(slug, type(part))
            made = None if there is None else there(path, folder)
            if made is None:
                made = files_of_events.store(
                    files[path],
                    tenant=tenant,
                    user=owner,
                    folder=folder,
                    name=path.rpartition("/")[2],
                )
                stored.append(made)
            setattr(part, part.media_field, made)
        with transaction.atomic():
            hold()
            organising.create(event, owner)
            _save_parts(event, speakers, sessions)
            then(event)
    except BaseException:
        if there is None:
            with transaction.atomic():
                changing.delete_all([one.pk for one in stored], actor=owner)
        raise
    return event


def _save_parts(
    event: Event,
    speakers: list[Speaker],
    sessions: list[tuple[Session, list[int]]],
) -> None:
    for position, speaker in enumerate(speakers):
        speaker.event, speaker.position = event, position
    Speaker.objects.bulk_create(speakers)
    for position, (session, places) in enumerate(sessions):
        session.event, session.position = event, position
        session.save()
        session.speakers.set([speakers[place] for place in places])


def _checked(
    description: Mapping[str, Any], files: Mapping[str, Content]
) -> tuple[
    Event, list[Speaker], list[tuple[Session, list[int]]], dict[int, str | None]
]:
    """Return rows that are not saved, and the path of each one's file by its id()."""
    if not isinstance(description, Mapping):
        raise _bad(_("it is no object"))
    event = Event(
        name=_text(description, "name", 200),
        starts_at=_time(description),
        place=_text(description, "place", 200, blank=True),
        description=_text(description, "description", None, blank=True),
        published=description.get("published") is True,
    )
    _text({"slug": ""} | dict(description), "slug", None, blank=True)
    paths: dict[int, str | None] = {}
    speakers = []
    for one in _list(description, "speakers"):
        speaker = Speaker(name=_text(one, "name", 200))
        paths[id(speaker)] = _file(one, "photo", files)
        speakers.append(speaker)
    sessions = []
    for one in _list(description, "sessions"):
        session = Session(title=_text(one, "title", 200))
        paths[id(session)] = _file(one, "slides", files)
        places = one.get("speakers", [])
        if not isinstance(places, list) or not all(
            type(place) is int and 0 <= place < len(speakers) for place in places
        ):
            raise _bad(_("a session names a speaker who is not there"))
        sessions.append((session, places))
    if unnamed := sorted(files.keys() - set(paths.values())):
        raise _bad(_("it does not name the file “%s”") % unnamed[0][:200])
    return event, speakers, sessions, paths


def _text(
    found: Mapping[str, Any], name: str, most: int | None, *, blank: bool = False
) -> str:
    text = found.get(name, "" if blank else None)
    if not is_storable(text) or not (text.strip() or blank):
        raise _bad(_("“%s” is missing, or no text") % name)
    if most is not None and len(text) > most:
        raise _bad(_("“%s” is too long") % name)
    return text


def _time(found: Mapping[str, Any]) -> datetime:
    text = _text(found, "starts_at", 100)
    try:
        time = parse_datetime(text)
    except ValueError:
        time = None
    if time is None:
        raise _bad(_("“%s” is no time") % "starts_at")
    time = time if timezone.is_aware(time) else timezone.make_aware(time)
    check_time(time)
    return time


def _list(found: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = found.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
        raise _bad(_("“%s” is no list") % name)
    if len(rows) > organising.MAX_PARTS:
        raise _bad(_("“%s” has too many entries") % name)
    return rows


def _file(
    found: Mapping[str, Any], name: str, files: Mapping[str, Content]
) -> str | None:
    path = found.get(name)
    if path is None:
        return None
    if not isinstance(path, str) or path not in files:
        raise _bad(_("its file “%s” is missing") % str(path)[:200])
    names.clean_name(path.rpartition("/")[2])
    return path


def _bad(why: str) -> ValidationError:
    return ValidationError(_("The description of the event is not usable: %s.") % why)


def _path(found: StoredObject | None) -> str | None:
    return None if found is None else found.path
