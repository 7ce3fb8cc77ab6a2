"""A snapshot of all paths and caps below a root, in one encrypted file.

A root's directory is the only way to its files; once it is lost, so are they, though
each of them is whole. From a snapshot a new root is made that leads to them again.
"""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tahoestorage.display import ReadableError
from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import InvalidCap, NotEnoughServers, NotEnoughShares
from tahoestorage.tahoe import marker, quorum
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.serverfacts import Availability, Facts, ServerRules

FORMAT = "tahoestorage-root-2"
_BY_PATHS = "tahoestorage-root-1"
"""The format before, which had directories by their paths."""
# 128 MiB and half a second for each guess; RFC 7914 has what the numbers mean.
_N, _R, _P = 1 << 17, 8, 1


class BadSnapshot(ReadableError, ValueError):
    """The file is no snapshot, or is damaged, or the passphrase is another one."""


@dataclass
class RootSnapshot:
    """The root's cap, and all that is below it. SECRET.

    Directories are kept by storage index, in hex: a path does not say which one is
    meant, for the name of a child may have a "/" in it. Each has its children by name:
    the cap that can do most, and the link's times. ``unread`` are the paths of
    directories that could not be listed.
    """

    root: Cap
    taken: float
    directories: dict[str, dict[str, dict[str, Any]]] = field(repr=False)
    unread: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """What the root's marker records of the storage servers."""

    @property
    def files(self) -> int:
        """How many files it knows."""
        found = (each for below in self.directories.values() for each in below.values())
        return sum(each["kind"] == EntryKind.FILE.value for each in found)

    def sealed(self, passphrase: str) -> str:
        """Return it encrypted, as text: AES-256-GCM, the key by scrypt."""
        salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        head = {"format": FORMAT, "n": _N, "r": _R, "p": _P}
        head |= {"salt": salt.hex(), "nonce": nonce.hex()}
        line = json.dumps(head)
        content = {
            "root": self.root.uri,
            "taken": self.taken,
            "directories": self.directories,
            "unread": self.unread,
            "facts": self.facts,
        }
        body = AESGCM(_key(passphrase, salt)).encrypt(
            nonce, json.dumps(content).encode(), line.encode()
        )
        return f"{line}\n{base64.b64encode(body).decode('ascii')}"

    @classmethod
    def opened(cls, text: str, passphrase: str) -> RootSnapshot:
        """Return what ``sealed`` made. Raises BadSnapshot."""
        line, _, body = text.strip().partition("\n")
        try:
            head = json.loads(line)
            is_known = head["format"] in (FORMAT, _BY_PATHS)
            if not is_known or (head["n"], head["r"], head["p"]) != (_N, _R, _P):
                raise BadSnapshot("the file is of another version of this package")
            salt, nonce = bytes.fromhex(head["salt"]), bytes.fromhex(head["nonce"])
            sealed = base64.b64decode(body, validate=True)
        except (ValueError, TypeError, LookupError) as error:
            if isinstance(error, BadSnapshot):
                raise
            raise BadSnapshot("the file is no snapshot of a root") from None
        try:
            plain = AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, line.encode())
        except InvalidTag:
            raise BadSnapshot(
                "the passphrase is another one, or the file is damaged"
            ) from None
        content = json.loads(plain)
        root, directories = Cap.parse(content["root"]), content["directories"]
        if head["format"] == _BY_PATHS:
            directories = _by_storage_indexes(root, directories)
        return cls(
            root,
            content["taken"],
            directories,
            content["unread"],
            content["facts"],
        )


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(passphrase.encode())


def _key_of(cap: Cap) -> str:
    """Return what a snapshot has a directory by."""
    return cap.storage_index.hex()


def _path(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _by_storage_indexes(
    root: Cap, by_paths: dict[str, dict[str, dict[str, Any]]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return directories that were kept by their paths.

    Without those that share a path with others: nobody knows whose children they are.
    """
    keys = {"": {_key_of(root)}}
    for path, below in by_paths.items():
        for name, each in below.items():
            there = _path(path, name)
            if each["kind"] == EntryKind.DIRECTORY.value and there in by_paths:
                keys.setdefault(there, set()).add(_key_of(Cap.parse(each["cap"])))
    return {
        key: by_paths[path]
        for path, found in keys.items()
        if len(found) == 1
        for key in found
    }


def _listed(gateway: Gateway, cap: Cap, path: str) -> dict[str, dict[str, Any]]:
    """Return what is in a directory now, as a snapshot has it."""
    found: list[Child] = []
    gateway.list(cap, (), found.append, label=path or "the root directory")
    return {
        child.name: {
            "cap": _best_cap(child),
            "kind": child.entry.kind.value,
            "created": child.entry.created,
            "modified": child.entry.modified,
        }
        for child in found
        if not (marker.is_reserved_name(child.name) or child.entry.leads_nowhere)
    }


def _directories(
    path: str, below: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, Cap]]:
    """Yield path and cap of each directory in the one at ``path``, where it has any."""
    for name, each in below.items():
        if each["kind"] == EntryKind.DIRECTORY.value:
            try:
                cap = Cap.parse(each["cap"])
            except InvalidCap:
                continue
            yield _path(path, name), cap


def _best_cap(child: Child) -> str:
    # Of a kind that is not known, nobody can tell which of the caps is for whom.
    if child.entry.kind is EntryKind.UNKNOWN:
        return child.entry.reference
    return child.write_reference or child.entry.reference


def take(
    gateway: Gateway, root: Cap, looked: Callable[[int], None] = lambda count: None
) -> RootSnapshot:
    """Return a snapshot of all that is below ``root``; one request a directory.

    ``looked`` is called with the number of names of each. A directory that can't be
    listed, for too few of its shares are there, is in ``unread``. Raises a StoreError
    where that is the root, or the gateway does not respond as it should.
    """
    snapshot = RootSnapshot(root, time.time(), {})
    snapshot.facts = marker.read_facts(gateway, root)
    pending, seen = [("", root)], {_key_of(root): root.is_writable}
    while pending:
        path, cap = pending.pop()
        if seen[_key_of(cap)] and not cap.is_writable:
            # Its write cap was found meanwhile.
            continue
        try:
            below = snapshot.directories[_key_of(cap)] = _listed(gateway, cap, path)
        except NotEnoughShares:
            if not path:
                raise
            snapshot.unread.append(path)
            continue
        for there, cap in _directories(path, below):
            key, is_writable = _key_of(cap), cap.is_writable
            # A directory may be in itself. By a read cap only read caps are seen.
            if key not in seen or (is_writable and not seen[key]):
                seen[key] = is_writable
                pending.append((there, cap))
        looked(len(below))
    return snapshot


@dataclass
class _Level:
    """A directory on the way down, and which of those in it are still to be looked at.

    ``below`` is what is in it, as a snapshot has it; None where nobody knows.
    ``is_now`` tells whether it is all as it is now.
    """

    path: str
    cap: Cap
    below: dict[str, dict[str, Any]] | None
    is_now: bool
    pending: Iterator[tuple[str, Cap]]


class Restoration:
    """Makes a new root that leads to all that a snapshot knows, once.

    A directory that can be read is linked as it is now, with what has come since. Any
    other is made anew, as it was, and so are those on the way to it. ``kept`` counts
    the former; ``made`` has the paths of the latter, and ``lost`` those of directories
    that can't be read and are in no snapshot: they are linked as they were. ``odd`` are
    the paths of what is not linked, in directories that are made anew: its cap is of no
    form that is known here.
    """

    def __init__(
        self, gateway: Gateway, snapshot: RootSnapshot, layout: str, rules: ServerRules
    ) -> None:
        self._gateway = gateway
        self._snapshot = snapshot
        self._layout = layout
        self._rules = rules
        self._facts = Facts.parse(snapshot.facts)
        # What was made of each directory, by its storage index; None: it is kept.
        self._results: dict[bytes, Cap | None] = {}
        # A directory may be linked by its read cap first, which shows read caps alone.
        self._write_caps: dict[bytes, Cap] = {}
        for below in snapshot.directories.values():
            self._note_write_caps(below)
        self.kept = 0
        self.made: list[str] = []
        self.lost: list[str] = []
        self.odd: list[str] = []

    def carry_out(self) -> Cap:
        """Return the write cap of the new root.

        Raises NotEnoughServers unless all storage servers are there, from beginning to
        end, and other StoreErrors. What was made until then is linked nowhere.
        """
        # The old root, if it can be read, may know of servers that have come since.
        with contextlib.suppress(NotEnoughShares):
            now = marker.read_facts(self._gateway, self._snapshot.root)
            self._facts = self._facts.merged(Facts.parse(now))
        self._require_all_servers()
        # It tells how the gateway cuts what it keeps into shares.
        self._gateway.probe_upload()
        children = self._children()
        self._require_all_servers()
        return quorum.create_root(
            self._gateway,
            self._layout,
            rules=self._rules,
            children=children,
            facts=self._facts,
        )

    def _require_all_servers(self) -> None:
        servers = self._gateway.servers()
        if servers is None:
            return
        availability = Availability.of(servers, self._facts, self._rules)
        if availability.missing:
            raise NotEnoughServers(
                "the new root: nothing is restored while storage servers are missing: "
                f"{availability.describe_missing()}. Start them, and name those that "
                "never come back in the option retired_servers."
            )

    def _children(self) -> dict[str, Link]:
        """Return links to what is in the root; what must be made below it is made."""
        # A call for each level would be too many for Python.
        visits = [self._open("", self._snapshot.root)]
        while True:
            here = visits[-1]
            for path, cap in here.pending:
                if cap.storage_index not in self._results:
                    # As long as nothing else is known: a directory may be in itself.
                    self._results[cap.storage_index] = None
                    visits.append(self._open(path, cap))
                    break
            else:
                visits.pop()
                if not visits:
                    return self._links(here)
                self._close(here)

    def _open(self, path: str, cap: Cap) -> _Level:
        """List a directory; where that can't be, take it from the snapshot."""
        cap = self._write_caps.get(cap.storage_index, cap)
        below: dict[str, dict[str, Any]] | None
        try:
            below, is_now = _listed(self._gateway, cap, path), True
        except NotEnoughShares:
            below, is_now = self._snapshot.directories.get(_key_of(cap)), False
        self._note_write_caps(below or {})
        return _Level(path, cap, below, is_now, _directories(path, below or {}))

    def _note_write_caps(self, below: dict[str, dict[str, Any]]) -> None:
        for _, cap in _directories("", below):
            if cap.is_writable:
                self._write_caps[cap.storage_index] = cap

    def _close(self, here: _Level) -> None:
        """Make a directory anew, where it or something in it is not as it is now."""
        links = self._links(here)
        if here.below is None:
            self.lost.append(here.path)
        elif here.is_now:
            self.kept += 1
        else:
            self.made.append(here.path)
            children = {**marker.child(), **links}
            self._require_all_servers()
            self._results[here.cap.storage_index] = self._gateway.make_directory(
                children, self._layout, label=here.path
            )
            self._require_all_servers()

    def _links(self, here: _Level) -> dict[str, Link]:
        """Return links to what is in a directory, after all directories in it."""
        links, odd = {}, []
        for name, each in (here.below or {}).items():
            try:
                target = Cap.parse(each["cap"])
            except InvalidCap:
                odd.append(_path(here.path, name))
                continue
            if each["kind"] == EntryKind.DIRECTORY.value:
                made = self._results.get(target.storage_index)
                if made is not None:
                    target = made if target.is_writable else made.read_only
                here.is_now = here.is_now and target.uri == each["cap"]
            times = {"linkcrtime": each["created"], "linkmotime": each["modified"]}
            told = {key: time for key, time in times.items() if time is not None}
            links[name] = Link(target, {"tahoe": told})
        # The root is always made anew.
        if not here.is_now or not here.path:
            self.odd += odd
        return links
