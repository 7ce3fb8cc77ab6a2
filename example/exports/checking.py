"""An archive from elsewhere, looked at wholly before anything is made of it."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from exports import manifest
from exports.archive import MAX_MEMBERS
from exports.manifest import ArchivedFile, Manifest, NotAManifest
from objects import names
from objects.incoming import CHUNK

MAX_RATIO = 100
"""Bytes that come of one byte of the archive: a bomb has thousands."""
MAX_JSON = 32 << 20  # bytes of the document
MAX_VALUES = 1_000_000
"""Of the document, counted before it is parsed: each needs more than its text."""
MAX_READ = 64 << 20  # bytes of one reading: the archive's own list of what is in it
_ENCRYPTED = 0x1 | 0x40
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class NotImportable(Exception):
    """It cannot be imported; the message says why, for people."""


@dataclass(frozen=True)
class Checked:
    """An archive in which everything is as its manifest says."""

    zipped: zipfile.ZipFile
    manifest: Manifest
    document: dict[str, Any] | None

    def open(self, entry: ArchivedFile) -> IO[bytes]:
        """Return the file of an entry, open for reading."""
        return self.zipped.open(entry.path)


def check(
    file: IO[bytes],
    size: int,
    on_read: Callable[[int, int], None] = lambda *_: None,
    on_said: Callable[[Checked], None] = lambda _: None,
) -> Checked:
    """Return the archive of that many bytes; raises NotImportable, OSError.

    Every byte of it is read and counted, and nothing is kept. ``on_said`` is called
    before that, with what the archive says of itself: what it raises spares the
    reading. ``on_read`` is told how many bytes were read, and of how many.
    """
    try:
        zipped = zipfile.ZipFile(_Bounded(file))
    except (zipfile.BadZipFile, ValueError, EOFError, OverflowError):
        raise NotImportable(_("It is no zip archive, or not a whole one.")) from None
    except NotImplementedError:
        raise NotImportable(_("It is packed in a way that is not taken.")) from None
    infos = zipped.infolist()
    _check_members(infos, size)
    by_path = {info.filename: info for info in infos}
    said = _manifest(zipped, by_path)
    _check_entries(said, by_path)
    checked = Checked(zipped, said, _document(zipped, by_path, said))
    on_said(checked)
    total = sum(info.file_size for info in infos)
    read = 0
    for entry in said.files:
        digest = hashlib.sha256()
        for piece in _pieces(zipped, by_path[entry.path]):
            digest.update(piece)
            read += len(piece)
            on_read(read, total)
        if digest.hexdigest() != entry.sha256:
            raise NotImportable(
                _("%(path)s is not what the manifest says: its SHA-256 is another.")
                % {"path": entry.path}
            )
    return checked


def _check_members(infos: list[zipfile.ZipInfo], size: int) -> None:
    if len(infos) > MAX_MEMBERS + 2:
        raise NotImportable(
            _("It has %(count)s files; at most %(most)s are taken.")
            % {"count": len(infos), "most": MAX_MEMBERS}
        )
    seen: set[str] = set()
    for info in infos:
        path = info.filename
        shown = {"path": path[:200]}
        _check_path(path, shown, info.orig_filename)
        if path in seen:
            raise NotImportable(_("%(path)s is in it twice.") % shown)
        seen.add(path)
        if info.flag_bits & _ENCRYPTED:
            raise NotImportable(
                _("%(path)s is encrypted; such archives are not taken.") % shown
            )
        if info.compress_type not in _METHODS:
            raise NotImportable(
                _("%(path)s is packed in a way that is not taken.") % shown
            )
    declared = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    # Members that share bytes of the archive are a bomb, too.
    if packed > size or declared > MAX_RATIO * size:
        raise NotImportable(
            _(
                "It would unpack to more than %(ratio)s times its size; so much is not "
                "taken."
            )
            % {"ratio": MAX_RATIO}
        )


def _check_path(path: str, shown: dict[str, str], original: str) -> None:
    if path.startswith("/") or path[1:2] == ":":
        raise NotImportable(_("%(path)s is an absolute path.") % shown)
    if "\\" in original or "\0" in original or path.endswith("/"):
        raise NotImportable(_("%(path)s is no path of a file.") % shown)
    if not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise NotImportable(_("%(path)s leads out of the archive.") % shown)


def _manifest(zipped: zipfile.ZipFile, by_path: dict[str, zipfile.ZipInfo]) -> Manifest:
    info = by_path.get(manifest.PATH)
    if info is None:
        raise NotImportable(
            _("It has no manifest.json, so it is no export of this site's kind.")
        )
    _check_size(info, manifest.MAX_SIZE)
    try:
        return manifest.parse(_pieces(zipped, info), MAX_MEMBERS)
    except NotAManifest as error:
        raise NotImportable(str(error)) from None


def _check_entries(said: Manifest, by_path: dict[str, zipfile.ZipInfo]) -> None:
    known = {manifest.PATH, said.document} - {None}
    places: set[str] = set()
    folders: set[str] = set()
    for entry in said.files:
        shown = {"path": entry.path[:200]}
        info = by_path.get(entry.path)
        if info is None:
            raise NotImportable(
                _("%(path)s is missing: the manifest names it.") % shown
            )
        place = f"{entry.folder}/{entry.name}" if entry.folder else entry.name
        if entry.path in known or place in places:
            raise NotImportable(_("%(path)s is in the manifest twice.") % shown)
        known.add(info.filename)
        places.add(place)
        if info.file_size != entry.size:
            raise NotImportable(
                _("%(path)s has another size than the manifest says.") % shown
            )
        limit = settings.UPLOAD_LIMIT
        if limit is not None and entry.size > limit:
            raise NotImportable(
                _("%(path)s is larger than a file may be here: %(most)s bytes.")
                % {**shown, "most": limit}
            )
        try:
            clean = names.clean_folder(entry.folder), names.clean_name(entry.name)
        except ValidationError as error:
            raise NotImportable(
                f"{shown['path']}: {' '.join(error.messages)}"
            ) from None
        if clean != (entry.folder, entry.name):
            raise NotImportable(_("%(path)s has a name that is not taken.") % shown)
        folder = entry.folder
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    if both := sorted(places & folders):
        raise NotImportable(
            _("%(path)s: a file is where a folder would be.") % {"path": both[0][:200]}
        )
    if said.document is not None and said.document not in by_path:
        raise NotImportable(
            _("%(path)s is missing: the manifest names it.")
            % {"path": said.document[:200]}
        )
    if extra := sorted(by_path.keys() - known):
        raise NotImportable(
            _("%(path)s is in it, and not in the manifest.") % {"path": extra[0][:200]}
        )


def _document(
    zipped: zipfile.ZipFile, by_path: dict[str, zipfile.ZipInfo], said: Manifest
) -> dict[str, Any] | None:
    if said.document is None:
        return None
    try:
        found = json.loads(_small(zipped, by_path[said.document]))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotImportable(_("%(path)s is no JSON.") % {"path": said.document[:200]})
    return found


def _small(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _check_size(info, MAX_JSON)
    content = b"".join(_pieces(zipped, info))
    if sum(map(content.count, (b"{", b"[", b","))) > MAX_VALUES:
        raise NotImportable(_("%(path)s is too large.") % {"path": info.filename[:200]})
    return content


def _check_size(info: zipfile.ZipInfo, most: int) -> None:
    if info.file_size > most:
        raise NotImportable(_("%(path)s is too large.") % {"path": info.filename})


def _pieces(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a member's content, no more than was declared; raises NotImportable."""
    shown, count = {"path": info.filename[:200]}, 0
    try:
        with zipped.open(info) as member:
            while piece := member.read(CHUNK):
                count += len(piece)
                yield piece
    except NotImplementedError:  # Before RuntimeError, of which it is one.
        raise NotImportable(
            _("%(path)s is packed in a way that is not taken.") % shown
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError):
        raise NotImportable(_("%(path)s is damaged.") % shown) from None
    if count != info.file_size:
        raise NotImportable(_("%(path)s is damaged.") % shown)


class _Bounded:
    """A file of which nobody reads too much at once, whatever the archive says."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size > MAX_READ:
            raise zipfile.BadZipFile("More at once than an archive needs.")
        # Without a size it is the end that is read, by which an archive is found.
        data = self._file.read(MAX_READ if size < 0 else size)
        # In so large a piece only the archive's list is read. Counted before it becomes
        # objects, which need far more memory.
        if size > CHUNK and data.count(b"PK\1\2") > MAX_MEMBERS + 2:
            raise NotImportable(_("It has more files than are taken."))
        return data

    def close(self) -> None:
        """Do nothing: the file is another's."""
