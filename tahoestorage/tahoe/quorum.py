"""Which storage servers must be up before a directory is changed.

A gateway changes a directory on the servers that it reaches, and reports success as
soon as enough shares are stored to read it. The other servers keep the state of before.
If only they are up at the next change, that change is made to the old state, and the
first one is lost for good, although it was acknowledged. So nothing is changed while so
many servers are away that two changes could miss each other.

The record of a root's servers, ``Facts``, is stored in the link to its marker, so that
all hosts share it. A process reads it before its first change, again when servers come
or go, and at most once a second while some are away.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from tahoestorage.exceptions import GatewayTimeout, NotEnoughServers, NotEnoughShares
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap, Shares
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.parsing import Server
from tahoestorage.tahoe.rootstate import Reading, root_state, server_states
from tahoestorage.tahoe.serverfacts import (
    Availability,
    Facts,
    ServerRules,
    birth_count,
    tolerance,
)
from tahoestorage.tahoe.serverlist import monotonic_now, server_list

logger = logging.getLogger("tahoestorage.quorum")


_NAME_TAKEN = (
    f"something else has the name {marker.NAME!r} in the root directory. Rename that, "
    f"as by `tahoe mv`, and run `manage.py check --deploy`"
)


KeepFacts = Callable[[marker.FactsChange], dict[str, Any] | None]
"""Changes a root's facts and returns them: ``Links.change_facts``.

None where they can't be stored, because something else has the marker's name.
"""


class Quorum:
    """Refuses changes of directories below ``root`` while too few servers are up.

    Where the gateway does not show its servers, nothing is refused, and a warning is
    logged once. Safe in threads and forks.
    """

    def __init__(
        self, gateway: Gateway, root: Cap, rules: ServerRules | None = None
    ) -> None:
        self._gateway = gateway
        self._root = root
        self._rules = rules or ServerRules()
        self._list = server_list(gateway)
        self._warned = False
        self._state = root_state(root)

    def invalidate(self) -> None:
        """Use no list of servers from before now: a request has failed."""
        self._list.invalidate()

    def require(
        self, label: str, *, making: bool = False, since: float | None = None
    ) -> None:
        """Return if directories may be changed, or with ``making``, if one may be made.

        Raises NotEnoughServers, whose message names the servers that are away, and a
        StoreError where the gateway can't respond. ``label`` is the file's name in
        messages. ``since`` is what ``prepare`` returned for the same change: what was
        read for the one does for the other.
        """
        self._check(label, making, monotonic_now() if since is None else since)

    def are_all_there(self, label: str) -> bool:
        """Whether no server is missing, as far as they are shown. Changes nothing."""
        servers = self._list.look(self._gateway)
        if servers is None:
            return True
        facts = self._facts(servers, label, monotonic_now())
        return not Availability.of(servers, facts, self._rules).missing

    def objection(self, label: str) -> str | None:
        """Return what tells against changes in the place of another gateway, if any.

        It must show its servers, and be connected to none but those that the root's
        record has: what was written to others, that other gateway would not find.
        Raises what ``require`` raises.
        """
        servers = self._list.look(self._gateway)
        if servers is None:
            return "it does not show its storage servers"
        known = self._facts(servers, label, monotonic_now()).servers
        others = sum(server.connected and server.id not in known for server in servers)
        if others:
            return (
                f"it is connected to {others} storage servers that are not on record "
                "with the root directory"
            )
        self.require(label)
        return None

    def prepare(
        self,
        label: str,
        keep: KeepFacts,
        *,
        making: bool = False,
        since: float | None = None,
    ) -> float:
        """Do as ``require``, and store what is new of the servers, by ``keep``.

        To be called before a change, while no lock is held. Returns when the change
        began, by ``now``: ``since``, or the time of this call.
        """
        since = monotonic_now() if since is None else since
        if self._check(label, making, since) is None:
            return since
        state = self._state
        with _hold(state.keeping, self._gateway):
            # Another thread may have stored it while this one waited.
            wanted = self._check(label, making, since)
            if wanted is not None:
                kept = keep(lambda there: {**there, **_merged(there, wanted)})
                if kept is None:
                    self._warn_not_kept(wanted, label)
                    # It is not tried again at each change.
                    state.refused = wanted
                state.stored = wanted.merged(Facts.parse(kept or {}))
                state.learn(state.stored)
        return since

    def _check(self, label: str, making: bool, since: float) -> Facts | None:
        """Return the facts to be stored; None if they are stored already."""
        came, servers = monotonic_now(), self._list.look(self._gateway)
        if servers is None:
            self._warn()
            return None
        facts = self._facts(servers, label, since)
        availability = Availability.of(servers, facts, self._rules)
        encodings = self._encodings(facts, availability, label)
        try:
            learned = check(availability, facts, encodings, label, making=making)
        except NotEnoughServers:
            # One may be back since the gateway was asked.
            if self._list.look(self._gateway, since=came) == servers:
                raise
            return self._check(label, making, since)
        # Not with ``facts``: the marker may have lost what this process remembers.
        return None if learned == self._state.stored else learned

    def _facts(self, servers: tuple[Server, ...], label: str, since: float) -> Facts:
        """Return the facts of the root, read again where they may have changed.

        While servers are away, other hosts may make directories on fewer of them at any
        time; while all are up, they may not.
        """
        state = self._state
        with state.reading:
            while (
                facts := self._cached_facts(servers, since)
            ) is None and state.is_reading:
                self._wait_for_reading()
            if facts is not None:
                return facts
            state.is_reading = True
        try:
            return self._read(servers, label)
        finally:
            with state.reading:
                state.is_reading = False
                state.reading.notify_all()

    def _wait_for_reading(self) -> None:
        """Wait until the reading of another thread has ended.

        Raises GatewayTimeout where nothing is read in ``request_seconds``, also if the
        reading fails and that of a third thread begins.
        """
        state = self._state
        done = state.readings_done
        if not state.reading.wait_for(
            lambda: state.readings_done != done or not state.is_reading,
            self._gateway.request_seconds,
        ):
            raise _timeout(self._gateway)

    def _cached_facts(self, servers: tuple[Server, ...], since: float) -> Facts | None:
        """Return the facts that were read if they are still current, else None."""
        facts = self._state.facts
        reading = self._state.readings.get(self._gateway.base_url)
        if (
            facts is None
            or reading is None
            or reading.servers != server_states(servers)
        ):
            return None
        missing = Availability.of(servers, facts, self._rules).missing
        return facts if not missing or reading.holds(since) else None

    def _read(self, servers: tuple[Server, ...], label: str) -> Facts:
        """Read the facts of the root, and return all that is known."""
        state, began = self._state, monotonic_now()
        try:
            there = marker.read(self._gateway, self._root)
        except NotEnoughShares:
            availability = Availability.of(servers, state.facts or Facts(), self._rules)
            if not availability.missing:
                raise
            raise NotEnoughServers(
                _refusal(label, availability, None, "nothing was changed")
            ) from None
        stored = Facts.parse(there.facts)
        state.stored = state.refused if there.link is None else stored
        facts = state.learn(stored)
        state.readings[self._gateway.base_url] = Reading(
            server_states(servers), began, monotonic_now()
        )
        state.readings_done += 1
        return facts

    def _encodings(
        self, facts: Facts, availability: Availability, label: str
    ) -> frozenset[Shares]:
        """Return the encodings that directories have, all that are on record.

        From the gateway's uploads in this process and from the root's marker. Only if
        neither has any, and servers are away, the gateway checks the root itself.
        """
        made = self._gateway.shares
        found = facts.shares if made is None else facts.shares | {made}
        if found or not availability.missing:
            return found
        state = self._state
        if state.shares is None:
            state.shares = self._gateway.check_shares(self._root, label=label)
        return frozenset() if state.shares is None else frozenset({state.shares})

    def _warn_not_kept(self, wanted: Facts, label: str) -> None:
        """Warn that facts can't be stored. Raises NotEnoughServers if they must be."""
        servers = [id for id in wanted.servers if not self._rules.is_retired(id)]
        before = self._state.facts and self._state.facts.fewest
        lowest = min(before or len(servers), len(servers))
        if self._rules.count is None and (wanted.fewest or lowest) < lowest:
            raise NotEnoughServers(
                f"{label}: no directory was made, for not all storage servers are "
                f"there, and that cannot be kept: {_NAME_TAKEN}"
            )
        if self._state.has_warned:
            return
        self._state.has_warned = True
        logger.warning(
            "What is known of the storage servers is not kept with the root directory, "
            "and each process goes by what the gateway shows it, which can be less "
            "after the gateway's next start: %s",
            _NAME_TAKEN,
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
    availability: Availability,
    facts: Facts,
    encodings: Iterable[Shares],
    label: str,
    *,
    making: bool,
) -> Facts:
    """Return the facts, with what is new of the servers.

    ``encodings`` are those that directories may have. With ``making``, a directory is
    about to be made. Raises NotEnoughServers where too many servers are away.
    """
    encodings, missing = frozenset(encodings), availability.missing
    servers = {**availability.expected, **facts.servers}
    fewest = facts.fewest or availability.count
    if missing:
        most = _most_away(encodings, availability.birth_counts(facts))
        if missing > most:
            raise NotEnoughServers(
                _refusal(label, availability, most, "nothing was changed")
            )
    if missing and making:
        fewest = min(
            fewest,
            *(
                birth_count(c, availability.count, len(availability.up))
                for c in encodings
            ),
        )
        most = _most_away(
            encodings, availability.birth_counts(replace(facts, fewest=fewest))
        )
        if missing > most:
            raise NotEnoughServers(
                _refusal(label, availability, most, "no directory was made")
            )
    # New encodings alone are not worth a request, unless a directory has them.
    if making or servers != facts.servers:
        return Facts(servers, fewest, facts.shares | encodings)
    return replace(facts, fewest=fewest)


def _most_away(encodings: Iterable[Shares], counted: Iterable[int]) -> int:
    """Return how many servers may be away, whichever directory is changed.

    ``counted`` are the numbers of servers on which directories may have been made.
    """
    return min((tolerance(c, n) for c in encodings for n in counted), default=0)


def create_root(
    gateway: Gateway,
    layout: str = "SDMF",
    *,
    rules: ServerRules | None = None,
    shares: Shares | None = None,
    children: Mapping[str, Link] | None = None,
    facts: Facts | None = None,
) -> Cap:
    """Make a root, whose marker records its servers; return its write cap.

    ``children`` are in it from the start. ``facts`` are those of the root that it takes
    the place of, whose directories are below it.

    ``shares`` is the gateway's configured encoding, if the caller knows it; else that
    of its last upload is used. Raises NotEnoughServers where too many servers are away.
    """
    servers, facts = gateway.servers(), facts or Facts()
    shares = shares or gateway.shares
    if servers is not None:
        availability = Availability.of(servers, facts, rules or ServerRules())
        encodings = [] if shares is None else [shares]
        facts = check(availability, facts, encodings, "the root directory", making=True)
    return marker.make_root(gateway, layout, facts.as_metadata(), children)


def _merged(metadata: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    return Facts.parse(metadata).merged(facts).as_metadata()


def _refusal(
    label: str, availability: Availability, most: int | None, done: str
) -> str:
    """Return the message: what happened, which servers are away, and what to do."""
    count, missing = availability.count, availability.missing
    limit = "" if most is None else f", and {most or 'none'} may be missed"
    full = " Make room on those that are full." if availability.full else ""
    return (
        f"{label}: {done}, for {missing} of {count} storage servers "
        f"{'takes' if missing == 1 else 'take'} no changes now{limit}: "
        f"{availability.describe_missing()}. What is changed without them can be lost "
        "when they come back. Start them, and the gateway again where it does not see "
        "them."
        f"{full} Name those that never come back in the option retired_servers."
    )


@contextlib.contextmanager
def _hold(lock: threading.Lock, gateway: Gateway) -> Iterator[None]:
    """Hold a lock. Raises GatewayTimeout where another thread has it for too long."""
    if not lock.acquire(timeout=gateway.request_seconds):
        raise _timeout(gateway)
    try:
        yield
    finally:
        lock.release()


def _timeout(gateway: Gateway) -> GatewayTimeout:
    return GatewayTimeout(
        f"the gateway at {gateway.base_url} did not tell in time what is known of "
        "its storage servers; nothing was changed"
    )
