"""The storage servers of a root: those on record, those available, those needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tahoestorage.tahoe.caps import MOST_SHARES, Shares
from tahoestorage.tahoe.parsing import LONGEST_ID, MOST_SERVERS, Server

SHORT_ID = 12
"""How many characters of a server's id messages show; options accept so many too."""


@dataclass(frozen=True)
class Facts:
    """The record of a root's storage servers, stored in the link to its marker.

    ``servers`` are the nicknames, by id, of all servers ever seen for this root.
    ``fewest`` is the smallest number of servers on which a directory was made, as
    ``birth_count`` counts it. ``shares`` are the encodings that directories have, more
    than one where the gateway's configuration has changed.
    """

    servers: Mapping[str, str] = field(default_factory=dict)
    fewest: int | None = None
    shares: frozenset[Shares] = frozenset()

    @classmethod
    def parse(cls, metadata: Mapping[str, Any]) -> Facts:
        """Return the facts in a marker's metadata; what is not valid is left out."""
        servers, fewest, shares = map(metadata.get, ("servers", "fewest", "shares"))
        if not isinstance(servers, dict):
            servers = {}
        valid = [(i, n) for i, n in servers.items() if 0 < len(i) <= LONGEST_ID]
        return cls(
            {i: n if isinstance(n, str) else "" for i, n in valid[:MOST_SERVERS]},
            fewest if type(fewest) is int and fewest > 0 else None,
            frozenset(_shares(shares)) if isinstance(shares, list) else frozenset(),
        )

    def merged(self, other: Facts) -> Facts:
        """Return facts with all that either of the two has."""
        fewest = [each for each in (self.fewest, other.fewest) if each is not None]
        return Facts(
            {**self.servers, **other.servers},
            min(fewest, default=None),
            self.shares | other.shares,
        )

    def as_metadata(self) -> dict[str, Any]:
        """Return the facts as JSON for a marker's metadata; ``parse`` reads it."""
        return {
            "servers": dict(self.servers),
            "fewest": self.fewest,
            "shares": sorted(map(list, self.shares)),
        }


def _shares(pairs: Iterable[Any]) -> list[Shares]:
    found = []
    for each in pairs:
        if isinstance(each, list) and [*map(type, each)] == [int, int]:
            shares = Shares(*each)
            if 1 <= shares.needed <= shares.total <= MOST_SHARES:
                found.append(shares)
    return found


@dataclass(frozen=True)
class ServerRules:
    """What the site's options say of the servers: server_count and retired_servers.

    ``count`` is how many servers there are, and were when directories were made.
    ``retired`` are ids, or their first ``SHORT_ID`` characters, of servers that never
    come back.
    """

    count: int | None = None
    retired: tuple[str, ...] = ()

    def is_retired(self, id: str) -> bool:
        """Whether the server of this id never comes back."""
        return any(id == each or id[:SHORT_ID] == each for each in self.retired)


@dataclass(frozen=True)
class Availability:
    """Which of a root's servers take changes now.

    ``expected`` are the nicknames, by id, of all that should be there; ``up`` those
    that take changes, ``full`` those that are connected but have no space.
    """

    expected: Mapping[str, str]
    up: frozenset[str]
    full: frozenset[str]
    rules: ServerRules

    @classmethod
    def of(
        cls, servers: tuple[Server, ...], facts: Facts, rules: ServerRules
    ) -> Availability:
        """Compare the gateway's list of ``servers`` with the facts and the options."""
        # A server that the gateway never reached counts only if the facts have it. But
        # while the facts have none, each that is announced may have been written to.
        seen = {s.id: s.nickname for s in servers if s.seen or not facts.servers}
        expected = {
            id: name
            for id, name in {**seen, **facts.servers}.items()
            if not rules.is_retired(id)
        }
        up = {s.id for s in servers if s.connected and s.id in expected}
        full = {s.id for s in servers if s.full and s.id in up}
        return cls(expected, frozenset(up - full), frozenset(full), rules)

    @property
    def away(self) -> frozenset[str]:
        """The ids of servers that take no changes, or may take none: away, or full."""
        return frozenset(self.expected.keys() - self.up)

    @property
    def count(self) -> int:
        """How many servers there are; option server_count may count some never seen."""
        return max(len(self.expected), self.rules.count or 0)

    @property
    def missing(self) -> int:
        """How many servers take no changes."""
        return self.count - len(self.up)

    def birth_counts(self, facts: Facts) -> range:
        """Return the numbers of servers on which directories may have been made."""
        fewest = self.rules.count or min(facts.fewest or self.count, self.count)
        return range(fewest, self.count + 1)

    def describe_missing(self) -> str:
        """Return which servers are away or full, as a text for people."""
        parts = [
            f"{self._shown(id)} is {'full' if id in self.full else 'away'}"
            for id in self._sorted(self.away)
        ]
        if unseen := self.missing - len(parts):
            parts.append(f"{unseen} more should be there (option server_count)")
        return "; ".join(parts)

    def unconnected(self) -> list[str]:
        """Return the servers that are not there, full or not, as names for people."""
        parts = [self._shown(id) for id in self._sorted(self.away - self.full)]
        if unseen := self.count - len(self.expected):
            parts.append(f"{unseen} more (option server_count)")
        return parts

    def _sorted(self, ids: frozenset[str]) -> list[str]:
        return sorted(ids, key=lambda id: (self.expected[id], id))

    def _shown(self, id: str) -> str:
        short = id if len(id) <= 2 * SHORT_ID else id[:SHORT_ID]
        name = self.expected[id]
        return short if name in ("", id) else f"{name} ({short})"


def tolerance(shares: Shares, servers: int) -> int:
    """Return how many servers may be away while a directory is changed, 0 or more.

    ``servers`` is the number of servers on which the directory was made.

    A server keeps the share numbers that it was first given, and each change while it
    is up writes them anew. So any two changes, each without this many servers, have
    servers in common that hold ``needed`` share numbers: the second change sees the
    first. With ``total`` servers or more each holds one number, else at least
    ``total // servers``.
    """
    needed, total = shares
    if servers < 1:
        return 0
    if servers >= total:
        return (total - needed) // 2
    each = total // servers
    return max(0, (servers - -(-needed // each)) // 2)


def birth_count(shares: Shares, expected: int, up: int) -> int:
    """Return how many servers count for a directory made on ``up`` of ``expected``.

    The result is for ``tolerance``. Where it allows one server to be away, one may be
    away at the making as well, and still all count: the server that is away at the
    next change leaves its numbers to the one that has fewest, which is the one that
    had none. (For two or more that is false: 1-of-5 on five.)
    """
    if tolerance(shares, expected) == 1 and expected - up <= 1:
        return expected
    return min(expected, up)
