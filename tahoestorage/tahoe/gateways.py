"""Several gateways of one grid: reads go on through the next, uploads to all in turn.

Directories are changed through the first alone, and so is all read that such a change
rests on: two gateways that write to one directory disturb each other.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tahoestorage import forks
from tahoestorage.exceptions import GatewayUnreachable
from tahoestorage.tahoe.bodies import Response
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Node
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody

T = TypeVar("T")
AGAIN_SECONDS = 30.0
"""For so long a gateway that could not be reached comes last; then one request tries
it."""


class Gateways:
    """The gateways of one grid, the first of which changes directories.

    Safe in threads and forks. The methods raise what those of ``Gateway`` do, and
    GatewayUnreachable only where no gateway can be reached.
    """

    def __init__(self, all_: Sequence[Gateway]) -> None:
        self.all = tuple(all_)
        """All of them, the first one first."""
        self._sources: weakref.WeakKeyDictionary[Response, Gateway]
        self._sources = weakref.WeakKeyDictionary()
        # When each that could not be reached is tried again.
        self._again: dict[Gateway, float] = {}
        self._uploads = 0
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Use a new lock: a thread of the parent may have held it, and is gone."""
        self._lock = threading.Lock()

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

    def _ask(
        self,
        ask: Callable[[Gateway], T],
        first: int = 0,
        *,
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> T:
        failures: list[GatewayUnreachable] = []
        for gateway in self._in_order(first):
            try:
                found = ask(gateway)
            except GatewayUnreachable as error:
                if not may_repeat():
                    raise
                failures.append(error)
                with self._lock:
                    self._again[gateway] = time.monotonic() + AGAIN_SECONDS
            else:
                with self._lock:
                    self._again.pop(gateway, None)
                return found
        raise failures[0]

    def list(
        self,
        cap: Cap,
        path: Sequence[str] = (),
        add: Callable[[Child], None] | None = None,
        *,
        label: str,
    ) -> Node:
        """Return what ``Gateway.list`` does, by the first one that can be reached."""
        # One that was reached is not unreachable in the middle: no child comes twice.
        return self._ask(lambda each: each.list(cap, path, add, label=label))

    def fetch(
        self, cap: Cap, first: int = 0, last: int | None = None, *, label: str
    ) -> Response:
        """Return what ``Gateway.fetch`` does, by the first one that can be reached."""

        def fetch(gateway: Gateway) -> Response:
            response = gateway.fetch(cap, first, last, label=label)
            with self._lock:
                self._sources[response] = gateway
            return response

        return self._ask(fetch)

    def blocks(self, response: Response, *, label: str) -> Iterator[bytes]:
        """Yield the body of what ``fetch`` returned, as ``Gateway.blocks`` does."""
        with self._lock:
            gateway = self._sources.get(response, self.all[0])
        return gateway.blocks(response, label=label)

    def upload(self, body: UploadBody, *, label: str) -> Cap:
        """Upload content as ``Gateway.upload`` does, by each gateway in turn.

        What can be sent only once goes to the first one.
        """
        if not body.repeatable or len(self.all) == 1:
            return self.all[0].upload(body, label=label)
        with self._lock:
            self._uploads += 1
            first = self._uploads % len(self.all)
        return self._ask(
            lambda each: each.upload(body, label=label),
            first,
            may_repeat=lambda: body.error is None,
        )
