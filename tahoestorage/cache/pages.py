"""A directory's listing, divided into pages by a hash of the name.

A page is complete for its share of the names: one that is there tells what exists
and what does not, without any of the others. It is kept as text, a line a name, and
a line is only parsed when it is asked for::

    "name" TAB [kind, reference, size, created, modified] LF

The name is JSON too, so that it holds neither TAB nor LF, whatever it is called. A
line whose value is a string is a *mark*: somebody is changing this name, and nothing
is known of it. The write caps of a page's names stand apart from it, sealed once more.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from enum import Enum
from hashlib import blake2b
from json.encoder import encode_basestring_ascii

from tahoestorage.cache.sealing import Namespace, Seal
from tahoestorage.entries import Entry, EntryKind

PAGE_ENTRIES = 16
LONGEST_MISSING = 256
"""Characters of a name of which a page in memory remembers that it is not there."""
# A listing is held in so few pieces that they cost nothing beside what is in them.
SHARD_BITS = 8
_HEADER = struct.Struct(">B8sI")
# Version, expiry and epoch: what goes before a sealed page.
_SEALED_HEADER = struct.Struct(">BdQ")
_SEALED_VERSION = 1


class Absent(Enum):
    """What a page says of a name for which it has no entry."""

    MISSING = "no such name"


MISSING = Absent.MISSING
UNPARSED = Entry(EntryKind.UNKNOWN, "")
"""Stands for an entry that is there, where no more is asked."""
_dumps = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().raw_decode
_KINDS = {kind.value: kind for kind in EntryKind}


def bucket(name: str) -> int:
    """Return the 32 bits whose first ones say on which page ``name`` stands."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def line(name: str, entry: Entry) -> bytes:
    """Return the line of an entry."""
    value = [
        entry.kind.value,
        entry.reference,
        entry.size,
        entry.created,
        entry.modified,
    ]
    return f"{_dumps(name)}\t{_dumps(value)}\n".encode()


def _entry(value: bytes) -> Entry:
    (kind, reference, size, created, modified), _ = _decode(value.decode())
    return Entry(_KINDS[kind], reference, size, created, modified)


class Page:
    """A page: immutable, so that threads share it; ``with_…`` make another one.

    ``bits`` says over how many pages (2 ** bits) the listing is spread, ``fill`` by
    which filling it was (8 bytes): pages of different fillings don't go together.
    """

    __slots__ = ("_cached", "bits", "fill", "lines", "secrets")

    def __init__(
        self, lines: bytes, secrets: bytes = b"", bits: int = 0, fill: bytes = bytes(8)
    ) -> None:
        self.lines = lines
        self.secrets = secrets
        self.bits = bits
        self.fill = fill
        self._cached: dict[str, Entry | Absent | None] = {}

    def pack(self) -> bytes:
        """Return the page as bytes, to be sealed."""
        header = _HEADER.pack(self.bits, self.fill, len(self.secrets))
        return header + self.secrets + self.lines

    @classmethod
    def unpack(cls, packed: bytes) -> Page:
        """Return the page that ``pack`` made bytes of."""
        bits, fill, length = _HEADER.unpack_from(packed)
        start = _HEADER.size + length
        return cls(packed[start:], packed[_HEADER.size : start], bits, fill)

    def __len__(self) -> int:
        return self.lines.count(b"\n")

    def _find(self, name: str) -> tuple[int, int, int] | None:
        prefix = f"{encode_basestring_ascii(name)}\t".encode()
        if self.lines.startswith(prefix):
            start = 0
        else:
            start = self.lines.find(b"\n" + prefix) + 1
            if start == 0:
                return None
        return start, start + len(prefix), self.lines.index(b"\n", start)

    def entry(self, name: str) -> Entry | Absent | None:
        """Return the entry, MISSING, or None for a name with a mark."""
        try:
            return self._cached[name]
        except KeyError:
            pass
        found = self._find(name)
        cached: Entry | Absent | None
        if found is None:
            cached = MISSING
        else:
            value = self.lines[found[1] : found[2]]
            cached = None if value.startswith(b'"') else _entry(value)
        # As many as are on the page; of names that are not there, there is no end.
        is_kept = len(self._cached) < 2 * PAGE_ENTRIES and len(name) <= LONGEST_MISSING
        if cached is not MISSING or is_kept:
            self._cached[name] = cached
        return cached

    def state(self, name: str) -> Entry | Absent | None:
        """Return what ``entry`` does; UNPARSED where it was not asked for before."""
        if name in self._cached:
            return self._cached[name]
        found = self._find(name)
        if found is None:
            return MISSING
        return None if self.lines.startswith(b'"', found[1]) else UNPARSED

    @property
    def has_marks(self) -> bool:
        """Whether anybody is changing one of the names."""
        return b'\t"' in self.lines

    def marked(self, mark: str) -> set[str]:
        """Return the names that have this mark."""
        end = f"\t{_dumps(mark)}".encode()
        return {
            json.loads(text[: -len(end)])
            for text in self.lines.splitlines()
            if text.endswith(end)
        }

    def items(self) -> Iterator[tuple[str, Entry | None]]:
        """Yield every name with its entry, or None where it has a mark."""
        for text in self.lines.splitlines():
            name, value = text.split(b"\t")
            yield (
                json.loads(name),
                None if value.startswith(b'"') else _entry(value),
            )

    def with_entry(self, name: str, cached: Entry | Absent | str) -> Page:
        """Return the page with an entry, without the name, or with a mark on it."""
        return self.with_entries({name: cached})

    def with_entries(self, values: Mapping[str, Entry | Absent | str]) -> Page:
        """Return the page with entries, without names, or with marks on them."""
        lines = {
            text.partition(b"\t")[0]: text
            for text in self.lines.splitlines(keepends=True)
        }
        for name, value in values.items():
            key = _dumps(name).encode()
            # What is new stands last.
            lines.pop(key, None)
            if isinstance(value, Entry):
                lines[key] = line(name, value)
            elif isinstance(value, str):
                lines[key] = key + f"\t{_dumps(value)}\n".encode()
        return Page(b"".join(lines.values()), self.secrets, self.bits, self.fill)

    def write_reference(self, name: str, seal: Seal, bound: bytes) -> str | None:
        """Return the write cap of ``name``, to those who hold the seal on it."""
        return self.write_references(seal, bound).get(name)

    def write_references(self, seal: Seal, bound: bytes) -> dict[str, str]:
        """Return all write caps of the page by name; none without the seal."""
        opened = seal.open(self.secrets, bound) if self.secrets else None
        if opened is None:
            return {}
        references: dict[str, str] = json.loads(opened)
        return references

    def with_write_references(
        self, changed: Mapping[str, str | None], seal: Seal, bound: bytes
    ) -> Page:
        """Return the page with write caps for names; with none where it is None."""
        references = self.write_references(seal, bound)
        for name, reference in changed.items():
            references.pop(name, None)
            if reference is not None:
                references[name] = reference
        return Page(
            self.lines, close_references(references, seal, bound), self.bits, self.fill
        )


def close_references(references: dict[str, str], seal: Seal, bound: bytes) -> bytes:
    """Return write caps by name, sealed to those who may write."""
    return seal.close(_dumps(references).encode(), bound) if references else b""


def close_page(
    namespace: Namespace, key: bytes, page: Page, expiry: float, epoch: int
) -> bytes:
    """Return a page sealed, for outside of the process: see ``open_page``."""
    header = _SEALED_HEADER.pack(_SEALED_VERSION, expiry, epoch)
    return header + namespace.seal.close(page.pack(), key + header)


def open_page(
    namespace: Namespace, key: bytes, sealed: bytes, epoch: int
) -> tuple[float, Page] | None:
    """Return expiry and page, or None for what was not closed so in this epoch."""
    if len(sealed) < _SEALED_HEADER.size:
        return None
    header = sealed[: _SEALED_HEADER.size]
    version, expiry, closed_in = _SEALED_HEADER.unpack(header)
    if version != _SEALED_VERSION or closed_in != epoch:
        return None
    opened = namespace.seal.open(sealed[_SEALED_HEADER.size :], key + header)
    return None if opened is None else (expiry, Page.unpack(opened))


class Listing:
    """A whole listing as it comes from the store, gathered name by name.

    Held as lines, not as objects, and not one by one: some 250 bytes a name.
    """

    def __init__(self) -> None:
        # By the first SHARD_BITS bits of their names' hashes.
        self._lines: dict[int, bytearray] = {}
        self._references: dict[int, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, entry: Entry, write_reference: str | None = None) -> None:
        """Add a name. A name must not be added twice."""
        self._add(name, line(name, entry), write_reference)

    def _add(self, name: str, text: bytes, write_reference: str | None) -> None:
        shard = page_number(bucket(name), SHARD_BITS)
        self._lines.setdefault(shard, bytearray()).extend(text)
        self._count += 1
        if write_reference is not None:
            pair = f"{_dumps([name, write_reference])}\n".encode()
            self._references.setdefault(shard, bytearray()).extend(pair)

    def add_page(self, page: Page, write_references: Mapping[str, str]) -> None:
        """Add all of a page's names, also those with a mark."""
        for text in page.lines.splitlines(keepends=True):
            name = json.loads(text.partition(b"\t")[0])
            self._add(name, text, write_references.get(name))

    @property
    def bits(self) -> int:
        """Over how many pages (2 ** bits) the names are best spread."""
        return max(0, (max(self._count - 1, 0) // PAGE_ENTRIES).bit_length())

    def entry(self, name: str) -> Entry | Absent:
        """Return the entry of ``name``, or MISSING."""
        shard = page_number(bucket(name), SHARD_BITS)
        cached = Page(bytes(self._lines.get(shard, b""))).entry(name)
        return MISSING if cached is None else cached

    def write_reference(self, name: str) -> str | None:
        """Return the write cap of ``name``, if the store told it."""
        shard = page_number(bucket(name), SHARD_BITS)
        return self._write_references(shard).get(name)

    def _write_references(self, shard: int) -> dict[str, str]:
        return dict(map(json.loads, self._references.get(shard, b"").splitlines()))

    def items(self) -> Iterator[tuple[str, Entry]]:
        """Yield every name with its entry."""
        for lines in self._lines.values():
            for name, entry in Page(bytes(lines)).items():
                if entry is not None:
                    yield name, entry

    def pages(self) -> Iterator[tuple[int, bytes, dict[str, str]]]:
        """Yield each page's number, its lines and its names' write caps, in order.

        One shard is divided at a time, so that this takes little more memory.
        """
        finer = max(0, self.bits - SHARD_BITS)
        shards = 1 << max(0, SHARD_BITS - self.bits)
        for first in range(0, 1 << SHARD_BITS, shards):
            lines: list[list[bytes]] = [[] for _ in range(1 << finer)]
            references: list[dict[str, str]] = [{} for _ in lines]
            for shard in range(first, first + shards):
                for text in self._lines.get(shard, b"").splitlines(keepends=True):
                    name = json.loads(text[: text.index(b"\t")]) if finer else ""
                    lines[_page_of(name, finer)].append(bytes(text))
                for name, reference in self._write_references(shard).items():
                    references[_page_of(name, finer)][name] = reference
            number = first >> max(0, SHARD_BITS - self.bits) << finer
            for page, some in enumerate(lines):
                yield number + page, b"".join(some), references[page]


def _page_of(name: str, finer: int) -> int:
    """Return which of the pages of its shard, of 2 ** finer, has a name."""
    return page_number(bucket(name), SHARD_BITS + finer) % (1 << finer)


def page_number(number: int, bits: int) -> int:
    """Return the page for the 32 bits that ``bucket`` gave."""
    return number >> (32 - bits)
