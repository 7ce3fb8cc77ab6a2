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
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import InvalidCap, NotEnoughServers, NotEnoughShares
from tahoestorage.tahoe import marker, quorum
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.serverfacts import Availability, Facts, ServerRules

FORMAT = "tahoestorage-root-1"
# 128 MiB and half a second for each guess; RFC 7914 has what the numbers mean.
_N, _R, _P = 1 << 17, 8, 1


class BadSnapshot(ValueError):
    """The file is no snapshot, or is damaged, or the passphrase is another one."""


@dataclass
class RootSnapshot:
    """The root's cap and, by their paths, all that is below it. SECRET.

    Each directory has its children by name: the cap that can do most, and the link's
    times. ``unread`` are the paths of directories that could not be listed.
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
            if (head["format"], head["n"], head["r"], head["p"]) != (
                FORMAT,
                _N,
                _R,
                _P,
            ):
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
        return cls(
            Cap.parse(content["root"]),
            content["taken"],
            content["directories"],
            content["unread"],
            content["facts"],
        )


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_N, r=_R, p=_P).derive(passphrase.encode())


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
    where that is the root, or the gateway does not answer as it should.
    """
    snapshot = RootSnapshot(root, time.time(), {})
    snapshot.facts = marker.read_facts(gateway, root)
    pending, seen = [("", root)], {root.storage_index}
    while pending:
        path, cap = pending.pop()
        try:
            below = snapshot.directories[path] = _listed(gateway, cap, path)
        except NotEnoughShares:
            if not path:
                raise
            snapshot.unread.append(path)
            continue
        for name, each in below.items():
            if each["kind"] == EntryKind.DIRECTORY.value:
                cap = Cap.parse(each["cap"])
                # A directory may be in itself.
                if cap.storage_index not in seen:
                    seen.add(cap.storage_index)
                    pending.append((f"{path}/{name}" if path else name, cap))
        looked(len(below))
    return snapshot


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
        # What became of each directory, by its storage index.
        self._results: dict[bytes, Cap] = {}
        # A directory that is linked twice is in the snapshot by one of its paths.
        self._paths = {snapshot.root.storage_index: ""}
        for path, below in snapshot.directories.items():
            for name, each in below.items():
                there = f"{path}/{name}" if path else name
                if there in snapshot.directories:
                    self._paths[Cap.parse(each["cap"]).storage_index] = there
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
        children, _ = self._children("", self._snapshot.root)
        self._require_all_servers()
        return quorum.create_root(
            self._gateway,
            self._layout,
            rules=self._rules,
            children=children or {},
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

    def _children(self, path: str, cap: Cap) -> tuple[dict[str, Link] | None, bool]:
        """Return links to what is in a directory, and whether it is all as it is now.

        None where nobody knows what is in it.
        """
        is_now = True
        try:
            below = _listed(self._gateway, cap, path)
        except NotEnoughShares:
            known_path = self._paths.get(cap.storage_index)
            if known_path is None:
                return None, True
            below, is_now = self._snapshot.directories[known_path], False
        links, odd = {}, []
        for name, each in below.items():
            try:
                target = Cap.parse(each["cap"])
            except InvalidCap:
                odd.append(f"{path}/{name}" if path else name)
                continue
            if each["kind"] == EntryKind.DIRECTORY.value:
                target = self._directory(f"{path}/{name}" if path else name, target)
                is_now = is_now and target.uri == each["cap"]
            times = {"linkcrtime": each["created"], "linkmotime": each["modified"]}
            known = {key: time for key, time in times.items() if time is not None}
            links[name] = Link(target, {"tahoe": known})
        # The root is always made anew.
        if not is_now or not path:
            self.odd += odd
        return links, is_now

    def _directory(self, path: str, cap: Cap) -> Cap:
        """Return the cap of a directory that leads to what was there."""
        if cap.storage_index in self._results:
            return self._results[cap.storage_index]
        # As long as nothing else is known: a directory may be in itself.
        self._results[cap.storage_index] = cap
        links, is_now = self._children(path, cap)
        if links is None:
            self.lost.append(path)
            return cap
        if is_now:
            self.kept += 1
            return cap
        self.made.append(path)
        children = {**marker.child(), **links}
        self._require_all_servers()
        made = self._gateway.make_directory(children, self._layout, label=path)
        self._require_all_servers()
        self._results[cap.storage_index] = made
        return made
