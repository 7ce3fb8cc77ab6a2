"""What is known of the storage servers of a root, and which of them are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tahoestorage.tahoe.caps import MOST_SHARES, Shares
from tahoestorage.tahoe.parsing import LONGEST_ID, MOST_SERVERS, Server

SHORT = 12
"""Characters of a server's id that messages show, and by which it may be named."""


@dataclass(frozen=True)
class Facts:
    """What is known of a root. ``servers``: their nicknames by their ids.

    ``fewest`` is the least number of servers on which directories were made, as
    ``birthplaces`` counts it; ``shares`` how they were cut, which the gateway's owner
    may change.
    """

    servers: Mapping[str, str] = field(default_factory=dict)
    fewest: int | None = None
    shares: frozenset[Shares] = frozenset()

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Facts:
        """Return facts as a marker has them; what makes no sense is left out."""
        servers, fewest, shares = map(told.get, ("servers", "fewest", "shares"))
        if not isinstance(servers, dict):
            servers = {}
        known = [(i, n) for i, n in servers.items() if 0 < len(i) <= LONGEST_ID]
        return cls(
            {i: n if isinstance(n, str) else "" for i, n in known[:MOST_SERVERS]},
            fewest if type(fewest) is int and fewest > 0 else None,
            frozenset(_shares(shares)) if isinstance(shares, list) else frozenset(),
        )

    def merged(self, other: Facts) -> Facts:
        """Return what both know."""
        fewest = [each for each in (self.fewest, other.fewest) if each is not None]
        return Facts(
            {**self.servers, **other.servers},
            min(fewest, default=None),
            self.shares | other.shares,
        )

    def told(self) -> dict[str, Any]:
        """Return them as a marker has them."""
        return {
            "servers": dict(self.servers),
            "fewest": self.fewest,
            "shares": sorted(map(list, self.shares)),
        }


def _shares(told: Iterable[Any]) -> list[Shares]:
    found = []
    for each in told:
        if isinstance(each, list) and [*map(type, each)] == [int, int]:
            shares = Shares(*each)
            if 1 <= shares.needed <= shares.total <= MOST_SHARES:
                found.append(shares)
    return found


@dataclass(frozen=True)
class ServerRules:
    """What the site's owner says of the servers.

    ``count`` is how many there are, and were when directories were made; ``retired``
    are the ids, or the first ``SHORT`` characters, of those that never come back.
    """

    count: int | None = None
    retired: tuple[str, ...] = ()

    def is_retired(self, id: str) -> bool:
        return any(id == each or id[:SHORT] == each for each in self.retired)


@dataclass(frozen=True)
class View:
    """Who is there of the servers that are known, and who is not."""

    known: Mapping[str, str]
    up: frozenset[str]
    full: frozenset[str]
    rules: ServerRules

    @classmethod
    def of(cls, servers: tuple[Server, ...], facts: Facts, rules: ServerRules) -> View:
        # Of those that the gateway never saw itself, the facts may know. While they
        # know of none at all, each that is announced may have been written to.
        seen = {s.id: s.nickname for s in servers if s.seen or not facts.servers}
        known = {
            id: name
            for id, name in {**seen, **facts.servers}.items()
            if not rules.is_retired(id)
        }
        up = {s.id for s in servers if s.connected and s.id in known}
        full = {s.id for s in servers if s.full and s.id in up}
        return cls(known, frozenset(up - full), frozenset(full), rules)

    @property
    def away(self) -> frozenset[str]:
        """Those that take no changes, or may take none: away, or full."""
        return frozenset(self.known.keys() - self.up)

    @property
    def count(self) -> int:
        """How many there are; the owner may know of some that were never seen."""
        return max(len(self.known), self.rules.count or 0)

    @property
    def missing(self) -> int:
        """How many take no changes."""
        return self.count - len(self.up)

    def counted(self, facts: Facts) -> range:
        """Return on how many servers directories were made: on so many, or so many."""
        fewest = self.rules.count or min(facts.fewest or self.count, self.count)
        return range(fewest, self.count + 1)

    def described(self) -> str:
        """Return who is away, for people."""
        said = []
        for id in sorted(self.away, key=lambda id: (self.known[id], id)):
            short = id if len(id) <= 2 * SHORT else id[:SHORT]
            name = self.known[id]
            shown = short if name in ("", id) else f"{name} ({short})"
            said.append(f"{shown} is {'full' if id in self.full else 'away'}")
        if unseen := self.missing - len(said):
            said.append(f"{unseen} more should be there (option server_count)")
        return "; ".join(said)
