"""The body of an upload: the content of a file, in chunks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from tahoestorage.tahoe.caps import LITERAL_LIMIT

SMALL = 1 << 20
"""A gateway keeps a body of fewer bytes in memory if its length is told beforehand, and
makes a file on its disk for any other."""


class UploadBody:
    """The content of one upload, as chunks of bytes; text is encoded as UTF-8.

    ``backends/content.py`` makes one of what Django gives to a storage.

    ``chunks`` returns the content from its start each time it is called.
    ``repeatable`` is False where that works only once: the upload is then not retried,
    but with ``keep_start`` until more than the start was read.
    """

    def __init__(
        self, chunks: Callable[[], Iterable[bytes | str]], *, repeatable: bool
    ) -> None:
        self._chunks = chunks
        self._begun: Iterator[bytes] | None = None
        self._start: list[bytes] | None = None
        self.repeatable = repeatable
        self.error: BaseException | None = None
        """What reading the content raised; the HTTP client hides it behind its own."""

    def literal(self) -> bytes | None:
        """Return all of the content if it fits into a literal cap, else None.

        At most ``LITERAL_LIMIT`` bytes. What was read is kept for ``begin``.
        """
        start, rest = b"", self._read()
        for chunk in rest:
            start += chunk
            if len(start) > LITERAL_LIMIT:
                self._begun = itertools.chain([start], rest)
                return None
        return start

    def keep_start(self) -> None:
        """Read the start, of ``SMALL`` bytes at most and one chunk, and keep it.

        As long as nothing else was read, the content can be begun again.
        """
        rest, start, size = self.begin(), list[bytes](), 0
        for chunk in rest:
            start.append(chunk)
            size += len(chunk)
            if size >= SMALL:
                break
        self._start, self._begun = start, rest

    @property
    def can_begin(self) -> bool:
        """Whether the content can be begun, or begun again."""
        return self.repeatable or self._start is not None

    def _go_on(self, start: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
        yield from start
        for chunk in rest:
            self._start = None
            yield chunk

    def begin(self) -> Iterator[bytes]:
        """Return the chunks from the start, none of them empty."""
        if self._start is not None and self._begun is not None:
            return self._go_on(self._start, self._begun)
        begun, self._begun = self._begun, None
        return self._read() if begun is None else begun

    def _read(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks():
                if chunk:
                    yield chunk.encode() if isinstance(chunk, str) else bytes(chunk)
        except GeneratorExit:
            raise
        except BaseException as error:
            self.error = error
            raise


def whole_if_small(chunks: Iterator[bytes]) -> bytes | Iterator[bytes]:
    """Return all of a content of fewer than ``SMALL`` bytes, of another its chunks."""
    found: list[bytes] = []
    size = 0
    for chunk in chunks:
        found.append(chunk)
        size += len(chunk)
        if size >= SMALL:
            return itertools.chain(found, chunks)
    return b"".join(found)
