"""The forms of caps: their grammar, as in ``allmydata.uri``, and what breaks it."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple


class Kind(enum.Enum):
    """What a cap names. The values are Tahoe's own words."""

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
    """What a cap allows. Each includes those below it."""

    WRITE = "write"
    READ = "read"
    VERIFY = "verify"


# The last character of a base32 text may hold only bits that are used.
SIXTEEN_BYTES = "[a-z2-7]{25}[aeimquy4]"
THIRTY_TWO_BYTES = "[a-z2-7]{51}[aq]"
ANY_BYTES = (
    "(?:[a-z2-7]{8})*(?:[a-z2-7][aeimquy4]|[a-z2-7]{3}[aq]"
    "|[a-z2-7]{4}[acegikmoqsuwy246]|[a-z2-7]{6}[aiqy])?"
)
COUNT = "([1-9][0-9]{0,2})"
SIZE = "(?:0|[1-9][0-9]{0,17})"
MOST_SHARES = 256

CHK = re.compile(f"{SIXTEEN_BYTES}:{THIRTY_TWO_BYTES}:{COUNT}:{COUNT}:{SIZE}")
LIT = re.compile(ANY_BYTES)
SSK = re.compile(f"{SIXTEEN_BYTES}:{THIRTY_TWO_BYTES}")
MDMF = re.compile(f"{SIXTEEN_BYTES}:{THIRTY_TWO_BYTES}(?::[!-~]*)?")
UNKNOWN = re.compile(r"(?:ro\.|imm\.)?URI:[A-Za-z0-9-]+:[!-~]*")


class Form(NamedTuple):
    """What all caps of one prefix have in common. `body` matches what follows it."""

    prefix: str
    kind: Kind
    access: Access
    body: re.Pattern[str]


_IMMUTABLE = {"": Access.READ, "-Verifier": Access.VERIFY}
_MUTABLE = {"": Access.WRITE, "-RO": Access.READ, "-Verifier": Access.VERIFY}
FORMS = {
    (prefix := f"URI:{kind.value}{tail}:"): Form(prefix, kind, access, body)
    for kinds, body, tails in (
        ((Kind.CHK, Kind.DIR2_CHK), CHK, _IMMUTABLE),
        ((Kind.LIT, Kind.DIR2_LIT), LIT, {"": Access.READ}),
        ((Kind.SSK, Kind.DIR2), SSK, _MUTABLE),
        ((Kind.MDMF, Kind.DIR2_MDMF), MDMF, _MUTABLE),
    )
    for kind in kinds
    for tail, access in tails.items()
}
READ_FORMS = {f.kind: f for f in FORMS.values() if f.access is Access.READ}
UNKNOWN_FORM = Form("", Kind.UNKNOWN, Access.READ, UNKNOWN)
_NOT_BASE32 = "is not base32 (a to z, 2 to 7) of the right length: copy all of the cap"


def error(text: str, form: Form | None) -> str:
    """What is wrong with `text`, without any of it."""
    if not text:
        return "the cap is empty"
    if any(map(str.isspace, text)):
        return "the cap has white space or a line break in it: give the cap alone"
    if not (text.isascii() and text.isprintable()):
        return "the cap has a character in it that no cap has"
    if form is None:
        return "this is no cap: a cap is URI: and its kind, then : and the rest"
    if form.body is LIT:
        return f"the content in the cap {_NOT_BASE32}"
    key, _, rest = text.removeprefix(form.prefix).partition(":")
    key_hash, _, rest = rest.partition(":")
    if not re.fullmatch(SIXTEEN_BYTES, key):
        return f"the first field of the cap {_NOT_BASE32}"
    if not re.fullmatch(THIRTY_TWO_BYTES, key_hash):
        return f"the second field of the cap {_NOT_BASE32}"
    if form.body is CHK:
        return "the cap does not end in two counts of shares and a size"
    return "the cap goes on after its end"
