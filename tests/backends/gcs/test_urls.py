"""URLs of Google Cloud Storage: signed with a key, and for uploads."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tahoestorage.backends.gcs import GCSStorage
from tests.support.gcs_servers import EMAIL, GCS, wrong_signature
from tests.support.gcs_storages import Make, asked, headers_of, of_cloud_run, read, save

# URLs


def test_a_url_is_signed_with_the_key(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "dir/ä b.txt", b"content")
    url = storage.url("dir/ä b.txt")
    assert asked(url)["X-Goog-Credential"].startswith(EMAIL)
    assert asked(url)["X-Goog-Expires"] == "86400"
    assert wrong_signature("GET", url, headers_of(url)) is None
    assert requests.get(url, timeout=60).content == b"content"
    assert requests.get(url.replace("b.txt", "c.txt"), timeout=60).status_code == 403
    assert gcs.accounts.calls["signBlob"] == 0


def test_a_url_stays_the_same_for_half_of_its_time(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"iam_sign_blob": True, "expiration": timedelta(hours=1)}
    storage = make(**options)
    first = storage.url("a")
    assert [storage.url("a") for _ in range(5)] == [first] * 5
    # Another process has the same, by the disk.
    assert make(**options).url("a") == first
    now = time.time
    for minutes, signatures in ((29, 1), (31, 2), (59, 2), (62, 3)):
        later = now() + minutes * 60
        monkeypatch.setattr("time.time", lambda later=later: later)
        storage.url("a")
        assert gcs.accounts.calls["signBlob"] == signatures


def test_a_save_is_known_whatever_counters_its_urls_share(
    gcs: GCS, storage: GCSStorage
) -> None:
    # The URLs of one name in 16,384 would have the counters of its entry.
    slot = storage._namespace.item
    names = (f"{number}" for number in itertools.count())
    name = next(each for each in names if slot(f"url:{each}").slot == slot(each).slot)
    save(storage, name, b"content")
    gcs.front.reset()
    assert storage.size(name) == 7
    assert gcs.front.kinds == []


def test_urls_differ_by_what_is_asked(gcs: GCS, make: Make) -> None:
    storage = make()
    parameters = {"response_disposition": "attachment"}
    attached = storage.url("a", parameters)
    assert asked(attached)["response-content-disposition"] == "attachment"
    assert wrong_signature("GET", attached, headers_of(attached)) is None
    assert storage.url("a", {"response_disposition": "attachment"}) == attached
    assert parameters == {"response_disposition": "attachment"}
    assert storage.url("a") != attached
    assert storage.url("b") != storage.url("a")
    assert make(expiration=timedelta(hours=1)).url("a") != storage.url("a")
    headers = {"headers": {"x-goog-meta-a": "b"}}
    with_headers = storage.url("a", headers)
    assert headers == {"headers": {"x-goog-meta-a": "b"}}
    sent = {**headers_of(with_headers), "x-goog-meta-a": "b"}
    assert wrong_signature("GET", with_headers, sent) is None


def test_a_write_makes_an_end_of_a_url(gcs: GCS, make: Make) -> None:
    storage = make(iam_sign_blob=True, allow_overwrite=True)
    save(storage, "a")
    storage.url("a")
    storage.url("a")
    assert gcs.accounts.calls["signBlob"] == 1
    save(storage, "a")
    storage.url("a")
    assert gcs.accounts.calls["signBlob"] == 2


def test_another_key_makes_other_urls(gcs: GCS, make: Make) -> None:
    kind = type(gcs.options["credentials"])
    rotated = gcs.accounts.key_file() | {"private_key_id": "2"}
    other = kind.from_service_account_info(rotated)
    storage = make(expiration=datetime.now(UTC) + timedelta(days=1))
    first = storage.url("a")
    assert storage.url("a") == first
    time.sleep(1.1)
    again = make(expiration=storage.expiration, credentials=other)
    assert again.url("a") != first


def test_url_parameters_with_credentials_are_nobody_else_s(
    gcs: GCS, storage: GCSStorage
) -> None:
    given = {"credentials": gcs.accounts.credentials()}
    first = storage.url("a", given)
    time.sleep(1.1)
    assert storage.url("a", given) != first
    assert wrong_signature("GET", first, headers_of(first)) is None


def test_unsigned_urls_are_those_of_the_parent(gcs: GCS, make: Make) -> None:
    storage = make(querystring_auth=False, bucket_name="b", location="media")
    assert storage.url("d/ä b.txt") == f"{gcs.url}/b/media/d/%C3%A4%20b.txt"
    # Static files ask for those of directories.
    assert storage.url("d/") == f"{gcs.url}/b/media/d/"
    assert storage.url("") == f"{gcs.url}/b/media/"
    cdn = {"custom_endpoint": "https://cdn.example", "querystring_auth": False}
    assert make(**cdn).url("d/ä~b.txt") == "https://cdn.example/d/%C3%A4~b.txt"
    public = make(default_acl="publicRead", bucket_name="b")
    assert public.url("a") == f"{gcs.url}/b/a"
    assert gcs.front.kinds == []
    signed = make(custom_endpoint="https://cdn.example").url("a")
    assert signed.startswith("https://cdn.example/a?")
    assert wrong_signature("GET", signed, {"host": "cdn.example"}) is None


# Direct uploads


def send(upload: Any, body: bytes, **headers: str) -> int:
    status: int = requests.request(
        upload.method,
        upload.url,
        headers=upload.headers | headers,
        data=body,
        timeout=60,
    ).status_code
    return status


@pytest.mark.parametrize("by", ["key", "iam"])
def test_a_direct_upload_is_bounded_and_cannot_overwrite(
    gcs: GCS, make: Make, by: str
) -> None:
    credentials = {"credentials": of_cloud_run()} if by == "iam" else {}
    storage = make(**credentials)
    # What was known of the name will change, and nobody tells the cache.
    assert not storage.exists("in/a.txt")
    upload = storage.upload_url("in/a.txt", "text/plain", 10)
    assert not storage.exists("in/a.txt")
    assert upload.method == "PUT"
    assert upload.fields == {}
    for wrong in (b"x" * 11, b"x" * 9):
        assert send(upload, wrong) == 400
    assert send(upload, b"0123456789", **{"Content-Type": "text/html"}) == 403
    unbounded = {"x-goog-content-length-range": "0,1000"}
    assert send(upload, b"0123456789", **unbounded) == 403
    assert send(upload, b"0123456789", **{"x-goog-if-generation-match": "1"}) == 403
    assert send(upload, b"0123456789") == 200
    assert storage.exists("in/a.txt")
    assert read(storage, "in/a.txt") == b"0123456789"
    assert send(upload, b"9876543210") == 412
    assert send(storage.upload_url("in/a.txt", "text/plain", 10), b"9876543210") == 412
    assert read(storage, "in/a.txt") == b"0123456789"
    assert gcs.accounts.calls["signBlob"] == (2 if by == "iam" else 0)


def test_a_direct_upload_ends_with_its_time(make: Make) -> None:
    upload = make(expiration=timedelta(seconds=1)).upload_url("a", "text/plain", 10)
    assert asked(upload.url)["X-Goog-Expires"] == "1"
    time.sleep(2.1)
    assert send(upload, b"late") == 403


def test_a_direct_upload_makes_what_a_save_makes(make: Make) -> None:
    parameters = {"cache_control": "max-age=60", "acl": "publicRead"}
    storage = make(object_parameters=parameters, location="media")
    upload = storage.upload_url("a b.txt", "text/plain", 10)
    assert upload.headers == {
        "Content-Type": "text/plain",
        "Cache-Control": "max-age=60",
        "x-goog-acl": "public-read",
        "x-goog-content-length-range": "10,10",
        "x-goog-if-generation-match": "0",
    }
    assert urlsplit(upload.url).path == f"/{storage.bucket_name}/media/a%20b.txt"
    assert send(upload, b"0123456789") == 200
    assert read(storage, "a b.txt") == b"0123456789"
