"""The content of files on its way to the grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from tahoestorage.tahoe.caps import LITERAL_LIMIT


class UploadBody:
    """Content, sent chunk by chunk; text is sent as UTF-8.

    ``chunks`` begins the content anew each time it is called. Where it can't do so a
    second time, ``repeatable`` is False.
    """

    def __init__(
        self, chunks: Callable[[], Iterable[bytes | str]], *, repeatable: bool
    ) -> None:
        self._chunks = chunks
        self._begun: Iterator[bytes] | None = None
        self.repeatable = repeatable
        self.error: BaseException | None = None
        """What reading the content raised; the HTTP client makes another of it."""

    def literal(self) -> bytes | None:
        """Return all of the content where it is short enough to be its own cap."""
        start, rest = b"", self._read()
        for chunk in rest:
            start += chunk
            if len(start) > LITERAL_LIMIT:
                self._begun = itertools.chain([start], rest)
                return None
        return start

    def begin(self) -> Iterator[bytes]:
        """Return the content from its start."""
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
