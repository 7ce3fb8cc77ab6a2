"""A grid as in earnest: an introducer, and gateways that speak HTTPS to the servers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage.exceptions import NotEnoughServers
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

LONG = b"longer than a cap can hold " * 4
Make = Callable[..., TahoeStorage]


@pytest.fixture
def grid(four_servers: LocalGrid) -> LocalGrid:
    return four_servers


@pytest.fixture
def make(grid: LocalGrid, tmp_path: Path) -> Make:
    """Make storages of one root, on a gateway of their own if asked."""
    root = grid.create_root().uri

    def make(gateway: int = 0, cache: str = "cache", **options: Any) -> TahoeStorage:
        return TahoeStorage(
            base_url=grid.base_urls[gateway],
            base_cap=root,
            cache={"directory": str(tmp_path / cache)},
            **options,
        )

    return make


def read(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def test_the_gateways_speak_https_to_all_servers(grid: LocalGrid) -> None:
    assert len(grid.pids) == 7
    for url in grid.base_urls:
        servers = requests.get(f"{url}/?t=json", timeout=30).json()["servers"]
        # Over Foolscap it would be "Connected to …".
        assert {server["connection_status"] for server in servers} == {"connected"}
        assert len(servers) == 4


@pytest.mark.parametrize("size", [0, 55, 56, 70_000, 1_200_000])
def test_what_one_gateway_saved_the_other_reads(make: Make, size: int) -> None:
    content = os.urandom(size)
    one, other = make(), make(1, "other")
    assert one.save("dir/file.bin", ContentFile(content)) == "dir/file.bin"
    assert read(other, "dir/file.bin") == content
    assert other.size("dir/file.bin") == size
    assert other.exists("dir/file.bin")
    with other.open("dir/file.bin") as file:
        file.seek(size // 2)
        assert file.read(1000) == content[size // 2 :][:1000]


def test_names_are_taken_replaced_listed_and_deleted(make: Make) -> None:
    storage, fresh = make(), make(1, "other")
    storage.save("dir/a", ContentFile(LONG))
    second = storage.save("dir/a", ContentFile(b"two"))
    assert second != "dir/a"
    with storage.open("dir/a", "wb") as file:
        file.write(LONG + b"!")
    storage.save("dir/deep/er/b", ContentFile(LONG))
    assert fresh.listdir("dir") == (["deep"], sorted(["a", second.split("/")[1]]))
    assert read(fresh, "dir/a") == LONG + b"!"
    assert fresh.listdir("dir/deep/er") == ([], ["b"])
    storage.delete("dir/a")
    assert not storage.exists("dir/a")
    assert make(1, "third").listdir("dir")[1] == [second.split("/")[1]]


def test_many_threads_save_into_one_directory(make: Make) -> None:
    storage = make()
    storage.save("dir/first", ContentFile(LONG))
    with ThreadPoolExecutor(8) as pool:
        names = list(
            pool.map(lambda i: storage.save("dir/a", ContentFile(LONG)), range(16))
        )
    assert len(set(names)) == 16
    assert len(make(1, "other").listdir("dir")[1]) == 17


def test_a_server_that_was_away_is_found_again(grid: LocalGrid, make: Make) -> None:
    """Over Foolscap it is missed for as long again as it was away, or longer."""
    storage = make()
    storage.save("dir/before", ContentFile(LONG))
    grid.stop_server(0)
    assert read(make(cache="other"), "dir/before") == LONG
    storage.save("dir/meanwhile", ContentFile(LONG))
    grid.stop_server(1)
    with pytest.raises(NotEnoughServers):
        make(retries=0).save("dir/refused", ContentFile(LONG))
    # Both return when each gateway sees the server.
    grid.start_server(1)
    grid.start_server(0)
    storage.save("dir/after", ContentFile(LONG))
    names = make(1, "third").listdir("dir")[1]
    assert names == ["after", "before", "meanwhile"]


def test_a_kept_grid_keeps_its_introducer(tahoe: Path, tmp_path: Path) -> None:
    place = tmp_path / "grid"
    with LocalGrid(place, introducer=True, tahoe=tahoe) as first:
        root, urls = first.create_root(), first.base_urls
        assert len(first.pids) == 2
        storage = TahoeStorage(base_url=urls[0], base_cap=root.uri, cache=False)
        storage.save("a", ContentFile(LONG))
    with pytest.raises(ValueError, match="with an introducer"):
        LocalGrid(place).start()
    with LocalGrid(place, introducer=True, tahoe=tahoe) as second:
        assert second.base_urls == urls
        assert read(storage, "a") == LONG


def test_a_grid_of_a_release_without_introducers_is_started(
    tahoe: Path, tmp_path: Path
) -> None:
    place = tmp_path / "grid"
    with LocalGrid(place, tahoe=tahoe):
        pass
    file = place / "grid.json"
    kept = json.loads(file.read_text("utf-8"))
    del kept["introducer"]
    file.write_text(json.dumps(kept), "utf-8")
    with pytest.raises(ValueError, match="without an introducer"):
        LocalGrid(place, introducer=True).start()
    with LocalGrid(place, tahoe=tahoe):
        pass
