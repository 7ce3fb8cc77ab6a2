"""What an export is made of: a JSON document, and the files that lie beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from events import documents
from events.models import Event
from exports import archive, manifest
from exports.archive import Member, TooMany
from exports.manifest import ArchivedFile, Manifest
from exports.names import SafePaths
from exports.packed import BLOCK, PackedRows
from objects import finding, mediatypes
from objects.models import StoredObject

DOCUMENT = "event.json"
FILES = "files"
"""The folder in the archive in which the files are."""
READS = 5
"""So often an event is read that is changed meanwhile."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to be exported: its folder, from the top of the export, and its bytes."""

    folder: str
    name: str
    size: int
    sha256: str
    media_type: str
    store: str
    key: str

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}" if self.folder else self.name


@dataclass(frozen=True)
class Source:
    """What is exported; ``document`` is None for what has none, as a folder."""

    kind: str
    label: str
    document: dict[str, Any] | None
    files: PackedRows[SourceFile]


class Changing(Exception):
    """It is not the same for long enough; the message is for people."""


class NothingThere(Exception):
    """There is nothing to export; the message is for people."""


def of_folder(objects: QuerySet[StoredObject], folder: str) -> Source:
    """Return those of the objects that are in the folder or below it.

    Raises NothingThere, and TooMany for more files than an archive has.
    """
    found = files_of(objects.filter(finding.below(folder)), folder)
    if not found:
        raise NothingThere(_("There are no files in this folder that you may see."))
    return Source("folder", folder or "/", None, found)


def of_event(event: Event) -> Source:
    """Return an event with its speakers, sessions and files.

    Raises TooMany, and Changing where its files are renamed again and again meanwhile.
    """
    for _attempt in range(READS):
        described = documents.describe(event)
        used = StoredObject.objects.filter(
            pk__in=[one.pk for one in documents.media(event)]
        )
        files = files_of(used, "")
        # Each is read by itself, and what the document names must be there.
        if documents.paths(described) == {one.path for one in files}:
            return Source("event", event.name, described, files)
    raise Changing(_("The files of the event are changing. Start the export again."))


def files_of(objects: QuerySet[StoredObject], folder: str) -> PackedRows[SourceFile]:
    """Return the newest content of each, by one query; raises TooMany.

    What is deleted, or of which nothing is stored yet, is left out.
    """
    rows = objects.filter(deleted_at=None).exclude(current=None)
    rows = rows.order_by("folder", "name", "pk")
    found = PackedRows(SourceFile)
    for inside, name, size, sha256, media_type, store, key in rows.values_list(
        *("folder", "name", "current__size", "current__sha256"),
        *("current__content_type", "current__store", "current__key"),
    )[: archive.MAX_MEMBERS + 1].iterator(chunk_size=BLOCK):
        inside = inside[len(folder) :].lstrip("/")
        found.add(
            inside, name, size, sha256, media_type or mediatypes.UNKNOWN, store, key
        )
    if len(found) > archive.MAX_MEMBERS:
        raise TooMany(
            _(
                "There are more than %(most)s files. Export the folders below one by "
                "one; where one folder alone has so many, move some of its files into "
                "another one first: that copies nothing."
            )
            % {"most": archive.MAX_MEMBERS}
        )
    return found


class Members:
    """What the archive has in it: manifest, document, and the files.

    They are made anew each time they are iterated over, and alike. Raises TooMany where
    the manifest would be larger than an import takes.
    """

    def __init__(self, source: Source) -> None:
        self._files = Files(source.files)
        document, self._beside = None, list[Member]()
        if source.document is not None:
            text = json.dumps(source.document, ensure_ascii=False, indent=1)
            document = DOCUMENT
            self._beside.append(Member.of(DOCUMENT, text.encode()))
        now = timezone.now().isoformat()
        said = Manifest(source.kind, source.label, now, document, self._files)
        size = sum(map(len, said.pieces()))
        if size > manifest.MAX_SIZE:
            raise TooMany(
                _(
                    "There are so many files with so long names that they could not be "
                    "imported again. Export the folders below one by one."
                )
            )
        self._beside.insert(0, Member(manifest.PATH, size, content=said.pieces))

    def __iter__(self) -> Iterator[Member]:
        yield from self._beside
        for path, one in self._files.pairs():
            yield Member(path, one.size, one.sha256, store=one.store, key=one.key)


class Files:
    """The files as the manifest has them, with their paths in the archive."""

    def __init__(self, files: PackedRows[SourceFile]) -> None:
        self._files, self._paths = files, PackedRows(str)
        safe = SafePaths()
        for one in files:
            safe.announce(one.path)
        for one in files:
            self._paths.add(f"{FILES}/{safe.take(one.path)}")

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[ArchivedFile]:
        for path, one in self.pairs():
            yield ArchivedFile(
                path=path,
                folder=one.folder,
                name=one.name,
                size=one.size,
                sha256=one.sha256,
                media_type=one.media_type,
            )

    def pairs(self) -> Iterator[tuple[str, SourceFile]]:
        """Yield each file with its path."""
        return zip(self._paths, self._files, strict=True)
