"""The request targets that the proxy lets pass, as patterns for PCRE.

They match a target as it was sent, before anything in it is decoded, and in its one
usual spelling: what needs no quoting is not quoted, and what does is quoted once. So
nothing can be read in two ways, by the proxy and by the gateway.
"""

from __future__ import annotations

import re

from tahoestorage.tahoe.caps import (
    ANY_BYTES,
    COUNT,
    SIXTEEN_BYTES,
    SIZE,
    THIRTY_TWO_BYTES,
)

_COLON = "(?::|%3A)"
_COUNT = COUNT.replace("(", "(?:", 1)

# Of each byte that needs quoting: UTF-8 (RFC 3629) without control characters, "/" and
# "\"; nor a "%" that begins the quoting of one of these, or of a dot.
_TAIL = "%[89AB][0-9A-F]"
_QUOTED = "|".join(
    (
        "%2[0-46-9A-C]|%3[A-F]|%40|%5[BDE]|%60|%7[B-D]",
        "%25(?![01][0-9A-Fa-f]|2[5EFef]|5[Cc]|7[Ff])",
        f"%C2%[AB][0-9A-F]|%(?:C[3-9A-F]|D[0-9A-F]){_TAIL}",
        f"%E0%[AB][0-9A-F]{_TAIL}|%E[1-9A-CEF](?:{_TAIL}){{2}}|%ED%[89][0-9A-F]{_TAIL}",
        f"%F0%[9AB][0-9A-F](?:{_TAIL}){{2}}|%F[1-3](?:{_TAIL}){{3}}",
        f"%F4%8[0-9A-F](?:{_TAIL}){{2}}",
    )
)
_PLAIN = "[A-Za-z0-9._~!$&'()*+,;=:@-]"
_NAME = rf"(?!\.{{1,2}}$)(?:{_PLAIN}|{_QUOTED})++"  # "." and ".." are none


def _cap(kind: str, *fields: str) -> str:
    return _COLON.join(("URI", kind, *fields))


def _named(name: str, pattern: str) -> str:
    return f"(?<tahoe_{name}>{pattern})"


def _file(prefix: str, cap: str) -> str:
    return f"^{prefix}/(?:named|file)/{cap}/(?:@@named=/)?{_NAME}$"


_CHK = (
    _named("key", SIXTEEN_BYTES),
    _named("hash", THIRTY_TWO_BYTES),
    _named("needed", _COUNT),
    _named("total", _COUNT),
    _named("size", SIZE),
)
_LIT = f"(?=[a-z2-7]{{0,88}}/){_named('literal', ANY_BYTES)}"
_MUTABLE = (_named("key", SIXTEEN_BYTES), _named("hash", THIRTY_TWO_BYTES))


def patterns(prefix: str, *, mutable: bool, directories: bool) -> dict[str, str]:
    """Return the pattern of each kind of target, which begins with this path.

    The captures are the fields of the cap, of which the proxy makes the cap anew.
    """
    prefix = re.escape(prefix)
    kinds = {
        "chk": _file(prefix, _cap("CHK", *_CHK)),
        "lit": _file(prefix, _cap("LIT", _LIT)),
    }
    if mutable:
        kind = _named("form", "SSK-RO|MDMF-RO")
        kinds["mutable"] = _file(prefix, _cap(kind, *_MUTABLE))
    if directories:
        kind = _named("form", "DIR2-RO|DIR2-MDMF-RO")
        kinds["directory"] = f"^{prefix}/uri/{_cap(kind, *_MUTABLE)}/?$"
        kinds["dir2-chk"] = f"^{prefix}/uri/{_cap('DIR2-CHK', *_CHK)}/?$"
        literal = _named("literal", ANY_BYTES)
        kinds["dir2-lit"] = f"^{prefix}/uri/{_cap('DIR2-LIT', literal)}/?$"
    return kinds
