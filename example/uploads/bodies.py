"""The body of a request, of which one part after another reads what is its own."""

from __future__ import annotations

import contextlib
from typing import Any

from django.http.request import UnreadablePostError

from objects.pace import TooSlow


class RequestBody:
    """``length`` bytes that are read once; each of ``hashes`` is told of all of them.

    ``is_at_end`` once no more is to be had: it was read, or it broke off.
    """

    def __init__(self, stream: Any, length: int, *hashes: Any) -> None:
        self.left = length
        self.is_at_end = not length
        self._stream, self._hashes = stream, hashes

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        data, wanted = b"", min(size, self.left)
        if not self.is_at_end:
            # What came until it broke off is kept.
            with contextlib.suppress(UnreadablePostError, TooSlow):
                data = self._stream.read(wanted)
            for each in self._hashes:
                each.update(data)
        self.left -= len(data)
        if len(data) < wanted or not self.left:
            self.is_at_end = True
        return data
