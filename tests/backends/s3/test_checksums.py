"""The SHA-256 that goes with a body to S3, is compared there, and told again."""

from __future__ import annotations

import os
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from django.core.files.base import ContentFile

from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.backends.s3 import S3Storage, writing
from tahoestorage.exceptions import StoreError
from tahoestorage.verification import ContentDigest
from tests.support.proxy import Proxy, Seen, SendResponse
from tests.support.s3_servers import S3Server, s3_requests
from tests.support.s3_storages import MakeS3, keys

CHECKED = {"object_parameters": {"ChecksumAlgorithm": "SHA256"}}
SIZES = [0, 10_000, 8 << 20, (20 << 20) + 7]


@pytest.fixture(params=["make_strict_s3", "make_tls_s3"])
def checked(request: pytest.FixtureRequest) -> S3Storage:
    """A storage that sends a SHA-256 along, by http and by https."""
    make: MakeS3 = request.getfixturevalue(request.param)
    return make(**CHECKED)


def digest_of(storage: S3Storage, content: bytes) -> ContentDigest:
    digest = ContentDigest(storage, len(content))
    for start in range(0, len(content), 1 << 20):
        digest.update(content[start : start + (1 << 20)])
    return digest


@pytest.mark.parametrize("size", SIZES)
def test_s3_tells_the_sha256_that_it_compared(checked: S3Storage, size: int) -> None:
    content = os.urandom(size)
    name = checked.save("a.bin", ContentFile(content))
    digest = digest_of(checked, content)
    digest.is_stored(name)  # The first one tries the store.

    with s3_requests(checked) as sent:
        assert digest.is_stored(name)

    assert [each.method for each in sent] == ["HEAD"]
    other = os.urandom(size) if size > 1 else b"other"
    assert not digest_of(checked, other).is_stored(name)
    assert checked.listdir("") == ([], [name])


@pytest.mark.parametrize("size", [0, 10_000, 9 << 20])
def test_the_response_to_a_save_tells_it_too(checked: S3Storage, size: int) -> None:
    content = os.urandom(size)
    checked.stored_checksums(checked.save("first", ContentFile(b"tries the store")))
    digest, other = digest_of(checked, content), digest_of(checked, b"x" * size + b"y")
    with digest.sending():
        name = checked.save("a.bin", ContentFile(content))

    with s3_requests(checked) as sent:
        assert digest.is_confirmed(name)
        assert not digest.is_confirmed("another")
        assert digest.is_stored(name)
        assert not digest_of(checked, content).is_stored("another")

    assert [each.method for each in sent] == ["HEAD"]  # Of the other name.
    with other.sending():
        name = checked.save("b.bin", ContentFile(content))
    assert not other.is_confirmed(name)
    assert not other.is_stored(name)


def test_what_is_packed_is_read_back(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3(gzip=True, **CHECKED)
    content = b"text " * 100
    digest = digest_of(storage, content)

    with digest.sending():
        name = storage.save("a.css", ContentFile(content))

    assert digest.is_stored(name)


@pytest.mark.parametrize("size", [10_000, 9 << 20])
def test_what_was_damaged_on_its_way_is_refused(checked: S3Storage, size: int) -> None:
    def flip(request: Any, **kwargs: Any) -> None:
        if request.method == "PUT":
            body = request.body
            if isinstance(body, bytes):
                content = body
            else:
                # Some releases of boto3 send it once more, and take it for unread.
                body.seek(0)
                content = body.read()
            request.body = bytes([content[0] ^ 1]) + content[1:]

    # After it was signed, as on a line; by https the content is not signed.
    events = checked.connection.meta.client.meta.events
    checked.save("whole", ContentFile(b"whole"))
    events.register("before-send.s3", flip)
    try:
        with pytest.raises(StoreError):
            checked.save("damaged", ContentFile(os.urandom(size)))
    finally:
        events.unregister("before-send.s3", flip)

    assert checked.listdir("") == ([], ["whole"])


def test_a_store_that_compares_nothing_is_read_back(
    make_s3: MakeS3,
) -> None:
    storage = make_s3(**CHECKED)
    content = os.urandom(10_000)
    name = storage.save("a.bin", ContentFile(content))

    with s3_requests(storage) as sent:
        assert digest_of(storage, content).is_stored(name)

    assert "GET" in [each.method for each in sent]
    assert not digest_of(storage, os.urandom(10_000)).is_stored(name)


@pytest.mark.parametrize("size", [10_000, 9 << 20])
def test_a_file_is_saved_where_only_the_trial_of_its_receipt_fails(
    make_strict_s3: MakeS3, weed: S3Server, size: int
) -> None:
    content = os.urandom(size)
    with Proxy(weed.endpoint_url) as proxy:
        storage = make_strict_s3(endpoint_url=proxy.url, **CHECKED)
        digest = digest_of(storage, content)
        proxy.rule(is_trial, SendResponse(503), times=None)
        with digest.sending():
            assert storage.save("a.bin", ContentFile(content)) == "a.bin"
        assert not digest.is_confirmed("a.bin")
        proxy.clear()
        assert digest.is_stored("a.bin")


def is_trial(seen: Seen) -> bool:
    """Whether it puts the object by which it is tried whether the store compares."""
    return seen.method == "PUT" and f"/{TRIAL}-" in seen.path


@pytest.mark.parametrize("status", [400, 403])
def test_a_store_that_refuses_any_trial_is_read_back(
    make_s3: MakeS3, moto: S3Server, status: int
) -> None:
    with Proxy(moto.endpoint_url) as proxy:
        # As a policy of the bucket may, or a quota.
        proxy.rule(is_trial, SendResponse(status), times=None)
        storage = make_s3(endpoint_url=proxy.url, **CHECKED)
        name = storage.save("a.bin", ContentFile(b"content"))

        assert storage.stored_checksums(name) == {}
        assert digest_of(storage, b"content").is_stored(name)

        tried = len([seen for seen in proxy.seen if is_trial(seen)])
        assert not digest_of(storage, b"c0ntent").is_stored(name)
        assert len([seen for seen in proxy.seen if is_trial(seen)]) == tried


def test_a_store_is_tried_as_it_is_saved_to(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    with Proxy(weed.endpoint_url) as proxy:
        # As a policy does that asks for a class of storage, or for encryption.
        proxy.rule(
            lambda seen: is_trial(seen) and "x-amz-storage-class" not in seen.headers,
            SendResponse(400),
            times=None,
        )
        parameters = {**CHECKED["object_parameters"], "StorageClass": "STANDARD"}
        storage = make_strict_s3(endpoint_url=proxy.url, object_parameters=parameters)
        name = storage.save("a.bin", ContentFile(b"content"))

        assert storage.stored_checksums(name).keys() == {"sha256"}


def test_a_trial_that_may_not_be_deleted_is_one_object(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    names = []
    for _ in range(2):
        with Proxy(weed.endpoint_url) as proxy:
            proxy.rule(
                lambda seen: seen.method == "DELETE", SendResponse(403), times=None
            )
            storage = make_strict_s3(
                endpoint_url=proxy.url, conditional_writes=True, **CHECKED
            )
            names.append(storage.save("a.bin", ContentFile(b"content")))

            assert storage.stored_checksums(names[-1]).keys() == {"sha256"}
            assert storage.stored_checksums(names[-1]).keys() == {"sha256"}

    storage = make_strict_s3()
    assert storage.listdir("") == ([], sorted(names))
    assert sorted(keys(storage)) == [f"{TRIAL}-checksums", *sorted(names)]


def test_what_was_saved_without_a_sha256_is_read_back(strict_s3: S3Storage) -> None:
    storage = strict_s3
    name = storage.save("a.bin", ContentFile(b"content"))

    with s3_requests(storage) as sent:
        assert digest_of(storage, b"content").is_stored(name)

    assert [each.method for each in sent] == ["HEAD", "GET"]
    assert storage.stored_checksums(name) == {}


@pytest.mark.parametrize(
    ("saved", "verified", "size"),
    [
        (8, 10, 15 << 20),
        # S3 takes no parts below 5 MiB: s3transfer makes them as long.
        (4, 6, 7 << 20),
    ],
)
def test_parts_of_a_length_that_was_not_expected_are_read_back(
    make_strict_s3: MakeS3, saved: int, verified: int, size: int
) -> None:
    def storage_of(mib: int) -> S3Storage:
        config = TransferConfig(
            multipart_threshold=mib << 20, multipart_chunksize=mib << 20
        )
        options = {"transfer_config": config, "conditional_writes": True}
        return make_strict_s3(**CHECKED, **options)

    content = os.urandom(size)
    name = storage_of(saved).save("a.bin", ContentFile(content))
    storage = storage_of(verified)

    # As if the parts were of that length.
    assert f"sha256 of {verified << 20}" in storage.stored_checksums(name)
    assert digest_of(storage, content).is_stored(name)
    assert not digest_of(storage, content[::-1]).is_stored(name)


def test_what_the_storage_packed_is_read_back(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3(**CHECKED, gzip=True)
    content = b"a { color: red }" * 100
    name = storage.save("a.css", ContentFile(content))

    assert digest_of(storage, content).is_stored(name)

    assert storage.stored_checksums(name) == {}
    assert not digest_of(storage, content[::-1]).is_stored(name)


def test_a_signed_upload_and_a_copy_need_no_sha256(checked: S3Storage) -> None:
    upload = checked.upload_url("direct", "text/plain", 7)
    assert not [name for name in upload.headers if "checksum" in name.lower()]
    checked.save("first", ContentFile(b"content"))

    name = checked.copy("first", "second")

    assert digest_of(checked, b"content").is_stored(name)


@pytest.mark.parametrize("copied_at_once", [0, 100])
def test_copies_that_the_store_makes_are_asked_for_without_one(
    make_strict_s3: MakeS3, monkeypatch: pytest.MonkeyPatch, copied_at_once: int
) -> None:
    monkeypatch.setattr(writing, "COPIED_AT_ONCE", copied_at_once)
    storage = make_strict_s3(conditional_writes=True, **CHECKED)
    storage.save("first", ContentFile(b"content"))

    with s3_requests(storage) as sent:
        storage.copy("first", "second")

    assert any("x-amz-copy-source" in each.headers for each in sent)
    assert not [each for each in sent if "x-amz-checksum-algorithm" in each.headers]


@pytest.mark.parametrize("size", [7, 6 << 20])
def test_what_is_copied_through_this_host_has_its_sha256(
    make_strict_s3: MakeS3, weed: S3Server, size: int
) -> None:
    with Proxy(weed.endpoint_url) as proxy:
        no = SendResponse(501, {}, b"<Error><Code>NotImplemented</Code></Error>")
        proxy.rule(lambda seen: "x-amz-copy-source" in seen.headers, no, times=None)
        storage = make_strict_s3(
            endpoint_url=proxy.url, conditional_writes=True, **CHECKED
        )
        content = os.urandom(size)
        storage.save("first", ContentFile(content))

        name = storage.copy("first", "second")

        assert storage.stored_checksums(name) == storage.stored_checksums("first") != {}
        assert digest_of(storage, content).is_stored(name)
