"""Several gateways of one storage: reads and uploads spread, changes by the first."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile

from benchmarks.contents import deaf_server
from tahoestorage import env
from tahoestorage.checks import check_gateways
from tahoestorage.exceptions import GatewayUnreachable
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import gateways, presence
from tahoestorage.testing.grid import LocalGrid
from tests.support import commands
from tests.support.proxy import HoldRequest, Proxy, Refuse, Seen

LONG = b"longer than a cap can hold " * 4
Make = Callable[..., TahoeStorage]

pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture(scope="module")
def grid(tahoe: Path) -> Iterator[LocalGrid]:
    with LocalGrid(servers=1, gateways=2, tahoe=tahoe) as grid:
        yield grid


@pytest.fixture
def proxies(grid: LocalGrid) -> Iterator[list[Proxy]]:
    """A proxy before each gateway."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Proxy(url)) for url in grid.base_urls]


@pytest.fixture
def make(grid: LocalGrid, proxies: list[Proxy], tmp_path: Path) -> Make:
    """Make storages of one root, with both gateways, unless told otherwise."""
    root = grid.create_root().uri

    def make(**options: Any) -> TahoeStorage:
        usual = {
            "base_url": [proxy.url for proxy in proxies],
            "base_cap": root,
            "retries": 0,
            "cache": {"directory": str(tmp_path / "cache")},
        }
        return TahoeStorage(**{**usual, **options})

    return make


def read(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def anything(seen: Seen) -> bool:
    return True


def sent(proxy: Proxy, what: str) -> int:
    return sum(what in f"{seen.method} {seen.target}" for seen in proxy.seen)


def test_reads_go_on_while_the_first_is_down(
    make: Make, proxies: list[Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = proxies
    names = [f"dir{number}/file" for number in range(4)]
    writer = make()
    for name in names:
        writer.save(name, ContentFile(LONG + name.encode()))
    storage = make(cache=False)
    first.rule(anything, Refuse(), None, guards=None)
    first.seen.clear()
    for name in names:
        assert storage.exists(name)
        assert read(storage, name) == LONG + name.encode()
    assert storage.listdir("")[0] == [f"dir{number}" for number in range(4)]
    # One request found out that it is down.
    assert len(first.seen) == 1
    assert len(second.seen) > 4

    # After a while it is tried again, once.
    for gateway in storage.directories.gateways._again:
        storage.directories.gateways._again[gateway] = 0.0
    for name in names:
        assert storage.exists(name)
    assert len(first.seen) == 2


def test_one_that_is_back_is_asked_again(
    make: Make, proxies: list[Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "AGAIN_SECONDS", 0.0)
    first, second = proxies
    make().save("file", ContentFile(LONG))
    storage = make(cache=False)
    first.rule(anything, Refuse(), 1)
    assert read(storage, "file") == LONG
    second.seen.clear()
    assert read(storage, "file") == LONG
    assert second.seen == []


def test_a_closed_port_is_passed_over(make: Make, grid: LocalGrid) -> None:
    make().save("file", ContentFile(LONG))
    storage = make(base_url=["http://127.0.0.1:1", grid.base_urls[1]], cache=False)
    for _ in range(2):
        assert read(storage, "file") == LONG


def test_one_that_takes_no_connection_is_waited_for_once(
    make: Make, grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().save("file", ContentFile(LONG))
    tried: list[object] = []
    connect = socket.socket.connect

    def counted(self: socket.socket, address: Any) -> None:
        tried.append(address[1])
        connect(self, address)

    with deaf_server() as deaf:
        monkeypatch.setattr(socket.socket, "connect", counted)
        storage = make(
            base_url=[deaf, grid.base_urls[1]], connect_timeout=0.3, cache=False
        )
        for _ in range(3):
            assert read(storage, "file") == LONG
        assert tried.count(int(deaf.rpartition(":")[2])) == 1


def test_uploads_go_to_all_in_turn_and_changes_to_the_first(
    make: Make, proxies: list[Proxy]
) -> None:
    storage = make()
    for number in range(6):
        storage.save(f"dir/{number}", ContentFile(LONG * (number + 1)))
    assert [sent(proxy, "PUT /uri") for proxy in proxies] == [3, 3]
    assert [sent(proxy, "t=set_children") > 0 for proxy in proxies] == [True, False]
    assert sent(proxies[1], "POST") == 0
    for number in range(6):
        assert read(storage, f"dir/{number}") == LONG * (number + 1)


def test_uploads_go_on_beside_a_gateway_that_is_busy(
    make: Make, proxies: list[Proxy]
) -> None:
    """All uploads by the first are held until 40 by the second have ended."""
    storage, done = make(), threading.Event()
    # By now it is known that both are of one grid.
    for number in range(2):
        storage.save(f"dir/{number}", ContentFile(LONG * (number + 1)))
    proxies[0].rule(lambda seen: seen.method == "PUT", HoldRequest(done), None)
    names = [f"dir/{number}.txt" for number in range(60)]

    def pairs() -> Iterator[tuple[str, ContentFile[bytes]]]:
        for number, name in enumerate(names):
            # Of all before it, 16 are under way at most.
            if number == 40 + 16:
                done.set()
            yield name, ContentFile(LONG + name.encode())

    assert list(storage.save_many(pairs(), jobs=8)) == names
    assert sent(proxies[1], "PUT /uri") > 40


def test_an_upload_goes_on_through_the_next(make: Make, proxies: list[Proxy]) -> None:
    storage = make()
    proxies[1].rule(anything, Refuse(), None)
    for number in range(4):
        storage.save(f"{number}", ContentFile(LONG * (number + 1)))
    assert sent(proxies[1], "PUT /uri") == 1
    assert sent(proxies[0], "PUT /uri") == 4


def test_nothing_is_changed_while_the_first_is_down(
    make: Make, proxies: list[Proxy]
) -> None:
    storage = make()
    storage.save("file", ContentFile(LONG))
    proxies[0].rule(anything, Refuse(), None, guards=None)
    with pytest.raises(GatewayUnreachable):
        storage.save("other", ContentFile(LONG * 2))
    with pytest.raises(GatewayUnreachable):
        storage.delete("file")
    assert sent(proxies[1], "POST") == sent(proxies[1], "DELETE") == 0
    assert read(storage, "file") == LONG


def test_where_none_can_be_reached_it_is_an_error(
    make: Make, proxies: list[Proxy]
) -> None:
    storage = make()
    for proxy in proxies:
        proxy.rule(anything, Refuse(), None, guards=None)
    for _ in range(2):
        with pytest.raises(GatewayUnreachable):
            storage.listdir("")


def test_the_check_and_the_status_name_each(
    make: Make, proxies: list[Proxy], settings: Any
) -> None:
    backend = "tahoestorage.storage.TahoeStorage"
    options = make()._given
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": options}}
    texts = [message.msg for message in check_gateways(None)]
    for proxy in proxies:
        assert any(proxy.url in text for text in texts)

    proxies[1].rule(anything, Refuse(), None, guards=None)
    status = commands.run("tahoe_status", "--json", "default")
    (found,) = status.json["storages"]
    assert [each["address"] for each in found["gateways"]] == [
        proxy.url for proxy in proxies
    ]
    assert [each["error"] is None for each in found["gateways"]] == [True, False]


class TestOptions:
    def test_a_list_or_a_text_with_commas(self) -> None:
        for given in (["http://a:1", "https://b/"], "http://a:1,https://b/"):
            options = TahoeStorage(base_url=given).options
            assert options.base_url == "http://a:1"
            assert options.base_urls == ("http://a:1", "https://b")

    def test_one_address(self) -> None:
        assert TahoeStorage(base_url="http://a").options.base_urls == ("http://a",)

    @pytest.mark.parametrize(
        "given", [[], ["http://a", "ftp://b"], ["http://a", "http://a/"], {"a": 1}]
    )
    def test_what_is_none(self, given: Any) -> None:
        with pytest.raises(ImproperlyConfigured, match="base_url"):
            TahoeStorage(base_url=given).options  # noqa: B018

    def test_a_url_of_the_environment(self, tmp_path: Path) -> None:
        url = f"tahoe+http://a:1,b:2/?base_cap_file={tmp_path}/root.cap"
        storage = env.storage_from_url(url)
        assert isinstance(storage, TahoeStorage)
        assert storage.options.base_urls == ("http://a:1", "http://b:2")


def test_one_that_hangs_counts_as_down_after_its_time_out(
    make: Make, proxies: list[Proxy]
) -> None:
    make().save("file", ContentFile(LONG))
    storage = make(cache=False)
    presence.Presence.of(proxies[0].url).timed_out(lambda: False)
    assert read(storage, "file") == LONG
