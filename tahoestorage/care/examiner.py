"""Looks at one object on a grid: what of it is there, and whether a repair helps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.care.record import LEASED, VERIFIED
from tahoestorage.care.verdicts import WHOLE, State, Verdict, better, judge
from tahoestorage.display import reason
from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayTimeout,
    GatewayUnreachable,
    NotEnoughServers,
    NotEnoughShares,
    StoreError,
    WriteCollision,
)
from tahoestorage.tahoe.bodies import BLOCK
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.checkresults import CheckResults
from tahoestorage.tahoe.directories import Directory, Path
from tahoestorage.tahoe.files import FileReader

T = TypeVar("T")

FIRST_SURPRISES = 20
PAUSE = 1.0
RETRY_PAUSES = (1.0, 2.0, 4.0)
_UNKNOWN_BYTES = 1 << 26


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a check is to do.

    ``path`` is where it begins, ``since`` seconds since 1970: what was found whole
    after that is not looked at again. ``jobs`` is how many requests at a time.
    """

    path: Path = ()
    verify: bool = False
    repair: bool = False
    add_lease: bool = False
    since: float | None = None
    jobs: int = 4

    @property
    def wanted(self) -> int:
        """What is done with each object, as the record has it."""
        return VERIFIED * self.verify | LEASED * self.add_lease


@dataclass(frozen=True, slots=True)
class CheckedObject:
    """A file or directory that is to be checked; ``write`` is its write cap, if any."""

    path: str
    kind: EntryKind
    read: Cap = field(repr=False)
    write: Cap | None = field(repr=False)

    @property
    def best(self) -> Cap:
        return self.write or self.read

    @property
    def label(self) -> str:
        return self.path or "the root directory"


class Examiner:
    """Looks at objects, for one check; safe in threads. ``stopped`` ends its pauses.

    ``names`` are those of servers, by their ids.
    """

    def __init__(
        self, storage: TahoeStorage, plan: CheckPlan, stopped: threading.Event
    ) -> None:
        self._gateway = storage.directories.gateway
        self._links = storage.links
        self._rate = storage.options.min_rate
        self._plan = plan
        self._stopped = stopped
        self._surprises = 0
        self.names: dict[str, str] = {}

    def examine(self, each: CheckedObject) -> Verdict:
        """Return the state of an object, after its repair if that is asked for.

        Raises GatewayUnreachable, and StoreErrors that say nothing of the object.
        """
        best: CheckResults | None = None
        failure: StoreError | None = None
        # A grid's first check may see too few shares, and so may one beside a write.
        for number in range(2):
            try:
                best = better(best, self._check(each))
            except (NotEnoughShares, WriteCollision) as error:
                failure = error
            verdict = WHOLE if best is None else judge(best)
            if best is not None and verdict.state is State.WHOLE:
                return verdict
            if self._surprises < FIRST_SURPRISES:
                self._stopped.wait(PAUSE * (number == 0))
            elif best is not None and verdict.state is State.HURT:
                break
        self._surprises += 1
        if best is None:
            if isinstance(failure, WriteCollision):
                return Verdict(State.FAILED, reason(failure))
            verdict = Verdict(State.LOST, "too few shares of it can be had")
        if verdict.state is State.LOST:
            if not self._is_readable(each):
                return verdict
            verdict = Verdict(
                State.HURT, "it can be read, though the check saw too few shares of it"
            )
        return self._repair(each, verdict) if self._plan.repair else verdict

    def _check(self, each: CheckedObject) -> CheckResults:
        plan = self._plan
        return self.patiently(
            lambda: self._gateway.check(
                each.best,
                verify=plan.verify,
                add_lease=plan.add_lease,
                seconds=self._seconds(each) if plan.verify else 0.0,
                label=each.label,
            )
        )

    def _is_readable(self, each: CheckedObject) -> bool:
        """Whether all of an object can be read now."""
        try:
            self.once_more(lambda: self._read(each))
        except (GatewayUnreachable, GatewayTimeout):
            raise
        except (StoreError, FileNotFoundError):
            return False
        return True

    def _read(self, each: CheckedObject) -> None:
        if each.kind is EntryKind.DIRECTORY:
            self._gateway.list(each.best, label=each.label)
            return
        # Whatever is lost further on, the response begins as a sound one does.
        reader = FileReader(self._gateway, each.read, each.label)
        while reader.read(BLOCK) and not self._stopped.is_set():
            pass

    def _repair(self, each: CheckedObject, verdict: Verdict) -> Verdict:
        """Return what is found after a repair. The gateway's word alone is no proof."""
        if each.read.is_mutable and each.write is None:
            why = "not repaired, for that needs its write cap, and the link has none"
            return Verdict(State.HURT, f"{verdict.why}; {why}")
        try:
            results = self.once_more(lambda: self._repair_once(each))
        except GatewayUnreachable:
            raise
        except StoreError as error:
            why = reason(error)
            if isinstance(error, NotEnoughServers):
                why = f"too few servers are there to repair it safely: {why}"
            return Verdict(State.HURT, f"{verdict.why}; not repaired: {why}")
        after = judge(results)
        if after.state is State.WHOLE and self._plan.add_lease:
            # A server that came after the first look has renewed no lease yet.
            after = judge(self._check(each))
        if after.state is State.WHOLE and results.attempted:
            return Verdict(State.REPAIRED, verdict.why)
        if after.state is State.WHOLE:
            return after
        why = "a repair did not help"
        if results.damaged and not each.read.is_mutable:
            # Servers never overwrite a share of what is immutable.
            places = (
                f"{s.file} on {self.names.get(s.server, s.server[:12])}"
                for s in results.damaged
            )
            why = (
                "a gateway can't replace a damaged share of an immutable file: delete "
                f"{' and '.join(places)}, in the server's storage directory, and "
                "repair it again"
            )
        return Verdict(after.state, f"{after.why}; {why}")

    def _repair_once(self, each: CheckedObject) -> CheckResults:
        seconds, verify = 2 * self._seconds(each), self._plan.verify
        if each.read.is_mutable:
            write = each.write.uri if each.write else None
            directory = Directory.of(each.read.uri, write)
            return self._links.repair(
                directory, each.label, verify=verify, seconds=seconds
            )
        return self._gateway.check(
            each.read, verify=verify, repair=True, seconds=seconds, label=each.label
        )

    def once_more(self, request: Callable[[], T]) -> T:
        """Return the result of ``request``, which is retried once if it fails so."""
        try:
            return request()
        except (NotEnoughShares, WriteCollision, DamagedDownload):
            self._stopped.wait(PAUSE)
        return request()

    def _seconds(self, each: CheckedObject) -> float:
        """Return how long, beyond other requests, all shares of an object may take."""
        size, shares = each.read.size, each.read.shares
        if size is None or shares is None:
            return _UNKNOWN_BYTES / self._rate
        return size * shares.total / shares.needed / self._rate

    def patiently(self, request: Callable[[], T]) -> T:
        """Return what a request does; while the gateway is away, try a few times."""
        for pause in RETRY_PAUSES:
            try:
                return request()
            except GatewayUnreachable:
                if self._stopped.wait(pause):
                    raise
        return request()
