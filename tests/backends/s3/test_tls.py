"""S3 by https: bodies arrive as they are, and so does what others kept wrongly."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.config import Config
from django.test import RequestFactory

from tahoestorage import schemes
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.exceptions import StoreUnreachable
from tahoestorage.serving import serve
from tests.support.s3_servers import s3_requests
from tests.support.s3_storages import MakeS3, head, read, save

BIG = os.urandom(9 << 20)
CSS = b"body { color: blue }\n" * 1000


def framing(sent: list[Any]) -> list[str]:
    """What requests say of how their bodies are framed."""
    return [
        each.headers.get("content-encoding", "")
        for each in sent
        if "aws-chunked" in each.headers.get("content-encoding", "")
    ]


def test_bodies_are_not_framed(make_tls_s3: MakeS3) -> None:
    storage = make_tls_s3()
    with s3_requests(storage) as sent:
        for name, content in (("a", b"content"), ("empty", b""), ("big", BIG)):
            save(storage, name, content)
            assert read(storage, name) == content
            assert "ContentEncoding" not in head(storage, name)
            response = requests.get(
                storage.url(name), timeout=30, verify=storage.verify
            )
            assert response.content == content
        with storage.open("a", "wb") as file:
            file.write(BIG)
        storage.copy("a", "b")
    assert read(storage, "b") == BIG
    assert framing(sent) == []


def test_what_is_packed_is_unpacked_by_clients_and_by_us(make_tls_s3: MakeS3) -> None:
    storage = make_tls_s3(gzip=True)
    save(storage, "a.css", CSS)
    assert head(storage, "a.css")["ContentEncoding"] == "gzip"
    assert read(storage, "a.css") == CSS
    response = requests.get(storage.url("a.css"), timeout=30, verify=storage.verify)
    assert response.content == CSS


def chosen(value: Any) -> dict[str, Any]:
    addressing: Any = {"addressing_style": "path"}
    config = Config(
        s3=addressing, signature_version="s3v4", request_checksum_calculation=value
    )
    return {"client_config": config}


def test_the_user_s_word_about_checksums_is_kept(
    make_tls_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = make_tls_s3(**chosen("when_supported"))
    with s3_requests(given) as sent:
        save(given, "a")
    assert framing(sent) != []
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    told = make_tls_s3(region_name="us-east-2")
    with s3_requests(told) as sent:
        save(told, "b")
    assert framing(sent) != []


def test_amazon_gets_the_checksums_that_boto_chooses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    amazon = S3Storage(
        bucket_name="b",
        access_key="a",
        secret_key="b",
        region_name="eu-west-1",
        cache=False,
    )
    config: Any = amazon.connection.meta.client.meta.config
    assert config.request_checksum_calculation == "when_supported"


def test_what_was_kept_of_the_framing_is_taken_out(make_tls_s3: MakeS3) -> None:
    framed = make_tls_s3(gzip=True, **chosen("when_supported"))
    save(framed, "a.css", CSS)
    save(framed, "plain", b"content")
    # As this package stored it before.
    assert head(framed, "a.css")["ContentEncoding"] == "gzip,aws-chunked"
    assert head(framed, "plain")["ContentEncoding"] == "aws-chunked"
    storage = make_tls_s3(gzip=True)
    for source, target, content in (
        ("a.css", "b.css", CSS),
        ("plain", "copy", b"content"),
    ):
        assert read(storage, source) == content
        request = RequestFactory().get("/")
        response: Any = serve(request, storage, source)
        assert b"".join(response.streaming_content) == content
        url = serve(request, storage, source, redirect=True)["Location"]
        reply = requests.get(url, timeout=30, verify=storage.verify)
        assert reply.content == content
        storage.copy(source, target)
        assert "aws-chunked" not in head(storage, target).get("ContentEncoding", "")
        reply = requests.get(storage.url(target), timeout=30, verify=storage.verify)
        assert reply.content == content


def test_a_redirect_to_what_was_packed_before_is_not_unpacked(
    make_tls_s3: MakeS3, make_strict_s3: MakeS3
) -> None:
    for storage in (make_tls_s3(), make_strict_s3(signature_version=None)):
        content = b"\x1f\x8b no real archive"
        save(storage, "a.tar.gz", content)
        url = serve(RequestFactory().get("/"), storage, "a.tar.gz", redirect=True)
        response = requests.get(url["Location"], timeout=30, verify=storage.verify)
        assert response.status_code == 200
        assert response.content == content


def test_the_word_of_a_profile_about_checksums_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_REQUEST_CHECKSUM_CALCULATION", raising=False)
    profiles = tmp_path / "config"
    profiles.write_text(
        "[profile says]\nrequest_checksum_calculation = when_supported\n"
        "[profile silent]\nregion = us-east-1\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(profiles))

    def chosen_with(profile: str) -> str:
        storage = S3Storage(
            bucket_name="b",
            session_profile=profile,
            endpoint_url="https://store.example",
            region_name="us-east-1",
            cache=False,
        )
        config: Any = storage.connection.meta.client.meta.config
        return str(config.request_checksum_calculation)

    assert chosen_with("says") == "when_supported"
    assert chosen_with("silent") == "when_required"


@pytest.mark.parametrize("spoken", ["https", "http"])
def test_the_wrong_one_of_http_and_https_is_told(
    make_tls_s3: MakeS3,
    make_strict_s3: MakeS3,
    monkeypatch: pytest.MonkeyPatch,
    spoken: str,
) -> None:
    monkeypatch.setattr(schemes, "PROBE_SECONDS", 60.0)
    make = make_tls_s3 if spoken == "https" else make_strict_s3
    right = str(make().endpoint_url)
    other = "http" if spoken == "https" else "https"
    storage = make(endpoint_url=right.replace(spoken, other, 1), cache=False)
    acts: list[Callable[[], object]] = [
        lambda: storage.exists("a"),
        lambda: storage.open("a"),
        lambda: storage.listdir(""),
        lambda: save(storage, "a"),
    ]
    told = f"speaks {spoken} and not {other}; set endpoint_url to {right}$"
    for act in acts:
        with pytest.raises(StoreUnreachable, match=told):
            act()


def test_a_certificate_that_is_not_trusted_is_told(make_tls_s3: MakeS3) -> None:
    storage = make_tls_s3(verify=True, cache=False)
    with pytest.raises(StoreUnreachable, match="is its certificate one that is trus"):
        storage.exists("a")
