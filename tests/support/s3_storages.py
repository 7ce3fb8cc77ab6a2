"""Storages on S3 for tests, each with a bucket and a cache of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile

from tahoestorage.backends.s3 import S3Storage
from tests.support.s3_servers import S3Server

MakeS3 = Callable[..., S3Storage]


def storages_of(server: S3Server, tmp_path: Path, *, untried: bool = False) -> MakeS3:
    """Return what makes storages of one new bucket there, with one cache.

    Where a test looks at trials of conditions, it is to be ``untried``.
    """
    bucket = server.make_bucket(untried=untried)
    cache = {"directory": str(tmp_path / "cache")}

    def make(kind: type[S3Storage] = S3Storage, **options: Any) -> S3Storage:
        usual = {**server.options, "bucket_name": bucket, "cache": cache}
        return kind(**{**usual, **options})

    return make


def save(storage: S3Storage, name: str, content: bytes | str = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: S3Storage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def keys(storage: S3Storage) -> list[str]:
    """The keys of all objects in the bucket, as the server has them."""
    client = storage.connection.meta.client
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=storage.bucket_name)
    return [each["Key"] for page in pages for each in page.get("Contents", ())]


def unfinished(storage: S3Storage) -> list[Any]:
    """The multipart uploads that were begun, and neither completed nor aborted."""
    client = storage.connection.meta.client
    response = client.list_multipart_uploads(Bucket=storage.bucket_name)
    return list(response.get("Uploads", ()))


def head(storage: S3Storage, key: str) -> Any:
    """What the server says of an object."""
    client = storage.connection.meta.client
    return client.head_object(Bucket=storage.bucket_name, Key=key)
