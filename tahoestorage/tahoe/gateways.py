"""Several gateways of one grid: reads fail over, uploads go to the least busy.

A directory is changed through one of them, and so is all read that such a change rests
on: two gateways that write to one directory disturb each other. Which one it is, and
when it is another than the first, ``writers`` says.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from tahoestorage import forks
from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayTimeout,
    GatewayUnreachable,
    NotEnoughServers,
    NotEnoughShares,
    StoreError,
    TahoeStorageError,
)
from tahoestorage.tahoe.bodies import Response
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody

if TYPE_CHECKING:
    from tahoestorage.tahoe.samegrid import GridProofs

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
AGAIN_SECONDS = 30.0
"""For so long a gateway that could not be reached, or was too slow, comes last; then
one request tries it."""

_AWAY = (GatewayUnreachable, GatewayTimeout)
# What another gateway may do better: one may be cut off from its servers.
_OF_THE_SERVERS = (NotEnoughShares, NotEnoughServers)
_GOES_ON = (*_AWAY, *_OF_THE_SERVERS, DamagedDownload)


class _PassedOver(Exception):
    """A gateway does not get this request."""


class Gateways:
    """The gateways of one grid, the first of which changes directories if it can.

    Safe in threads and forks. The methods raise what those of ``Gateway`` do where no
    gateway does better: GatewayUnreachable only where none responds.
    """

    def __init__(self, all_: Sequence[Gateway]) -> None:
        self.all = tuple(all_)
        """All of them, the first one first."""
        self._sources: weakref.WeakKeyDictionary[Response, Gateway]
        self._sources = weakref.WeakKeyDictionary()
        # When each that was away is tried again.
        self._again: dict[Gateway, float] = {}
        # Until when each that had too few servers comes last for uploads.
        self._crowded_until: dict[Gateway, float] = {}
        self._proofs: GridProofs | None = None
        if len(self.all) > 1:
            # Most sites have one, of which nothing is to be shown.
            from tahoestorage.tahoe.samegrid import GridProofs

            self._proofs = GridProofs()
        self._uploads = 0
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin anew: a thread of the parent may have held the lock, and is gone."""
        self._lock = threading.Lock()
        # By their numbers; those of the parent are not ours.
        self._under_way = [0] * len(self.all)

    def _in_order(self, first: int = 0) -> list[Gateway]:
        """Return all in the order in which they are asked, from ``first`` on."""
        now = time.monotonic()
        order = [*self.all[first:], *self.all[:first]]
        with self._lock:
            for gateway in order:
                if self._again.get(gateway, now + 1) <= now:
                    # The others need not wait for it, if it still is not there.
                    self._again[gateway] = now + AGAIN_SECONDS
                    return [gateway, *(each for each in order if each is not gateway)]
            return sorted(order, key=lambda gateway: gateway in self._again)

    def for_changes(self) -> list[Gateway]:
        """Return all, as they were given; those that are away come last.

        One that is to be tried again stands in its place, this once.
        """
        now = time.monotonic()
        with self._lock:
            away = {gateway for gateway, again in self._again.items() if again > now}
            for gateway in self._again.keys() - away:
                self._again[gateway] = now + AGAIN_SECONDS
        return sorted(self.all, key=lambda gateway: gateway in away)

    def ask(self, ask: Callable[[Gateway], T]) -> T:
        """Return what ``ask`` does with the first gateway that can do it.

        For what may be repeated, and only reads. It is called again, with the next one,
        where a gateway does not respond, hangs up on the way, or reaches too few
        servers.
        """
        return self._ask(ask, self._in_order())

    def _ask(
        self,
        ask: Callable[[Gateway], T],
        order: Sequence[Gateway],
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> T:
        failures: list[StoreError] = []
        for gateway in order:
            try:
                found = ask(gateway)
            except _PassedOver:
                continue
            except _GOES_ON as error:
                if not may_repeat():
                    raise
                failures.append(error)
                self.note(gateway, error)
            except TahoeStorageError as error:
                self.note(gateway, error)
                raise
            else:
                self.note(gateway, None)
                return found
        raise _worst(failures)

    def by_the_first(self, error: E) -> E:
        """Return an error of what only the first one may do, which says what to do.

        Only where it is away, and there are others: as it is otherwise.
        """
        if len(self.all) == 1 or not isinstance(error, _AWAY):
            return error
        return type(error)(
            f"{error}; of several gateways only the first in base_url does this: start "
            "it again, or have all hosts name another one first"
        )

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Have errors of what only the first one may do say what to do."""
        try:
            yield
        except _AWAY as error:
            raise self.by_the_first(error) from None

    def note(self, gateway: Gateway, error: TahoeStorageError | None) -> None:
        """Remember whether a gateway has responded."""
        with self._lock:
            if isinstance(error, _AWAY):
                self._again[gateway] = time.monotonic() + AGAIN_SECONDS
            else:
                self._again.pop(gateway, None)

    def fetch(
        self, cap: Cap, first: int = 0, last: int | None = None, *, label: str
    ) -> Response:
        """Return what ``Gateway.fetch`` does, by the first one that can do it."""

        def fetch(gateway: Gateway) -> Response:
            response = gateway.fetch(cap, first, last, label=label)
            with self._lock:
                self._sources[response] = gateway
            return response

        return self.ask(fetch)

    def blocks(self, response: Response, *, label: str) -> Iterator[bytes]:
        """Yield the body of what ``fetch`` returned, as ``Gateway.blocks`` does."""
        with self._lock:
            gateway = self._sources.get(response, self.all[0])
        try:
            yield from gateway.blocks(response, label=label)
        except (GatewayTimeout, DamagedDownload):
            # Some was given away already; whoever asks for the rest has it of another.
            with self._lock:
                self._again[gateway] = time.monotonic() + AGAIN_SECONDS
            raise

    def upload(self, body: UploadBody, root: Cap, *, label: str) -> Cap:
        """Upload content as ``Gateway.upload`` does, by the least busy gateway.

        By each in turn where they have as many uploads under way.
        For a file that is to be linked below ``root``: gateways that can't be shown to
        be of its grid are left out. What can be sent only once is sent to the next one
        only where no more than its start was read.
        """
        first, proofs = self.all[0], self._proofs
        if proofs is None:
            return first.upload(body, label=label)
        if not body.repeatable:
            body.keep_start()

        # Else what no other may have yet goes to the first one.
        wait = first in self._again

        def upload(gateway: Gateway) -> Cap:
            if gateway is not first and not proofs.allow(
                gateway, first, root, wait=wait
            ):
                raise _PassedOver
            try:
                return gateway.upload(body, patient=False, label=label)
            except _AWAY as error:
                if body.error is None:
                    # Whoever saves it again has it sent to another one.
                    self.note(gateway, error)
                raise
            except NotEnoughServers:
                with self._lock:
                    until = time.monotonic() + AGAIN_SECONDS
                    self._crowded_until[gateway] = until
                raise

        def may_repeat() -> bool:
            return body.error is None and body.can_begin

        try:
            with self._turn() as turn:
                now = time.monotonic()
                order = sorted(
                    self._in_order(turn),
                    key=lambda each: self._crowded_until.get(each, 0.0) > now,
                )
                return self._ask(upload, order, may_repeat)
        except NotEnoughServers:
            if not may_repeat():
                raise
        # The servers may be in use by another upload, which ends.
        return first.upload(body, label=label)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[int]:
        """Yield which gateway is the first to get an upload, for as long as it takes.

        The one with the fewest under way, each in turn: a gateway that writes a large
        directory answers nobody meanwhile, and must not hold up those beside it.
        """
        with self._lock:
            self._uploads += 1
            count, under_way = len(self.all), self._under_way
            turn = min(
                ((self._uploads + number) % count for number in range(count)),
                key=lambda n: (self.all[n] in self._again, under_way[n]),
            )
            under_way[turn] += 1
        try:
            yield turn
        finally:
            with self._lock:
                under_way[turn] -= 1


def _worst(failures: Sequence[StoreError]) -> StoreError:
    """Return which of the errors of all gateways is raised.

    What one of them was told by its servers says more than that another is away.
    """
    for kinds in (_OF_THE_SERVERS, _AWAY):
        for failure in failures:
            if isinstance(failure, kinds):
                return failure
    return failures[0]
