"""Which storage servers must be there before a directory is changed.

A gateway changes a directory on whichever servers it reaches, and says that it is done
as soon as enough shares were taken to read it. What the others have is the state of
before. Where they alone answer the next change, it is made to that state, and the first
is gone for good, although it was acknowledged. So nothing is changed while so many
servers are away that two changes could miss each other.

What is known of a root, ``Facts``, is kept in the link to its marker, so that all hosts
know it; it is read once in a process, before its first change, and again when servers
come or go, and once a second at most while some are away.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tahoestorage import forks
from tahoestorage.exceptions import (
    GatewayTimeout,
    NotEnoughServers,
    NotEnoughShares,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap, Shares
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.parsing import Server
from tahoestorage.tahoe.serverfacts import Facts, ServerRules, View
from tahoestorage.tahoe.serverlist import SECONDS, now, server_list

logger = logging.getLogger("tahoestorage.quorum")


def tolerance(shares: Shares, servers: int) -> int:
    """Return how many servers may be away while a directory is changed.

    It was made on ``servers`` servers. A server keeps the share numbers that it was
    first given, and each change writes them anew where it is there. So two changes,
    each without this many servers, have so many in common that those hold ``needed``
    numbers between them: the second sees what the first made. With ``total`` servers or
    more each has one number, and else ``total // servers`` at least.
    """
    needed, total = shares
    if servers < 1:
        return 0
    if servers >= total:
        return (total - needed) // 2
    each = total // servers
    return max(0, (servers - -(-needed // each)) // 2)


def birthplaces(shares: Shares, known: int, up: int) -> int:
    """Return the servers that count for a directory made on ``up`` of ``known`` ones.

    Where one may be away, and no more, one may be away at its birth as well: whichever
    is away at the first change after that leaves its numbers to those that have fewest,
    which is the one that had none. (With two or more that is not so: 1-of-5 on five.)
    """
    if tolerance(shares, known) == 1 and known - up <= 1:
        return known
    return min(known, up)


TAKEN = (
    f"something else has the name {marker.NAME!r} in the root directory. Rename that, "
    f"as by `tahoe mv`, and run `manage.py check --deploy`"
)


class _Known:
    """What this process knows of one root."""

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)
        self.facts: Facts | None = None
        self.shares: Shares | None = None
        # That nothing can be kept, once.
        self.is_told = False
        # When the facts were last read, and who was there.
        self.read = float("-inf")
        self.read_for: frozenset[Server] = frozenset()

    def after_fork(self) -> None:
        """Wait for nobody: a thread of the parent's, which may hold them, is gone."""
        self.reading = threading.Lock()
        self.keeping = threading.Lock()
        self._learning = threading.Lock()

    def learn(self, facts: Facts) -> Facts:
        """Add what the root's marker says; return all that is known."""
        with self._learning:
            self.facts = facts if self.facts is None else self.facts.merged(facts)
            return self.facts


_known: dict[bytes, _Known] = {}
_known_lock = forks.Lock()

Keep = Callable[[marker.Change], dict[str, Any] | None]
"""Changes a root's facts, and returns what they are then: ``Links.change_facts``.

None where they can't be kept, for something else has the marker's name.
"""


class Quorum:
    """Lets directories below ``root`` be changed while enough servers are there.

    Where the gateway does not show its servers, nothing is guarded; that is warned of.
    """

    def __init__(
        self, gateway: Gateway, root: Cap, rules: ServerRules | None = None
    ) -> None:
        self._gateway = gateway
        self._root = root
        self._rules = rules or ServerRules()
        self._list = server_list(gateway)
        self._warned = False
        with _known_lock:
            self._known = _known.setdefault(root.storage_index, _Known())

    def doubt(self) -> None:
        """Ask anew who is there: something has failed."""
        self._list.doubt()

    def require(self, label: str, *, making: bool = False) -> None:
        """Return if directories may be changed now; ``making``: if one may be made.

        Raises NotEnoughServers, which names those that are away, and a StoreError where
        nobody can tell. ``label`` is the file that errors speak of.
        """
        self._judge(label, making)

    def prepare(self, label: str, keep: Keep, *, making: bool = False) -> None:
        """Do as ``require``, and ``keep`` with the root what is new of the servers.

        For before a change, while no lock is held.
        """
        if self._judge(label, making) is None:
            return
        known = self._known
        with _held(known.keeping, self._gateway):
            # Somebody else may have kept it, while this one waited.
            wanted = self._judge(label, making)
            if wanted is not None and wanted != known.facts:
                told = keep(lambda told: {**told, **_merged(told, wanted)})
                if told is None:
                    self._taken(wanted, label)
                known.learn(wanted if told is None else Facts.parse(told))

    def _judge(self, label: str, making: bool) -> Facts | None:
        """Return what is to be kept; None where that is kept already."""
        servers = self._list.look(self._gateway)
        if servers is None:
            self._warn()
            return None
        facts = self._facts(servers, label)
        view = View.of(servers, facts, self._rules)
        cut = self._cut(facts, view, label)
        learned = check(view, facts, cut, label, making=making)
        return None if learned == facts else learned

    def _facts(self, servers: tuple[Server, ...], label: str) -> Facts:
        """Return what is known of the root, read anew where that may have changed.

        While some are away others may make directories on fewer servers at any time;
        while all are there, they may not.
        """
        known = self._known
        if (facts := self._read(servers)) is not None:
            return facts
        with _held(known.reading, self._gateway):
            # Somebody else may have read it, while this one waited.
            if (facts := self._read(servers)) is not None:
                return facts
            began = now()
            try:
                told = marker.read_facts(self._gateway, self._root)
            except NotEnoughShares:
                view = View.of(servers, known.facts or Facts(), self._rules)
                if not view.missing:
                    raise
                raise NotEnoughServers(
                    _refusal(label, view, None, "nothing was changed")
                ) from None
            facts = known.learn(Facts.parse(told))
            known.read, known.read_for = began, frozenset(servers)
            return facts

    def _read(self, servers: tuple[Server, ...]) -> Facts | None:
        """Return what was read of the root where it still holds, else None."""
        known = self._known
        facts = known.facts
        if facts is None or known.read_for != frozenset(servers):
            return None
        missing = View.of(servers, facts, self._rules).missing
        return facts if not missing or now() - known.read <= SECONDS else None

    def _cut(self, facts: Facts, view: View, label: str) -> frozenset[Shares]:
        """Return how directories are cut into shares: all ways that are known of.

        By what the gateway has made in this process, by what the root's marker says;
        only where neither tells, and servers are away, the root itself is asked.
        """
        made = self._gateway.shares
        found = facts.shares if made is None else facts.shares | {made}
        if found or not view.missing:
            return found
        known = self._known
        if known.shares is None:
            known.shares = self._gateway.shares_of(self._root, label=label)
        return frozenset() if known.shares is None else frozenset({known.shares})

    def _taken(self, wanted: Facts, label: str) -> None:
        """Warn that nothing is kept. Raises NotEnoughServers where it has to be."""
        servers = [id for id in wanted.servers if not self._rules.is_retired(id)]
        before = self._known.facts and self._known.facts.fewest
        lowest = min(before or len(servers), len(servers))
        if self._rules.count is None and (wanted.fewest or lowest) < lowest:
            raise NotEnoughServers(
                f"{label}: no directory was made, for not all storage servers are "
                f"there, and that cannot be kept: {TAKEN}"
            )
        if self._known.is_told:
            return
        self._known.is_told = True
        logger.warning(
            "What is known of the storage servers is not kept with the root directory, "
            "and each process goes by what the gateway shows it, which can be less "
            "after the gateway's next start: %s",
            TAKEN,
        )

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "The gateway at %s does not show which storage servers it is connected "
                "to (at /?t=json), so that directories are changed however few there "
                "are: what is saved then can be lost without an error",
                self._gateway.base_url,
            )


def check(
    view: View, facts: Facts, cut: Iterable[Shares], label: str, *, making: bool
) -> Facts:
    """Return the facts with what is new of the servers.

    ``cut`` are the ways in which directories may have been cut into shares; ``making``:
    another one is to be made. Raises NotEnoughServers where too many servers are away.
    """
    cut, missing = frozenset(cut), view.missing
    servers = {**view.known, **facts.servers}
    fewest = facts.fewest or view.count
    if missing:
        most = _most(cut, view.counted(facts))
        if missing > most:
            raise NotEnoughServers(_refusal(label, view, most, "nothing was changed"))
    if missing and making:
        fewest = min(fewest, *(birthplaces(c, view.count, len(view.up)) for c in cut))
        most = _most(cut, view.counted(replace(facts, fewest=fewest)))
        if missing > most:
            raise NotEnoughServers(_refusal(label, view, most, "no directory was made"))
    # Worth a request where a directory is so cut, or where there is one in any case.
    if making or servers != facts.servers:
        return Facts(servers, fewest, facts.shares | cut)
    return replace(facts, fewest=fewest)


def _most(cut: Iterable[Shares], counted: Iterable[int]) -> int:
    """Return how many servers may be away, whichever directory is changed."""
    return min((tolerance(c, n) for c in cut for n in counted), default=0)


def create_root(
    gateway: Gateway,
    layout: str = "SDMF",
    *,
    rules: ServerRules | None = None,
    shares: Shares | None = None,
) -> Cap:
    """Make a root, whose marker says on which servers it is; return its write cap.

    ``shares`` are as the gateway is configured, where that is known; else as it made
    them last. Raises NotEnoughServers where too many servers are away.
    """
    servers, facts = gateway.servers(), Facts()
    shares = shares or gateway.shares
    if servers is not None:
        view = View.of(servers, facts, rules or ServerRules())
        cut = [] if shares is None else [shares]
        facts = check(view, facts, cut, "the root directory", making=True)
    return marker.create_root(gateway, layout, facts.told())


def _merged(told: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    return Facts.parse(told).merged(facts).told()


def _refusal(label: str, view: View, most: int | None, done: str) -> str:
    """Return what happened, who is away, and what to do about it."""
    count, missing = view.count, view.missing
    limit = "" if most is None else f", and {most or 'none'} may be missed"
    full = " Make room on those that are full." if view.full else ""
    return (
        f"{label}: {done}, for {missing} of {count} storage servers "
        f"{'takes' if missing == 1 else 'take'} no changes now{limit}: "
        f"{view.described()}. What is changed without them can be lost when they come "
        "back. Start them, and the gateway again where it does not see them."
        f"{full} Name those that never come back in the option retired_servers."
    )


@contextlib.contextmanager
def _held(lock: threading.Lock, gateway: Gateway) -> Iterator[None]:
    """Hold a lock. Raises GatewayTimeout where somebody else has it for too long."""
    if not lock.acquire(timeout=gateway.longest):
        raise GatewayTimeout(
            f"the gateway at {gateway.base_url} did not tell in time what is known of "
            "its storage servers; nothing was changed"
        )
    try:
        yield
    finally:
        lock.release()
