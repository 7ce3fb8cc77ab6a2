"""The threads that make directories while a file is uploaded."""

from __future__ import annotations

import threading


def join_preparing() -> None:
    """Wait until those that outlive their save have ended."""
    for thread in threading.enumerate():
        if thread.name.startswith("preparing"):
            thread.join(60)
            assert not thread.is_alive()
