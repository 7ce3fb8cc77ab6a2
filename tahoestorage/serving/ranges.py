"""Range requests (RFC 9110, 14): the part of a file that a client asks for."""

from __future__ import annotations

import re
from typing import NamedTuple

from django.http import HttpRequest
from django.utils.http import parse_http_date_safe

# One range. Of several, or of what is no range, all of the file may be sent instead
# (RFC 9110, 14.2).
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The range begins behind the end of the file: status 416 (RFC 9110, 15.5.17)."""


class Range(NamedTuple):
    """Bytes ``first`` to ``last``, both included, of a file of ``size`` bytes.

    Its text is the value of Content-Range (RFC 9110, 14.4).
    """

    first: int
    last: int
    size: int

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.last + 1

    def __str__(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.size}"


def range_of(
    request: HttpRequest, size: int, etag: str | None, modified: int | None
) -> Range | None:
    """Return the one range that a GET asks for; None where all is to be sent.

    That is without a range, with several or a malformed one (RFC 9110, 14.2), and where
    If-Range (13.1.5) names another version than ``etag`` or ``modified``. ``size`` is
    in bytes, ``etag`` is quoted, ``modified`` is in whole seconds since 1970. Raises
    Unsatisfiable.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    # It has a meaning for GET only (RFC 9110, 14.2).
    if found is None or request.method != "GET":
        return None
    if not is_of_this(request.headers.get("If-Range", ""), etag, modified):
        return None
    begin, end = found.groups()
    if begin:
        first, last = int(begin), min(int(end or size), size - 1)
        if end and int(end) < first:
            return None
    elif end:
        first, last = max(size - int(end), 0), size - 1
    else:
        return None
    if first > last:
        raise Unsatisfiable
    return Range(first, last, size)


def is_of_this(condition: str, etag: str | None, modified: int | None) -> bool:
    """Whether If-Range is absent or names this version (RFC 9110, 13.1.5)."""
    if not condition:
        return True
    if condition.endswith('"'):
        return condition == etag and not condition.startswith("W/")
    return modified is not None and parse_http_date_safe(condition) == modified
