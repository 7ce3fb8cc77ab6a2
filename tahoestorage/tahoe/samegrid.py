"""Whether a gateway is of the same grid as the first one, before it gets uploads.

What is uploaded through a gateway of another grid can be linked, and never read.
"""

from __future__ import annotations

import logging
import threading
import time

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
from tahoestorage.tahoe.serverlist import server_list

logger = logging.getLogger("tahoestorage.gateway")

LOOK_AGAIN_SECONDS = 30.0
"""For so long a gateway that was refused is not looked at again."""


def objection(
    gateway: Gateway, root: Cap, known: tuple[Server, ...] | None
) -> str | None:
    """Return what tells against uploads through a gateway; None where nothing does.

    It must read the directory ``root``, and be connected to no servers but those that
    the first gateway lists, ``known``. Where either shows no servers, the root must do.
    Two requests. Raises GatewayUnreachable and GatewayTimeout.
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
    ids = {server.id for server in known}
    others = sum(server.connected and server.id not in ids for server in servers)
    if not others:
        return None
    return (
        f"it is connected to {others} storage servers that the first gateway does not "
        "list, or lists by other names"
    )


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
        self._looked_at: set[tuple[str, bytes]] = set()

    def allow(self, gateway: Gateway, first: Gateway, root: Cap) -> bool:
        """Whether ``gateway`` may get uploads that ``first`` links below ``root``.

        False, too, while another thread looks. Raises GatewayUnreachable and
        GatewayTimeout where ``gateway`` does not respond.
        """
        key = gateway.base_url, root.storage_index
        with self._lock:
            if key in self._proven:
                return True
            is_refused = self._refused_until.get(key, 0.0) > time.monotonic()
            if is_refused or key in self._looked_at:
                return False
            self._looked_at.add(key)
        try:
            return self._look(key, gateway, first, root)
        finally:
            with self._lock:
                self._looked_at.discard(key)

    def _look(
        self, key: tuple[str, bytes], gateway: Gateway, first: Gateway, root: Cap
    ) -> bool:
        try:
            known = server_list(first).look(first)
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
