"""The record of a run: what was begun, acknowledged or failed, line by line.

All writers of a run append to one file, each line in one write, so that a killed one
leaves no line half done. What the record says may then be compared with the store.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tahoestorage.exceptions import TahoeStorageError


class Record:
    """Appends to the file at ``path``. ``who`` is another one for each process."""

    def __init__(self, path: Path, who: str) -> None:
        self.who = who
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, what: str, **more: Any) -> None:
        """Add a line, with the seconds of the clock that all processes share."""
        line = {"what": what, "at": time.monotonic(), "who": self.who, **more}
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")
        if what == "done":
            os.fsync(self._descriptor)


def described(error: Exception) -> dict[str, Any]:
    """Return what the record keeps of an error: its type, and whether it is clear.

    Clear is one of this package's that says something, and no secret.
    """
    said = str(error)
    is_clear = (
        isinstance(error, TahoeStorageError) and said != "" and "URI:" not in said
    )
    return {"error": type(error).__name__, "clear": is_clear}


@dataclass
class Move:
    """A move that was begun: its content is under one of two names."""

    source: str
    name: str
    digest: str


@dataclass
class History:
    """What the record says, as far as it was read; a digest of None is no file."""

    path: Path
    may: dict[str, set[str | None]] = field(default_factory=dict)
    """By name, what may be there: one thing, but after a change without an end."""
    touched: dict[str, int] = field(default_factory=dict)
    """By name, how often it was touched."""
    moves: dict[tuple[str, int], Move] = field(default_factory=dict)
    """Those without an end, by writer and number."""
    done: list[dict[str, Any]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    unclear: Counter[str] = field(default_factory=Counter)
    """Errors that are not this package's, or that say nothing, or a secret."""
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Lines, by what they say and by whom."""
    kills: list[float] = field(default_factory=list)
    """When a writer was killed."""
    _begun: dict[tuple[str, int], float] = field(default_factory=dict)
    _offset: int = 0

    def read(self) -> None:
        """Read what has been added."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            self._take(json.loads(line))

    def _take(self, line: dict[str, Any]) -> None:
        what, number = line["what"], (line["who"], line.get("number", 0))
        self.seen[what, line["who"]] += 1
        if what == "begun":
            name, digest, source = line["name"], line["digest"], line["source"]
            self._begun[number] = line["at"]
            self._set(name, {*self.may.get(name, {None}), digest})
            if source is not None:
                self._set(source, {*self.may.get(source, {None}), None})
                self.moves[number] = Move(source, name, digest)
        elif what == "done":
            self.done.append({**line, "begun": self._begun.pop(number)})
            self._set(line["name"], {line["digest"]})
            if line["source"] is not None:
                self._set(line["source"], {None})
                self.moves.pop(number)
        elif what == "killed":
            self.kills.append(line["at"])
        elif what == "failed":
            self.errors[line["error"]] += 1
            self.unclear[line["error"]] += not line["clear"]

    def _set(self, name: str, may: set[str | None]) -> None:
        self.may[name] = may
        self.touched[name] = self.touched.get(name, 0) + 1

    def compare(self, found: dict[str, str]) -> tuple[list[str], list[str]]:
        """Return the names that were lost, and those with what nobody has saved.

        :param found: the digests of all that is there, by name.
        """
        lost: list[str] = []
        strange = sorted(found.keys() - self.may.keys())
        for name, may in self.may.items():
            if found.get(name) not in may:
                (lost if len(may) == 1 else strange).append(name)
        for move in self.moves.values():
            if move.digest not in (found.get(move.source), found.get(move.name)):
                lost.append(move.source)
        return lost, strange
