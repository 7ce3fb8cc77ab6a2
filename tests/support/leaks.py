"""Whether caps can be seen where they must not be: in errors, tracebacks and logs."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from tahoestorage.tahoe.caps import Cap

TESTS = str(Path(__file__).parents[1])
A_CAP = re.compile(r"URI(:|%(25)*3A)[A-Z0-9-]+(:|%(25)*3A)[a-z2-7]{8}", re.IGNORECASE)


def assert_no_cap(text: str, *caps: Cap) -> None:
    """See that no cap is in the text, and no key of those given."""
    found = A_CAP.search(text)
    assert found is None, f"{text[: found.start()]}URI:..."
    for cap in caps:
        for part in (cap.uri, quote(cap.uri, safe=""), *cap.uri.split(":")):
            assert len(part) < 20 or part not in text


def assert_hides_caps(error: BaseException, *caps: Cap) -> None:
    """See that an error shows no cap, nor any error that led to it.

    Neither in what it says nor in the variables of our frames and the libraries'. The
    frames of the tests do know caps.
    """
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        pending += [each.__cause__, each.__context__]
        assert_no_cap(f"{each} {each!r} {each.args!r} {vars(each)!r}", *caps)
        trace = traceback.TracebackException.from_exception(each, capture_locals=True)
        for frame in trace.stack:
            if not frame.filename.startswith(TESTS):
                for name, value in (frame.locals or {}).items():
                    assert_no_cap(f"{frame.name}: {name} = {value}", *caps)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name}: {self.format(record)}")


@contextlib.contextmanager
def everything_logged() -> Iterator[list[str]]:
    """Collect what every logger says, down to DEBUG, and see that it holds no cap."""
    handler = _Lines()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    for line in handler.lines:
        assert_no_cap(line)
