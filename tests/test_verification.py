"""Whether a store holds what it was sent: what it tells, and what it costs to ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.storage import TahoeStorage
from tahoestorage.verification import ContentDigest
from tests.conftest import requests_sent
from tests.support.gcs_servers import GCS


def digest_of(storage: Storage, content: bytes) -> ContentDigest:
    digest = ContentDigest(storage, len(content))
    digest.update(content)
    return digest


def test_google_tells_its_crc32c(gcs: GCS) -> None:
    storage = GCSStorage(bucket_name=gcs.make_bucket(), cache=False, **gcs.options)
    name = storage.save("a.bin", ContentFile(b"content"))

    assert storage.stored_checksums(name).keys() >= {"crc32c"}
    assert digest_of(storage, b"content").is_stored(name)
    assert not digest_of(storage, b"c0ntent").is_stored(name)
    assert not digest_of(storage, b"content").is_stored("nothing")


@pytest.mark.parametrize("size", [0, 7, 300_000])
def test_google_tells_it_in_the_response_to_a_save(gcs: GCS, size: int) -> None:
    storage = GCSStorage(bucket_name=gcs.make_bucket(), cache=False, **gcs.options)
    content = os.urandom(size)
    digest, other = digest_of(storage, content), digest_of(storage, b"x" * size + b"y")

    with digest.sending():
        name = storage.save("a.bin", ContentFile(content))

    # Asked, the store would say that there is none.
    storage.delete(name)
    assert digest.is_stored(name)
    with other.sending():
        name = storage.save("b.bin", ContentFile(content))
    assert not other.is_stored(name)


def test_a_grid_that_tells_nothing_is_read_back(storage: TahoeStorage) -> None:
    content = os.urandom(1000)
    digest = digest_of(storage, content)
    with digest.sending():
        name = storage.save("a.bin", ContentFile(content))

    with requests_sent() as sent:
        assert not digest.is_confirmed(name)
        assert digest.is_stored(name)

    assert sent.verbs == ["GET"]


@pytest.mark.parametrize("size", [0, 55, 56, 10_000])
def test_a_grid_is_read_back_once(storage: TahoeStorage, size: int) -> None:
    content = os.urandom(size)
    name = storage.save("a.bin", ContentFile(content))

    with requests_sent() as sent:
        assert digest_of(storage, content).is_stored(name)

    assert sent.verbs == (["GET"] if size > 55 else [])
    assert not digest_of(storage, content + b"x").is_stored(name)
    assert not digest_of(storage, content).is_stored("nothing")


def test_a_disk_is_read_back(tmp_path: Path) -> None:
    storage = FileSystemStorage(tmp_path)
    name = storage.save("a.bin", ContentFile(b"content"))
    assert digest_of(storage, b"content").is_stored(name)

    (tmp_path / name).write_bytes(b"c0ntent")

    assert not digest_of(storage, b"content").is_stored(name)


def test_what_was_not_read_to_its_end_is_not_stored(tmp_path: Path) -> None:
    storage = FileSystemStorage(tmp_path)
    storage.save("a.bin", ContentFile(b"con"))
    digest = ContentDigest(storage, 7)
    digest.update(b"con")

    assert not digest.is_stored("a.bin")
