"""What must not be under way while this process forks."""

from __future__ import annotations

import threading

WAIT_SECONDS = 1.0


class Gate:
    """Lets any number of threads in, and none while somebody forks.

    Not to be entered twice by one thread.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Be open, with nobody inside: in a child, whose other threads are gone."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside = 0
        self._forking = 0

    def __enter__(self) -> None:
        with self._lock:
            while self._forking:
                self._changed.wait()
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._forking:
                self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody in, and wait until all are out; for a second at most."""
        with self._changed:
            self._forking += 1
            self._changed.wait_for(lambda: self._inside <= 0, WAIT_SECONDS)

    def open(self) -> None:
        """Let them in again."""
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()
