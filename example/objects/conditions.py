"""ETags, and the conditions by which nobody overwrites what they have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.http import parse_etags

from objects.models import StoredObject, Version


class Unmet(Exception):
    """A condition does not hold (RFC 9110, 15.5.13)."""


def object_etag(found: StoredObject) -> str:
    """Return the strong ETag of an object's metadata; every change makes another."""
    changed = int(found.updated_at.timestamp() * 1_000_000)
    return f'"{found.pk.hex}.{changed:x}"'


def content_etag(version: Version | None) -> str | None:
    """Return the strong ETag of an object's content; None where there is none yet.

    The version's own id is in it: where a database was brought back from a backup,
    another upload may have the number of one that readers have seen since then.
    """
    if version is None:
        return None
    return f'"{version.object_id.hex}.{version.number}.{version.pk.hex[:12]}"'


def content_modified(found: StoredObject, version: Version) -> datetime:
    """Return when what is read under the object's or the version's address changed.

    An old version that is made the current one changes the object's content later than
    it was uploaded itself. That the object was renamed counts, too, and does no harm.
    """
    if found.current_id != version.pk:
        return version.created_at
    return max(version.created_at, found.updated_at)


@dataclass(frozen=True)
class Conditions:
    """What must be there for a change to be made (RFC 9110, 13.1).

    Each is the ETags of a header, ``*`` among them for any; None without the header.
    """

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Conditions:
        """Return those of a request."""
        found = []
        for name in ("If-Match", "If-None-Match"):
            text = headers.get(name)
            found.append(None if text is None else tuple(parse_etags(text)))
        return cls(*found)

    def check(self, etag: str | None) -> None:
        """Raise Unmet unless they hold for this ETag, None where nothing is there.

        If-Match compares strongly, If-None-Match weakly (RFC 9110, 8.8.3.2).
        """
        if self.match is not None and (
            etag is None or not {"*", etag} & set(self.match)
        ):
            raise Unmet
        if self.none_match is not None and etag is not None:
            known = {one.removeprefix("W/") for one in self.none_match}
            if {"*", etag} & known:
                raise Unmet

    def known(self, etag: str | None) -> bool:
        """Whether a reader has it already; raises Unmet by If-Match."""
        Conditions(match=self.match).check(etag)
        try:
            Conditions(none_match=self.none_match).check(etag)
        except Unmet:
            return True
        return False


NONE = Conditions()
