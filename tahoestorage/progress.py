"""The progress of a command, shown as lines or as a bar."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from tahoestorage.display import shown_bytes

LINE_SECONDS = 5.0


class Progress:
    """Shows progress as one line every ``seconds`` (5), by ``say``. Safe in threads.

    Each byte is read ``times`` times: twice where files are verified.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        *,
        times: int = 1,
        seconds: float | None = None,
    ) -> None:
        self._say = say
        self._times = times
        self._seconds = LINE_SECONDS if seconds is None else seconds
        self._lock = threading.Lock()
        self._told: str | None = None
        self._looked = self._files = self._all_files = 0
        self._bytes = self._handled = self._all_bytes = 0
        self._started = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Show nothing more."""

    def say(self, text: str) -> None:
        """Print another line in between."""
        self._say(text)

    def tell(self, text: str) -> None:
        """Note in a caller's own words how far it is; they are shown as the rest is."""
        self._told = text
        self._tick()

    def looked(self, count: int) -> None:
        """Note that so many names were looked at."""
        self._looked += count
        self._tick()

    def begin(self, files: int, size: int) -> None:
        """Begin to copy ``files`` files, of ``size`` bytes in all (0: unknown)."""
        self._all_files, self._all_bytes = files, size
        self._started = time.monotonic()

    def bytes(self, count: int) -> None:
        """Note that so many bytes were read."""
        with self._lock:
            self._bytes += count
            self._handled += count
        self._tick()

    def file(self, unmoved: int) -> None:
        """Note that a file is done, of which ``unmoved`` bytes were not read."""
        with self._lock:
            self._files += 1
            self._handled += unmoved
        self._tick()

    def _fraction(self) -> float:
        if not self._all_files:
            return 0.0
        files = self._files / self._all_files
        size = files
        if self._all_bytes:
            size = self._handled / self._times / self._all_bytes
        return min((files + size) / 2, 1.0)

    def text(self) -> str:
        """Return the progress in one line."""
        if self._told is not None:
            return self._told
        if not self._all_files:
            return f"{self._looked:,} names seen"
        passed = max(time.monotonic() - self._started, 0.001)
        parts = [f"{self._files:,} of {self._all_files:,} files"]
        if self._all_bytes:
            handled = min(self._handled / self._times, self._all_bytes)
            parts.append(f"{shown_bytes(handled)} of {shown_bytes(self._all_bytes)}")
        parts.append(f"{shown_bytes(self._bytes / passed)}/s")
        if fraction := self._fraction():
            parts.append(f"{_shown_seconds(passed / fraction - passed)} left")
        return ", ".join(parts)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._shown >= self._seconds and self._lock.acquire(blocking=False):
            self._shown = now
            self._lock.release()
            self._show()

    def _show(self) -> None:
        self._say(self.text())


class Bar(Progress):
    """A bar in a terminal, drawn by rich. A terminal that is gone ends nothing."""

    def __init__(self, stream: TextIO, *, times: int = 1) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(file=stream)
        text = TextColumn("{task.description}", markup=False)
        # Drawn by whichever thread has news: worker processes can be forked only while
        # there is one thread.
        self._rich = RichProgress(
            BarColumn(),
            text,
            console=self._console,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._rich.add_task("", total=None)
        super().__init__(self._print, times=times, seconds=0.1)

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._rich.start()
        return self

    def __exit__(self, *error: Any) -> None:
        with contextlib.suppress(OSError):
            self._rich.stop()

    def _show(self) -> None:
        total = 1.0 if self._all_files else None
        with contextlib.suppress(OSError):
            self._rich.update(
                self._task,
                description=self.text(),
                total=total,
                completed=self._fraction(),
                refresh=True,
            )


def shown_on(stream: Any, say: Callable[[str], None], *, times: int = 1) -> Progress:
    """Return a bar where ``stream`` is a terminal and rich is there, else lines."""
    if stream.isatty():
        with contextlib.suppress(ImportError):
            return Bar(stream, times=times)
    return Progress(say, times=times)


def _shown_seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
