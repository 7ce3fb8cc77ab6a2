"""Parses what a gateway finds when it checks an object. No HTTP here.

Source: the web API, "Debugging and Testing Features"; ``allmydata.web.check_results``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tahoestorage.exceptions import InvalidCap, UnexpectedResponse
from tahoestorage.tahoe.caps import Cap

# Bytes of one line of a stream.
LINE_LIMIT = 1 << 20
CHECK_LIMIT = 1 << 22
"""Bytes of the results of one check at most."""
_INDEX = re.compile("[a-z2-7]{26}")


def check_options(verify: bool, repair: bool, add_lease: bool) -> str:
    """Return the part of a query that says what a check does besides."""
    chosen = {"verify": verify, "repair": repair, "add-lease": add_lease}
    return "".join(f"&{name}=true" for name, is_on in chosen.items() if is_on)


class DamagedShare(NamedTuple):
    """A share that is not what it should be: its server's id, and its place there."""

    server: str
    storage_index: str
    number: int

    @property
    def file(self) -> str:
        """Where it is in a server's storage directory."""
        index = self.storage_index
        return f"shares/{index[:2]}/{index}/{self.number}"


@dataclass(frozen=True, slots=True)
class CheckResults:
    """What a gateway found of one object's shares.

    ``healthy`` is the gateway's own word, to be believed only together with the rest.
    ``good`` counts the different sound shares of the newest version. Any ``needed`` of
    them restore the object, and there should be ``expected``; of a mutable object that
    is not ``recoverable`` the gateway makes up both. ``corrupt`` counts damaged shares,
    ``stale`` those of another version. ``attempted``: the gateway tried to repair it,
    and these are the results after that.
    """

    healthy: bool
    recoverable: bool
    good: int = 0
    needed: int = 0
    expected: int = 0
    corrupt: int = 0
    stale: int = 0
    versions: int = 1
    attempted: bool = False
    damaged: tuple[DamagedShare, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamedResults:
    """One line of a stream: the object's storage index, and what was found of it.

    ``results`` is None for what has no shares, a literal file for one.
    """

    storage_index: bytes
    results: CheckResults | None


def parse_check(text: str, label: str) -> CheckResults:
    """Return the results in the JSON of ``t=check``; those after a repair, if any.

    Raises UnexpectedResponse if it is not valid.
    """
    try:
        document = json.loads(text)
        if "post-repair-results" in document:
            attempted = document["repair-attempted"] is True
            return _results(document["post-repair-results"]["results"], attempted)
        return _results(document["results"])
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    raise UnexpectedResponse(
        f"{label}: the gateway's results of a check are not what they should be; is it "
        "a Tahoe-LAFS node?"
    )


def parse_stream(blocks: Iterable[bytes], label: str) -> Iterator[StreamedResults]:
    """Yield what each line of ``t=stream-deep-check`` says, as it arrives.

    Raises UnexpectedResponse where the stream ends before its last line, which has the
    statistics, or with an error.
    """
    held, whole = b"", False
    try:
        for block in blocks:
            *lines, held = (held + block).split(b"\n")
            for line in lines:
                found = _line(line)
                if found is True:
                    whole = True
                elif found is None:
                    raise _ended(label)
                elif isinstance(found, StreamedResults):
                    yield found
            if len(held) > LINE_LIMIT:
                raise _ended(label)
    finally:
        # Tracebacks show variables, and these are full of caps.
        held = block = line = b""
        lines = []
    if not whole:
        raise _ended(label)


def _ended(label: str) -> UnexpectedResponse:
    return UnexpectedResponse(f"{label}: the gateway ended its check too early")


def _line(line: bytes) -> StreamedResults | bool | None:
    """Return what a line says; True for the last one, None for what is none."""
    try:
        unit = json.loads(line)
        if unit["type"] == "stats":
            return True
        cap = unit["cap"]
        if not isinstance(cap, str):
            return False
        found = unit["check-results"]
        results = _results(found["results"]) if found["storage-index"] else None
        return StreamedResults(Cap.parse(cap).storage_index, results)
    except InvalidCap:
        return False
    except (ValueError, TypeError, LookupError, RecursionError):
        return None


def _results(results: dict[str, Any], attempted: bool = False) -> CheckResults:
    if "recoverable" not in results:
        # Of a literal file or directory, whose content is in its cap.
        healthy = results["healthy"] is True
        return CheckResults(healthy, healthy)
    count = {
        name: results[f"count-{key}"]
        for name, key in (
            ("good", "shares-good"),
            ("needed", "shares-needed"),
            ("expected", "shares-expected"),
            ("corrupt", "corrupt-shares"),
            ("stale", "wrong-shares"),
            ("versions", "recoverable-versions"),
        )
    }
    if not all(type(each) is int and each >= 0 for each in count.values()):
        raise ValueError("no count is such a thing")
    return CheckResults(
        results["healthy"] is True,
        results["recoverable"] is True,
        attempted=attempted,
        damaged=tuple(map(_damaged, results["list-corrupt-shares"])),
        **count,
    )


def _damaged(found: list[Any]) -> DamagedShare:
    server, index, number = found
    if not (
        _INDEX.fullmatch(index) and type(number) is int and isinstance(server, str)
    ):
        raise ValueError("no share is such a thing")
    return DamagedShare(server, index, number)
