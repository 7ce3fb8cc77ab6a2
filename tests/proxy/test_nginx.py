"""What visitors get through the read-only proxy: a real nginx before a real gateway."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import requests
from django.core.files.base import ContentFile
from hypothesis import given, settings
from hypothesis import strategies as st

from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.publicurls import public_url
from tahoestorage.testing.grid import LocalGrid
from tests.support.nginx_server import RunningProxy, public_proxy
from tests.support.proxy import CutBody, Proxy, Seen, SendResponse

SLICE = 2**20
BIG = os.urandom(2 * SLICE + 1234)
FOREVER = "public, max-age=31536000, immutable"


@pytest.fixture(autouse=True)
def forget_requests(gateway: Proxy) -> None:
    gateway.clear()
    gateway.seen.clear()


@pytest.fixture(scope="module")
def visitor() -> Iterator[requests.Session]:
    with requests.Session() as visitor:
        visitor.trust_env = False
        yield visitor


@pytest.fixture(scope="module")
def files(tahoe_grid: LocalGrid, proxy: RunningProxy) -> TahoeStorage:
    """A storage whose public URLs lead to the proxy."""
    return TahoeStorage(
        base_url=tahoe_grid.base_url,
        base_cap=tahoe_grid.create_root().uri,
        public_base_url=proxy.url,
        cache=False,
    )


def save(files: TahoeStorage, name: str, content: bytes) -> str:
    """Save a file, and return its public URL."""
    return files.url(files.save(name, ContentFile(content)))


def fresh(files: TahoeStorage, name: str = "a.bin", size: int = 3000) -> str:
    """Return the public URL of a file that nobody has asked for yet."""
    return save(files, name, os.urandom(size))


@pytest.fixture(scope="module")
def big(files: TahoeStorage) -> str:
    return save(files, "big.mp4", BIG)


# What is answered


@pytest.mark.parametrize("content", [b"", b"short", b"n" * 56, BIG])
def test_a_public_url_gives_the_file(
    files: TahoeStorage, visitor: requests.Session, content: bytes
) -> None:
    response = visitor.get(save(files, "a.bin", content))
    assert response.status_code == 200
    assert response.content == content
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["Cache-Control"] == FOREVER


def test_head_tells_the_same_without_the_file(
    big: str, visitor: requests.Session
) -> None:
    got, told = visitor.get(big), visitor.head(big)
    assert told.content == b""
    for headers in (got.headers, told.headers):
        del headers["Date"]
    assert told.headers == got.headers


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-1048580", 5, 1048580),
        ("bytes=1048576-", SLICE, len(BIG) - 1),
        ("bytes=-7", len(BIG) - 7, len(BIG) - 1),
        (f"bytes={len(BIG) - 1}-99999999", len(BIG) - 1, len(BIG) - 1),
    ],
)
def test_a_range_is_answered(
    big: str, visitor: requests.Session, asked: str, first: int, last: int
) -> None:
    response = visitor.get(big, headers={"Range": asked})
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(BIG)}"
    assert response.content == BIG[first : last + 1]


@pytest.mark.parametrize("first", [len(BIG), len(BIG) + 1, 10 * len(BIG), 10**15])
def test_a_range_past_the_end_is_told_where_that_is(
    big: str, visitor: requests.Session, first: int
) -> None:
    response = visitor.get(big, headers={"Range": f"bytes={first}-"})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{len(BIG)}"
    assert response.content == b""


def test_of_a_range_only_its_slices_are_fetched(
    files: TahoeStorage, gateway: Proxy, visitor: requests.Session
) -> None:
    content = os.urandom(8 * SLICE)
    url = save(files, "film.mp4", content)
    gateway.seen.clear()
    response = visitor.get(url, headers={"Range": f"bytes={5 * SLICE + 3}-{6 * SLICE}"})
    assert response.content == content[5 * SLICE + 3 : 6 * SLICE + 1]
    assert [seen.headers["range"] for seen in gateway.seen] == [
        f"bytes={5 * SLICE}-{6 * SLICE - 1}",
        f"bytes={6 * SLICE}-{7 * SLICE - 1}",
    ]


@pytest.mark.parametrize("form", ["{0}", "W/{0}", '"x", {0}', '{0} , "y"', '"x",{0}'])
def test_what_a_visitor_has_is_not_sent_again(
    big: str, visitor: requests.Session, form: str
) -> None:
    etag = visitor.head(big).headers["ETag"]
    assert etag[0] == etag[-1] == '"'
    response = visitor.get(big, headers={"If-None-Match": form.format(etag)})
    assert response.status_code == 304
    assert response.content == b""
    assert response.headers["ETag"] == etag
    assert response.headers["Cache-Control"] == FOREVER


@pytest.mark.parametrize("etag", ['"x"', "x", '""', '"{0}', "{0}", '"{0}x"', '"x{0}"'])
def test_what_a_visitor_has_of_another_file_is_sent(
    files: TahoeStorage, visitor: requests.Session, etag: str
) -> None:
    url = save(files, "a.bin", b"content " * 30)
    known = visitor.head(url).headers["ETag"].strip('"')
    response = visitor.get(url, headers={"If-None-Match": etag.format(known)})
    assert response.status_code == 200
    assert response.content == b"content " * 30


def test_a_range_of_what_has_changed_is_the_whole(
    big: str, visitor: requests.Session
) -> None:
    etag = visitor.head(big).headers["ETag"]
    part = visitor.get(big, headers={"Range": "bytes=1-2", "If-Range": etag})
    assert (part.status_code, part.content) == (206, BIG[1:3])
    whole = visitor.get(big, headers={"Range": "bytes=1-2", "If-Range": '"old"'})
    assert (whole.status_code, whole.content) == (200, BIG)


def test_a_visitor_may_insist_on_what_it_has(
    big: str, visitor: requests.Session
) -> None:
    etag = visitor.head(big).headers["ETag"]
    assert visitor.get(big, headers={"If-Match": etag}).content == BIG
    assert visitor.get(big, headers={"If-Match": '"old"'}).status_code == 412


def test_the_etag_opens_nothing(files: TahoeStorage, visitor: requests.Session) -> None:
    url = fresh(files)
    uri = unquote(url).split("/")[4]
    etag = visitor.head(url).headers["ETag"].strip('"')
    key = uri.split(":")[2]
    assert etag in uri
    assert key not in etag


def test_who_knows_all_but_the_key_gets_nothing(
    files: TahoeStorage, visitor: requests.Session
) -> None:
    url = fresh(files)
    assert visitor.get(url).status_code == 200
    key = unquote(url).split("/")[4].split(":")[2]
    response = visitor.get(url.replace(key, "a" * 26))
    assert response.status_code == 503
    assert response.text == "The file cannot be had now. Please try again later.\n"
    assert response.headers["Retry-After"] == "30"


# Names and types

CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=["Cs"], exclude_characters="/"
)
NAMES = st.text(CHARACTERS, min_size=1, max_size=255).filter(
    lambda name: name not in {".", ".."}
)


@settings(max_examples=400, deadline=None)
@given(name=NAMES)
def test_a_file_of_any_name_is_found(proxy: RunningProxy, name: str) -> None:
    url = public_url(proxy.url, "URI:LIT:nbswy3dp", name)
    with requests.Session() as visitor:
        visitor.trust_env = False
        response = visitor.get(url)
    assert (response.status_code, response.content) == (200, b"hello")


@pytest.mark.parametrize(
    "name",
    [
        *("100%.txt", "5% to 9%", "%41%42", "50%ab", "%", "%%", "%%25", "%252F", "%2"),
        *("100%25.txt", "a%2Fb", "a%2fb", "%2E%2e", "..%2f..", "a%5Cb", "%00", "%0a"),
        *("a\nb", "a.txt\n", "\r", "a\\b", "\\", "\x7f", "\x85", "\x00", "%\n25"),
    ],
)
def test_whatever_is_in_a_name_is_no_harm(
    proxy: RunningProxy, visitor: requests.Session, name: str
) -> None:
    url = public_url(proxy.url, "URI:LIT:nbswy3dp", name)
    assert visitor.get(url).content == b"hello"


@pytest.mark.parametrize("target", ["named/{0}/a", "file/{0}/a", "file/{0}/@@named=/a"])
@pytest.mark.parametrize("colon", [":", "%3A"])
def test_each_spelling_of_tahoe_s_own_is_understood(
    proxy: RunningProxy, visitor: requests.Session, target: str, colon: str
) -> None:
    cap = "URI:LIT:nbswy3dp".replace(":", colon)
    url = f"{proxy.url}/{target.format(cap)}"
    assert visitor.get(url).content == b"hello"


@pytest.mark.parametrize(
    ("name", "type_", "disposition"),
    [
        ("a.png", "image/png", None),
        ("A.JPG", "image/jpeg", None),
        ("a.webm", "video/webm", None),
        ("a.txt", "text/plain; charset=utf-8", None),
        ("a.svg", "image/svg+xml", "attachment"),
        ("a.pdf", "application/pdf", "attachment"),
        ("a.html", "application/octet-stream", "attachment"),
        ("a.XHTML", "application/octet-stream", "attachment"),
        ("a.js", "application/octet-stream", "attachment"),
        ("a.css", "application/octet-stream", "attachment"),
        ("a.tar.gz", "application/octet-stream", "attachment"),
        ("png", "application/octet-stream", "attachment"),
        ("a.png.exe", "application/octet-stream", "attachment"),
    ],
)
def test_what_may_act_is_saved_and_not_shown(
    files: TahoeStorage,
    visitor: requests.Session,
    name: str,
    type_: str,
    disposition: str | None,
) -> None:
    response = visitor.get(save(files, name, b"<script>alert(1)</script>" * 9))
    assert response.status_code == 200
    assert response.headers["Content-Type"] == type_
    assert response.headers.get("Content-Disposition") == disposition
    assert "Content-Encoding" not in response.headers
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "; sandbox" in policy
    assert "allow-scripts" not in policy


# Fetched once


def test_a_file_is_fetched_once_for_all_its_names(
    files: TahoeStorage, gateway: Proxy, visitor: requests.Session
) -> None:
    url = fresh(files)
    gateway.seen.clear()
    contents = {visitor.get(url).content}
    for other in ("x.png", "y.html", "z"):
        contents.add(visitor.get(url.rpartition("/")[0] + f"/{other}").content)
    assert len(contents) == 1
    assert gateway.seen == [gateway.seen[0]]


def test_nothing_that_a_visitor_sends_gets_to_the_gateway(
    files: TahoeStorage, gateway: Proxy, visitor: requests.Session
) -> None:
    url = fresh(files)
    gateway.seen.clear()
    sent = {
        "Cookie": "session=secret",
        "Authorization": "Basic c2VjcmV0",
        "Referer": "https://site.example/private",
        "X-HTTP-Method-Override": "DELETE",
        "Accept": "text/html",
        "X-Tahoe": "x",
        "Accept-Encoding": "gzip",
    }
    assert visitor.get(url, headers=sent).status_code == 200
    (seen,) = gateway.seen
    assert {name.lower() for name in seen.headers} == {"host", "range"}
    uri = unquote(url).split("/")[4]
    assert seen.target == f"/uri/{quote(uri, safe='')}"


def test_nothing_that_a_gateway_says_besides_gets_to_a_visitor(
    files: TahoeStorage, gateway: Proxy, visitor: requests.Session
) -> None:
    url = fresh(files)
    said = {
        "Set-Cookie": "a=b",
        "Location": "http://evil.example",
        "Refresh": "0; url=http://evil.example",
        "X-Accel-Redirect": "/etc/passwd",
        "X-Accel-Expires": "0",
        "Cache-Control": "no-store",
        "Vary": "*",
        "ETag": "wrong",
        "Content-Type": "text/html",
        "Content-Encoding": "gzip",
        "Content-Disposition": "inline",
        "Content-Range": "bytes 0-4/5",
    }
    gateway.rule(lambda seen: True, SendResponse(206, said, b"hello"))
    response = visitor.get(url)
    assert (response.status_code, response.content) == (200, b"hello")
    for name in ("Set-Cookie", "Location", "Refresh", "Vary", "Content-Encoding"):
        assert name not in response.headers
    assert response.headers["Cache-Control"] == FOREVER
    assert response.headers["Content-Type"] == "application/octet-stream"


def test_two_hundred_visitors_at_once_cost_one_fetch(
    files: TahoeStorage, gateway: Proxy
) -> None:
    content = os.urandom(10 * SLICE)
    url = save(files, "ten.bin", content)
    gateway.seen.clear()
    ready = threading.Barrier(200)
    right = hashlib.blake2b(content).digest()
    wrong: list[object] = []

    def visit() -> None:
        got = hashlib.blake2b()
        try:
            with requests.Session() as visitor:
                visitor.trust_env = False
                ready.wait(60)
                with visitor.get(url, stream=True, timeout=120) as response:
                    for block in response.iter_content(2**18):
                        got.update(block)
        except Exception as error:
            wrong.append(error)
        if got.digest() != right:
            wrong.append(got.digest())

    visitors = [threading.Thread(target=visit) for _ in range(200)]
    for one in visitors:
        one.start()
    for one in visitors:
        one.join()

    assert wrong == []
    slices = [f"bytes={n * SLICE}-{(n + 1) * SLICE - 1}" for n in range(10)]
    assert [seen.headers["range"] for seen in gateway.seen] == slices


# While something is wrong


def test_what_is_known_is_shown_while_the_gateway_is_away(
    tahoe_grid: LocalGrid,
    files: TahoeStorage,
    tmp_path: Path,
    visitor: requests.Session,
) -> None:
    known, unknown = fresh(files, size=2 * SLICE), fresh(files)
    gateway = Proxy(tahoe_grid.base_url)
    with gateway, public_proxy(tmp_path, gateway.url) as proxy:
        known = known.replace(files.options.public_base_url or "", proxy.url)
        unknown = unknown.replace(files.options.public_base_url or "", proxy.url)
        content = visitor.get(known).content
        gateway.__exit__(None, None, None)

        assert visitor.get(known).content == content
        part = visitor.get(known, headers={"Range": "bytes=9-20"})
        assert (part.status_code, part.content) == (206, content[9:21])
        response = visitor.get(unknown)
        assert response.status_code == 503
        assert response.text == "The file cannot be had now. Please try again later.\n"
        assert "Cache-Control" not in response.headers
    # Not of what failed either.
    logs = [log.read_text() for log in tmp_path.rglob("*.log")]
    assert any(" 503 " in log for log in logs)
    assert [log for log in logs if "URI" in log] == []


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (302, 503),
        (400, 404),
        (403, 404),
        (404, 404),
        (409, 404),
        (410, 503),
        (500, 503),
        (502, 503),
    ],
)
def test_no_word_of_the_gateway_is_shown_nor_kept(
    files: TahoeStorage,
    gateway: Proxy,
    visitor: requests.Session,
    status: int,
    shown: int,
) -> None:
    url = fresh(files)
    told = {"Location": "http://evil.example", "Content-Type": "text/html"}
    gateway.rule(
        lambda seen: True, SendResponse(status, told, b"URI:CHK: words of its own")
    )
    response = visitor.get(url)
    assert response.status_code == shown
    assert "words of its own" not in response.text
    assert "Location" not in response.headers
    assert response.headers["Content-Type"] == "text/plain"
    gateway.clear()
    assert visitor.get(url).status_code == 200


def is_second_part(seen: Seen) -> bool:
    return seen.headers.get("range", "").startswith(f"bytes={SLICE}-")


def test_a_part_that_breaks_off_ends_the_download_there(
    files: TahoeStorage, gateway: Proxy, visitor: requests.Session
) -> None:
    content = os.urandom(3 * SLICE)
    url = save(files, "cut.bin", content)
    gateway.rule(is_second_part, CutBody(after=1000), times=None)
    received = bytearray()
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        receive(visitor, url, received)
    # None of what comes after the error: who resumes gets the file, and no hole in it.
    assert len(received) <= SLICE
    assert content.startswith(received)

    gateway.clear()
    rest = visitor.get(url, headers={"Range": f"bytes={len(received)}-"})
    assert received + rest.content == content


def receive(visitor: requests.Session, url: str, received: bytearray) -> None:
    with visitor.get(url, stream=True) as response:
        for block in response.iter_content(1000):
            received += block


def test_a_part_that_breaks_off_once_is_fetched_again(
    files: TahoeStorage, gateway: Proxy, visitor: requests.Session
) -> None:
    content = os.urandom(3 * SLICE)
    url = save(files, "cut.bin", content)
    gateway.rule(is_second_part, CutBody(after=1000), times=1)
    assert visitor.get(url).content == content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_told_which_are_answered(
    big: str, visitor: requests.Session, method: str
) -> None:
    response = visitor.request(method, big)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"


# Slow and many visitors


def test_an_address_has_so_many_connections_and_no_more(
    gateway: Proxy, files: TahoeStorage, tmp_path: Path
) -> None:
    fewer = {"limit_conn tahoe_visitors 256;": "limit_conn tahoe_visitors 2;"}
    # More than the kernel takes from nginx for visitors who take little.
    target = urlsplit(save(files, "large.bin", bytes(16 * SLICE))).path
    with (
        public_proxy(tmp_path, gateway.url, instead=fewer) as proxy,
        contextlib.ExitStack() as stack,
    ):

        def visit() -> tuple[socket.socket, bytes]:
            visitor = socket.socket()
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            visitor.settimeout(30)
            visitor.connect(proxy.address)
            stack.callback(visitor.close)
            head = f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"
            visitor.sendall(head.encode())
            return visitor, visitor.recv(12)

        taken = [visit()[1] for _ in range(2)]
        visitor, refused = visit()
        response = refused + visitor.recv(4096)

    assert taken == [b"HTTP/1.1 200"] * 2
    assert refused == b"HTTP/1.1 429"
    assert b"too many connections from your address" in response


def test_a_visitor_who_never_says_what_it_wants_is_let_go(
    gateway: Proxy, tmp_path: Path
) -> None:
    sooner = {"client_header_timeout 15s;": "client_header_timeout 1s;"}
    with (
        public_proxy(tmp_path, gateway.url, instead=sooner) as proxy,
        socket.create_connection(proxy.address, timeout=30) as visitor,
    ):
        visitor.sendall(
            b"GET /named/URI%3ALIT%3Anbswy3dp/a.txt HTTP/1.1\r\nHost: a\r\n"
        )
        with contextlib.suppress(ConnectionResetError):
            assert visitor.recv(1) == b""
    # Of the visitors of other tests nginx may still fetch something.
    assert [seen for seen in gateway.seen if "nbswy3dp" in seen.target] == []


# Only where it is asked for


@pytest.fixture(scope="module")
def all_kinds(
    gateway: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    directory = tmp_path_factory.mktemp("all-kinds")
    both = ("--mutable", "--directories")
    with public_proxy(directory, gateway.url, *both) as proxy:
        yield proxy


@pytest.mark.parametrize("form", ["sdmf", "mdmf"])
def test_a_mutable_file_is_read_as_it_is_now(
    tahoe_grid: LocalGrid,
    all_kinds: RunningProxy,
    proxy: RunningProxy,
    visitor: requests.Session,
    form: str,
) -> None:
    address = f"{tahoe_grid.base_url}/uri"
    uri = visitor.put(f"{address}?format={form}", data=b"first content").text
    target = f"/named/{quote(Cap.parse(uri).read_only.uri, safe='')}/a.txt"
    first = visitor.get(all_kinds.url + target)
    assert (first.status_code, first.content) == (200, b"first content")
    assert first.headers["Cache-Control"] == "no-cache"
    visitor.put(f"{address}/{quote(uri, safe='')}", data=b"second content")
    assert visitor.get(all_kinds.url + target).content == b"second content"
    part = visitor.get(all_kinds.url + target, headers={"Range": "bytes=0-2"})
    assert (part.status_code, part.content) == (206, b"sec")

    assert visitor.get(proxy.url + target).status_code == 404
    writing = f"/named/{quote(uri, safe='')}/a.txt"
    assert visitor.get(all_kinds.url + writing).status_code == 404


def test_a_directory_is_listed_and_its_files_are_read(
    files: TahoeStorage,
    all_kinds: RunningProxy,
    proxy: RunningProxy,
    visitor: requests.Session,
) -> None:
    save(files, "below/it/kept for all.txt", b"what is in the file " * 9)
    root = files.options.root
    page = f"/uri/{quote(root.read_only.uri, safe='')}/"
    for name in ("below", "it"):
        listing = visitor.get(all_kinds.url + page)
        assert listing.status_code == 200
        assert listing.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "sandbox" in listing.headers["Content-Security-Policy"]
        assert listing.headers["Cache-Control"] == "no-cache"
        page = link(listing.text, name).replace("../../..", "")
    listing = visitor.get(all_kinds.url + page)
    file = link(listing.text, "kept for all.txt").replace("../../..", "")
    assert visitor.get(all_kinds.url + file).content == b"what is in the file " * 9

    assert visitor.get(proxy.url + page).status_code == 404
    for uri in (root.uri, root.read_only.uri + "?t=json"):
        assert visitor.get(f"{all_kinds.url}/uri/{uri}").status_code == 404
    assert visitor.post(all_kinds.url + page).status_code == 405


def link(page: str, name: str) -> str:
    """Return where the link of this text leads."""
    before, _, _ = page.partition(f">{name}</a>")
    return before.rpartition('href="')[2].split('"')[0]


def test_a_path_in_the_public_address_is_kept(
    gateway: Proxy, files: TahoeStorage, tmp_path: Path, visitor: requests.Session
) -> None:
    url = save(files, "a.txt", b"below a path " * 9)
    with public_proxy(tmp_path, gateway.url, path="/a.b/files") as proxy:
        _, _, _, target = url.split("/", 3)
        response = visitor.get(f"{proxy.url}/a.b/files/{target}")
        assert response.content == b"below a path " * 9
        assert visitor.get(f"{proxy.url}/{target}").status_code == 404
        assert visitor.get(f"{proxy.url}/axb/files/{target}").status_code == 404
