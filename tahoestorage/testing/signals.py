"""Signals that wait while a process is started, which would be lost otherwise."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Call the handlers of Ctrl-C and its like after the block, not within it.

    A handler that raises, as that of KeyboardInterrupt does, would end `Popen` when the
    process is there already, and nobody knows of it yet, to end it.
    """
    # Handlers are called in the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    # What is ignored, or ends this process at once, stays so: a child inherits that.
    handlers = {n: h for n in ENDING if callable(h := signal.getsignal(n))}
    try:
        for number in handlers:
            signal.signal(number, note)
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        for one in came:
            signal.raise_signal(one)
