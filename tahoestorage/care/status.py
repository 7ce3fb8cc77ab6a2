"""The state of a storage on a grid, at a glance: gateway, servers, cache, checks."""

from __future__ import annotations

import contextlib
import enum
import math
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.cache.contents import FOLDER
from tahoestorage.cache.inspection import InspectedDisk, InspectedTier, TierStats
from tahoestorage.care.record import PastCheck, default_record, past_checks
from tahoestorage.care.verdicts import State, judge
from tahoestorage.config.settings import CacheOptions
from tahoestorage.display import reason, shown
from tahoestorage.exceptions import NotEnoughServers, StoreError
from tahoestorage.tahoe.caps import Shares
from tahoestorage.tahoe.parsing import Server

LEASE_DAYS = 31
RENEWED_DAYS = 21
"""Leases that are older leave too little time to act in."""
_DAY = 86400.0


class Level(enum.IntEnum):
    """How bad it is: the exit status of a monitor's plug-in."""

    OK = 0
    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True)
class GatewayState:
    """Whether the gateway at an address responds; ``error`` says why it does not."""

    address: str
    error: str | None = None


@dataclass
class GridStatus:
    """What is known of a storage on a grid now, which is ``alias`` in STORAGES.

    ``gateway`` is the address of the first; ``gateways`` has each of them, and whether
    it responds. ``servers`` is None where the gateway does not show them. ``shares``
    is the encoding of the root directory; None where it has no shares. ``may_change``
    says whether files can be saved and deleted; None where that is not known. ``tiers``
    are the counts of the cache, ``checks`` those of its files, the newest first;
    ``problems`` are texts for people.
    """

    alias: str
    gateway: str
    gateways: list[GatewayState] = field(default_factory=list)
    servers: tuple[Server, ...] | None = None
    shares: Shares | None = None
    may_change: bool | None = None
    tiers: list[TierStats] = field(default_factory=list)
    checks: list[PastCheck] = field(default_factory=list)
    problems: list[tuple[Level, str]] = field(default_factory=list)

    @property
    def level(self) -> Level:
        """The worst of the problems."""
        return max((level for level, _ in self.problems), default=Level.OK)

    @property
    def shown_checks(self) -> list[PastCheck]:
        """The last three, and the last one of everything that read each share."""
        last = self.checks[:3]
        verified = [each for each in self.checks if each.is_verifying and not each.path]
        return last + [each for each in verified[:1] if each not in last]

    @property
    def connected(self) -> int:
        """To how many servers the gateway is connected."""
        return sum(server.connected for server in self.servers or ())

    @property
    def spare_servers(self) -> int | None:
        """How many of the connected servers can be lost, and files still be read.

        Of files that were saved while as many servers were there.
        """
        if self.shares is None or not self.connected:
            return None
        needed, total = self.shares
        each = -(-total // self.connected)
        return min((total - needed) // each, self.connected - 1)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "alias": self.alias,
            "status": self.level.name.lower(),
            "gateway": self.gateway,
            "gateways": list(map(asdict, self.gateways)),
            "servers": None
            if self.servers is None
            else list(map(asdict, self.servers)),
            "connected": self.connected,
            "shares": None if self.shares is None else self.shares._asdict(),
            "spare_servers": self.spare_servers,
            "may_change": self.may_change,
            "cache": [asdict(tier) for tier in self.tiers],
            "checks": [asdict(check) for check in self.checks],
            "problems": [
                {"level": level.name.lower(), "text": text}
                for level, text in self.problems
            ],
        }


_TOLD = (
    (State.LOST, Level.CRITICAL, "can't be read"),
    (State.FAILED, Level.WARNING, "could not be looked at: run it again"),
    (State.HURT, Level.WARNING, "are to be repaired"),
)


def tiers_of(cache: CacheOptions) -> list[InspectedTier]:
    """Return the tier that processes share, if there is one, and that of contents."""
    tiers: list[InspectedTier] = []
    if cache.redis is not None:
        # redis-py is an extra.
        from tahoestorage.cache.redisinspection import InspectedRedis

        tiers.append(InspectedRedis(cache.redis))
    elif cache.directory is not None:
        tiers.append(InspectedDisk(cache.directory, cache.size_limit))
    if cache.directory is not None and cache.content_size_limit is not None:
        folder = cache.directory / FOLDER
        tiers.append(InspectedDisk(folder, cache.content_size_limit, "contents"))
    return tiers


def status_of(
    alias: str, storage: TahoeStorage, record: Path | None = None
) -> GridStatus:
    """Ask a storage's gateway, look at its cache and at the ``record`` of its checks.

    That is the one of its root by default, which nobody has who has no home directory.
    A few requests, none of which changes anything. Raises nothing of the grid's: what
    fails is a problem in the status.
    """
    if record is None:
        root = storage.options.root
        with contextlib.suppress(OSError):
            record = default_record(root.fingerprint)
    status = GridStatus(alias, storage.options.base_url)
    try:
        _look_at_grid(storage, status)
    except StoreError as error:
        status.problems.append((Level.CRITICAL, reason(error)))
    _look_at_gateways(storage, status)
    cache = storage.cache_options
    for tier in tiers_of(cache) if cache is not None else []:
        stats = tier.stats()
        status.tiers.append(stats)
        if stats.error is not None:
            text = f"the cache at {stats.place} is not used: {stats.error}"
            status.problems.append((Level.WARNING, text))
    try:
        status.checks = [] if record is None else past_checks(record)
    except (OSError, ValueError, sqlite3.Error) as error:
        text = f"the record of checks, {record}, can't be read: {reason(error)}"
        status.problems.append((Level.WARNING, text))
    status.problems += _problems_of(status.checks)
    return status


def _look_at_gateways(storage: TahoeStorage, status: GridStatus) -> None:
    for gateway in storage.directories.gateways.all:
        error: str | None = None
        try:
            gateway.servers()
        except StoreError as failure:
            error = reason(failure)
            if gateway.base_url != status.gateway:
                text = f"the gateway at {gateway.base_url}: {error}"
                status.problems.append((Level.WARNING, text))
        status.gateways.append(GatewayState(gateway.base_url, error))


def _look_at_grid(storage: TahoeStorage, status: GridStatus) -> None:
    directories, problems = storage.directories, status.problems
    status.servers = directories.gateway.servers()
    for server in status.servers or ():
        name = server.nickname or server.id[:12]
        if not server.connected:
            problems.append((Level.WARNING, f"server {name} is not connected"))
        elif server.full:
            problems.append((Level.WARNING, f"server {name} has no space left"))
    root = directories.gateway.check(directories.root.best, label="the root directory")
    verdict = judge(root)
    if verdict.state is State.LOST:
        problems.append((Level.CRITICAL, f"the root directory: {verdict.why}"))
    else:
        # A literal directory has no shares.
        if root.expected:
            status.shares = Shares(root.needed, root.expected)
        if verdict.state is State.HURT:
            text = f"the root directory is to be repaired: {verdict.why}"
            problems.append((Level.WARNING, text))
    if directories.root.write is not None:
        try:
            storage.links.require_quorum("the status")
            status.may_change = True
        except NotEnoughServers as error:
            status.may_change = False
            problems.append((Level.CRITICAL, f"nothing can be saved: {reason(error)}"))


def _problems_of(checks: list[PastCheck]) -> list[tuple[Level, str]]:
    """Return what is wrong by the record; nothing where there is none on this host."""
    found: list[tuple[Level, str]] = []
    for check in _latest(checks):
        counts = check.summary or {}
        which = f"check of {shown(check.path)}" if check.path else "check"
        which += " with --verify" if check.is_verifying else ""
        for state, level, words in _TOLD:
            if count := counts.get(state.value):
                text = f"by the last {which} {count:,} files or directories {words}"
                found.append((level, text))
    leased = [
        check.oldest for check in checks if check.has_renewed_all and not check.path
    ]
    now = time.time()
    # One in the future was noted while the clock was ahead.
    ages = [now - oldest for oldest in leased if oldest <= now]
    if checks and min(ages, default=math.inf) > RENEWED_DAYS * _DAY:
        text = (
            f"no check has renewed all leases in {RENEWED_DAYS} days, and they end "
            f"after {LEASE_DAYS}: run tahoe_check --add-lease while all servers are "
            "connected, until it finds nothing lost, hurt or failed"
        )
        found.append((Level.WARNING, text))
    return found


def _by_their_ends(checks: list[PastCheck]) -> list[PastCheck]:
    """Return checks, given the last begun first, with the last one ended first.

    One that began by its time after the next, or after now, was noted while the clock
    was ahead: then it began before the next.
    """
    now = before = time.time()
    ends: list[float] = []
    for check in checks:
        end = check.ended or check.started
        is_right = check.started <= before and end <= now
        before = min(before, check.started)
        ends.append(end if is_right else before)
    order = sorted(range(len(checks)), key=lambda i: ends[i], reverse=True)
    return [checks[each] for each in order]


def _latest(checks: list[PastCheck]) -> Iterator[PastCheck]:
    """Yield the last check of everything, and of each path the last that is newer.

    What a check of everything has found is not undone by one that looked at less: at
    fewer paths, or without ``--verify``, which alone finds what is damaged.
    """
    seen: set[tuple[str, bool]] = set()
    for check in _by_their_ends(checks):
        if check.summary is None:
            continue
        # One that verifies has looked at all that the other would.
        by = [True] if check.is_verifying else [True, False]
        if not any((path, way) in seen for path in ("", check.path) for way in by):
            seen.add((check.path, check.is_verifying))
            yield check
