"""Several gateways of which one is down, slow, cut off, or of another grid."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage

from tahoestorage.checks import check_gateways
from tahoestorage.exceptions import (
    DamagedDownload,
    FileMissing,
    GatewayUnreachable,
    NotEnoughServers,
    NotEnoughShares,
)
from tahoestorage.moving.warming import warm
from tahoestorage.staticfiles import TahoeManifestStaticStorage
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import gateway as one_gateway
from tahoestorage.tahoe.bodies import BLOCK
from tahoestorage.tahoe.gateways import Gateways
from tahoestorage.testing.grid import LocalGrid
from tests.support.moves import contents, moved
from tests.support.proxy import (
    Action,
    CutBody,
    Misreport,
    Proxy,
    Refuse,
    Seen,
    SendResponse,
    Stall,
)

LONG = b"longer than a cap can hold " * 4
Make = Callable[..., TahoeStorage]

pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture
def options(
    two_gateways: LocalGrid, proxies: list[Proxy], tmp_path: Path
) -> dict[str, Any]:
    return {
        "base_url": [proxy.url for proxy in proxies],
        "base_cap": two_gateways.create_root().uri,
        "retries": 0,
        "cache": {"directory": str(tmp_path / "cache")},
    }


@pytest.fixture
def make(options: dict[str, Any]) -> Make:
    """Make storages of one root, with both gateways, unless told otherwise."""

    def make(**more: Any) -> TahoeStorage:
        return TahoeStorage(**{**options, **more})

    return make


def read(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def anything(seen: Seen) -> bool:
    return True


def is_listing(seen: Seen) -> bool:
    return seen.method == "GET" and "t=json" in seen.target


def soon_over(action: Action) -> dict[str, float]:
    """Return options with which a stall is waited for no longer than need be."""
    return {"read_timeout": 4.0} if isinstance(action, Stall) else {}


def is_file(seen: Seen) -> bool:
    return seen.method == "GET" and "CHK" in seen.target


def is_upload(seen: Seen) -> bool:
    return seen.method == "PUT"


def puts(proxy: Proxy) -> int:
    return sum(map(is_upload, proxy.seen))


def gateways_of(storage: TahoeStorage) -> Gateways:
    return storage.directories.gateways


# Reads


class TestWhileTheFirstIsDown:
    @pytest.fixture(autouse=True)
    def down(self, make: Make, proxies: list[Proxy]) -> None:
        writer = make()
        for name in ("a/1", "a/b/2", "c/3"):
            writer.save(name, ContentFile(LONG + name.encode()))
        proxies[1].seen.clear()
        proxies[0].rule(anything, Refuse(), None, guards=None)

    @pytest.mark.parametrize("prefix", ["a/", "a"])
    def test_a_page_is_looked_up_in_a_block(self, make: Make, prefix: str) -> None:
        storage = make(cache=False)
        with storage.prefetch(prefix):
            assert storage.exists("a/b/2")
            assert not storage.exists("a/3")
            assert read(storage, "a/1") == LONG + b"a/1"

    def test_all_is_copied_from_the_grid(self, make: Make) -> None:
        target = InMemoryStorage()
        move = moved(make(cache=False), target)
        assert move.summary.status == "done"
        assert contents(target).keys() == {"a/1", "a/b/2", "c/3"}

    def test_nothing_is_copied_to_the_grid(
        self, make: Make, proxies: list[Proxy]
    ) -> None:
        source = InMemoryStorage()
        source.save("new", ContentFile(LONG))
        move = moved(source, make(cache=False))
        assert "TO takes no files" in move.summary.failures[0][1]
        assert puts(proxies[1]) == 0

    def test_the_cache_is_warmed(self, make: Make) -> None:
        assert {found.name for found in warm(make())} == {"a/1", "a/b/2", "c/3"}


def test_static_files_have_urls_while_the_first_is_down(
    options: dict[str, Any], proxies: list[Proxy]
) -> None:
    options = {**options, "url_style": "path", "media_url": "/static/"}
    manifest = {"version": "1.1", "paths": {"a.css": "a.123.css"}, "hash": "1"}
    writer = TahoeManifestStaticStorage(**options)
    writer.save("staticfiles.json", ContentFile(json.dumps(manifest).encode()))
    proxies[0].rule(anything, Refuse(), None, guards=None)
    site = TahoeManifestStaticStorage(**{**options, "cache": False})
    assert site.stored_name("a.css") == "a.123.css"


GONE = SendResponse(410, {}, b"NotEnoughSharesError: ran out of shares")
AWAY: dict[str, Action] = {
    "a proxy finds no gateway": SendResponse(502, {}, b"Bad Gateway"),
    "a proxy is busy": SendResponse(503, {}, b"Busy"),
    "a proxy waits in vain": SendResponse(504, {}, b"Time-out"),
    "frozen": Stall(30),
}
HURT: dict[str, Action] = {"cut off": GONE, "killed on the way": CutBody(200)}


@pytest.mark.parametrize(
    ("action", "is_away"),
    [*((each, True) for each in AWAY.values()), *((h, False) for h in HURT.values())],
    ids=[*AWAY, *HURT],
)
def test_reads_go_on_through_the_next(
    make: Make, proxies: list[Proxy], action: Action, is_away: bool
) -> None:
    writer = make()
    for name in "abc":
        writer.save(name, ContentFile(LONG + name.encode()))
    storage = make(cache=False, **soon_over(action))
    proxies[0].rule(anything, action, None)
    proxies[0].seen.clear()
    # Of a listing that was cut, nothing is there twice.
    assert storage.listdir("") == ([], ["a", "b", "c"])
    assert read(storage, "a") == LONG + b"a"
    # One that is away is not asked each time.
    assert len(proxies[0].seen) == 1 if is_away else len(proxies[0].seen) > 1
    assert bool(gateways_of(storage)._again) == is_away


@pytest.mark.parametrize("at", [0, 300_000])
@pytest.mark.parametrize("action", [CutBody, partial(Stall, 30)])
def test_a_download_goes_on_through_the_next(
    make: Make, proxies: list[Proxy], action: Callable[[int], Action], at: int
) -> None:
    content = random.Random(1).randbytes(1_000_000)
    make().save("file", ContentFile(content))
    storage = make(cache=False, **soon_over(action(at)))
    proxies[0].rule(is_file, action(at), None)
    for proxy in proxies:
        proxy.seen.clear()
    with storage.open("file") as file:
        assert b"".join(file.chunks(100_000)) == content
    # Of what has come, less than a block is asked for again.
    first, second = (
        seen.headers.get("range")
        for proxy in proxies
        for seen in proxy.seen
        if is_file(seen)
    )
    start = int(second[6:-1]) if second else 0
    assert (first, at - BLOCK < start <= at) == (None, True)
    assert read(storage, "file") == content
    assert sum(map(is_file, proxies[0].seen)) == 1


def test_a_download_that_no_gateway_ends_is_an_error(
    make: Make, proxies: list[Proxy]
) -> None:
    make().save("file", ContentFile(random.Random(2).randbytes(1_000_000)))
    for proxy in proxies:
        proxy.rule(is_file, CutBody(300_000), None)
    with pytest.raises(DamagedDownload, match=r"^file"):
        read(make(cache=False), "file")


def test_what_no_gateway_can_read_is_looked_up_again_from_the_root(
    make: Make, proxies: list[Proxy]
) -> None:
    """An old cap leads nowhere; that the other gateway is down says nothing of it."""
    storage = make()
    storage.save("dir/a", ContentFile(LONG))
    proxies[0].rule(anything, Refuse(), None, guards=None)
    proxies[1].rule(anything, GONE, None)
    with pytest.raises(NotEnoughShares):
        make(cache=False).listdir("")


def test_any_response_says_that_it_is_back(make: Make, proxies: list[Proxy]) -> None:
    storage = make(cache=False)
    gateways = gateways_of(storage)
    gateways._again[gateways.all[0]] = 0.0
    with pytest.raises(FileMissing):
        storage.size("dir/none")
    assert gateways._again == {}


# Uploads

UNHAPPY = SendResponse(500, {}, b"UploadUnhappinessError: placed on 0 of 1")
FAILING: dict[str, Action] = {
    "too few servers": UNHAPPY,
    "a proxy finds no gateway": SendResponse(502),
    "a proxy waits in vain": SendResponse(504),
    "frozen": Stall(30),
}


@pytest.mark.parametrize("action", FAILING.values(), ids=list(FAILING))
def test_uploads_go_on_through_the_next(
    make: Make, proxies: list[Proxy], action: Action
) -> None:
    storage = make(**soon_over(action))
    proxies[1].rule(is_upload, action, None)
    for number in range(4):
        name = storage.save(f"{number}", ContentFile(LONG * (number + 1)))
        assert read(storage, name) == LONG * (number + 1)
    assert puts(proxies[0]) == 4
    assert puts(proxies[1]) == 1


def test_too_few_servers_everywhere_are_an_error(
    make: Make, proxies: list[Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_gateway, "PAUSE", 0.0)
    monkeypatch.setattr(one_gateway, "LONGEST_PAUSE", 0.0)
    storage = make(retries=2)
    for proxy in proxies:
        proxy.rule(is_upload, UNHAPPY, None)
    with pytest.raises(NotEnoughServers):
        storage.save("a", ContentFile(LONG))
    # They are waited for at the first one alone.
    assert [puts(proxy) for proxy in proxies] == [4, 1]


# Changes


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_change_of_which_a_proxy_says_it_failed_may_be_done(
    make: Make, proxies: list[Proxy], status: int
) -> None:
    storage = make(retries=1)
    storage.save("first", ContentFile(LONG))
    proxies[0].rule(lambda seen: "t=set_children" in seen.target, Misreport(status), 1)
    proxies[0].seen.clear()
    # It is looked whether it was done, and not done under another name.
    assert storage.save("second", ContentFile(LONG * 2)) == "second"
    assert sum("t=set_children" in seen.target for seen in proxies[0].seen) == 1
    assert sorted(make(cache=False).listdir("")[1]) == ["first", "second"]


def test_a_change_that_is_not_done_is_an_error(
    make: Make, proxies: list[Proxy]
) -> None:
    storage = make()
    storage.save("first", ContentFile(LONG))
    proxies[0].rule(
        lambda seen: "t=set_children" in seen.target, SendResponse(502), None
    )
    with pytest.raises(GatewayUnreachable, match="502"):
        storage.save("second", ContentFile(LONG * 2))
    assert make(cache=False).listdir("") == ([], ["first"])


# Another grid


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, "tahoestorage.gateway")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_gateway_of_another_grid_gets_no_uploads(
    make: Make,
    proxies: list[Proxy],
    tahoe_grid: LocalGrid,
    warnings: Callable[[], list[str]],
) -> None:
    with Proxy(tahoe_grid.base_url) as other:
        storage = make(base_url=[proxies[0].url, other.url])
        for number in range(4):
            storage.save(f"{number}", ContentFile(LONG * (number + 1)))
        (warning,) = warnings()
        assert f"{other.url} gets no uploads" in warning
        assert puts(other) == 0
    alone = make(base_url=proxies[0].url, cache=False)
    for number in range(4):
        assert read(alone, f"{number}") == LONG * (number + 1)


def respond_to_list(proxy: Proxy, status: int, body: bytes) -> None:
    """Let the gateway respond so whenever it is asked for its servers."""
    proxy.rule(
        lambda seen: seen.target == "/?t=json",
        SendResponse(status, {}, body),
        None,
        guards=True,
    )


def test_nor_does_one_that_has_servers_of_its_own(
    make: Make, proxies: list[Proxy], settings: Any, warnings: Callable[[], list[str]]
) -> None:
    """It can read the root, and would place files where the first one is not."""
    strange = {"nodeid": "v0-other", "connection_status": "Connected", "nickname": "x"}
    page = json.dumps({"servers": [strange]}).encode()
    respond_to_list(proxies[1], 200, page)
    storage = make()
    for number in range(4):
        storage.save(f"{number}", ContentFile(LONG * (number + 1)))
    assert [puts(proxy) for proxy in proxies] == [4, 0]
    (warning,) = warnings()
    assert "1 storage servers" in warning

    backend = "tahoestorage.storage.TahoeStorage"
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": storage._given}}
    found = [m.msg for m in check_gateways(None) if m.id == "tahoestorage.W012"]
    assert len(found) == 1
    assert f"{proxies[1].url} gets no uploads" in found[0]


@pytest.mark.parametrize("status", [301, 405, 410, 429, 500])
def test_nor_does_one_that_does_not_list_its_servers(
    make: Make, proxies: list[Proxy], warnings: Callable[[], list[str]], status: int
) -> None:
    respond_to_list(proxies[1], status, b"<html>Go away</html>")
    storage = make()
    for number in range(4):
        storage.save(f"{number}", ContentFile(LONG * (number + 1)))
    assert [puts(proxy) for proxy in proxies] == [4, 0]
    (warning,) = warnings()
    assert f"{proxies[1].url} gets no uploads" in warning


def test_one_that_is_of_the_grid_is_looked_at_once(
    make: Make, proxies: list[Proxy], warnings: Callable[[], list[str]]
) -> None:
    storage = make()
    for number in range(4):
        storage.save(f"{number}", ContentFile(LONG * (number + 1)))
    assert len(proxies[1].guards) == 2
    assert [puts(proxy) for proxy in proxies] == [2, 2]
    assert warnings() == []
