"""Caps: their grammar, their parsing, and what is derived from them. No requests.

A cap is a text that names a file or directory on a grid, and gives access to it.
Source: ``allmydata.uri`` of Tahoe-LAFS for the grammar, ``allmydata.util.hashutil`` for
the derivations.
"""

from __future__ import annotations

import base64
import enum
import os
import re
from hashlib import sha256
from typing import Final, NamedTuple, NoReturn, Self, final

from tahoestorage.exceptions import InvalidCap

__all__ = ["LITERAL_LIMIT", "Access", "Cap", "Kind", "Shares", "literal_cap"]

LITERAL_LIMIT: Final = 55
"""Bytes. Content up to this length is stored in the cap itself."""


class Kind(enum.Enum):
    """What a cap names: a format of file or directory, by Tahoe's own word."""

    CHK = "CHK"
    LIT = "LIT"
    SSK = "SSK"
    MDMF = "MDMF"
    DIR2 = "DIR2"
    DIR2_MDMF = "DIR2-MDMF"
    DIR2_CHK = "DIR2-CHK"
    DIR2_LIT = "DIR2-LIT"
    UNKNOWN = "UNKNOWN"


class Access(enum.Enum):
    """What a cap allows. Each access includes those listed after it."""

    WRITE = "write"
    READ = "read"
    VERIFY = "verify"


# The grammar, as patterns. Base32 here is RFC 4648's, in lower case and without
# padding; its last character has no bits that are not used.
SIXTEEN_BYTES = "[a-z2-7]{25}[aeimquy4]"
THIRTY_TWO_BYTES = "[a-z2-7]{51}[aq]"
ANY_BYTES = (
    "(?:[a-z2-7]{8})*(?:[a-z2-7][aeimquy4]|[a-z2-7]{3}[aq]"
    "|[a-z2-7]{4}[acegikmoqsuwy246]|[a-z2-7]{6}[aiqy])?"
)
COUNT = "([1-9][0-9]{0,2})"
SIZE = "(?:0|[1-9][0-9]{0,17})"
MOST_SHARES = 256

_CHK = re.compile(f"{SIXTEEN_BYTES}:{THIRTY_TWO_BYTES}:{COUNT}:{COUNT}:{SIZE}")
_LIT = re.compile(ANY_BYTES)
_SSK = re.compile(f"{SIXTEEN_BYTES}:{THIRTY_TWO_BYTES}")
_MDMF = re.compile(f"{SIXTEEN_BYTES}:{THIRTY_TWO_BYTES}(?::[!-~]*)?")
_UNKNOWN = re.compile(r"(?:ro\.|imm\.)?URI:[A-Za-z0-9-]+:[!-~]*")


class _Form(NamedTuple):
    """The grammar of all caps of one prefix; ``body`` matches the rest of the text."""

    prefix: str
    kind: Kind
    access: Access
    body: re.Pattern[str]


_IMMUTABLE = {"": Access.READ, "-Verifier": Access.VERIFY}
_MUTABLE = {"": Access.WRITE, "-RO": Access.READ, "-Verifier": Access.VERIFY}
_FORMS = {
    (prefix := f"URI:{kind.value}{tail}:"): _Form(prefix, kind, access, body)
    for kinds, body, tails in (
        ((Kind.CHK, Kind.DIR2_CHK), _CHK, _IMMUTABLE),
        ((Kind.LIT, Kind.DIR2_LIT), _LIT, {"": Access.READ}),
        ((Kind.SSK, Kind.DIR2), _SSK, _MUTABLE),
        ((Kind.MDMF, Kind.DIR2_MDMF), _MDMF, _MUTABLE),
    )
    for kind in kinds
    for tail, access in tails.items()
}
_READ_FORMS = {f.kind: f for f in _FORMS.values() if f.access is Access.READ}
_UNKNOWN_FORM = _Form("", Kind.UNKNOWN, Access.READ, _UNKNOWN)
_NOT_BASE32 = "is not base32 (a to z, 2 to 7) of the right length: copy all of the cap"


def _complaint(text: str, form: _Form | None) -> str:
    """Return why ``text`` is not a cap, without quoting any part of it."""
    if not text:
        return "the cap is empty"
    if any(map(str.isspace, text)):
        return "the cap has white space or a line break in it: give the cap alone"
    if not (text.isascii() and text.isprintable()):
        return "the cap has a character in it that no cap has"
    if form is None:
        return "this is no cap: a cap is URI: and its kind, then : and the rest"
    if form.body is _LIT:
        return f"the content in the cap {_NOT_BASE32}"
    key, _, rest = text.removeprefix(form.prefix).partition(":")
    key_hash, _, rest = rest.partition(":")
    if not re.fullmatch(SIXTEEN_BYTES, key):
        return f"the first field of the cap {_NOT_BASE32}"
    if not re.fullmatch(THIRTY_TWO_BYTES, key_hash):
        return f"the second field of the cap {_NOT_BASE32}"
    if form.body is _CHK:
        return "the cap does not end in two counts of shares and a size"
    return "the cap goes on after its end"


# Short content can be guessed and hashed by somebody who reads a log. So the
# fingerprints of literals are valid in one process and its forks only.
_LITERAL_SALT = os.urandom(16)

_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
_TO_INT_DIGITS = bytes.maketrans(_BASE32, b"0123456789abcdefghijklmnopqrstuv")


def _tagged_hash(tag: bytes, value: bytes) -> bytes:
    """Return 16 bytes of SHA-256d with a netstring tag: ``hashutil.tagged_hash``."""
    inner = sha256(b"%d:%b,%b" % (len(tag), tag, value)).digest()
    return sha256(inner).digest()[:16]


def _encode(data: bytes) -> str:
    return base64.b32encode(data).rstrip(b"=").lower().decode("ascii")


def _decode(text: str) -> bytes:
    # Six times as fast as base64.b32decode, which is plain Python.
    size, spare = divmod(len(text) * 5, 8)
    number = int(text.encode().translate(_TO_INT_DIGITS) or b"0", 32)
    return (number >> spare).to_bytes(size, "big")


class Shares(NamedTuple):
    """An encoding: any ``needed`` of ``total`` shares restore a file or directory."""

    needed: int
    total: int


@final
class Cap:
    """One cap: immutable, hashable, equal to another cap of the same text.

    The text is a secret: whoever has it can read, or write. Only ``uri`` gives it;
    ``repr`` and ``str`` are redacted, and pickling raises TypeError. Made by ``parse``
    or ``literal_cap``. Properties need no request.
    """

    __slots__ = ("_form", "_read_only", "_storage_index", "uri")

    uri: str
    """The text of the cap. SECRET."""
    _form: _Form
    _read_only: Cap
    _storage_index: bytes

    def __init__(self, uri: str, form: _Form) -> None:
        # Private: callers use ``parse`` and ``literal_cap``.
        _set(self, "uri", uri)
        _set(self, "_form", form)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cap whose text is ``text``, which must be a cap and nothing else.

        A cap of a newer Tahoe, with an unknown prefix, is of ``Kind.UNKNOWN``. Raises
        InvalidCap, whose message says why and quotes no part of the text.
        """
        prefix = text[: text.find(":", 4) + 1]
        form = _FORMS.get(prefix)
        if form is None:
            if _UNKNOWN.fullmatch(text):
                return cls(text, _UNKNOWN_FORM)
        else:
            match = form.body.fullmatch(text, len(prefix))
            if match and (
                form.body is not _CHK or int(match[1]) <= int(match[2]) <= MOST_SHARES
            ):
                return cls(text, form)
        reason = _complaint(text, form)
        # Tracebacks show variables, and this may be a cap but for one character.
        text = prefix = ""
        match = None
        raise InvalidCap(reason)

    @property
    def kind(self) -> Kind:
        """What the cap names."""
        return self._form.kind

    @property
    def access(self) -> Access:
        """What the cap allows."""
        return self._form.access

    @property
    def is_directory(self) -> bool:
        """Whether the cap names a directory; False for ``Kind.UNKNOWN``."""
        return self._form.prefix.startswith("URI:DIR2")

    @property
    def is_mutable(self) -> bool:
        """Whether what this cap reads can change. False for verify caps."""
        _, _, access, body = self._form
        return access is not Access.VERIFY and (body is _SSK or body is _MDMF)

    @property
    def is_writable(self) -> bool:
        """Whether this is a write cap."""
        return self._form.access is Access.WRITE

    @property
    def size(self) -> int | None:
        """The size of an immutable file, in bytes. None for all other caps."""
        if self._form.kind is Kind.CHK:
            return int(self.uri.rpartition(":")[2])
        if self._form.kind is Kind.LIT:
            return len(self._fields()[0]) * 5 // 8
        return None

    @property
    def shares(self) -> Shares | None:
        """The encoding of an immutable file. None where the cap does not have it."""
        if self._form.kind is not Kind.CHK:
            return None
        _, _, needed, total, _ = self.uri.rsplit(":", 4)
        return Shares(int(needed), int(total))

    @property
    def literal(self) -> bytes | None:
        """The content of a literal file or directory. None for all other caps."""
        return self._first_field() if self._form.body is _LIT else None

    @property
    def read_only(self) -> Cap:
        """The read cap for the same object; the cap itself if it is one.

        Raises InvalidCap for a verify cap.
        """
        if self._form.access is Access.READ:
            return self
        if self._form.access is Access.VERIFY:
            raise InvalidCap("a verify cap does not allow reading")
        try:
            return self._read_only
        except AttributeError:
            form = _READ_FORMS[self._form.kind]
            key = _encode(self._readkey())
            cap = Cap(f"{form.prefix}{key}:{self._fields()[1]}", form)
            _set(self, "_read_only", cap)
            return cap

    @property
    def storage_index(self) -> bytes:
        """The identity of the object: 16 bytes, equal for all of its caps.

        Tahoe's storage index. Literals and unknown kinds have none; for these it is a
        hash of our own.
        """
        try:
            return self._storage_index
        except AttributeError:
            _, kind, access, body = self._form
            if kind is Kind.UNKNOWN:
                index = _tagged_hash(b"tahoestorage_unknown_v1", self.uri.encode())
            elif body is _LIT:
                index = _tagged_hash(b"tahoestorage_literal_v1", self._first_field())
            elif access is Access.VERIFY:
                index = self._first_field()
            elif body is _CHK:
                tag = b"allmydata_immutable_key_to_storage_index_v1"
                index = _tagged_hash(tag, self._first_field())
            else:
                tag = b"allmydata_mutable_readkey_to_storage_index_v1"
                index = _tagged_hash(tag, self._readkey())
            _set(self, "_storage_index", index)
            return index

    def _readkey(self) -> bytes:
        """Return the read key of a mutable object, from its write or read cap."""
        key = self._first_field()
        if self._form.access is Access.READ:
            return key
        return _tagged_hash(b"allmydata_mutable_writekey_to_readkey_v1", key)

    def _fields(self) -> list[str]:
        return self.uri.split(":", 4)[2:]

    def _first_field(self) -> bytes:
        return _decode(self._fields()[0])

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that identify the object, and are safe to show.

        Equal for all caps of one object, in all processes; for a literal, in this
        process and its forks only.
        """
        salt = _LITERAL_SALT if self._form.body is _LIT else b""
        tag = b"tahoestorage_fingerprint_v1"
        return _tagged_hash(tag, salt + self.storage_index).hex()[:12]

    def __repr__(self) -> str:
        form = self._form
        return f"<Cap {form.kind.value} {form.access.value} {self.fingerprint}>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return self.uri == other.uri if isinstance(other, Cap) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.uri)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("caps are not pickled: they are secrets")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Cap does not change")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Cap does not change")


_set = object.__setattr__


def literal_cap(content: bytes) -> Cap:
    """Return the cap of a file of at most ``LITERAL_LIMIT`` bytes: its content itself.

    Raises InvalidCap for longer content. Needs no request.
    """
    if len(content) > LITERAL_LIMIT:
        raise InvalidCap(f"a literal cap holds up to {LITERAL_LIMIT} bytes")
    return Cap(f"URI:LIT:{_encode(content)}", _READ_FORMS[Kind.LIT])
