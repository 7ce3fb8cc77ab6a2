"""Which storage servers a gateway is connected to now, asked once a second at most."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from tahoestorage import forks
from tahoestorage.exceptions import GatewayTimeout, StoreError
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.parsing import Server

SECONDS = 1.0
"""How long a list is believed."""


def now() -> float:
    """Return the time, in seconds, by which lists expire."""
    return time.monotonic()


@dataclass(slots=True)
class _Request:
    """A request for the list, whose response many may wait for."""

    sent: float
    done: threading.Event = field(default_factory=threading.Event)
    servers: tuple[Server, ...] | None = None
    error: StoreError | None = None
    is_doubted: bool = False


class ServerList:
    """The list that the gateway at one address shows; safe in threads and forks.

    One request is under way at a time, whoever wants the list: the others wait for it,
    and fail with it.
    """

    def __init__(self) -> None:
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Wait for nobody: a thread of the parent's, which may hold it, is gone."""
        self._lock = threading.Lock()
        self._last: _Request | None = None

    def doubt(self) -> None:
        """Believe no list that was asked for before now: something has failed."""
        with self._lock:
            if self._last is not None:
                self._last.is_doubted = True

    def look(self, gateway: Gateway) -> tuple[Server, ...] | None:
        """Return the servers, as they were a second ago at most, or are now.

        None where the gateway does not show them. Raises a StoreError where it can't
        be asked, GatewayTimeout where somebody else asks it for too long.
        """
        came = now()
        while True:
            mine = None
            with self._lock:
                last = self._last
                if last is None or (last.done.is_set() and not self._holds(last, came)):
                    last = mine = self._last = _Request(now())
                is_done = last.done.is_set()
            if mine is not None:
                return self._ask(gateway, mine)
            if not last.done.wait(gateway.longest):
                raise GatewayTimeout(
                    f"the gateway at {gateway.base_url} did not answer in time which "
                    "storage servers it is connected to; nothing was changed"
                )
            if last.error is not None and not is_done:
                raise type(last.error)(*last.error.args)
            if self._holds(last, came):
                return last.servers

    def _holds(self, request: _Request, came: float) -> bool:
        """Whether its response is new enough for somebody who came then."""
        if request.error is not None or request.is_doubted:
            return False
        return request.sent >= came or now() - request.sent <= SECONDS

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
    """Return the one list of the gateway at this address that a process has."""
    with _lists_lock:
        return _lists.setdefault(gateway.base_url, ServerList())
