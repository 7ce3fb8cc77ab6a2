"""Progress in a terminal."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from tahoestorage.progress import Bar, Progress, shown_on


class Terminal(io.StringIO):
    """One that shows nothing."""

    def isatty(self) -> bool:
        return True


class ClosedTerminal(Terminal):
    """One whose window was closed, under a process that was told to live on."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, "Input/output error")


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(shown_on(Terminal(), print)) is Bar
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert type(shown_on(Terminal(), print)) is Progress


def test_a_terminal_that_is_closed_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with Bar(ClosedTerminal()) as bar:
        bar._seconds = 0
        bar.tell("half of it")
        bar.say("something on the way")
    assert bar.text() == "half of it"
