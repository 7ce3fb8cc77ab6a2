"""Which storage servers a gateway is connected to, asked at most once a second."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tahoestorage import forks
from tahoestorage.exceptions import GatewayTimeout, StoreError
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.parsing import Server

SECONDS = 1.0
"""How old, in seconds, a list may be that is used."""


def monotonic_now() -> float:
    """Return the time, in seconds, by which the age of lists is measured."""
    return time.monotonic()


@dataclass(slots=True)
class _Request:
    """A request for the list; many threads may wait for its response."""

    sent: float
    done: threading.Event = field(default_factory=threading.Event)
    servers: tuple[Server, ...] | None = None
    error: StoreError | None = None
    is_invalidated: bool = False


class ServerList:
    """The servers that the gateway at one address lists; safe in threads and forks.

    At most one request is under way. Other threads that need the list wait for it, and
    get its error if it fails.
    """

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Begin anew: a thread of the parent may have held the lock, and is gone."""
        self._lock = threading.Lock()
        self._last: _Request | None = None

    def invalidate(self) -> None:
        """Use no list that was asked for before now: a request has failed."""
        with self._lock:
            if self._last is not None:
                self._last.is_invalidated = True

    def look(
        self, gateway: Gateway, *, since: float | None = None
    ) -> tuple[Server, ...] | None:
        """Return the servers, at most ``SECONDS`` old, or as they are after ``since``.

        At most one request. None where the gateway does not show its servers. Raises a
        StoreError where the request fails, GatewayTimeout where that of another thread
        takes longer than ``gateway.request_seconds``.
        """
        came = monotonic_now()
        while True:
            mine = None
            with self._lock:
                last = self._last
                if last is None or (
                    last.done.is_set() and not self._holds(last, came, since)
                ):
                    last = mine = self._last = _Request(monotonic_now())
                is_done = last.done.is_set()
            if mine is not None:
                return self._ask(gateway, mine)
            if not last.done.wait(gateway.request_seconds):
                raise GatewayTimeout(
                    f"the gateway at {gateway.base_url} did not say in time which "
                    "storage servers it is connected to; nothing was changed"
                )
            if last.error is not None and not is_done:
                raise type(last.error)(*last.error.args)
            if self._holds(last, came, since):
                return last.servers

    def _holds(self, request: _Request, came: float, since: float | None) -> bool:
        """Whether the response is new enough for a caller who came at ``came``."""
        if request.error is not None or request.is_invalidated:
            return False
        if since is not None:
            return request.sent >= since
        return request.sent >= came or monotonic_now() - request.sent <= SECONDS

    def _ask(self, gateway: Gateway, request: _Request) -> tuple[Server, ...] | None:
        try:
            request.servers = gateway.servers()
        except StoreError as error:
            request.error = error
            raise
        except BaseException:
            request.error = GatewayTimeout(
                f"the gateway at {gateway.base_url} was not asked to the end which "
                "storage servers it is connected to; nothing was changed"
            )
            raise
        finally:
            request.done.set()
        return request.servers


_lists: dict[str, ServerList] = {}
_lists_lock = forks.Lock()


def server_list(gateway: Gateway) -> ServerList:
    """Return the one list in this process for the gateway's address."""
    with _lists_lock:
        return _lists.setdefault(gateway.base_url, ServerList())
