"""Uploads in parts that nobody completed or gave up: their parts are paid for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from tahoestorage.backends.s3.storage import S3Storage
from tahoestorage.exceptions import FileMissing


class Unfinished(NamedTuple):
    """An upload in parts that was begun: of which name, by which id, and when."""

    name: str
    upload: str
    begun: datetime


def unfinished(storage: S3Storage) -> Iterator[Unfinished]:
    """Yield the uploads that were begun below a storage's location.

    A thousand a request. Raises StoreError where the store can't be asked.
    """
    label, base = "a listing of unfinished uploads", storage.key_prefix
    paginator: Any = storage.client.get_paginator("list_multipart_uploads")
    pages = iter(paginator.paginate(Bucket=storage.bucket_name, Prefix=base))
    while page := storage.call(label, next, pages, None):
        for each in page.get("Uploads", ()):
            # Some look at the prefix only where it is one of folders.
            if each["Key"].startswith(base):
                name = each["Key"][len(base) :]
                yield Unfinished(name, each["UploadId"], each["Initiated"])


def abort(storage: S3Storage, upload: Unfinished) -> None:
    """Give an upload up, and its parts; one that has ended by now is left alone."""
    with contextlib.suppress(FileMissing):
        storage.call(
            upload.name,
            storage.client.abort_multipart_upload,
            **storage.address(storage.key_prefix + upload.name),
            UploadId=upload.upload,
        )
