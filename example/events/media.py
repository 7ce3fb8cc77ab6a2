"""Photos and slides: objects of the event's tenant, stored as the API stores them."""

from __future__ import annotations

import contextlib
import mimetypes
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, User
from events import access
from events.access import Access
from events.models import Event, Part
from objects import changing, names, storing
from objects.access import OBJECTS
from objects.conditions import Conditions, Unmet
from objects.granting import NobodyAdministers
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version

ROOT = "events"
ATTEMPTS = 1000
TOO_MANY = _("Too many files have this name: give it another one.")
Content = Callable[[], IncomingFile]
"""Gives the content from its start, each time it is called."""


def folder_of(slug: str, kind: type[Part]) -> str:
    """Return the folder of the files of one kind: ``events/<slug>/photos``."""
    return f"{ROOT}/{slug}/{kind.folder}"


def type_of(name: str) -> str:
    """Return the media type by a file's name; what a browser says is not believed."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def store(
    content: Content, *, tenant: Tenant, user: User, folder: str, name: str
) -> StoredObject:
    """Store a new object in the folder, under another name where that is taken.

    Raises ValidationError for a name that no store takes, QuotaExceeded, Revoked, and
    what else ``storing.store`` does.
    """
    name = names.clean_name(name)
    for candidate in _free_names(tenant, folder, name):
        try:
            return storing.store(
                content(),
                tenant=tenant,
                user=user,
                folder=folder,
                name=candidate,
                # Never a new version of somebody else's, made a moment ago.
                conditions=Conditions(none_match=("*",)),
            ).object
        except storing.Revoked:
            raise  # For whatever name.
        except (Unmet, storing.Refused, changing.PathTaken):
            continue
    raise ValidationError(TOO_MANY)


def begin(
    event: Event, kind: type[Part], *, user: User, size: int, name: str
) -> Version:
    """Return the pending version of a new object of an event, that is yet to come.

    The name is clean; the object gets another one where that is taken. Raises
    QuotaExceeded, and ValidationError where no name is free.
    """
    folder = folder_of(event.slug, kind)
    for candidate in _free_names(event.tenant, folder, name):
        try:
            return storing.begin(
                tenant=event.tenant,
                user=user,
                folder=folder,
                name=candidate,
                size=size,
                content_type=type_of(name),
                must_be_new=True,
            )
        except changing.ObjectNameTaken:
            continue  # A moment ago, or by a folder.
    raise ValidationError(TOO_MANY)


def _free_names(tenant: Tenant, folder: str, name: str) -> Iterator[str]:
    """Yield the name, and with numbers in it, but for those that are taken now."""
    there = StoredObject.objects.filter(tenant=tenant, folder=folder, deleted_at=None)
    taken = set(there.values_list("name", flat=True))
    return (one for one in _candidates(name) if one not in taken)


def put(part: Part, content: Content, name: str, user: User) -> StoredObject:
    """Store the file of a part, which the caller saves then.

    Where there is a file already, this is its newest version, and gives its name,
    unless a later one was stored meanwhile. The user may edit the event at the end,
    too: raises storing.Refused, and what `store` does. Nothing is left then but what is
    among the deleted objects.
    """
    event, found = part.event, part.media

    def may_edit(author: User, _found: StoredObject) -> bool:
        return access.allows(author, event, Access.EDIT)

    if found is not None:
        try:
            version = storing.replace(
                content(),
                found,
                user=user,
                may_edit=may_edit,
            )
            return rename_as(version, names.clean_name(name), user)
        except (storing.Deleted, changing.ObjectGone):
            pass  # Meanwhile: so a new one is made.
    made = store(
        content,
        tenant=event.tenant,
        user=user,
        folder=folder_of(event.slug, type(part)),
        name=name,
    )
    if not may_edit(User.objects.get(pk=user.pk), made):
        drop(made, user)
        raise storing.Refused
    return hand_over(made, event, user)


def hand_over(made: StoredObject, event: Event, user: User) -> StoredObject:
    """Let a new file belong to the event's owner, whoever uploaded it.

    Editors change it by the event, and no longer than they may edit that. Where the
    owner is inactive it stays the user's: somebody has to administer it.
    """
    owner = event.owner
    if owner is None or owner == user or owner.tenant_id != made.tenant_id:
        return made
    with contextlib.suppress(NobodyAdministers), transaction.atomic():
        OBJECTS.grant(made, owner, Access.ADMINISTER, actor=user)
        if user.tenant_id == made.tenant_id:
            OBJECTS.revoke(made, user, actor=user)
        StoredObject.objects.filter(pk=made.pk).update(owner=owner)
        made.owner = owner
    return made


def drop(found: StoredObject, actor: User) -> None:
    """Put a file that belongs to nothing among the deleted objects."""
    with transaction.atomic():
        changing.delete_all([found.pk], actor=actor)


def of(event: Event) -> list[StoredObject]:
    """Return the files of an event that are stored and not deleted, by two queries.

    Photos come first, each in the order of the page; none comes twice.
    """
    found: dict[object, StoredObject] = {}
    for parts in (
        event.speakers.select_related("photo_object"),
        event.sessions.select_related("slides_object"),
    ):
        for part in parts:
            if (one := part.media) is not None:
                found.setdefault(one.pk, one)
    return list(found.values())


def rename_as(version: Version, name: str, user: User) -> StoredObject:
    """Give the object of a version that was just stored the name, or the next free one.

    Where a later version is the newest already, the object keeps its name.
    """
    found = version.object
    if found.name == name or found.current_id != version.pk:
        return found
    for candidate in _candidates(name):
        try:
            return changing.rename(found.pk, actor=user, name=candidate)
        except changing.ObjectNameTaken:
            continue
    return found


def is_named_after(found: str, name: str) -> bool:
    """Whether `store`, asked for the one name, may have given the other."""
    return found in _candidates(unicodedata.normalize("NFC", name))


def _candidates(name: str) -> Iterator[str]:
    """Yield the name, and then with numbers in it: ``plan-2.pdf``, ``plan-3.pdf``."""
    yield name
    end = PurePosixPath(name).suffix
    stem = name.removesuffix(end) if end else name
    for number in range(2, ATTEMPTS):
        tail = f"-{number}{end}"
        room = names.MAX_NAME_BYTES - len(tail.encode())
        yield stem.encode()[:room].decode(errors="ignore") + tail
