"""Files that are made of several requests: begin_parts, put_part, complete_parts."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import Any

import botocore.auth
import pytest

from tahoestorage.backends.s3 import S3Storage
from tahoestorage.backends.sentparts import MOST_PARTS, PART, SentPart, part_length
from tahoestorage.exceptions import NameTaken, UploadEnded
from tahoestorage.verification import PartsDigest
from tests.support.s3_servers import s3_requests
from tests.support.s3_storages import MakeS3, keys, read, save, unfinished

CHECKED = {"object_parameters": {"ChecksumAlgorithm": "SHA256"}}
TYPE = "image/png"
CONTENT = os.urandom(PART + 1000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["make_s3", "make_strict_s3"])
def storage(request: pytest.FixtureRequest) -> S3Storage:
    make: MakeS3 = request.getfixturevalue(request.param)
    return make(**CHECKED)


def put(storage: S3Storage, upload: str, content: bytes = CONTENT) -> list[SentPart]:
    return [
        storage.put_part("dir/a", upload, number, content[start : start + PART])
        for number, start in enumerate(range(0, len(content), PART), 1)
    ]


def test_parts_become_one_file_when_they_are_completed(storage: S3Storage) -> None:
    upload = storage.begin_parts("dir/a", TYPE)
    parts = put(storage, upload)
    assert not storage.exists("dir/a")

    storage.complete_parts("dir/a", upload, parts)

    assert storage.exists("dir/a")
    assert storage.size("dir/a") == len(CONTENT)
    assert read(storage, "dir/a") == CONTENT
    client = storage.connection.meta.client
    head = client.head_object(Bucket=storage.bucket_name, Key="dir/a")
    assert head["ContentType"] == TYPE
    assert not unfinished(storage)


@pytest.mark.parametrize("scheme", ["make_strict_s3", "make_tls_s3"])
def test_a_part_is_hashed_once_for_its_checksum_and_its_signature(
    request: pytest.FixtureRequest, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make: MakeS3 = request.getfixturevalue(scheme)
    storage, hashed = make(**CHECKED), list[int]()
    upload, sha256 = storage.begin_parts("dir/a", TYPE), hashlib.sha256

    def noted(content: bytes = b"", **options: Any) -> Any:
        hashed.append(len(content))
        return sha256(content, **options)

    monkeypatch.setattr(botocore.auth, "sha256", noted)
    with s3_requests(storage) as sent:
        storage.put_part("dir/a", upload, 1, CONTENT)

    assert sent[0].headers["x-amz-content-sha256"] == SHA256
    assert hashed
    assert max(hashed) < 10_000  # bytes, of what is signed besides
    # Without one, the signature has a digest of its own.
    plain = make()
    with s3_requests(plain) as sent:
        plain.put_part("dir/b", plain.begin_parts("dir/b", TYPE), 1, CONTENT)
    assert sent[-1].headers["x-amz-content-sha256"] == SHA256


def test_a_part_that_is_sent_again_replaces_that_of_its_number(
    storage: S3Storage,
) -> None:
    upload = storage.begin_parts("dir/a", TYPE)
    storage.put_part("dir/a", upload, 1, os.urandom(PART))

    storage.complete_parts("dir/a", upload, put(storage, upload))

    assert read(storage, "dir/a") == CONTENT


def test_it_may_be_completed_again_where_the_response_was_lost(
    storage: S3Storage,
) -> None:
    upload = storage.begin_parts("dir/a", TYPE)
    parts = put(storage, upload)
    storage.complete_parts("dir/a", upload, parts)

    storage.complete_parts("dir/a", upload, parts)

    assert keys(storage) == ["dir/a"]


@pytest.mark.parametrize("trusted", [True, False])
def test_nothing_is_overwritten(make_strict_s3: MakeS3, trusted: bool) -> None:
    storage = make_strict_s3(conditional_writes=trusted)
    upload = storage.begin_parts("dir/a", TYPE)
    parts = put(storage, upload)
    save(storage, "dir/a", b"somebody's")

    with pytest.raises(NameTaken, match="dir/a"):
        storage.complete_parts("dir/a", upload, parts)

    assert read(storage, "dir/a") == b"somebody's"


def test_what_was_aborted_takes_no_part_and_is_not_completed(
    make_strict_s3: MakeS3,
) -> None:
    storage = make_strict_s3()
    upload = storage.begin_parts("dir/a", TYPE)
    parts = put(storage, upload)

    storage.abort_parts("dir/a", upload)
    storage.abort_parts("dir/a", upload)

    assert not unfinished(storage)
    with pytest.raises(UploadEnded, match="dir/a"):
        storage.put_part("dir/a", upload, 1, CONTENT)
    with pytest.raises(UploadEnded, match="dir/a"):
        storage.complete_parts("dir/a", upload, parts)
    assert not keys(storage)


def test_a_part_that_the_store_has_not_ends_the_upload(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3()
    upload = storage.begin_parts("dir/a", TYPE)
    parts = put(storage, upload)
    gone = replace(parts[0], etag='"00000000000000000000000000000000"')

    with pytest.raises(UploadEnded, match="dir/a"):
        storage.complete_parts("dir/a", upload, [gone, *parts[1:]])

    assert not keys(storage)


@pytest.mark.parametrize("known", [SHA256, None], ids=["known", "unknown"])
def test_the_sha256_of_parts_is_told_and_read_where_nobody_knows_it(
    make_strict_s3: MakeS3, known: str | None
) -> None:
    storage = make_strict_s3(**CHECKED)
    upload = storage.begin_parts("dir/a", TYPE)
    parts = put(storage, upload)
    storage.complete_parts("dir/a", upload, parts)
    PartsDigest(storage, parts, PART, SHA256).stored("dir/a")  # Tries the store.

    with s3_requests(storage) as sent:
        assert PartsDigest(storage, parts, PART, known).stored("dir/a") == SHA256

    verbs = {each.method for each in sent}
    assert verbs == ({"HEAD"} if known else {"GET"})


@pytest.mark.parametrize("known", [SHA256, None], ids=["known", "unknown"])
@pytest.mark.parametrize("checked", [CHECKED, {}])
def test_other_content_than_that_of_the_parts_is_found_out(
    make_strict_s3: MakeS3, known: str | None, checked: Any
) -> None:
    storage = make_strict_s3(**checked)
    upload = storage.begin_parts("dir/a", TYPE)
    parts = put(storage, upload)
    save(storage, "dir/a", CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))

    assert PartsDigest(storage, parts, PART, known).stored("dir/a") is None
    assert PartsDigest(storage, parts, PART, known).stored("dir/b") is None


def test_parts_are_as_long_as_their_number_needs() -> None:
    assert part_length(0) == part_length(MOST_PARTS * PART) == PART
    assert part_length(MOST_PARTS * PART + 1) == 2 * PART
