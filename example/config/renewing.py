"""Leases that are renewed for as long as their holder works."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def renewed(renew: Callable[[], object], seconds: float, label: str) -> Iterator[None]:
    """Call ``renew`` every ``seconds`` while the block works, whatever that waits for.

    A thread does it, with a connection of its own to the database, and ends early once
    ``renew`` returns False. Where the database fails, a line in the log has ``label``,
    and it is called again: a lease is good for some time yet.
    """
    is_done = threading.Event()
    thread = threading.Thread(
        target=_go_on, args=(renew, seconds, label, is_done), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


def _go_on(
    renew: Callable[[], object], seconds: float, label: str, is_done: threading.Event
) -> None:
    try:
        while not is_done.wait(seconds):
            try:
                if renew() is False:
                    return
            except (Error, ImproperlyConfigured) as error:
                logger.warning("%s: the lease was not renewed: %s", label, error)
                connection.close()
    finally:
        connection.close()
