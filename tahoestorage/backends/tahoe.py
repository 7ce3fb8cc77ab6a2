"""Django's storage on a Tahoe-LAFS grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.files.base import File

from tahoestorage.backends.configured import Configured
from tahoestorage.backends.content import body_of
from tahoestorage.backends.names import by_directory, url_below, url_name
from tahoestorage.backends.reservednames import grid_path, refuse_marker
from tahoestorage.backends.saving import Saving, is_ours
from tahoestorage.backends.storedfile import Reader, StoredFile
from tahoestorage.cache import KeptContent
from tahoestorage.config.settings import media_url, use_tz
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    InvalidCap,
    NameIsDirectory,
    NameTaken,
    TahoeStorageError,
    TimeUnknown,
)
from tahoestorage.redaction import Secret
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.directories import Path
from tahoestorage.tahoe.keptfiles import kept_file
from tahoestorage.tahoe.prefetching import (
    PrefetchedDirectories,
    fetch_below,
    prefetched,
)
from tahoestorage.tahoe.publicurls import public_url
from tahoestorage.tahoe.serverlist import monotonic_now
from tahoestorage.tahoe.uploads import UploadBody

if TYPE_CHECKING:
    from tahoestorage.backends.savingmany import Sender
    from tahoestorage.tahoe.files import FileReader
    from tahoestorage.tahoe.links import Replace

_WAY_OF_A_SAVE = ("save", "_save", "upload", "link", "get_available_name")


class TahoeStorage(Saving, Configured):
    """Keeps files below a directory of a Tahoe-LAFS grid.

    Takes the options of ``tahoestorage.config.options.Options`` as keywords; what is
    not given is taken from the settings when it is first needed. Raises what Django's
    FileSystemStorage does, and a GatewayError where the grid can't be asked.
    """

    # Reading

    def _path(self, name: str, *, is_directory: bool = False) -> Path:
        """Return the path of a name that is to be looked up.

        In a ``prefetch`` block the directories on the way are asked for, once each.
        """
        path = grid_path(name)
        if not prefetched.get():
            return path
        joined = "".join(f"{part}/" for part in path)
        for block in reversed(prefetched.get()):
            # A directory's name may end in "/", and what is listed may be below it.
            covered = joined.startswith(block.prefix) or block.prefix.startswith(joined)
            if block.storage is self and covered:
                wanted = path if is_directory else path[:-1]
                self.directories.refresh(wanted, block.asked)
                break
        return path

    def _entry(self, name: str) -> tuple[Path, Entry]:
        """Return the file's path and entry, of which the store was asked if need be."""
        path = self._path(name)
        entry = self.directories.entry_or_expired(path)
        if entry is None:
            raise FileMissing(f"{name}: there is no such file")
        return path, entry

    def _file(self, name: str) -> tuple[Path, Entry]:
        path, entry = self._entry(name)
        if entry.kind is EntryKind.DIRECTORY:
            raise NameIsDirectory(f"{name or 'the root'} is a directory, and no file")
        if entry.leads_nowhere:
            raise FileMissing(
                f"{name}: there is no such file; its link has no cap, as other tools "
                "leave it where a file was deleted"
            )
        if entry.kind is EntryKind.UNKNOWN:
            raise InvalidCap(
                f"{name}: its cap is of a kind that is not known here, and is neither "
                "read nor shown"
            )
        return path, entry

    def file_entry(self, name: str) -> Entry:
        """Return what is known of a file: one listing is asked for, if need be.

        While the grid is away it may be an expired entry. Raises FileMissing,
        NameIsDirectory, InvalidCap, and a GatewayError.
        """
        return self._file(str(name))[1]

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        return StoredFile(self, str(name), mode)

    def prepare_file(self, name: str, mode: str) -> Reader | None:
        """Return what reads a file; None where it may be opened to be written."""
        if mode.startswith("r"):
            return self._reader(name)
        path = self._path(name)
        entry = self.directories.entry(path, confirm=False)
        if entry is not None and entry.kind is EntryKind.DIRECTORY:
            raise NameIsDirectory(f"{name or 'the root'} is a directory, and no file")
        if entry is not None and mode.startswith("x"):
            raise NameTaken(f"{name}: the name is taken")
        self.links.check(path)
        return None

    def _reader(self, name: str) -> FileReader | KeptContent:
        path, entry = self._file(name)
        directories = self.directories

        def again() -> Cap | None:
            child = directories.fetch(path[:-1], path[-1], directories.gateways).child
            if child is None or child.entry.kind is not EntryKind.FILE:
                return None
            return Cap.parse(child.entry.reference)

        cap = Cap.parse(entry.reference)
        contents = directories.cache.contents
        kept = None if contents is None else kept_file(contents, cap)
        if kept is not None:
            return kept
        # Most look-ups are not followed by a read.
        from tahoestorage.tahoe.files import FileReader

        return FileReader(directories.gateways, cap, name, entry.size, again, contents)

    def exists(self, name: str) -> bool:
        """Whether there is a file or directory of this name.

        Also true of a link that leads nowhere, as FileSystemStorage says of a broken
        one: the name is taken.
        """
        return self.directories.entry(self._path(str(name)), parsed=False) is not None

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the files in a directory.

        One that would lead elsewhere, taken for a path, is left out, and so is a link
        that leads nowhere.
        """
        found: dict[bool, list[str]] = {True: [], False: []}
        where = self._path(str(path), is_directory=True)
        for name, entry in self.directories.entries(where):
            if name in ("", ".", "..") or "/" in name:
                continue
            if not entry.leads_nowhere:
                found[entry.kind is EntryKind.DIRECTORY].append(name)
        return sorted(found[True]), sorted(found[False])

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        _, entry = self._file(str(name))
        if entry.size is not None:
            return entry.size
        with self._reader(str(name)) as reader:
            return reader.size

    def url(self, name: str | None) -> str:
        """Return where visitors download a file: by its read cap, or from the site.

        In url_style "path" nobody is asked whether there is such a file.
        """
        if self.options.url_style == "path":
            refuse_marker(name or "", tuple((name or "").split("/")))
            return url_below(self.options.media_url or media_url(), name)
        base = self.options.public_base_url
        if base is None:
            raise ValueError(
                "Files have no URL without TAHOE_PUBLIC_BASE_URL (the option "
                "public_base_url): set it to where visitors reach a gateway. Or let "
                'the site serve them, by url_style "path".'
            )
        path, entry = self._file(url_name(name))
        return public_url(base, entry.reference, path[-1])

    def get_accessed_time(self, name: str) -> datetime:
        """Raise NotImplementedError: the grid does not keep it."""
        raise NotImplementedError("Tahoe-LAFS does not keep when a file was read.")

    def get_created_time(self, name: str) -> datetime:
        """Return when the name was first linked."""
        return self._time(str(name), lambda entry: entry.created)

    def get_modified_time(self, name: str) -> datetime:
        """Return when the name was last linked.

        Raises TimeUnknown, a NotImplementedError, for a mutable file: its content may
        have been changed in place since then, and nothing tells when.
        """
        return self._time(str(name), lambda entry: entry.modified, of_content=True)

    def _time(
        self,
        name: str,
        which: Callable[[Entry], float | None],
        *,
        of_content: bool = False,
    ) -> datetime:
        path, entry = self._entry(name)
        if entry.leads_nowhere:
            self._file(name)
        if of_content and _is_mutable(entry):
            raise TimeUnknown(
                f"{name}: it is a mutable file, and nobody can tell when its content "
                "was changed"
            )
        if which(entry) is None and path:
            # What was saved just now has its times from the gateway's clock.
            listing = self.directories.listing(path[:-1]).listing
            found = listing.entry(path[-1])
            entry = found if isinstance(found, Entry) else entry
        seconds = which(entry)
        if seconds is None:
            raise TimeUnknown(
                f"{name}: its link has no time, as other tools may make links"
            )
        return datetime.fromtimestamp(seconds, UTC if use_tz() else None)

    # Writing

    @property
    def _overwrites(self) -> bool:
        return self.options.allow_overwrite

    def _save(self, name: str, content: Any) -> str:
        name = str(name)
        since = monotonic_now()
        replace: Replace = "only-files" if self.options.allow_overwrite else "false"
        # If the name was found free, and its way is not known, some of that is missing.
        with self._preparing(name, is_missing=replace == "false"):
            cap = self.upload(name, body_of(content))

            def link(name: str) -> None:
                self.link(name, cap, replace, since=since)

            return "/".join(grid_path(self._by_free_name(name, link)))

    def _preparing(
        self, name: str, *, is_missing: bool = False
    ) -> AbstractContextManager[None]:
        if self.options.cache is None:
            # What the preparing thread reads, nobody would know when it is needed.
            return nullcontext()
        parents = grid_path(name)[:-1]
        return self.links.preparations.preparing(parents, is_missing=is_missing)

    def _save_all(
        self, pairs: Iterable[tuple[str | None, Any]], sender: Sender
    ) -> Iterator[str]:
        # A subclass's own way to save a file, or to name it, is gone for each of them.
        if not is_ours(self, *_WAY_OF_A_SAVE):
            return super()._save_all(pairs, sender)
        from tahoestorage.backends.manylinks import ManyLinks

        return ManyLinks(self).save_all(pairs, sender)

    def _create_file(self, name: str, content: Any, *, unique: bool) -> str:
        since = monotonic_now()
        with self._preparing(name):
            cap = self.upload(name, body_of(content))
            self.link(name, cap, "false", since=since)
        return "/".join(grid_path(name))

    def upload(self, name: str, body: UploadBody) -> Cap:
        """Upload the content of the file that ``link`` will link at ``name``.

        Returns its cap. No name leads to it yet. Raises NameIsDirectory for the root,
        SuspiciousFileOperation for a name of the storage's own, and a GatewayError.
        """
        path = grid_path(name)
        if not path:
            raise NameIsDirectory("the root is a directory, and no file")
        self.links.check(path)
        literal = body.literal()
        if literal is not None:
            return literal_cap(literal)
        directories = self.directories
        return directories.gateways.upload(body, directories.root.read, label=name)

    def link(
        self,
        name: str,
        cap: Cap,
        replace: Replace,
        *,
        since: float | None = None,
    ) -> None:
        """Link a cap at ``name``: missing directories are made.

        ``replace`` is "false" (NameTaken where the name is taken) or "only-files" (a
        file is replaced, a directory is not). ``since`` is the time before its upload,
        by the monotonic clock, lest a slow root be read twice while a server is away.
        """
        self.links.add(grid_path(name), cap, replace=replace, since=since)

    def link_together(
        self, caps: Mapping[str, Cap], replace: Replace = "false"
    ) -> dict[str, Exception]:
        """Link caps by these names as ``link`` does, a directory's by one change.

        Returns what was not linked, with the error of each.
        """
        errors: dict[str, Exception] = {}
        for directory, names in by_directory(caps).items():
            paths = {grid_path(name)[-1]: name for name in names}
            links = {last: caps[name] for last, name in paths.items()}
            where = grid_path(directory)
            try:
                refused = self.links.add_together(where, links, replace=replace)
            except TahoeStorageError as error:
                errors |= dict.fromkeys(names, error)
            else:
                errors |= {paths[last]: error for last, error in refused.items()}
        return errors

    def publish_file(self, file: StoredFile) -> None:
        name, since = str(file.name), monotonic_now()
        cap = self.upload(name, UploadBody(file.written, repeatable=True))
        is_new = file.mode.startswith("x")
        self.link(name, cap, "false" if is_new else "only-files", since=since)

    def delete(self, name: str) -> None:
        """Unlink a file; a name that is not there is no error.

        Whoever has its cap, or its URL, can read it as before.
        """
        if not name:
            raise ValueError("The name must be given to delete().")
        path = grid_path(str(name))
        if not path:
            raise NameIsDirectory("the root is a directory, and only files are deleted")
        self.links.unlink(path)

    # Beyond Django's API

    @contextmanager
    def prefetch(self, prefix: str = "") -> Iterator[None]:
        """Fetch the directories below ``prefix`` now, for the look-ups in the block.

        Some at a time, and 256 at most, the nearest first; others, or all if ``prefix``
        does not end in "/", when a name in them is first looked up. Each is asked for
        once in the block: what others changed before is seen, and not what they change
        in it. Look-ups raise a GatewayError while it is away. Without a cache nothing
        is fetched, for nothing could keep it.
        """
        if self.options.cache is None:
            yield
            return
        block = PrefetchedDirectories(self, prefix, {})
        if not prefix or prefix.endswith("/"):
            fetch_below(self.directories, grid_path(prefix), block.asked)
        token = prefetched.set((*prefetched.get(), block))
        try:
            yield
        finally:
            prefetched.reset(token)

    def copy(self, source: str, target: str) -> str:
        """Link a file at a second name as well, and return that name.

        Nothing is overwritten, and no content is sent, but that of a mutable file.
        Raises FileMissing, and NameTaken.
        """
        self._duplicate(str(source), str(target))
        return "/".join(grid_path(str(target)))

    def move(self, source: str, target: str) -> str:
        """Link a file at another name, unlink the old one, and return the new name.

        Nothing is overwritten. Raises FileMissing, and NameTaken. Whoever stops half
        way leaves both; and so does who replaces the old one meanwhile. A mutable file
        stays the same one: what somebody writes into it meanwhile is not lost.
        """
        reference = self._duplicate(str(source), str(target), moved=True)
        self.links.unlink(grid_path(str(source)), only=reference)
        return "/".join(grid_path(str(target)))

    def _duplicate(self, source: str, target: str, *, moved: bool = False) -> str:
        """Link at ``target`` what is at ``source``, and return its reference."""
        since = monotonic_now()
        path, entry = self._file(source)
        if not grid_path(target) or path == grid_path(target):
            raise NameTaken(f"{target or 'the root'}: the name is taken")
        cap = Cap.parse(entry.reference)
        if cap.is_mutable and moved:
            # By the cap that can do most, so that the file can be written as before.
            gateways = self.directories.gateways
            child = self.directories.fetch(path[:-1], path[-1], gateways).child
            if child is not None and child.entry.reference == entry.reference:
                cap = Cap.parse(child.write_reference or child.entry.reference)
        elif cap.is_mutable:
            with self.open(source) as file:
                cap = self.upload(target, body_of(file))
        self.link(target, cap, "false", since=since)
        # Error pages show what callers hold, where what they do next fails.
        return Secret(entry.reference)

    def upload_url(self, name: str, content_type: str, size: int) -> NoReturn:
        """Raise NotImplementedError: visitors can't send files to a grid."""
        raise NotImplementedError(
            "Files are encrypted by the gateway, and whoever may send it files may "
            "send it any: there is no URL by which a visitor could upload one. Let the "
            "site take uploads, or keep them on S3 or Google Cloud Storage."
        )


def _is_mutable(entry: Entry) -> bool:
    # Listings have the size of every other file.
    if entry.size is not None or entry.kind is not EntryKind.FILE:
        return False
    return Cap.parse(entry.reference).is_mutable
