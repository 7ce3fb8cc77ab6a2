"""Whether a gateway is of the same grid as the first one, before it gets uploads.

What is uploaded through a gateway of another grid can be linked, and never read. While
the first one is away, the servers count that are on record with the root directory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable

from tahoestorage import forks
from tahoestorage.exceptions import (
    FileMissing,
    GatewayTimeout,
    GatewayUnreachable,
    NotEnoughShares,
    StoreError,
    TahoeStorageError,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.parsing import Server
from tahoestorage.tahoe.serverfacts import Facts
from tahoestorage.tahoe.serverlist import server_list

logger = logging.getLogger("tahoestorage.gateway")

LOOK_AGAIN_SECONDS = 30.0
"""For so long a gateway that was refused is not looked at again."""


def objection(gateway: Gateway, root: Cap, known: Collection[str] | None) -> str | None:
    """Return what tells against uploads through a gateway; None where nothing does.

    It must read the directory ``root``, and be connected to no servers but those whose
    ids the first gateway lists, ``known``. Where either shows no servers, the root must
    do. Two requests. Raises GatewayUnreachable and GatewayTimeout.
    """
    try:
        # All of a large directory need not be sent. That there is no such child, or no
        # marker, is read in the directory, too.
        gateway.read_link(root.read_only, marker.NAME, label="the root directory")
    except FileMissing:
        pass
    except NotEnoughShares:
        return "the root directory can't be read through it"
    except (GatewayUnreachable, GatewayTimeout):
        raise
    except TahoeStorageError as error:
        return str(error)
    try:
        servers = server_list(gateway).look(gateway)
    except (GatewayUnreachable, GatewayTimeout):
        raise
    except TahoeStorageError as error:
        return str(error)
    if servers is None or known is None:
        return None
    others = sum(server.connected and server.id not in known for server in servers)
    if not others:
        return None
    return (
        f"it is connected to {others} storage servers that the first gateway does not "
        "list, or lists by other names"
    )


def _on_record(gateway: Gateway, root: Cap) -> Collection[str]:
    try:
        return Facts.parse(marker.read_facts(gateway, root)).servers
    except (GatewayUnreachable, GatewayTimeout):
        raise
    except TahoeStorageError:
        return ()


def ids_of(servers: Iterable[Server] | None) -> set[str] | None:
    """Return the ids of servers; None where they are not shown."""
    return None if servers is None else {server.id for server in servers}


class GridProofs:
    """Which gateways were shown to be of the grid of a root. Safe in threads and forks.

    Each is looked at once, before its first upload; one that is refused is looked at
    again after ``LOOK_AGAIN_SECONDS``, and a warning of it is logged once.
    """

    def __init__(self) -> None:
        self._proven: set[tuple[str, bytes]] = set()
        self._refused_until: dict[tuple[str, bytes], float] = {}
        self._warned: set[str] = set()
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Use a new lock: a thread of the parent may have held it, and is gone."""
        self._lock = threading.Lock()
        self._looked_at: dict[tuple[str, bytes], threading.Event] = {}

    def allow(
        self, gateway: Gateway, first: Gateway, root: Cap, *, wait: bool = False
    ) -> bool:
        """Whether ``gateway`` may get uploads that are linked below ``root``.

        False, too, while another thread looks, unless it is to ``wait`` for that.
        Raises GatewayUnreachable and GatewayTimeout where ``gateway`` does not respond.
        """
        key = gateway.base_url, root.storage_index
        with self._lock:
            if key in self._proven:
                return True
            if self._refused_until.get(key, 0.0) > time.monotonic():
                return False
            others = self._looked_at.get(key)
            if others is None:
                mine = self._looked_at[key] = threading.Event()
        if others is not None:
            if wait:
                others.wait(gateway.request_seconds)
            return key in self._proven
        try:
            return self._look(key, gateway, first, root)
        finally:
            with self._lock:
                self._looked_at.pop(key, None)
            mine.set()

    def _look(
        self, key: tuple[str, bytes], gateway: Gateway, first: Gateway, root: Cap
    ) -> bool:
        known: Collection[str] | None
        try:
            known = ids_of(server_list(first).look(first))
        except (GatewayUnreachable, GatewayTimeout):
            # Those that any gateway of the site ever had.
            known = _on_record(gateway, root)
            if not known:
                return False
        except StoreError:
            return False
        found = objection(gateway, root, known)
        with self._lock:
            if found is None:
                self._proven.add(key)
                return True
            self._refused_until[key] = time.monotonic() + LOOK_AGAIN_SECONDS
            is_new = gateway.base_url not in self._warned
            self._warned.add(gateway.base_url)
        if is_new:
            logger.warning(
                "The gateway at %s gets no uploads, for it may be of another grid than "
                "the one at %s: %s. Correct the addresses, or its servers; "
                "`manage.py check --deploy` looks",
                gateway.base_url,
                first.base_url,
                found,
            )
        return False
