"""A gateway behind TLS; and a base URL with the wrong one of http and https."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.files.base import ContentFile

from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayTimeout,
    GatewayUnreachable,
)
from tahoestorage.schemes import speaks_http
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import connections, transport
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support.authority import own_authority
from tests.support.checked_sites import shares
from tests.support.leaks import assert_hides_caps
from tests.support.proxy import Hold, Proxy, Refuse, Seen, SendResponse, Stall, _Handler
from tests.tahoe.test_damaged import MIB, SIZE, WHERE

LONG = b"longer than a cap can hold " * 4


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Speak TLS with a certificate that requests trusts in this test."""
    context, vouching = own_authority(tmp_path)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(vouching))
    return context


@pytest.fixture
def secure(tahoe_grid: LocalGrid, tls: ssl.SSLContext) -> Iterator[Proxy]:
    with Proxy(tahoe_grid.base_url, tls) as proxy:
        yield proxy


@pytest.fixture
def storage(make_storage: MakeStorage, secure: Proxy) -> TahoeStorage:
    return make_storage(base_url=secure.url, read_timeout=8.0)


def is_listing(seen: Seen) -> bool:
    return seen.method == "GET" and "t=json" in seen.target and "/uri/" in seen.target


@contextlib.contextmanager
def asking(url: str, match: str) -> Iterator[Gateway]:
    """See that the gateway of the block can't be reached, and hear why."""
    root = Cap.parse(f"URI:DIR2:{'a' * 26}:{'a' * 52}")
    with contextlib.closing(Gateway(url)) as gateway:
        yield gateway
        with pytest.raises(GatewayUnreachable, match=match) as caught:
            gateway.list(root, label="photos")
    assert str(caught.value).startswith("photos: ")
    assert_hides_caps(caught.value, root)


def test_files_are_kept_and_read_over_https(storage: TahoeStorage) -> None:
    content = os.urandom(300_000)
    storage.save("a/b/c/file", ContentFile(content))
    assert storage.open("a/b/c/file").read() == content
    with storage.open("a/b/c/file") as file:
        file.seek(200_000)
        assert file.read(10) == content[200_000:200_010]
    assert storage.listdir("a/b/c") == ([], ["file"])
    storage.delete("a/b/c/file")
    assert not storage.exists("a/b/c/file")


def test_small_files_share_a_connection_over_https(
    storage: TahoeStorage, secure: Proxy
) -> None:
    names = [storage.save(f"dir/{n}", ContentFile(LONG)) for n in range(5)]
    before = secure.connections
    assert [storage.open(name).read() for name in names] == [LONG] * 5
    assert secure.connections == before


def test_a_cold_directory_is_asked_for_once_over_https(
    make_storage: MakeStorage, secure: Proxy
) -> None:
    make_storage(cache=False).save("a/b/c/file", ContentFile(LONG))
    storage = make_storage(base_url=secure.url)
    assert storage.exists("")
    may = threading.Event()
    held = secure.rule(is_listing, Hold(may))
    with ThreadPoolExecutor(32) as pool:
        asked = [pool.submit(storage.exists, "a/b/c/file") for _ in range(32)]
        assert held.reached.wait(60)
        may.set()
        assert all(each.result() for each in asked)
    assert sum(map(is_listing, secure.seen)) == 1


def test_a_lost_segment_ends_a_download_at_once_over_https(
    storage: TahoeStorage, tahoe_grid: LocalGrid
) -> None:
    storage.save("a.bin", ContentFile(os.urandom(SIZE)))
    (share,) = shares(tahoe_grid, Cap.parse(storage._entry("a.bin")[1].reference))
    with share.open("r+b") as file:
        file.seek(WHERE)
        file.write(bytes(1000))
    with storage.open("a.bin") as file, pytest.raises(DamagedDownload):
        file.read()
    with storage.open("a.bin") as file:
        assert len(file.read(MIB // 2)) == MIB // 2


def test_a_gateway_that_hangs_counts_as_away_over_https(
    make_storage: MakeStorage, secure: Proxy
) -> None:
    storage = make_storage(base_url=secure.url, read_timeout=1.0)
    secure.rule(lambda seen: True, Stall(30), times=None, guards=None)
    with pytest.raises(GatewayTimeout):
        storage.exists("a")
    with pytest.raises(GatewayUnreachable, match="stopped responding"):
        storage.exists("a")
    assert (len(secure.seen), len(secure.guards)) == (1, 1)


def test_a_certificate_that_nobody_vouches_for_is_not_tried_again(
    tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    context, _ = own_authority(tmp_path)
    with (
        Proxy(tahoe_grid.base_url, context) as proxy,
        asking(proxy.url, "is its certificate one that is trusted"),
    ):
        pass
    assert proxy.connections == 1


def test_https_on_a_plain_gateway_is_told_at_once(
    tahoe_grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the rest of what it takes for a request."""
    # That of a busy machine is given longer to answer the probe.
    monkeypatch.setattr(
        connections, "speaks_http", lambda host, port, _: speaks_http(host, port, 60)
    )
    url = tahoe_grid.base_url.replace("http:", "https:")
    told = f"speaks http and not https; set base_url to {tahoe_grid.base_url}"
    with asking(url, told):
        pass


def test_a_server_that_is_slow_to_begin_tls_is_waited_for(
    storage: TahoeStorage, secure: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked whether it speaks http, and begun with anew."""
    monkeypatch.setattr(connections, "SCHEME_PROBE_SECONDS", 0.2)
    usual = _Handler.setup

    def setup(self: _Handler) -> None:
        # The first one begins when somebody else has come.
        while secure.connections < 2:
            time.sleep(0.01)
        usual(self)

    monkeypatch.setattr(_Handler, "setup", setup)
    assert storage.exists("none") is False
    assert secure.connections == 3


def test_http_where_tls_is_spoken_is_told(
    secure: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SCHEME_PROBE_SECONDS", 60)
    url = secure.url.replace("https:", "http:")
    with asking(url, f"speaks https and not http; set base_url to {secure.url}"):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "<center>The plain HTTP request was sent to HTTPS port</center>",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.<br />",
        "Client sent an HTTP request to an HTTPS server.\n",
    ],
    ids=["nginx", "Apache", "Go"],
)
def test_servers_that_say_so_are_understood(proxy: Proxy, text: str) -> None:
    proxy.rule(lambda seen: True, SendResponse(400, {}, text.encode()))
    with asking(proxy.url, "speaks https and not http"):
        pass


def test_a_gateway_that_hangs_up_is_none_that_speaks_tls(proxy: Proxy) -> None:
    proxy.rule(lambda seen: True, Refuse(), times=None)
    with asking(proxy.url, "no response from the gateway"):
        pass


def test_thirty_first_saves_six_levels_down_are_all_there_for_who_has_no_cache(
    make_storage: MakeStorage, secure: Proxy, tmp_path: Path
) -> None:
    def place(number: int) -> str:
        return f"a/b/{number % 3}/d/e/{number}"

    def make(host: str) -> TahoeStorage:
        return make_storage(base_url=secure.url, cache={"directory": tmp_path / host})

    here, there = make("here"), make("there")
    with ThreadPoolExecutor(30) as threads:
        saves = [
            threads.submit(here.save, place(number), ContentFile(LONG + b"%d" % number))
            for number in range(30)
        ]
        assert [save.result() for save in saves] == [place(n) for n in range(30)]

    for number in range(30):
        with there.open(place(number)) as file:
            assert file.read() == LONG + b"%d" % number
