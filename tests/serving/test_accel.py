"""Downloads that the site allows and nginx carries: real ones of each."""

from __future__ import annotations

import contextlib
import http.client
import re
import secrets
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile, File
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from tahoestorage.config.options import Options
from tahoestorage.proxy.internal import location
from tahoestorage.proxy.templates import AUTHORITIES
from tahoestorage.serving import serve
from tahoestorage.serving.accelredirect import accelerated as accelerated_by
from tahoestorage.serving.representation import representation_of
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support.accel_site import PREFIX, memory, running
from tests.support.nginx_server import needs_nginx
from tests.support.proxy import CutBody, Proxy, SendResponse

MIB = 1 << 20
CONTENT = secrets.token_bytes(300_000)


@dataclass
class Site:
    """A site behind nginx, and a gateway behind a proxy that notes what it is asked."""

    address: str
    storage: TahoeStorage
    gateway: Proxy
    directory: Path

    def ask(self, path: str, method: str = "GET", **headers: str) -> Any:
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        headers.setdefault("Accept-Encoding", "gzip")
        with requests.Session() as visitor:
            visitor.trust_env = False
            return visitor.request(
                method, self.address + path, headers=headers, timeout=60
            )

    def logs(self) -> str:
        return "".join(
            path.read_text(errors="replace")
            for path in self.directory.iterdir()
            if path.suffix in (".log", ".out")
        )


@pytest.fixture(scope="module")
def site(
    tahoe_grid: LocalGrid, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("accel")
    storage = TahoeStorage(
        base_url=tahoe_grid.base_url,
        base_cap=tahoe_grid.create_root().uri,
        cache={"directory": str(directory / "cache")},
    )
    with (
        Proxy(tahoe_grid.base_url) as gateway,
        running(directory, storage, tahoe_grid, gateway.url) as (address, _),
    ):
        yield Site(address, storage, gateway, directory)


@pytest.fixture
def name(site: Site) -> str:
    """A new file, which the site has not been asked for."""
    content = secrets.token_bytes(8) + CONTENT
    site.gateway.clear()
    return site.storage.save(
        f"Été/{secrets.token_hex(4)} 第一.png", ContentFile(content)
    )


def content_of(site: Site, name: str) -> bytes:
    with site.storage.open(name) as file:
        return bytes(file.read())


def cap_of(site: Site, name: str) -> Cap:
    return Cap.parse(site.storage._entry(name)[1].reference)


pytestmark = needs_nginx


def test_nginx_fetches_what_the_site_allows(site: Site, name: str) -> None:
    response = site.ask(f"/media/{quote(name)}", Cookie="secret=1", Authorization="x y")

    assert response.status_code == 200
    assert response.content == content_of(site, name)
    (seen,) = site.gateway.seen
    assert (seen.method, seen.path) == ("GET", f"/uri/{cap_of(site, name).uri}")
    # A damaged file ends a connection of its own at once.
    assert seen.headers["connection"] == "close"
    assert set(seen.headers) == {"connection", "host"}


def test_the_headers_are_those_that_the_site_gives(site: Site, name: str) -> None:
    response = site.ask(f"/media/{quote(name)}")
    head = site.ask(f"/media/{quote(name)}", "HEAD")

    told = dict(response.headers)
    for ours in ("Date", "Server", "Connection"):
        told.pop(ours, None)
        head.headers.pop(ours, None)
    file = name.rpartition("/")[2]
    modified = told.pop("Last-Modified")
    etag = told.pop("ETag")
    assert told == {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f"inline; filename*=utf-8''{quote(file)}",
        "Content-Length": str(len(CONTENT) + 8),
        "Content-Security-Policy": "default-src 'none'; img-src 'self'; media-src "
        "'self'; style-src 'unsafe-inline'; sandbox",
        "Content-Type": "image/png",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    assert dict(head.headers) == {**told, "ETag": etag, "Last-Modified": modified}


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=1000-250000", 1000, 250_000), ("bytes=-5", -5, -1)],
)
def test_a_range_is_chosen_by_the_site_and_fetched_by_nginx(
    site: Site, name: str, asked: str, first: int, last: int
) -> None:
    content = content_of(site, name)
    first, last = first % len(content), last % len(content)

    response = site.ask(f"/media/{quote(name)}", Range=asked)

    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(content)}"
    assert response.content == content[first : last + 1]
    (seen,) = site.gateway.seen
    assert seen.headers["range"] == f"bytes={first}-{last}"
    # nginx decodes the cap once, and leaves its colons as they are.
    assert seen.target == f"/uri/{cap_of(site, name).uri}"


def test_the_site_decides_on_conditions_and_nobody_else(site: Site, name: str) -> None:
    path = f"/media/{quote(name)}"
    head = site.ask(path, "HEAD")
    etag, modified = head.headers["ETag"], head.headers["Last-Modified"]
    site.gateway.clear()

    assert site.ask(path, If_None_Match=etag).status_code == 304
    assert site.ask(path, If_Modified_Since=modified).status_code == 304
    assert site.ask(path, If_Match='"other"').status_code == 412
    beyond = site.ask(path, Range="bytes=9999999-")
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(CONTENT) + 8}"
    assert site.gateway.seen == []
    assert site.ask(path, Range="bytes=5-", If_Range=etag).status_code == 206
    others = (
        {"If_Range": '"other"'},
        {"Range": "bytes=0-1,5-6"},
        {"Range": "lines=1-"},
    )
    for headers in others:
        response = site.ask(path, **{"Range": "bytes=5-", **headers})
        assert response.status_code == 200
        assert response.content == content_of(site, name)
    changed = site.ask(path, If_None_Match='"other"', If_Match=etag)
    assert changed.status_code == 200


def test_what_the_site_says_of_keeping_it_is_kept(site: Site, name: str) -> None:
    kept = site.ask(f"/kept/{quote(name)}", Range="bytes=0-1").headers
    own = site.ask(f"/own/{quote(name)}").headers

    assert kept["Cache-Control"] == "private, max-age=300"
    assert kept["Content-Disposition"].startswith("attachment; ")
    assert own["Cache-Control"] == "public, no-cache"
    assert "Content-Security-Policy" not in own


def test_a_file_in_its_own_cap_comes_from_the_site(site: Site) -> None:
    name = site.storage.save("small.txt", ContentFile(b"tiny"))
    site.gateway.clear()

    assert site.ask(f"/media/{name}").content == b"tiny"
    assert site.ask(f"/media/{name}", Range="bytes=1-2").content == b"in"
    assert site.gateway.seen == []


def test_nobody_gets_to_the_gateway_past_the_site(site: Site, name: str) -> None:
    # Which stands in the log of who asks for it, and so is none that reads anything.
    index = cap_of(site, name).storage_index.hex()
    for path in (f"{PREFIX}{index}", f"{PREFIX}{index}?bytes=0-1", PREFIX):
        response = site.ask(path)
        assert response.status_code == 404
        assert response.text == "Not found.\n"
    assert site.ask("/media/none.png").status_code == 404
    assert site.ask("/media/..%2Fetc").status_code == 404
    assert site.ask(f"/media/{quote(name)}", "POST").status_code == 405
    assert site.gateway.seen == []


def test_a_file_that_was_deleted_is_withdrawn(site: Site, name: str) -> None:
    path = f"/media/{quote(name)}"
    etag = site.ask(path).headers["ETag"]

    site.storage.delete(name)

    assert site.ask(path).status_code == 404
    assert site.ask(path, If_None_Match=etag).status_code == 404


@pytest.mark.parametrize("status", [302, 404, 410, 416, 500, 501, 503])
def test_a_gateway_that_fails_is_a_plain_503(
    site: Site, name: str, status: int
) -> None:
    words = {"Location": "http://elsewhere.example/", "ETag": "x", "Set-Cookie": "a=b"}
    refusal = SendResponse(
        status, {**words, "X-Accel-Redirect": "/media/a"}, b"URI:CHK:words"
    )
    site.gateway.rule(lambda seen: True, refusal)

    response = site.ask(f"/kept/{quote(name)}")

    assert response.status_code == 503
    assert response.text == "The file cannot be fetched just now. Please try again.\n"
    assert response.headers["Content-Type"] == "text/plain"
    assert response.headers["Retry-After"] == "30"
    assert response.headers["Cache-Control"].endswith(", no-store")
    for unsaid in ("Location", "ETag", "Set-Cookie", "Last-Modified"):
        assert unsaid not in response.headers


def test_a_gateway_cannot_send_nginx_elsewhere(site: Site, name: str) -> None:
    words = {"X-Accel-Redirect": "/media/none", "Set-Cookie": "a=b", "ETag": "x"}
    site.gateway.rule(lambda seen: True, SendResponse(200, words, CONTENT))

    response = site.ask(f"/media/{quote(name)}")

    assert response.status_code == 200
    assert response.content == CONTENT
    assert "Set-Cookie" not in response.headers
    assert response.headers["ETag"] != "x"


def test_a_download_that_is_cut_is_not_taken_for_whole(site: Site, name: str) -> None:
    site.gateway.rule(lambda seen: True, CutBody(100_000))
    with pytest.raises(
        (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
    ):
        site.ask(f"/media/{quote(name)}")


def test_a_gateway_that_is_away_is_a_plain_503(
    tahoe_grid: LocalGrid, make_storage: MakeStorage, tmp_path: Path
) -> None:
    storage = make_storage()
    name = storage.save("a.png", ContentFile(CONTENT))
    nobody = "http://127.0.0.1:1"
    with running(tmp_path, storage, tahoe_grid, nobody) as (address, _):
        response = requests.get(f"{address}/media/{name}", timeout=60)

    assert response.status_code == 503
    assert response.text == "The file cannot be fetched just now. Please try again.\n"
    text = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert "/media/a.png" in text
    assert not re.search(r"URI(:|%3A)", text)


class Impostor(socketserver.TCPServer):
    """Speaks TLS with a certificate of its own making, and notes what it hears."""

    heard = b""

    def __init__(self, directory: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("localhost")]), False
            )
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        file = directory / "impostor.pem"
        file.write_bytes(
            key.private_bytes(
                pem,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(pem)
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file)
        self.knocks = 0
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.knocks += 1
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(request, server_side=True) as tls,
        ):
            self.heard += tls.recv(1000)


@pytest.mark.skipif(
    not Path(AUTHORITIES).exists(), reason=f"there is no {AUTHORITIES} here"
)
def test_a_gateway_that_nobody_vouches_for_hears_nothing(
    tahoe_grid: LocalGrid, make_storage: MakeStorage, tmp_path: Path
) -> None:
    storage = make_storage()
    storage.save("a.png", ContentFile(CONTENT))
    with Impostor(tmp_path) as impostor:
        thread = threading.Thread(target=impostor.serve_forever)
        thread.start()
        url = f"https://localhost:{impostor.server_address[1]}"
        try:
            with running(tmp_path, storage, tahoe_grid, url) as (address, _):
                response = requests.get(f"{address}/media/a.png", timeout=60)
        finally:
            impostor.shutdown()
            thread.join()

    assert response.status_code == 503
    assert impostor.knocks
    assert impostor.heard == b""


def test_no_response_and_no_log_holds_a_cap(site: Site, name: str) -> None:
    site.gateway.rule(lambda seen: seen.headers.get("range") is None, SendResponse(500))
    path = f"/media/{quote(name)}"
    responses = [
        site.ask(path, Range="bytes=0-9"),
        site.ask(path),
        site.ask(path, "HEAD"),
    ]
    url = urlsplit(site.address)
    # Somebody who hangs up in the middle.
    visitor = http.client.HTTPConnection(str(url.netloc), timeout=60)
    visitor.request("GET", path)
    visitor.getresponse().read(10)
    visitor.close()

    key, told = cap_of(site, name).uri.split(":")[2:4]
    shown = "".join(f"{a.headers}{a.text}" for a in responses) + site.logs()
    assert quote(name) in site.logs()
    for secret in (key, told, "URI:", "URI%3A"):
        assert secret not in shown


def test_the_site_does_not_grow_with_what_nginx_carries(
    tahoe_grid: LocalGrid, make_storage: MakeStorage, tmp_path: Path
) -> None:
    size = 128 * MIB
    storage = make_storage()
    with (tmp_path / "large.bin").open("wb+") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") + secrets.token_bytes(64))
            file.seek((number + 1) * MIB)
        file.truncate(size)
        file.seek(0)
        name = storage.save("large.bin", File(file))
    storage.save("small.bin", ContentFile(CONTENT))
    with running(tmp_path, storage, tahoe_grid, tahoe_grid.base_url) as (
        address,
        server,
    ):
        for each in ("small.bin", "small.bin", name):
            requests.head(f"{address}/media/{each}", timeout=60)
            requests.get(f"{address}/media/small.bin", timeout=60)
        before = memory(server)
        got = 0
        with requests.get(
            f"{address}/media/{name}", stream=True, timeout=60
        ) as response:
            for block in response.iter_content(MIB):
                got += len(block)
        grown = memory(server) - before

    assert got == size
    assert grown < 2 * MIB


# What Django says to nginx


@pytest.fixture
def accelerated(settings: Settings) -> None:
    settings.TAHOE_ACCEL_REDIRECT = PREFIX


@pytest.mark.usefixtures("accelerated")
def test_only_a_read_cap_is_ever_said(
    tahoe_grid: LocalGrid, storage: TahoeStorage
) -> None:
    url = f"{tahoe_grid.base_url}/uri"
    storage.save("a", ContentFile(b"a"))
    for layout in ("SDMF", "MDMF"):
        write = requests.put(f"{url}?format={layout}", CONTENT, timeout=60).text
        root = storage.options.root.uri
        requests.put(f"{url}/{root}/{layout}?t=uri", write, timeout=60)
    fresh = TahoeStorage(
        base_url=tahoe_grid.base_url, base_cap=storage.options.root.uri, cache=False
    )
    for layout in ("SDMF", "MDMF"):
        request = RequestFactory().get("/", headers={"Range": "bytes=5-"})
        said = serve(request, fresh, layout)["X-Accel-Redirect"]
        kind = {"SDMF": "SSK-RO", "MDMF": "MDMF-RO"}[layout]
        assert said.startswith(f"{PREFIX}URI%3A{kind}%3A")
        assert said.endswith(f"?bytes=5-{len(CONTENT) - 1}")


@pytest.mark.usefixtures("accelerated")
def test_of_a_write_cap_the_read_cap_is_said(storage: TahoeStorage) -> None:
    storage.save("a", ContentFile(CONTENT))
    cap = storage.options.root
    stored = replace(representation_of(storage, "a"), reference=cap.uri)
    response = HttpResponse()

    assert accelerated_by(response, stored, None)
    assert response["X-Accel-Redirect"] == PREFIX + quote(cap.read_only.uri, safe="")


@pytest.mark.usefixtures("accelerated")
def test_other_storages_and_heads_are_answered_by_the_site(
    storage: TahoeStorage,
) -> None:
    from django.core.files.storage import InMemoryStorage

    memory = InMemoryStorage()
    for each in (memory, storage):
        each.save("a.bin", ContentFile(CONTENT))
    factory = RequestFactory()
    assert "X-Accel-Redirect" not in serve(factory.get("/"), memory, "a.bin")
    assert "X-Accel-Redirect" not in serve(factory.head("/"), storage, "a.bin")
    assert "X-Accel-Redirect" in serve(factory.get("/"), storage, "a.bin")


@pytest.mark.parametrize(
    "wrong",
    [
        "_tahoe/",
        "/_tahoe",
        "/",
        "//",
        "/a//b/",
        "/../",
        "/a b/",
        "/a;/",
        "/{/",
        1,
        ["/a/"],
    ],
)
def test_a_wrong_prefix_is_told_with_all_else_that_is_wrong(
    settings: Settings, wrong: Any
) -> None:
    settings.TAHOE_ACCEL_REDIRECT = wrong
    with pytest.raises(ImproperlyConfigured, match="TAHOE_ACCEL_REDIRECT is "):
        _ = TahoeStorage().options


def test_the_setting_is_not_one_of_a_storage(settings: Settings) -> None:
    settings.TAHOE_ACCEL_REDIRECT = "/internal/_tahoe/"
    assert TahoeStorage().options.public_base_url is None


def test_an_https_gateway_is_verified() -> None:
    text = location(Options(base_url="https://gateway.example:3456/tahoe"), "/a/b/")
    assert "location /a/b/ {" in text
    assert "proxy_pass https://gateway.example:3456/tahoe/uri/;" in text
    assert "proxy_ssl_verify on;" in text
    assert "proxy_ssl" not in location(Options(), "/a/")


@pytest.mark.parametrize("character", [";", "$", "{", "}", "'", '"', "%"])
def test_an_address_that_nginx_would_misread_is_refused(character: str) -> None:
    options = Options(base_url=f"http://gateway/{character}")
    with pytest.raises(ImproperlyConfigured, match="a meaning to nginx"):
        location(options, "/a/")


def test_numbers_are_such_as_nginx_reads(settings: Settings) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    text = location(Options(read_timeout=12_345.6, connect_timeout=0.5), "/a/")
    assert "proxy_read_timeout 12346s;" in text
    assert "proxy_connect_timeout 1s;" in text
