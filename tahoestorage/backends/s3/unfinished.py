"""Multipart uploads that were neither completed nor aborted: S3 bills their parts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from tahoestorage.backends.s3.storage import S3Storage
from tahoestorage.backends.s3.uploads import of_each_request
from tahoestorage.exceptions import FileMissing, UploadEnded


class Unfinished(NamedTuple):
    """A multipart upload: ``name``, the ``upload`` id, and when it was ``begun``."""

    name: str
    upload: str
    begun: datetime


def unfinished(storage: S3Storage) -> Iterator[Unfinished]:
    """Yield the unfinished uploads below a storage's location.

    1,000 a request. Raises StoreError where the store can't be asked.
    """
    label, base = "a listing of unfinished uploads", storage.key_prefix
    paginator: Any = storage.client.get_paginator("list_multipart_uploads")
    asked = of_each_request(storage.get_object_parameters(base))
    pages = iter(paginator.paginate(Bucket=storage.bucket_name, Prefix=base, **asked))
    while page := storage.call(label, next, pages, None):
        for each in page.get("Uploads", ()):
            # Some look at the prefix only where it is one of folders.
            if each["Key"].startswith(base):
                name = each["Key"][len(base) :]
                yield Unfinished(name, each["UploadId"], each["Initiated"])


def abort(storage: S3Storage, upload: Unfinished) -> None:
    """Abort an upload and delete its parts. It is no error if it has ended by now."""
    with contextlib.suppress(UploadEnded, FileMissing):
        storage.call(
            upload.name,
            storage.client.abort_multipart_upload,
            **storage.whole_address(storage.key_prefix + upload.name),
            UploadId=upload.upload,
        )
