"""URLs of S3: signed, stable, forgotten with the file; and uploads by others."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from botocore.credentials import RefreshableCredentials
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tahoestorage.backends.s3 import S3Storage
from tahoestorage.backends.s3.signing import SHORTEST_SESSION, seconds_left
from tahoestorage.exceptions import StoreError, StoreForbids
from tests.support.costs import costs_counted
from tests.support.s3_servers import s3_requests
from tests.support.s3_storages import MakeS3, head, keys, read, save


def status(url: str, **options: Any) -> int:
    method = options.pop("method", "GET")
    return requests.request(method, url, timeout=30, **options).status_code


@contextlib.contextmanager
def signatures(storage: S3Storage) -> Iterator[list[str]]:
    """Record the URLs that are signed to read."""
    signed: list[str] = []

    def note(request: Any, signature_version: str, **kwargs: Any) -> None:
        if signature_version.endswith("-query"):
            signed.append(request.url)

    events = storage.connection.meta.client.meta.events
    events.register("before-sign.s3.GetObject", note)
    try:
        yield signed
    finally:
        events.unregister("before-sign.s3.GetObject", note)


# Signed


def test_a_signed_url_gives_the_file_to_whoever_has_it(strict_s3: S3Storage) -> None:
    name = save(strict_s3, "dir/ü b+c%20&.txt", b"content")
    url = strict_s3.url(name)
    assert requests.get(url, timeout=30).content == b"content"
    path, _, query = url.partition("?")
    assert status(path) == 403
    assert status(url.replace("dir/", "dir2/")) == 403
    assert (
        status(f"{path}?{query.replace('X-Amz-Expires=3600', 'X-Amz-Expires=9')}")
        == 403
    )
    signature = parse_qs(query)["X-Amz-Signature"][0]
    assert status(url.replace(signature, signature[::-1])) == 403
    assert status(url, method="DELETE") == 403
    other = strict_s3.url(name, {"ResponseContentType": "text/x-mine"})
    assert requests.get(other, timeout=30).headers["Content-Type"] == "text/x-mine"
    assert status(strict_s3.url(name, http_method="HEAD"), method="HEAD") == 200


def test_a_signed_url_ends(strict_s3: S3Storage) -> None:
    save(strict_s3, "a")
    assert status(strict_s3.url("a")) == 200
    url = strict_s3.url("a", expire=1)
    time.sleep(2.1)
    assert status(url) == 403


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock that the cache and botocore read be ahead."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


def test_a_url_stays_the_same_for_half_of_its_time(
    s3: S3Storage, make_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_requests(s3) as sent:
        first = s3.url("a")
        time.sleep(1.1)
        assert s3.url("a") == first
        assert make_s3().url("a") == first
    assert sent == []
    fast = s3.url("a", expire=2)
    time.sleep(1.1)
    again = s3.url("a", expire=2)
    assert again != fast
    assert s3.url("a") == first
    later(monkeypatch, 1700)
    assert s3.url("a") == first
    later(monkeypatch, 150)
    assert s3.url("a", expire=3600) != again


def test_a_url_is_that_of_its_parameters(s3: S3Storage, make_s3: MakeS3) -> None:
    urls = [
        s3.url("a"),
        s3.url("b"),
        s3.url("a", {"VersionId": "1"}),
        s3.url("a", {"VersionId": "2"}),
        s3.url("a", expire=60),
        s3.url("a", http_method="HEAD"),
        make_s3(location="media").url("a"),
        make_s3(region_name="eu-west-1").url("a"),
        make_s3(access_key="other").url("a"),
        make_s3(signature_version="s3").url("a"),
        make_s3(querystring_expire=60, access_key="third").url("a"),
    ]
    assert len(set(urls)) == len(urls)
    assert s3.url("a", {}) == s3.url("a", None)


def test_a_url_is_forgotten_with_the_file(make_s3: MakeS3) -> None:
    storage, other = make_s3(allow_overwrite=True), make_s3()
    with signatures(storage) as signed:
        for change in (
            lambda: None,
            lambda: save(storage, "a"),
            lambda: save(storage, "a", b"new"),
            lambda: storage.copy("a", "b"),
            lambda: other.delete("a"),
            lambda: other.copy("b", "a"),
        ):
            change()
            assert storage.url("a") == other.url("a")
    # Once for each, but that a copy does not change what is copied.
    assert len(signed) == 5


def test_another_process_has_the_same_url(make_s3: MakeS3, tmp_path: Any) -> None:
    storage = make_s3()
    options = {
        "bucket_name": storage.bucket_name,
        "endpoint_url": storage.endpoint_url,
        "region_name": "us-east-1",
        "addressing_style": "path",
        "signature_version": "s3v4",
        "access_key": storage.access_key,
        "secret_key": storage.secret_key,
        "cache": {"directory": str(tmp_path / "cache")},
    }
    program = (
        "import json, sys, django\n"
        "from django.conf import settings\n"
        "settings.configure(SECRET_KEY='of-the-tests', USE_TZ=True)\n"
        "django.setup()\n"
        "from tahoestorage.backends.s3 import S3Storage\n"
        "print(S3Storage(**json.loads(sys.argv[1])).url('a'))\n"
    )
    first = storage.url("a")
    time.sleep(1.1)
    run = subprocess.run(
        [sys.executable, "-c", program, json.dumps(options)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == first


def test_signing_fails_with_an_error_of_ours(s3: S3Storage) -> None:
    with pytest.raises(StoreError, match="a: ") as caught:
        s3.url("a", {"NoSuchParameter": "x"})
    assert caught.value.__context__ is None


# Credentials that end


def session_until(seconds: float) -> boto3.Session:
    def renew() -> dict[str, str]:
        raise AssertionError

    session = boto3.Session()
    session._session._credentials = RefreshableCredentials(  # type: ignore[attr-defined]
        "temporary",
        "secret",
        "token",
        datetime.now(UTC) + timedelta(seconds=seconds),
        renew,
        "test",
        advisory_timeout=0,
        mandatory_timeout=0,
    )
    return session


def test_a_url_is_not_kept_longer_than_its_credentials(
    make_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Temporary(S3Storage):
        def _create_session(self) -> boto3.Session:
            return session_until(200.0)

    storage = make_s3(Temporary)
    assert 100 < seconds_left(storage._clients) <= 200
    first = storage.url("a")
    assert "temporary" in first
    assert storage.url("a") == first
    time.sleep(1.1)  # Or a new one would be the same.
    assert storage.url("a") == first
    later(monkeypatch, 100.1)
    assert storage.url("a") != first


def test_credentials_that_renew_themselves_share_their_urls(make_s3: MakeS3) -> None:
    class One(S3Storage):
        def _create_session(self) -> boto3.Session:
            return session_until(1000.0)

    class Other(One):
        pass

    assert One._create_session is Other._create_session
    assert make_s3(One).url("a") == make_s3(Other).url("a")


def test_a_token_without_its_end_is_trusted_for_little(make_s3: MakeS3) -> None:
    storage = make_s3(security_token="token-of-mine")
    assert seconds_left(storage._clients) == SHORTEST_SESSION
    assert seconds_left(make_s3()._clients) == float("inf")
    first = storage.url("a")
    # The next one replaces it at once.
    assert make_s3(security_token="another").url("a") != first
    assert storage.url("a") == first


def test_credentials_that_cannot_be_had_are_said(make_s3: MakeS3) -> None:
    class Ended(S3Storage):
        def _create_session(self) -> boto3.Session:
            session = session_until(-10)
            credentials: Any = session._session._credentials  # type: ignore[attr-defined]
            credentials._refresh_using = lambda: {}
            return session

    with pytest.raises(StoreForbids, match="a: "):
        make_s3(Ended).url("a")


# Others


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def cloudfront(make_s3: MakeS3, key: rsa.RSAPrivateKey) -> S3Storage:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return make_s3(
        custom_domain="cdn.example",
        cloudfront_key_id="key-id",
        cloudfront_key=pem.decode(),
        location="media",
    )


def test_urls_of_cloudfront_are_signed_and_stable(
    cloudfront: S3Storage, key: rsa.RSAPrivateKey
) -> None:
    before = int(time.time())
    url = cloudfront.url("ü.txt", {"v": "1"}, expire=100)
    whole, _, query = url.partition("&Expires=")
    assert whole == "https://cdn.example/media/%C3%BC.txt?v=1"
    asked = parse_qs(f"Expires={query}")
    assert before + 100 <= int(asked["Expires"][0]) <= time.time() + 100
    assert asked["Key-Pair-Id"] == ["key-id"]
    policy = {
        "Resource": whole,
        "Condition": {"DateLessThan": {"AWS:EpochTime": int(asked["Expires"][0])}},
    }
    signed = asked["Signature"][0].translate(str.maketrans("-_~", "+=/"))
    key.public_key().verify(
        base64.b64decode(signed),
        json.dumps({"Statement": [policy]}, separators=(",", ":")).encode(),
        padding.PKCS1v15(),
        hashes.SHA1(),  # noqa: S303
    )
    time.sleep(1.1)
    assert cloudfront.url("ü.txt", {"v": "1"}, expire=100) == url
    assert cloudfront.url("ü.txt", {"v": "2"}, expire=100) != url
    cloudfront.delete("ü.txt")
    assert cloudfront.url("ü.txt", {"v": "1"}, expire=100) != url


def test_a_url_is_signed_once_and_costs_one_small_read_then(s3: S3Storage) -> None:
    names = [f"dir/{number}" for number in range(1000)]
    with signatures(s3) as signed:
        first = [s3.url(name) for name in names]
        assert len(signed) == len(names)
        assert [s3.url(name) for name in names] == first
        with costs_counted() as costs:
            assert [s3.url(name) for name in names] == first
            assert costs.taken() == [len(names), 0, 0]
        assert len(signed) == len(names)


# Uploads by others


def test_others_upload_just_what_they_were_allowed_to(strict_s3: S3Storage) -> None:
    upload = strict_s3.upload_url("dir/ü.txt", "text/plain", 5)
    method, url, fields, headers = upload
    assert (method, fields) == ("PUT", {})
    assert headers == {
        "Content-Type": "text/plain",
        "Content-Length": "5",
        "If-None-Match": "*",
    }

    def put(content: bytes, **other: str | None) -> int:
        changed = {name.replace("_", "-"): value for name, value in other.items()}
        sent = {k: v for k, v in {**headers, **changed}.items() if v is not None}
        return status(url, method="PUT", data=content, headers=sent)

    assert put(b"123456", Content_Length="6") == 403
    assert put(b"1234", Content_Length="4") == 403
    assert put(b"12345", Content_Type="text/html") == 403
    assert put(b"12345", If_None_Match=None) == 403
    assert put(b"12345", If_None_Match='"x"') == 403
    assert status(url.replace(".txt", ".exe"), method="PUT", data=b"12345") == 403
    assert status(url) == 403
    assert keys(strict_s3) == []
    assert put(b"12345") == 200
    assert put(b"54321") == 412
    assert read(strict_s3, "dir/ü.txt") == b"12345"
    assert head(strict_s3, "dir/ü.txt")["ContentType"] == "text/plain"


def test_what_was_deleted_meanwhile_and_is_uploaded_then_is_seen(
    strict_s3: S3Storage,
) -> None:
    save(strict_s3, "a", b"before")
    _, url, _, headers = strict_s3.upload_url("a", "text/plain", 1)
    assert strict_s3.exists("a")
    strict_s3.delete("a")
    assert not strict_s3.exists("a")
    assert status(url, method="PUT", data=b"x", headers=headers) == 200
    assert strict_s3.exists("a")


def test_an_upload_is_bound_to_its_parameters(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3(
        location="media",
        default_acl="private",
        object_parameters={"CacheControl": "max-age=9", "Metadata": {"who": "me"}},
        signature_version=None,
    )
    _, url, _, headers = storage.upload_url("a", "text/plain", 1)
    assert headers["x-amz-acl"] == "private"
    assert headers["Cache-Control"] == "max-age=9"
    assert headers["x-amz-meta-who"] == "me"
    for other in ({"Content-Length": "2"}, {"x-amz-acl": "public-read"}):
        changed = {**headers, **other}
        data = b"x" * int(changed["Content-Length"])
        assert status(url, method="PUT", data=data, headers=changed) == 403
    assert status(url, method="PUT", data=b"x", headers=headers) == 200
    response = head(storage, "media/a")
    assert (response["CacheControl"], response["Metadata"]) == (
        "max-age=9",
        {"who": "me"},
    )


def test_an_upload_url_ends(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3(querystring_expire=1)
    _, url, _, headers = storage.upload_url("a", "text/plain", 1)
    time.sleep(2.1)
    assert status(url, method="PUT", data=b"x", headers=headers) == 403


def test_what_others_uploaded_is_seen_at_once(make_strict_s3: MakeS3) -> None:
    storage, other = make_strict_s3(), make_strict_s3()
    assert not storage.exists("a")
    _, url, _, headers = storage.upload_url("a", "text/plain", 5)
    for each in (storage, other):
        assert not each.exists("a")
        assert not each.exists("a")
    assert status(url, method="PUT", data=b"12345", headers=headers) == 200
    assert other.exists("a")
    assert storage.size("a") == 5
    with s3_requests(storage) as sent:
        assert storage.exists("a")
    assert sent == []
    # Then it is a file as all others.
    storage.delete("a")
    assert not other.exists("a")


def test_every_url_has_its_host(s3: S3Storage) -> None:
    for url in (s3.url("a"), s3.upload_url("b", "text/plain", 1).url):
        assert urlsplit(url).netloc == urlsplit(s3.endpoint_url).netloc
