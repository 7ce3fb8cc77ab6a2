"""Whether a store honours ``ifGenerationMatch``, by which it refuses to overwrite.

Google's own servers do. Emulators ignore it in some kinds of requests, each emulator in
others, and overwrite files then. So each kind is tried before it is relied on.
"""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from urllib.parse import urlsplit

from tahoestorage.backends.gcs.clients import CALL, LONG
from tahoestorage.exceptions import FileMissing, NameTaken, StoreError

Operation = Literal[
    "upload", "resumable upload", "signed upload", "rewrite", "compose", "delete"
]
OF_FILES: tuple[Operation, ...] = ("upload", "resumable upload", "rewrite", "delete")
"""The operations that saves, copies and moves rely on."""
# A server may look first and write later, so as many are sent at once.
AT_ONCE = 8
# The shortest piece that the protocol knows.
PIECE = 1 << 18


def is_google_s_own(client: Any) -> bool:
    """Return whether a client's endpoint is one of Google's own."""
    host = urlsplit(client.api_endpoint).hostname or ""
    domains = "googleapis.com", client.universe_domain
    return any(f".{host}".endswith(f".{domain}") for domain in domains)


class GCSTrial:
    """A trial: writes objects by keys of its own, and deletes them again."""

    def __init__(
        self,
        ask: Callable[..., Any],
        bucket: Any,
        key: str,
        parameters: Mapping[str, Any],
        put: Callable[[], None],
    ) -> None:
        """Prepare a trial whose keys begin with ``key``.

        ``ask`` calls what it is given, and raises errors of this package.
        ``parameters`` are those of an upload. ``put`` uploads ``key`` by a signed URL.
        """
        self._ask = ask
        self._bucket = bucket
        self._key = key
        self._parameters = {**parameters, **LONG}
        self._put = put

    def refuses(self, operation: Operation) -> bool:
        """Return whether the store refuses an operation whose condition fails."""
        with self._cleaning_up():
            if operation == "upload":
                return self._is_done_once(self._upload)
            if operation == "resumable upload":
                return self._is_done_once(self._upload_in_pieces)
            if operation == "signed upload":
                return self._is_done_once(lambda key: self._ask(self._put))
            source = self._upload(self._key, None)
            if operation == "rewrite":
                rewrite = functools.partial(self._rewrite, source)
                return self._is_done_once(rewrite, f"{self._key}-copy")
            if operation == "compose":
                compose = functools.partial(self._compose, source)
                return self._is_done_once(compose, f"{self._key}-copy")
            # Of another generation than it is.
            return _is_refused(lambda: self._delete(source.generation + 1))

    def _upload(self, key: str, generation: int | None = 0) -> Any:
        return self._send(self._bucket.blob(key), generation, size=1)

    def _upload_in_pieces(self, key: str) -> Any:
        # What is of unknown length goes in pieces.
        return self._send(self._bucket.blob(key, chunk_size=PIECE), 0, size=None)

    def _send(self, blob: Any, generation: int | None, *, size: int | None) -> Any:
        options = {"if_generation_match": generation, **self._parameters}
        self._ask(blob.upload_from_file, io.BytesIO(b"x"), size=size, **options)
        return blob

    def _rewrite(self, source: Any, key: str) -> None:
        copy = self._bucket.blob(key)
        self._ask(copy.rewrite, source, if_generation_match=0, **LONG)

    def _compose(self, source: Any, key: str) -> None:
        made = self._bucket.blob(key)
        made.content_type = "application/octet-stream"
        self._ask(made.compose, [source], if_generation_match=0, **LONG)

    def _delete(self, generation: int) -> None:
        delete = self._bucket.blob(self._key).delete
        self._ask(delete, if_generation_match=generation, **CALL)

    def _is_done_once(
        self, create: Callable[[str], object], key: str | None = None
    ) -> bool:
        """Return whether of several requests at once one creates an object, then none.

        Also that one may be refused: if its response was lost and it was sent again.
        """
        create_it = functools.partial(create, key or self._key)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            refused = list(pool.map(_is_refused, [create_it] * AT_ONCE))
        if refused.count(False) > 1 or not _is_refused(create_it):
            return False
        return bool(self._ask(self._bucket.blob(key or self._key).exists, **CALL))

    @contextlib.contextmanager
    def _cleaning_up(self) -> Iterator[None]:
        try:
            yield
        finally:
            # With their generations, so that a bucket with versions keeps none.
            every = {"prefix": self._key, "versions": True, **CALL}
            pages = self._bucket.client.list_blobs(self._bucket, **every)
            with contextlib.suppress(StoreError):
                for blob in self._ask(list, pages):
                    with contextlib.suppress(FileMissing):
                        self._ask(blob.delete, **CALL)


def _is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except NameTaken:
        return True
    return False
