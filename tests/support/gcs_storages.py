"""Storages on Google Cloud Storage for tests, of one bucket and one cache each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.files.base import ContentFile, File
from google.auth.compute_engine import Credentials as MetadataCredentials

from tahoestorage.backends.gcs import GCSStorage
from tests.support.gcs_servers import SentToGCS

Make = Callable[..., GCSStorage]
PIECE = 1 << 18


def save(storage: GCSStorage, name: str, content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: GCSStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def metadata_in(sent: SentToGCS) -> Any:
    """Return the properties of an object that an upload sends."""
    found = re.search(rb"{.*}", sent.body)
    assert found is not None
    return json.loads(found[0])


def headers_of(url: str) -> dict[str, str]:
    return {"host": urlsplit(url).netloc}


def asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class Once(File):  # type: ignore[type-arg]
    """A file that can be read only once, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(None, "once")
        self.pieces = iter(pieces)

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield from self.pieces


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that are shown with it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def of_cloud_run() -> Any:
    """Return credentials whose tokens come from the metadata server."""
    return MetadataCredentials()
