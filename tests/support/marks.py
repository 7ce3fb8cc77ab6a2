"""Secrets that are looked for in all that is said and written, in whatever form."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import logging
import math
import pickle
import pprint
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from unittest import mock
from urllib.parse import quote

from django.views import debug
from django.views.debug import ExceptionReporter

from tahoestorage.tahoe.caps import Cap

TESTS = str(Path(__file__).parents[1])
# So many characters of a secret that stand together are a part of it.
PART = 12
# Bytes; no anchor has less.
START = 4
# The places of errors of which there was a page.
_SHOWN: set[object] = set()
# Django compiles the templates of its pages each time.
_template = functools.cache(debug.DEBUG_ENGINE.from_string)


def forms(secret: bytes) -> list[tuple[bytes, float]]:
    """Return a secret as somebody may have written it, and how much longer that is."""
    found = [(secret, 1.0), (secret.hex().encode(), 2.0)]
    for spelling in (b"%%%02x", b"\\x%02x", b"\\u%04x", b"&#%d;"):
        form = b"".join(spelling % byte for byte in secret)
        found.append((form, len(form) / len(secret)))
    for offset in range(3):
        form = base64.b64encode(bytes(offset) + secret)
        found.append((form[4:-4], 4 / 3))
    return found


def starts_in(text: bytes, starts: Iterable[bytes]) -> set[bytes]:
    """Return which of these, START bytes each, are in a text.

    Of thousands in megabytes, each by itself would take seconds. So all places of the
    text are gone through once, as numbers of so many bytes.
    """
    numbers = {int.from_bytes(start, sys.byteorder): start for start in starts}
    found: set[int] = set()
    for offset in range(START):
        end = len(text) - (len(text) - offset) % START
        view = memoryview(text)[offset:end].cast("I")
        found |= numbers.keys() & view
    return {numbers[number] for number in found}


class Marks:
    """The secrets of a test."""

    def __init__(self) -> None:
        # For each form: parts of half the length, one of which is in every part.
        self._anchors: dict[bytes, set[tuple[str, bytes, int]]] = {}

    def add(self, name: str, secret: str | bytes, part: int = PART) -> None:
        """Look for a secret from now on: for ``part`` bytes of it, in a row."""
        secret = secret.encode() if isinstance(secret, str) else secret
        for form, each in forms(secret):
            length = math.ceil(part * each)
            half = (length + 1) // 2
            for spelled in {form, form.upper()}:
                for start in range(0, len(spelled) - half + 1, half):
                    anchor = spelled[start : start + half]
                    known = self._anchors.setdefault(anchor, set())
                    known.add((name, spelled, length))

    def add_cap(self, name: str, *caps: Cap) -> None:
        """Look for the first key of each cap: it writes, or reads."""
        for cap in caps:
            key = cap.uri.split(":")[2]
            self.add(name, key)
            self.add(name, base64.b32decode(key.upper() + "=" * (-len(key) % 8)), 8)

    def in_(self, text: str | bytes) -> set[str]:
        """Return the names of the secrets of which a part is in a text."""
        if isinstance(text, str):
            text = text.encode("utf-8", "backslashreplace")
        found = set()
        begun = starts_in(text, {anchor[:START] for anchor in self._anchors})
        for anchor, forms in self._anchors.items():
            if anchor[:START] in begun and anchor in text:
                for name, form, length in forms:
                    starts = range(len(form) - length + 1)
                    if any(form[i : i + length] in text for i in starts):
                        found.add(name)
                        where = text.index(anchor)
                        start = max(text.rfind(b"\n", 0, where), where - 300)
                        # For whoever looks why a test fails; the grid is gone by then.
                        print(name, text[start : where + 100])
        return found


class SeenRecords(logging.Handler):
    """All that anybody was shown: to be searched at the end."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: set[bytes] = set()
        self.errors: list[BaseException] = []
        self._settings: set[tuple[str, str]] = set()

    def add(self, *texts: object) -> None:
        """Note what was shown, and how it would be in a shell."""
        for each in texts:
            # A text that hides what it is must be hidden where its value is shown.
            spoken = [repr(each)]
            if type(each) is not str:  # Of which it would only break the lines.
                spoken.append(pprint.pformat(each))
            if not isinstance(each, str) or type(each) is str:
                spoken.append(str(each))
            for text in spoken:
                self.add_bytes(text.encode("utf-8", "backslashreplace"))

    def add_bytes(self, content: bytes) -> None:
        """Note what was written."""
        self.lines.update(content.split(b"\n"))

    def emit(self, record: logging.LogRecord) -> None:
        self.add(self.format(record))
        if record.exc_info and record.exc_info[1] is not None:
            self.add_error(record.exc_info[1])

    def add_error(self, error: BaseException) -> None:
        """Note an error, what led to it, all variables, and Django's pages of it."""
        self.errors.append(error)
        pending: list[BaseException | None] = [error]
        seen: set[int] = set()
        while pending:
            each = pending.pop()
            if each is not None and id(each) not in seen:
                seen.add(id(each))
                pending += [each.__cause__, each.__context__]
                self.add(str(each), repr(each), each.args, vars(each))
                self._add_variables(each.__traceback__)
        with contextlib.suppress(Exception):
            self.add_bytes(pickle.dumps(error))
        # A page takes long; one of each error from each place tells it all.
        place = tuple(
            (frame.f_code, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
        )
        if place not in _SHOWN:
            _SHOWN.add(place)
            reporter = ExceptionReporter(None, type(error), error, error.__traceback__)
            # Both pages tell the same; and of the settings, what no other page told.
            told = reporter.get_traceback_data()
            told["settings"] = self._new_settings(told["settings"])
            reporter.get_traceback_data = lambda: told  # type: ignore[method-assign]
            self.add(reporter.get_traceback_html(), reporter.get_traceback_text())

    def _new_settings(self, settings: dict[str, object]) -> dict[str, object]:
        named = {(name, repr(value)): value for name, value in settings.items()}
        new = {each[0]: named[each] for each in named.keys() - self._settings}
        self._settings |= named.keys()
        return new

    def _add_variables(self, start: TracebackType | None) -> None:
        for frame, _ in traceback.walk_tb(start):
            # Those of the tests do know the secrets.
            if not frame.f_code.co_filename.startswith(TESTS):
                for value in list(frame.f_locals.values()):
                    self.add(value)

    def add_files(self, directory: Path) -> None:
        """Note the names and contents of all files there are."""
        for path in directory.rglob("*"):
            self.add(str(path))
            if path.is_file():
                self.add_bytes(path.read_bytes())

    def attempt(self, action: Callable[..., object], *arguments: object) -> object:
        """Do something, and note how it fails, if it does."""
        out, err = io.StringIO(), io.StringIO()
        result: object = None
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                result = action(*arguments)
        except Exception as error:
            self.add_error(error)
        self.add(out.getvalue(), err.getvalue())
        return result

    @property
    def text(self) -> bytes:
        """All of it, each line once."""
        return b"\n".join(self.lines)


@contextlib.contextmanager
def everything_seen() -> Iterator[SeenRecords]:
    """Note what every logger says, down to DEBUG."""
    seen = SeenRecords()
    named = logging.root.manager.loggerDict.values()
    loggers = [each for each in named if isinstance(each, logging.Logger)]
    # The templates of Django's pages log each variable that they do without.
    loggers.remove(logging.getLogger("django.template"))
    levels = [(each, each.level) for each in (logging.root, *loggers)]
    silent = [each for each in loggers if not each.propagate]
    for each in (logging.root, *silent):
        each.addHandler(seen)
    for each, _ in levels:
        each.setLevel(logging.DEBUG)
    logging.getLogger("django.template").setLevel(logging.INFO)
    try:
        with mock.patch.object(debug.DEBUG_ENGINE, "from_string", _template):
            yield seen
    finally:
        for each in (logging.root, *silent):
            each.removeHandler(seen)
        for each, level in levels:
            each.setLevel(level)


def command_lines() -> set[str]:
    """Return what every user of the machine can see of the processes there are."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.add(path.read_bytes().replace(b"\0", b" ").decode("latin-1"))
    return found


def quoted(text: str) -> str:
    return quote(text, safe="")
