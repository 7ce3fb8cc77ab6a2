"""Parses what gateways send: listings, links, servers, checks. No HTTP here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import ijson

from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import InvalidCap, UnexpectedResponse, printable
from tahoestorage.tahoe.caps import MOST_SHARES, Cap, Kind, Shares
from tahoestorage.tahoe.children import TOKEN_KEY, Child, LinkTarget, Node

# Bytes. Half a million names, for which a gateway takes a minute.
LISTING_LIMIT = 1 << 28
MOST_CHILDREN = 1 << 20
# Bytes: "":["unknown",{"metadata":{}}] and a comma.
_LEAST_CHILD = 31
MOST_SERVERS = 1000
LONGEST_ID = 200
# Bytes of one JSON string, which the parser holds in memory.
TEXT_LIMIT = 1 << 20
_DEEPEST = 32
# Of the years 68 and 5138: Python's dates begin at 1 and end at 9999.
_FIRST_SECOND, _LAST_SECOND = -6e10, 1e11
_LARGEST = 1 << 63
# All others are dropped, however many there are.
_NODE_KEYS = frozenset({"ro_uri", "rw_uri", "size"})
_METADATA_KEYS = frozenset({TOKEN_KEY, "ctime", "mtime"})
_TIME_KEYS = frozenset({"linkcrtime", "linkmotime"})
# Stands for the read cap of a child with only a write cap, of an unknown kind.
_UNREADABLE = "URI:UNREADABLE:"
LINK_LIMIT = 1 << 20
_DIRECTORY = re.compile(r'\s*\[\s*"dirnode"')
_KINDS = {"dirnode": EntryKind.DIRECTORY, "filenode": EntryKind.FILE}


class _Malformed(Exception):
    """The listing is not valid; the text says how."""


@dataclass(frozen=True, slots=True)
class Server:
    """A storage server, as the gateway's welcome page shows it.

    ``seen``: the gateway has been connected to it since the gateway's start. ``full``:
    it announces no space, so it takes no files, and may refuse mutable ones too.
    ``space`` is the room that it announces, in bytes, if it does.
    """

    id: str
    nickname: str
    connected: bool
    seen: bool
    full: bool
    space: int | None = None


class NodeParser:
    """Parses ``t=json`` as it arrives, and calls ``add`` with each complete child.

    Memory does not grow with the directory, whatever the gateway sends: unused keys are
    dropped, and depth, length and number of children are limited. For one listing.

    Source: the web API, "Getting Information About a File Or Directory (as JSON)".
    """

    def __init__(self, label: str, add: Callable[[Child], None] | None = None) -> None:
        self._label = label
        self._add = add
        self._depth = 0
        self._keys: list[Any] = [None] * (_DEEPEST + 1)
        self._kind: str | None = None
        self._own: dict[str, Any] = {}
        self._name = ""
        self._child: dict[str, Any] = {}
        self._metadata: dict[str, Any] = {}
        self._times: dict[str, Any] = {}
        self._has_children = False
        self._ended = False
        self._children = 0
        self._length = 0
        self._silent = 0

    def parse(self, chunks: Iterable[bytes]) -> Node:
        """Return the node itself. Raises UnexpectedResponse for an invalid listing."""
        parser = ijson.basic_parse_coro(self._sink(), use_float=True)
        chunk = b""
        wrong = "is not the JSON that it should be"
        try:
            for chunk in chunks:
                self._length += len(chunk)
                self._silent += len(chunk)
                if self._length > LISTING_LIMIT or self._silent > TEXT_LIMIT:
                    raise _Malformed("has no end")
                parser.send(chunk)
            parser.close()
        except _Malformed as error:
            self._ended, wrong = False, str(error)
        except (ijson.JSONError, StopIteration, ValueError):
            self._ended = False
        finally:
            # Tracebacks show variables, and this one is full of caps.
            chunk = b""
        # Outside of the handler: what was caught quotes the listing, and its frames.
        if not self._ended or self._kind is None:
            raise self._unexpected(wrong)
        kind = _KINDS.get(self._kind, EntryKind.UNKNOWN)
        if kind is EntryKind.DIRECTORY and not self._has_children:
            raise self._unexpected("does not say what is in the directory")
        own = self._own
        return Node(kind, _text(own, "ro_uri"), _text(own, "rw_uri"), _size(own))

    def _unexpected(self, how: str) -> UnexpectedResponse:
        return UnexpectedResponse(
            f"{self._label}: the gateway's listing {how}; is it a Tahoe-LAFS node?"
        )

    # ijson has no types.
    @ijson.coroutine  # type: ignore[untyped-decorator]
    def _sink(self) -> Any:
        while True:
            event, value = yield
            self._event(event, value)

    def _event(self, event: str, value: Any) -> None:
        # Depths: 1 [kind, 2 {own, 3 {children: 4 [kind, 5 {own, 6 {metadata, 7 {…
        depth, keys = self._depth, self._keys
        self._silent = 0
        if event == "map_key":
            keys[depth] = value
            if depth == 3 and keys[2] == "children":
                self._begin_child(value)
        elif event in ("start_map", "start_array"):
            if depth == 2 and keys[2] == "children" and event == "start_array":
                raise _Malformed("has children without names")
            self._depth = depth + 1
            if depth >= _DEEPEST:
                raise _Malformed("is nested too deeply")
            keys[depth + 1] = None
            if depth == 2 and keys[2] == "children" and event == "start_map":
                self._has_children = True
        elif event in ("end_map", "end_array"):
            self._depth = depth - 1
            if depth == 1:
                self._ended = event == "end_array"
            elif depth == 4 and keys[2] == "children" and self._add is not None:
                self._add(self._whole_child())
        elif depth == 1:
            if self._kind is not None:
                raise _Malformed("is of more than one thing")
            self._kind = str(value)
        elif depth == 2:
            if keys[2] in _NODE_KEYS:
                self._own[keys[2]] = value
        elif keys[2] == "children":
            if depth == 3:
                raise _Malformed("has a child that is none")
            if depth == 4:
                self._child["kind"] = value
            elif depth == 5:
                if keys[5] in _NODE_KEYS:
                    self._child[keys[5]] = value
            elif keys[5] == "metadata":
                if depth == 6 and keys[6] in _METADATA_KEYS:
                    self._metadata[keys[6]] = value
                elif depth == 7 and keys[6] == "tahoe" and keys[7] in _TIME_KEYS:
                    self._times[keys[7]] = value

    def _begin_child(self, name: str) -> None:
        self._name, self._child = name, {}
        self._metadata, self._times = {}, {}
        self._children += 1
        # Tiny children cost many times the processor time of their bytes.
        most = min(MOST_CHILDREN, self._length // _LEAST_CHILD + 1)
        if self._children > most:
            raise _Malformed("has more names than a directory can hold")

    def _whole_child(self) -> Child:
        child, metadata = self._child, self._metadata
        entry = _entry(child.get("kind"), child, metadata, self._times)
        write = _text(child, "rw_uri")
        return Child(self._name, entry, write, _text(metadata, TOKEN_KEY))


def _entry(
    named: object, own: dict[str, Any], metadata: dict[str, Any], times: dict[str, Any]
) -> Entry:
    """Return the entry of a child; ``named`` is the gateway's word for its kind."""
    read, write = _text(own, "ro_uri"), _text(own, "rw_uri")
    if read is None and write is not None:
        read = _read_only(write)
    kind = _KINDS.get(str(named), EntryKind.UNKNOWN)
    if kind is EntryKind.UNKNOWN and read is None and write is not None:
        read = _UNREADABLE
    # `tahoe backup` keeps the file's own times, and no link has any.
    created = _number(times.get("linkcrtime"), metadata.get("ctime"))
    modified = _number(times.get("linkmotime"), metadata.get("mtime"))
    return Entry(kind, read or "", _size(own), created, modified)


def _read_only(write: str) -> str | None:
    try:
        cap = Cap.parse(write)
        # Of a kind that is not known, nobody can say what reads it and no more.
        return None if cap.kind is Kind.UNKNOWN else cap.read_only.uri
    except InvalidCap:
        return None


def _text(values: dict[str, Any], key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) else None


def _size(values: dict[str, Any]) -> int | None:
    size = values.get("size")
    return size if type(size) is int and 0 <= size < _LARGEST else None


def _number(*values: Any) -> float | None:
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and _FIRST_SECOND < value < _LAST_SECOND:
            return float(value)
    return None


def parse_link(text: str, where: str) -> LinkTarget:
    """Return where a link leads, from the ``t=json`` of one child.

    ``where`` is the gateway's address. Raises UnexpectedResponse if it is not valid.
    """
    if (found := _link_target(text)) is not None:
        return found
    raise UnexpectedResponse(
        f"{where} does not respond as a Tahoe-LAFS gateway does; "
        "is another program listening there?"
    )


def _link_target(text: str) -> LinkTarget | None:
    directory = LinkTarget(Entry(EntryKind.DIRECTORY, ""), None, {})
    # What is longer was not read to its end.
    if len(text) >= LINK_LIMIT and _DIRECTORY.match(text):
        return directory
    try:
        kind, own = json.loads(text)
        if kind == "dirnode":
            children = own["children"].values()
            return directory if all(isinstance(c, list) for c in children) else None
        metadata = own["metadata"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    if not isinstance(metadata, dict):
        return None
    times = metadata.get("tahoe")
    entry = _entry(kind, own, metadata, times if isinstance(times, dict) else {})
    reference = _text(own, "rw_uri") or _text(own, "ro_uri")
    return LinkTarget(entry, reference, metadata)


def parse_servers(status: str) -> tuple[Server, ...] | None:
    """Return the servers in the JSON of a gateway's welcome page (``/?t=json``).

    None where it is not valid.
    """
    try:
        found = tuple(map(_server, json.loads(status)["servers"]))
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return found if len(found) <= MOST_SERVERS else None


def _server(fields: dict[str, Any]) -> Server:
    id_, status = fields["nodeid"], fields["connection_status"]
    nickname, space = fields.get("nickname"), fields.get("available_space")
    if not (isinstance(id_, str) and 0 < len(id_) <= LONGEST_ID):
        raise ValueError("no server has such an id")
    # "Connected to ..." over Foolscap, and "connected" over HTTPS.
    connected = str(status).lower().startswith("connected")
    return Server(
        id_,
        # Chosen by the server's operator, and shown on terminals.
        printable(nickname[:LONGEST_ID]) if isinstance(nickname, str) else "",
        connected,
        # The version stays from the last time that the gateway was connected.
        seen=connected or fields.get("version") is not None,
        # Of one that is read-only too, it is 0.
        full=type(space) is int and space <= 0,
        space=space if type(space) is int and space >= 0 else None,
    )


def parse_shares(check: str) -> Shares | None:
    """Return the encoding in the JSON of a check (``t=check``).

    None where too few shares are reachable: the check then invents the numbers.
    """
    try:
        results = json.loads(check)["results"]
        needed, total = results["count-shares-needed"], results["count-shares-expected"]
        recoverable = results["recoverable"] is True
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if not (type(needed) is int and type(total) is int):
        return None
    sound = recoverable and 1 <= needed <= total <= MOST_SHARES
    return Shares(needed, total) if sound else None
