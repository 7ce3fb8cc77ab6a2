"""Downloads through the site, from each storage, by WSGI and by ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import os
import threading
import tracemalloc
import warnings
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import AnonymousUser
from django.core.asgi import get_asgi_application
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory
from django.urls import include, path
from django.utils.http import http_date
from pytest_django.fixtures import Settings

from tahoestorage.backends.content import body_of
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayUnreachable,
    StoreError,
)
from tahoestorage.serving import Download, serve
from tahoestorage.serving.mediatypes import POLICY
from tahoestorage.serving.streams import BLOCK
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.gcs_servers import GCS
from tests.support.links import link_without_time
from tests.support.proxy import Proxy
from tests.support.s3_servers import S3Server, s3_requests
from tests.support.s3_storages import MakeS3

CONTENT = bytes(range(256)) * 1200  # 300 KiB, several blocks
NAME = "films/Été 第一.bin"
KNOWN = {
    "etag": '"7.3"',
    "size": len(CONTENT),
    "modified": datetime(2026, 11, 29, tzinfo=UTC),
}
ALL = ["tahoe", "s3", "gcs", "files", "memory"]
factory = RequestFactory()


@pytest.fixture
def gcs_storage(gcs: GCS, tmp_path: Path) -> GCSStorage:
    cache = {"directory": str(tmp_path / "cache")}
    options = {**gcs.options, "bucket_name": gcs.make_bucket(), "cache": cache}
    return GCSStorage(**options)


@pytest.fixture(params=ALL)
def any_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "files":
        return FileSystemStorage(location=str(tmp_path / "media"))
    if request.param == "memory":
        return InMemoryStorage()
    fixture = {"tahoe": "storage", "s3": "s3", "gcs": "gcs_storage"}[request.param]
    found: Storage = request.getfixturevalue(fixture)
    return found


def kept(storage: Storage, name: str = NAME, content: bytes = CONTENT) -> str:
    saved: str = storage.save(name, ContentFile(content))
    return saved


def get(
    storage: Storage, name: str, *, method: str = "GET", **options: Any
) -> HttpResponseBase:
    """Serve a file; keywords that begin in upper case are headers of the request."""
    headers = {
        key.replace("_", "-"): options.pop(key)
        for key in [*options]
        if key[0].isupper()
    }
    request = factory.generic(method, "/", headers=headers)
    return serve(request, storage, name, **options)


def body(response: Any) -> bytes:
    with contextlib.closing(response):
        return b"".join(response) if response.streaming else response.content


# What is answered


def test_all_of_a_file(any_storage: Storage) -> None:
    name = kept(any_storage)

    response = get(any_storage, name)

    assert response.status_code == 200
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Accept-Ranges"] == "bytes"
    assert response["Cache-Control"] == "private, no-cache"
    assert response["ETag"].startswith('"')
    assert response["ETag"].endswith('"')
    assert "Content-Encoding" not in response
    assert body(response) == CONTENT


def test_the_head_of_a_file_is_that_of_all_of_it(any_storage: Storage) -> None:
    name = kept(any_storage)
    whole = get(any_storage, name)
    body(whole)

    response = get(any_storage, name, method="HEAD", Range="bytes=0-1")

    assert response.status_code == 200
    assert dict(response.items()) == dict(whole.items())
    assert body(response) == b""


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=70000-200000", 70000, 200001),
        ("BYTES=100-", 100, len(CONTENT)),
        ("bytes=-100", len(CONTENT) - 100, len(CONTENT)),
        ("bytes=-99999999", 0, len(CONTENT)),
        ("bytes=5-99999999", 5, len(CONTENT)),
    ],
)
def test_a_range(any_storage: Storage, asked: str, first: int, end: int) -> None:
    name = kept(any_storage)

    response = get(any_storage, name, Range=asked)

    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {first}-{end - 1}/{len(CONTENT)}"
    assert response["Content-Length"] == str(end - first)
    assert body(response) == CONTENT[first:end]


@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=-0"])
def test_a_range_that_is_not_there(any_storage: Storage, asked: str) -> None:
    response = get(any_storage, kept(any_storage), Range=asked)

    assert response.status_code == 416
    assert response["Content-Range"] == f"bytes */{len(CONTENT)}"
    assert body(response) == b""


def test_an_empty_file_has_no_ranges(any_storage: Storage) -> None:
    name = kept(any_storage, "empty", b"")

    response = get(any_storage, name)
    assert response["Content-Length"] == "0"
    assert body(response) == b""
    assert get(any_storage, name, Range="bytes=0-")["Content-Range"] == "bytes */0"


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=0-1,5-6", "bytes=2-1", "bytes=-", "bytes=a-b", "bytes=", "bytes"),
        *("lines=0-1", "bytes=1-2-3", "bytes=-1-2", "bytes=٣-٤", "bytes=+1-2"),
        *("bytes=" + "9" * 5000 + "-", "bytes=0 - 1", "bytes:0-1", "0-1", ""),
    ],
)
def test_several_ranges_or_none_that_is_one_are_all_of_it(asked: str) -> None:
    storage = InMemoryStorage()
    # A test client sends no header with such characters.
    request = factory.get("/")
    request.META["HTTP_RANGE"] = asked

    response = serve(request, storage, kept(storage))

    assert response.status_code == 200
    assert body(response) == CONTENT


def test_what_a_browser_has_is_not_sent_again(any_storage: Storage) -> None:
    name = kept(any_storage)
    known = get(any_storage, name)
    body(known)
    etag, modified = known["ETag"], known["Last-Modified"]

    for headers in (
        {"If_None_Match": etag},
        {"If_None_Match": f'"other", W/{etag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": modified},
        {
            "If_None_Match": etag,
            "If_Modified_Since": http_date(1),
            "Range": "bytes=0-1",
        },
    ):
        for method in ("GET", "HEAD"):
            response = get(any_storage, name, method=method, **headers)
            assert response.status_code == 304, headers
            assert response["ETag"] == etag
            assert response["Last-Modified"] == modified
            assert response["Cache-Control"] == "private, no-cache"
            assert body(response) == b""


def test_what_a_browser_has_not_is_sent(any_storage: Storage) -> None:
    name = kept(any_storage)
    modified = get(any_storage, name, method="HEAD")["Last-Modified"]

    for headers in (
        {"If_None_Match": '"other"'},
        {"If_None_Match": '"other"', "If_Modified_Since": modified},
        {"If_Modified_Since": http_date(1)},
        {"If_Modified_Since": "long ago"},
    ):
        assert body(get(any_storage, name, **headers)) == CONTENT, headers


def test_what_must_be_the_same_file_is_not_another(any_storage: Storage) -> None:
    name = kept(any_storage)
    known = get(any_storage, name, method="HEAD")

    same = {"If_Match": known["ETag"], "If_Unmodified_Since": known["Last-Modified"]}
    assert get(any_storage, name, method="HEAD", **same).status_code == 200
    for headers in ({"If_Match": '"other"'}, {"If_Unmodified_Since": http_date(1)}):
        response = get(any_storage, name, Range="bytes=0-1", **headers)
        assert response.status_code == 412
        assert body(response) == b""


def test_the_rest_of_the_same_file_only(any_storage: Storage) -> None:
    name = kept(any_storage)
    known = get(any_storage, name, method="HEAD")
    etag, modified = known["ETag"], known["Last-Modified"]

    def statuses(conditions: list[str]) -> list[int]:
        found = []
        for condition in conditions:
            response = get(any_storage, name, Range="bytes=9-", If_Range=condition)
            start = 9 if response.status_code == 206 else 0
            assert body(response) == CONTENT[start:]
            found.append(response.status_code)
        return found

    assert statuses([etag, modified]) == [206, 206]
    others = ['"other"', f"W/{etag}", http_date(1), "never", etag.strip('"')]
    assert statuses(others) == [200] * 5


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(method: str) -> None:
    storage = InMemoryStorage()

    response = get(storage, kept(storage), method=method)

    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"


def test_what_is_not_there_is_a_404(any_storage: Storage) -> None:
    kept(any_storage, "folder/file.bin")

    for name in (
        *("none.bin", "folder", "folder/", "none/none.bin", "folder/file.bin/more", ""),
        *("../file.bin", "/etc/passwd", "folder/../../x", "a" * 300, "a\0b", "."),
        *("a" * 3000, "a/" * 600 + "b", "a/" * 9000 + "b"),
        *("\ud800", "folder/\ud800.bin"),
    ):
        for method in ("GET", "HEAD"):
            with pytest.raises(Http404):
                get(any_storage, name, method=method)


def test_nothing_is_served_once_it_was_deleted(any_storage: Storage) -> None:
    name = kept(any_storage)
    etag = get(any_storage, name, method="HEAD")["ETag"]

    any_storage.delete(name)

    for headers in ({}, {"If_None_Match": etag}, {"Range": "bytes=0-1"}):
        with pytest.raises(Http404):
            get(any_storage, name, **headers)


def test_another_content_has_another_etag(any_storage: Storage) -> None:
    name = kept(any_storage, "one", CONTENT)
    before = get(any_storage, name, method="HEAD")["ETag"]
    again = get(any_storage, name, method="HEAD")["ETag"]
    with any_storage.open(name, "wb") as file:
        file.write(CONTENT[::-1])

    response = get(any_storage, name, If_None_Match=before)

    assert before == again
    assert response["ETag"] != before
    assert body(response) == CONTENT[::-1]


def test_the_sites_own_etag_takes_the_place_of_the_stores(
    any_storage: Storage,
) -> None:
    name, etag = kept(any_storage), '"version.7"'

    response = get(any_storage, name, etag=etag)
    part = get(any_storage, name, etag=etag, Range="bytes=1-2", If_Range=etag)
    known = get(any_storage, name, etag=etag, If_None_Match=etag)

    assert response["ETag"] == etag
    assert body(response) == CONTENT
    assert part.status_code == 206
    assert body(part) == CONTENT[1:3]
    assert (known.status_code, known["ETag"]) == (304, etag)


@pytest.mark.parametrize("etag", ["", "7.3", 'W/"7.3"', '"7"3"', '"7 3"', '"7\n3"'])
def test_what_is_no_strong_etag_is_refused(tmp_path: Path, etag: str) -> None:
    storage = FileSystemStorage(tmp_path)
    name = kept(storage)

    with pytest.raises(ValueError, match="expected a strong ETag"):
        get(storage, name, etag=etag)


def test_the_sites_own_time_takes_the_place_of_the_stores(
    any_storage: Storage,
) -> None:
    name, time = kept(any_storage), datetime(2020, 2, 2, 12, tzinfo=UTC)
    date = http_date(time.timestamp())

    for method in ("GET", "HEAD"):
        response = get(any_storage, name, method=method, modified=time)
        assert response["Last-Modified"] == date
        body(response)
    with pytest.raises(ValueError, match="time zone"):
        get(any_storage, name, modified=time.replace(tzinfo=None))


FACTS: dict[str, Any] = {"etag": '"7"', "modified": datetime(2020, 2, 2, tzinfo=UTC)}


def test_what_the_site_knows_no_store_of_objects_is_asked(s3: Any) -> None:
    known: dict[str, Any] = {**FACTS, "size": len(CONTENT)}
    name = kept(s3)

    with s3_requests(s3) as sent:
        whole = body(get(s3, name, **known))
        part = get(s3, name, Range="bytes=1-2", If_Range='"7"', **known)
        same = get(s3, name, If_None_Match='"7"', **known)

    assert [each.method for each in sent] == ["GET", "GET"]
    assert whole == CONTENT
    assert (part.status_code, body(part)) == (206, CONTENT[1:3])
    assert same.status_code == 304
    for method in ("GET", "HEAD"):
        with pytest.raises(Http404):
            get(s3, "nothing", method=method, **known)


@pytest.mark.parametrize("keeps", [False, True], ids=["entries", "contents"])
def test_of_what_the_site_knows_a_cache_keeps_the_content_at_most(
    make_s3: MakeS3, tmp_path: Path, keeps: bool
) -> None:
    content = b"small" * 200
    name = kept(make_s3(cache=False), content=content)
    limit = 8 << 20 if keeps else None
    s3 = make_s3(cache={"directory": str(tmp_path), "content_size_limit": limit})
    known = {**FACTS, "size": len(content)}

    with s3_requests(s3) as sent:
        assert body(get(s3, name, **known)) == content
        assert body(get(s3, name, **known)) == content
        assert s3.size(name) == len(content)

    expected = ["GET"] if keeps else ["GET", "GET", "HEAD"]
    assert [each.method for each in sent] == expected


def test_what_others_packed_is_not_cut_to_what_the_site_knows(make_s3: MakeS3) -> None:
    content = b"body { }" * 1000
    name = kept(make_s3(gzip=True), "a.css", content)

    for storage in (make_s3(), make_s3(cache=False), make_s3(gzip=True)):
        response = get(storage, name, **FACTS, size=len(content))
        assert body(response) == content


@pytest.mark.parametrize("method", ["open", "_open", "prepare_file"])
def test_a_subclass_s_own_way_to_open_is_gone_for_what_the_site_knows(
    make_s3: MakeS3, method: str
) -> None:
    opened = []

    def own_way(self: Any, name: str, mode: str = "rb") -> Any:
        opened.append(name)
        return getattr(S3Storage, method)(self, name, mode)

    storage = make_s3(type("Sealed", (S3Storage,), {method: own_way}))
    name = kept(storage)

    response = get(storage, name, **FACTS, size=len(CONTENT))

    assert body(response) == CONTENT
    assert opened == [name]


def test_a_storage_that_keeps_no_times_has_neither_date_nor_etag() -> None:
    class Timeless(InMemoryStorage):
        def get_modified_time(self, name: str) -> Any:
            raise NotImplementedError

    storage = Timeless()
    response = get(storage, kept(storage), If_Range='"x"', Range="bytes=0-1")

    assert "ETag" not in response
    assert "Last-Modified" not in response
    assert body(response) == CONTENT


def test_a_link_without_a_time_has_its_etag_only(storage: TahoeStorage) -> None:
    name = "of-others/a.bin"
    link_without_time(storage, name, CONTENT)

    response = get(storage, name)

    assert response.status_code == 200
    assert "Last-Modified" not in response
    assert body(response) == CONTENT
    again = get(storage, name, If_None_Match=response["ETag"])
    assert again.status_code == 304
    # A date says nothing of a file whose time nobody knows.
    later = http_date(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
    assert get(storage, name, If_Modified_Since=later).status_code == 200


# How a browser is told to treat it


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image/png"),
        ("a.JPG", "image/jpeg"),
        ("a.mp4", "video/mp4"),
        ("a.txt", "text/plain; charset=utf-8"),
    ],
)
def test_pictures_films_and_texts_are_shown(name: str, kind: str) -> None:
    storage = InMemoryStorage()
    response = get(storage, kept(storage, name))

    assert response["Content-Type"] == kind
    assert response["Content-Disposition"] == f'inline; filename="{name}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["Content-Security-Policy"].startswith("default-src 'none'; ")
    asked = get(storage, name, as_attachment=True)
    assert asked["Content-Disposition"] == f'attachment; filename="{name}"'


@pytest.mark.parametrize(
    "name",
    [
        *("a.html", "a.HTM", "a.xhtml", "a.svgz", "a.xml", "a.js", "a.css"),
        *("a.swf", "a.exe", "a", ".png", "a.png.html", "a.tar.gz", "a.txt.gz", "a.mht"),
    ],
)
def test_anything_else_is_a_download_of_no_type(name: str) -> None:
    storage = InMemoryStorage()
    response = get(storage, kept(storage, name))

    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == POLICY
    assert "Content-Encoding" not in response


@pytest.mark.parametrize(
    ("name", "kind"), [("a.svg", "image/svg+xml"), ("a.PDF", "application/pdf")]
)
def test_what_may_hold_scripts_is_shown_within_a_page_only(
    name: str, kind: str
) -> None:
    storage = InMemoryStorage()
    response = get(storage, kept(storage, name))

    assert response["Content-Type"] == kind
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["Content-Security-Policy"] == POLICY


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.css", "text/css"),
        ("a.svg", "image/svg+xml"),
        ("a.tar.gz", "application/gzip"),
    ],
)
def test_files_of_the_site_itself_are_what_their_names_say(
    name: str, kind: str
) -> None:
    storage = InMemoryStorage()
    response = get(storage, kept(storage, name), trusted=True, max_age=60)

    assert response["Content-Type"] == kind
    assert response["Content-Disposition"] == f'inline; filename="{name}"'
    assert response["Cache-Control"] == "public, max-age=60"
    assert "Content-Security-Policy" not in response
    assert "Content-Encoding" not in response


@pytest.mark.parametrize(
    ("filename", "told"),
    [
        ("Été 第.png", "inline; filename*=utf-8''%C3%89t%C3%A9%20%E7%AC%AC.png"),
        ('a"; b="c.html.png', r'inline; filename="a\"; b=\"c.html.png"'),
        (
            "a\r\nSet-Cookie: b.png",
            'inline; filename="a__Set-Cookie: b.png"',
        ),
        ("100%41;\\.png", 'inline; filename="100%41;\\\\.png"'),
        ("../../etc/a.png", 'inline; filename="a.png"'),
        ("\udcff.png", 'inline; filename="?.png"'),
        ("a.png\n", 'attachment; filename="a.png_"'),
        ("a\x00b\x7f\x85.png", 'inline; filename="a_b__.png"'),
        ("Été\n", "attachment; filename*=utf-8''%C3%89t%C3%A9_"),
        ("a\u2028b.png", 'inline; filename="a_b.png"'),
        ("\n", 'attachment; filename="_"'),
    ],
)
def test_a_name_says_nothing_but_the_name(filename: str, told: str) -> None:
    storage = InMemoryStorage()
    response = get(storage, kept(storage), filename=filename)

    assert response["Content-Disposition"] == told
    assert b"\nSet-Cookie" not in response.serialize_headers()


@pytest.mark.parametrize("name", ["dir/a.png\n", "\n", "a\rb", "\x1f.pdf\x7f"])
def test_a_file_of_any_name_is_served_by_its_own(
    storage: TahoeStorage, name: str
) -> None:
    # As other tools name it: Django would not.
    storage.link(name, storage.upload(name, body_of(ContentFile(CONTENT))), "false")

    response = get(storage, name)

    assert body(response) == CONTENT
    assert not set(response["Content-Disposition"]) & set(map(chr, range(32)))


def test_a_browser_may_keep_it_for_as_long_as_is_said() -> None:
    storage = InMemoryStorage()
    response = get(storage, kept(storage), max_age=300)

    assert response["Cache-Control"] == "private, max-age=300"


# What it costs, and what it shows


def test_a_range_fetches_just_its_bytes(
    tahoe_grid: LocalGrid, make_storage: MakeStorage
) -> None:
    name = kept(make_storage(), content=CONTENT * 20)
    with Proxy(tahoe_grid.base_url) as proxy:
        storage = make_storage(base_url=proxy.url)
        body(get(storage, name, method="HEAD"))
        proxy.clear()
        for asked in ("bytes=0-99", "bytes=1000000-2999999", "bytes=-7"):
            body(get(storage, name, Range=asked))
        proxy.settle()

        ranges = [seen.headers.get("range") for seen in proxy.seen]
    last = len(CONTENT) * 20 - 1
    assert ranges == ["bytes=0-99", "bytes=1000000-2999999", f"bytes={last - 6}-{last}"]


def test_a_range_of_an_object_fetches_just_its_bytes(s3: Any) -> None:
    name = kept(s3, content=CONTENT * 10)
    body(get(s3, name, method="HEAD"))
    with s3_requests(s3) as sent:
        for asked in ("bytes=0-99", "bytes=1000000-2999999", "bytes=-7"):
            body(get(s3, name, Range=asked))

    asked_for = [each.headers["range"] for each in sent]
    last = len(CONTENT) * 10 - 1
    assert asked_for == [
        "bytes=0-99",
        "bytes=1000000-1524287",
        "bytes=1524288-2572863",
        "bytes=2572864-2999999",
        f"bytes={last - 6}-{last}",
    ]


def test_heads_and_304s_ask_nobody(storage: TahoeStorage) -> None:
    name = kept(storage)
    etag = get(storage, name, method="HEAD")["ETag"]
    with requests_sent() as sent:
        get(storage, name, method="HEAD")
        get(storage, name, If_None_Match=etag)
        get(storage, name, Range="bytes=9999999-")
    assert sent == []


def test_the_etag_says_nothing_of_the_cap(
    storage: TahoeStorage, settings: Settings
) -> None:
    name, small = kept(storage), kept(storage, "small", b"tiny")
    shown = {}
    for each in (name, small):
        response = get(storage, each, method="HEAD")
        shown[each] = response["ETag"]
        reference = storage._entry(each)[1].reference
        text = response.serialize_headers().decode()
        assert not any(part in text for part in reference.split(":")[2:4])
    settings.SECRET_KEY = "another"

    # Nobody without the key can tell it from a guess of the content.
    assert get(storage, name, method="HEAD")["ETag"] != shown[name]
    assert get(storage, small, method="HEAD")["ETag"] != shown[small]


def test_a_file_of_which_a_block_is_held_at_a_time(tmp_path: Path) -> None:
    storage = FileSystemStorage(location=str(tmp_path))
    kept(storage, "large.bin", os.urandom(1 << 20) * 32)
    response: Any = get(storage, "large.bin")
    gc.collect()
    tracemalloc.start()
    try:
        size = sum(len(block) for block in response)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        response.close()
    assert size == 32 << 20
    assert most < 4 * BLOCK


def test_a_store_that_is_away_is_noticed_before_the_response_begins(
    storage: TahoeStorage, make_storage: MakeStorage
) -> None:
    name = kept(storage)
    body(get(storage, name))
    away = make_storage(base_url="http://127.0.0.1:1", retries=0)
    # What is known of it is in the cache.
    for headers in ({}, {"Range": "bytes=5-"}):
        with pytest.raises(GatewayUnreachable):
            get(away, name, **headers)


def test_a_file_that_was_cut_is_not_taken_for_whole(tmp_path: Path) -> None:
    storage = FileSystemStorage(location=str(tmp_path))
    name = kept(storage, "cut.bin")
    response = get(storage, name)
    os.truncate(tmp_path / name, BLOCK)
    with pytest.raises(DamagedDownload):
        body(response)


def test_the_file_is_closed_whatever_is_answered(
    any_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = kept(any_storage)
    etag = get(any_storage, name, method="HEAD")["ETag"]
    files: list[Any] = []
    usual: Any = any_storage.open

    def noted(*arguments: Any) -> Any:
        file = usual(*arguments)
        files.append(file)
        file.closings = 0
        close = file.close

        def closed() -> None:
            file.closings += 1
            close()

        file.close = closed
        return file

    monkeypatch.setattr(any_storage, "open", noted)
    for headers in ({}, {"If_None_Match": etag}, {"Range": "bytes=99999999-"}):
        body(get(any_storage, name, **headers))
    body(get(any_storage, name, method="HEAD"))
    abandoned: Any = get(any_storage, name)
    next(iter(abandoned))
    abandoned.close()

    assert files
    assert all(file.closings for file in files)


def test_what_another_host_replaced_has_its_own_etag(
    make_s3: MakeS3, tmp_path: Path
) -> None:
    here, there = make_s3(), make_s3(cache={"directory": str(tmp_path / "other")})
    kept(here, "a", b"old " * 1000)
    old = get(here, "a", method="HEAD")["ETag"]
    with there.open("a", "wb") as file:
        file.write(b"newer " * 3000)

    response = get(here, "a", Range="bytes=6-", If_Range=old)

    assert response.status_code == 200
    assert response["ETag"] == get(there, "a", method="HEAD")["ETag"] != old
    assert response["Content-Length"] == "18000"
    assert body(response) == b"newer " * 3000


def test_what_is_stored_packed_is_sent_as_it_was(make_s3: MakeS3) -> None:
    storage = make_s3(gzip=True)
    name = kept(storage, "a.css", b"body { }" * 1000)
    plain = kept(storage, "a.bin", CONTENT)

    response = get(storage, name, Range="bytes=0-1", trusted=True)

    assert response.status_code == 200
    assert "Content-Length" not in response
    assert "Content-Encoding" not in response
    assert body(response) == b"body { }" * 1000
    assert body(get(storage, plain, Range="bytes=1-2")) == CONTENT[1:3]


def test_a_packed_file_is_sent_packed(any_storage: Storage) -> None:
    packed = gzip.compress(CONTENT)
    response = get(any_storage, kept(any_storage, "a.txt.gz", packed))
    assert body(response) == packed
    assert "Content-Encoding" not in response


def test_a_mutable_file_is_sent_as_it_is_now(
    tahoe_grid: LocalGrid, storage: TahoeStorage
) -> None:
    kept(storage, "other")
    url = f"{tahoe_grid.base_url}/uri"
    cap = requests.put(f"{url}?format=SDMF", CONTENT, timeout=60).text
    root = storage.options.root.uri
    requests.put(f"{url}/{root}/mutable?t=uri", cap, timeout=60).raise_for_status()
    storage = TahoeStorage(
        base_url=tahoe_grid.base_url, base_cap=storage.options.root, cache=False
    )

    assert body(get(storage, "mutable")) == CONTENT
    requests.put(f"{url}/{cap}", CONTENT[:-1], timeout=60).raise_for_status()
    response = get(storage, "mutable", Range="bytes=5-", If_Range=http_date(1e9))
    part = get(storage, "mutable", Range="bytes=5-")

    assert "ETag" not in response
    assert "Last-Modified" not in response
    assert body(response) == CONTENT[:-1]
    assert body(part) == CONTENT[5:-1]


# By signed URLs


def test_s3_sends_it_itself_where_that_is_asked(s3: Any, moto: S3Server) -> None:
    name = kept(s3, "page.html", b"<script>")

    response = get(s3, name, redirect=True)
    reply = requests.get(response["Location"], timeout=60)

    assert response.status_code == 302
    assert response["Cache-Control"] == "private, no-store"
    assert reply.content == b"<script>"
    assert reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="page.html"'


def test_a_store_is_told_a_name_that_a_header_can_hold(s3: Any, moto: S3Server) -> None:
    name = kept(s3, "a.png")

    response = get(s3, name, redirect=True, filename="a\r\nSet-Cookie: b.png\n")
    reply = requests.get(response["Location"], timeout=60)

    assert reply.content == CONTENT
    assert "Set-Cookie" not in reply.headers
    told = 'attachment; filename="a__Set-Cookie: b.png_"'
    assert reply.headers["Content-Disposition"] == told


@pytest.mark.parametrize("known", [{}, KNOWN], ids=["unknown", "known"])
@pytest.mark.parametrize("any_storage", ["s3", "gcs", "tahoe"], indirect=True)
def test_heads_and_conditions_lead_nowhere(
    any_storage: Storage, known: dict[str, Any]
) -> None:
    name = kept(any_storage)
    told = partial(get, any_storage, name, redirect=True, **known)

    head = told(method="HEAD")

    assert head.status_code == 200
    assert head["Content-Length"] == str(len(CONTENT))
    assert head["Cache-Control"] == "private, no-cache"
    etag, modified = head["ETag"], head["Last-Modified"]
    assert etag == known.get("etag", etag)
    for same in ({"If_None_Match": etag}, {"If_Modified_Since": modified}):
        for method in ("GET", "HEAD"):
            response = told(method=method, **same)
            assert (response.status_code, response["ETag"]) == (304, etag)
    for other in ({"If_Match": '"x"'}, {"If_Unmodified_Since": http_date(1)}):
        for method in ("GET", "HEAD"):
            assert told(method=method, **other).status_code == 412
    # The store would compare these with an ETag and a time of its own.
    for met in (
        {"If_Match": etag},
        {"If_Unmodified_Since": modified},
        {"If_Modified_Since": http_date(1)},
    ):
        response = told(**met)
        assert (response.status_code, body(response)) == (200, CONTENT)
    rest = told(Range="bytes=9-", If_Range=etag)
    assert (rest.status_code, body(rest)) == (206, CONTENT[9:])


@pytest.mark.parametrize("any_storage", ["s3", "gcs"], indirect=True)
def test_conditions_that_name_what_the_store_told_lead_there(
    any_storage: Storage,
) -> None:
    name = kept(any_storage)

    for headers in ({"If_None_Match": '"x"'}, {"Range": "bytes=9-", "If_Range": '"x"'}):
        response = get(any_storage, name, redirect=True, **headers)
        assert response.status_code == 302
        assert response["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 200),
        ("GET", {"If_None_Match": '"7"'}, 304),
        ("GET", {"If_Match": '"x"'}, 412),
    ],
)
def test_the_store_is_asked_for_no_more_than_the_head(
    make_strict_s3: MakeS3, method: str, headers: dict[str, str], status: int
) -> None:
    storage = make_strict_s3(cache=False)
    name = kept(storage)

    with s3_requests(storage) as sent:
        response = get(
            storage, name, method=method, redirect=True, etag='"7"', **headers
        )

    assert response.status_code == status
    assert [each.method for each in sent] == ["HEAD"]


def test_a_url_for_a_head_is_signed_as_one(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3()
    name = kept(storage, "a.png")

    url = storage.download_url(
        name, method="HEAD", content_type="image/png", disposition="inline"
    )

    assert url is not None
    reply = requests.head(url, timeout=60)
    assert reply.status_code == 200
    assert reply.headers["Content-Length"] == str(len(CONTENT))


def test_google_is_told_what_to_answer(gcs_storage: GCSStorage) -> None:
    name = kept(gcs_storage, "Été.html")

    query = parse_qs(urlsplit(get(gcs_storage, name, redirect=True)["Location"]).query)

    assert query["response-content-type"] == ["application/octet-stream"]
    assert query["response-content-disposition"] == [
        "attachment; filename*=utf-8''%C3%89t%C3%A9.html"
    ]


def test_nobody_is_sent_to_what_is_not_there(s3: Any, gcs_storage: GCSStorage) -> None:
    for storage in (s3, gcs_storage):
        with pytest.raises(Http404):
            get(storage, "none", redirect=True)


def test_a_public_bucket_s_own_url_will_do(make_s3: MakeS3) -> None:
    for options in ({"querystring_auth": False}, {"custom_domain": "files.example"}):
        storage = make_s3(**options)
        name = kept(storage)
        assert get(storage, name, redirect=True)["Location"] == storage.url(name)


@pytest.mark.parametrize("kind", ["gcs", "unsigned", "by another host"])
def test_what_a_store_would_have_unpacked_the_site_sends(
    kind: str, gcs_storage: GCSStorage, make_s3: MakeS3
) -> None:
    s3: dict[str, dict[str, Any]] = {
        "unsigned": {"querystring_auth": False},
        "by another host": {"custom_domain": "files.example"},
    }
    storage = gcs_storage if kind == "gcs" else make_s3(**s3[kind])
    archive = gzip.compress(CONTENT)
    name = kept(storage, "a.tar.gz", archive)
    plain = kept(storage, "b.png")

    response = get(storage, name, redirect=True)

    assert response.status_code == 200
    assert body(response) == archive
    assert "Content-Encoding" not in response
    head = get(storage, name, method="HEAD", redirect=True)
    assert (head.status_code, head["Content-Length"]) == (200, str(len(archive)))
    assert get(storage, plain, redirect=True).status_code == 302
    with pytest.raises(Http404):
        get(storage, "none.tar.gz", redirect=True)


@pytest.mark.parametrize("kind", ["tahoe", "files"])
def test_other_storages_are_read_all_the_same(
    kind: str, storage: TahoeStorage, tmp_path: Path
) -> None:
    other = storage if kind == "tahoe" else FileSystemStorage(location=str(tmp_path))
    assert body(get(other, kept(other), redirect=True)) == CONTENT


# The view


class OfMembers(LoginRequiredMixin, Download):
    login_url = "/login/"


class Private(Download):
    def has_permission(self, request: HttpRequest, name: str) -> bool:
        return not name.startswith("private/")


def view(name: str, kind: type[Download] = Private, **attributes: Any) -> Any:
    request = factory.get("/", HTTP_RANGE=attributes.pop("Range", ""))
    request.user = AnonymousUser()
    return kind.as_view(**attributes)(request, name=name)


def test_who_is_refused_asks_nothing_of_the_store(
    storage: TahoeStorage, settings: Settings
) -> None:
    settings.ROOT_URLCONF = "tests.serving.test_response"
    for name in ("public/a", "private/a"):
        kept(storage, name)
    fresh = TahoeStorage(
        base_url=storage.options.base_url,
        base_cap=storage.options.root.uri,
        cache=False,
    )
    with requests_sent() as sent:
        for name in ("private/a", "private/none"):
            with pytest.raises(PermissionDenied):
                view(name, storage=fresh)
        assert view("a", OfMembers, storage=fresh).status_code == 302
    assert sent == []
    assert body(view("public/a", storage=fresh)) == CONTENT


@pytest.mark.parametrize(
    "detour",
    [
        *("public/../private/a", "public//../private/a", "./private/a", "/private/a"),
        *("public\\..\\private\\a", "../private/a", "public/./../private/a"),
        *("private//a", "private/a/", "private/../private/a"),
    ],
)
def test_no_detour_leads_to_what_is_refused(any_storage: Storage, detour: str) -> None:
    kept(any_storage, "private/a")
    with pytest.raises(Http404):
        view(detour, storage=any_storage)


def test_a_name_has_one_form_for_who_decides(storage: TahoeStorage) -> None:
    class Decided(Download):
        def has_permission(self, request: HttpRequest, name: str) -> bool:
            return name != "\xe9t\xe9/a"

    kept(storage, "\xe9t\xe9/a")
    for name in ("\xe9t\xe9/a", "e\u0301te\u0301/a"):
        with pytest.raises(PermissionDenied):
            view(name, Decided, storage=storage)


def test_the_attributes_are_the_arguments_of_serve(s3: Any) -> None:
    kept(s3, "a.png")
    response = view("a.png", storage=s3, as_attachment=True, max_age=9)
    assert response["Content-Disposition"] == 'attachment; filename="a.png"'
    assert response["Cache-Control"] == "private, max-age=9"
    assert view("a.png", storage=s3, redirect=True).status_code == 302


urlpatterns = [
    path("media/", include("tahoestorage.urls")),
    path("other/<path:name>", Private.as_view(storage="other")),
]


@pytest.fixture
def site(settings: Settings, storage: TahoeStorage) -> TahoeStorage:
    """A site that serves this storage below /media/."""
    tahoe = {
        "BACKEND": "tahoestorage.storage.TahoeStorage",
        "OPTIONS": {**storage._given, "url_style": "path"},
    }
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {"default": tahoe, "other": memory}
    settings.ROOT_URLCONF = "tests.serving.test_response"
    settings.MEDIA_URL = "/media/"
    return storage


@pytest.mark.parametrize(
    "name",
    ["a.png", "Été/第一 100%.txt", "a?b#c;d&e=f.png", "a'\"<b>.bin", "%2e%2e.bin"],
)
def test_the_urls_of_the_site_are_served(site: TahoeStorage, name: str) -> None:
    from django.core.files.storage import storages

    url = storages["default"].url(kept(site, name))
    response: Any = Client().get(url)

    assert url.startswith("/media/")
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == CONTENT


def test_the_client_gets_404_403_and_405(site: TahoeStorage) -> None:
    client = Client()
    assert client.get("/media/none").status_code == 404
    assert client.get("/media/..%2F..%2Fetc%2Fpasswd").status_code == 404
    assert client.get("/other/private/a").status_code == 403
    assert client.post("/media/none").status_code == 405
    assert client.head("/media/none").status_code == 404


# By ASGI


async def ask(path: str, waiting: int = 0, **headers: str) -> Any:
    """Send a request; ``waiting`` is how many messages may wait for the visitor."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": headers.pop("method", "GET"),
        "path": path,
        "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    visitor: Any = ApplicationCommunicator(get_asgi_application(), scope)  # type: ignore[no-untyped-call]
    visitor._output_queue = asyncio.Queue(waiting)
    await visitor.send_input({"type": "http.request", "body": b""})
    return visitor


async def response(visitor: Any) -> tuple[int, bytes, list[int]]:
    start = await visitor.receive_output(30)
    blocks = []
    while True:
        message = await visitor.receive_output(30)
        blocks.append(message.get("body", b""))
        if not message.get("more_body"):
            await visitor.wait(60)
            return start["status"], b"".join(blocks), [len(each) for each in blocks]


def test_by_asgi_it_is_streamed_too(site: TahoeStorage) -> None:
    kept(site, "a.bin")

    async def visit() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            whole = await response(await ask("/media/a.bin"))
            part = await response(await ask("/media/a.bin", range="bytes=9-99"))
            head = await response(await ask("/media/a.bin", method="HEAD"))
        assert whole[:2] == (200, CONTENT)
        assert max(whole[2]) == BLOCK
        assert part[:2] == (206, CONTENT[9:100])
        assert head[:2] == (200, b"")

    asyncio.run(visit())


def test_the_test_client_of_asgi_gets_it(site: TahoeStorage) -> None:
    kept(site, "a.bin")

    async def visit() -> Any:
        response: Any = await AsyncClient().get("/media/a.bin")
        assert response.status_code == 200
        return [block async for block in response]

    assert b"".join(asyncio.run(visit())) == CONTENT


class Slow:
    """A file that gives a block at a time, when it is told to."""

    def __init__(self) -> None:
        self.reads = 0
        self.threads: set[int] = set()
        self.closed = threading.Event()
        self.size = 1000 * BLOCK
        self.name = "slow"

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        self.threads.add(threading.get_ident())
        return b"x" * min(size, BLOCK)

    def close(self) -> None:
        self.closed.set()


def test_by_asgi_a_block_is_read_when_the_one_before_was_taken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Slow()
    monkeypatch.setattr(InMemoryStorage, "open", lambda *rest: file)
    time = SimpleNamespace(timestamp=lambda: 1.5)
    monkeypatch.setattr(InMemoryStorage, "get_modified_time", lambda *rest: time)
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {"default": memory, "other": memory}
    settings.ROOT_URLCONF = "tests.serving.test_response"

    async def visit() -> None:
        visitor = await ask("/media/slow", waiting=1)
        await visitor.receive_output(30)
        for _ in range(3):
            await visitor.receive_output(30)
        await asyncio.sleep(0.05)
        assert file.reads <= 8
        # The visitor hangs up.
        await visitor.send_input({"type": "http.disconnect"})
        await visitor.wait(60)
        assert file.closed.is_set()
        assert file.reads <= 9

    asyncio.run(visit())
    assert threading.get_ident() not in file.threads


def test_an_outage_by_asgi_is_an_error_and_not_half_a_response(
    site: TahoeStorage, settings: Settings
) -> None:
    name = kept(site, "a.bin")
    body(get(site, name))
    settings.STORAGES["default"]["OPTIONS"]["base_url"] = "http://127.0.0.1:1"
    settings.STORAGES["default"]["OPTIONS"]["retries"] = 0

    async def visit() -> int:
        return (await response(await ask("/media/a.bin")))[0]

    assert asyncio.run(visit()) == 500
    with pytest.raises(StoreError):
        Client().get("/media/a.bin")
