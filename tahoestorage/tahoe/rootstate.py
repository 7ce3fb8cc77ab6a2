"""The state of a root in this process: its servers' facts, and when they were read.

All storages of the root share it, by whichever gateway. For ``Quorum``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from tahoestorage import forks
from tahoestorage.tahoe.caps import Cap, Shares
from tahoestorage.tahoe.parsing import Server
from tahoestorage.tahoe.serverfacts import Facts
from tahoestorage.tahoe.serverlist import SECONDS, monotonic_now


def server_states(
    servers: Iterable[Server],
) -> frozenset[tuple[str, bool, bool, bool]]:
    """Return what counts of the servers; nicknames do not."""
    return frozenset((s.id, s.connected, s.seen, s.full) for s in servers)


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of a root's facts through one gateway: what servers it had, and when.

    ``began`` and ``ended`` are by ``monotonic_now``.
    """

    servers: frozenset[tuple[str, bool, bool, bool]]
    began: float
    ended: float

    def holds(self, since: float) -> bool:
        """Whether what was read is new enough for a change that began at ``since``.

        What was read before the change began is used for ``SECONDS`` from the moment
        that it was asked for; what was read for the change, from when it arrived, for a
        gateway may take longer than that to read it.
        """
        start = self.ended if self.began >= since else self.began
        return monotonic_now() - start <= SECONDS


class RootState:
    """What this process remembers of one root: its facts, and when they were read."""

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)
        # All that was ever read, and what of it the marker had when it was last read.
        self.facts: Facts | None = None
        self.stored: Facts | None = None
        # What could not be stored, because something else has the marker's name.
        self.refused = Facts()
        self.shares: Shares | None = None
        # Whether it was warned that facts can't be stored.
        self.has_warned = False
        # The last reading through each gateway, by its address: lists may differ.
        self.readings: dict[str, Reading] = {}
        self.readings_done = 0

    def after_fork(self) -> None:
        """Make new locks: a thread of the parent may have held them, and is gone."""
        # Held for moments; notified when a reading ends.
        self.reading = threading.Condition()
        self.is_reading = False
        self.keeping = threading.Lock()
        self._learning = threading.Lock()

    def learn(self, facts: Facts) -> Facts:
        """Add the facts of the root's marker; return all."""
        with self._learning:
            self.facts = facts if self.facts is None else self.facts.merged(facts)
            return self.facts


_root_states: dict[bytes, RootState] = {}
_root_states_lock = forks.Lock()


def root_state(root: Cap) -> RootState:
    """Return the one state in this process of a root."""
    with _root_states_lock:
        return _root_states.setdefault(root.storage_index, RootState())
