"""On real grids: what is acknowledged stays, whichever servers go and come back."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from tahoestorage.exceptions import NotEnoughServers
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.support.moves import Add, copy
from tests.support.preparing import join_preparing

LONG = b"longer than a cap can hold " * 4
SHORT = b"literal"


@pytest.fixture
def grid(four_servers: LocalGrid) -> LocalGrid:
    """Four servers over HTTPS, 2-of-4, happy 3: they come back within seconds."""
    return four_servers


def on(grid: LocalGrid, root: Cap) -> TahoeStorage:
    """Return a storage that asks who is there before its next change, as after 1 s."""
    made = TahoeStorage(base_url=grid.base_url, base_cap=root.uri, cache=False)
    made.links.quorum.invalidate()
    return made


def content(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def everything(storage: TahoeStorage, path: str = "") -> dict[str, bytes]:
    """Return all files below a directory."""
    directories, files = storage.listdir(path)
    names = [f"{path}/{name}".lstrip("/") for name in files]
    found = {name: content(storage, name) for name in names}
    for each in directories:
        found |= everything(storage, f"{path}/{each}".lstrip("/"))
    return found


def replace(storage: TahoeStorage, name: str, new: bytes) -> None:
    with storage.open(name, "wb") as file:
        file.write(new)


def only(grid: LocalGrid, *up: int) -> None:
    """Let these servers run, and no others."""
    for server in up:
        grid.start_server(server)
    for server in {*range(4)} - {*up}:
        grid.stop_server(server)


BEFORE = {"dir/file": LONG, "dir/short": SHORT, "dir/old": SHORT, "top": SHORT}
CHANGES: dict[str, Callable[[TahoeStorage], object]] = {
    "save": lambda it: it.save("dir/new", ContentFile(LONG)),
    "save a literal": lambda it: it.save("dir/new", ContentFile(SHORT)),
    "save into the root": lambda it: it.save("root", ContentFile(SHORT)),
    "make a directory": lambda it: it.save("new/new", ContentFile(SHORT)),
    "make a tree": lambda it: it.save("dir/a/b/c/new", ContentFile(SHORT)),
    "copy": lambda it: it.copy("dir/short", "dir/copy"),
    "move": lambda it: it.move("dir/short", "dir/moved"),
    "replace": lambda it: replace(it, "dir/file", SHORT),
    "delete": lambda it: it.delete("dir/old"),
}


def test_what_two_of_four_servers_would_take_is_refused_and_nothing_is_changed(
    grid: LocalGrid, add: Add, tmp_path: Path, settings: Settings
) -> None:
    root = grid.create_root()
    storage = on(grid, root)
    for name, kept in BEFORE.items():
        storage.save(name, ContentFile(kept))
    source = add("from", "disk")
    source.save("copied/file", ContentFile(SHORT))
    add("to", "grid", base_url=grid.base_url, base_cap=root.uri)
    settings.TAHOE_STORAGE_BASE_URL = grid.base_url
    try:
        for up, away in (((0, 1), (2, 3)), ((2, 3), (0, 1))):
            only(grid, *up)
            for change in CHANGES.values():
                with pytest.raises(NotEnoughServers) as caught:
                    change(on(grid, root))
                said = str(caught.value)
                assert all(f"server-{server} (v0-" in said for server in away)
                assert not any(f"server-{server} " in said for server in up)
            on(grid, root)
            moved = copy("from", "to", "--json")
            assert (moved.status, moved.counts) == (1, {"failed": 1})
            with pytest.raises(CommandError, match="no root was made"):
                call_command("tahoe_create_root", stdout=StringIO())
            assert everything(on(grid, root)) == BEFORE
    finally:
        only(grid, 0, 1, 2, 3)
    assert everything(on(grid, root)) == BEFORE
    for change in CHANGES.values():
        change(on(grid, root))
    assert copy("from", "to", "--json").counts == {"copied": 1}


def test_all_that_is_saved_while_one_is_away_at_a_time_stays(grid: LocalGrid) -> None:
    root = grid.create_root()
    storage = on(grid, root)
    storage.save("dir/file", ContentFile(LONG))
    expected = {"dir/file": LONG}
    for name in ("move", "delete"):
        for number in range(3):
            storage.save(f"dir/{name} {number}", ContentFile(SHORT))
    for number, server in enumerate((0, 3, 0)):
        grid.stop_server(server)
        storage = on(grid, root)
        new = b"%d " % number + LONG
        storage.save(f"dir/save {number}", ContentFile(new))
        storage.save(f"dir/literal {number}", ContentFile(b"%d" % number))
        storage.save(f"new {number}/tree/file", ContentFile(b"%d" % number))
        replace(storage, "dir/file", new)
        storage.copy("dir/file", f"dir/copy {number}")
        storage.move(f"dir/move {number}", f"dir/moved {number}")
        storage.delete(f"dir/delete {number}")
        # In what was made while another was away.
        storage.save(f"new 0/tree/since {number}", ContentFile(SHORT))
        expected |= {
            "dir/file": new,
            f"dir/save {number}": new,
            f"dir/copy {number}": new,
            f"dir/literal {number}": b"%d" % number,
            f"new {number}/tree/file": b"%d" % number,
            f"new 0/tree/since {number}": SHORT,
            f"dir/moved {number}": SHORT,
        }
        grid.start_server(server)
        storage = on(grid, root)
    assert everything(storage) == expected


def test_full_servers_are_as_good_as_away(grid: LocalGrid) -> None:
    root = grid.create_root()
    on(grid, root).save("a", ContentFile(SHORT))
    files = [grid.directory / f"server-{server}/tahoe.cfg" for server in (1, 2)]
    before = [file.read_text("utf-8") for file in files]
    try:
        for server, file in zip((1, 2), files, strict=True):
            grid.stop_server(server)
            text = file.read_text("utf-8")
            reserving = text.replace("reserved_space = 0", "reserved_space = 1E")
            file.write_text(reserving, "utf-8")
            grid.start_server(server)
            if server == 1:
                on(grid, root).save("b", ContentFile(LONG))
        for change in (CHANGES["save"], lambda it: it.delete("a")):
            with pytest.raises(NotEnoughServers) as caught:
                change(on(grid, root))
            assert str(caught.value).count(" is full") == 2
        # The gateway says so of an upload, too.
        with pytest.raises(NotEnoughServers, match="they are full: make room"):
            on(grid, root).directories.gateway.probe_upload()
    finally:
        for server, file, text in zip((1, 2), files, before, strict=True):
            grid.stop_server(server)
            file.write_text(text, "utf-8")
            grid.start_server(server)
    assert everything(on(grid, root)) == {"a": SHORT, "b": LONG}


def test_hosts_know_of_servers_that_their_own_gateway_has_never_seen(
    grid: LocalGrid,
) -> None:
    root = grid.create_root()
    on(grid, root).save("a", ContentFile(SHORT))
    try:
        only(grid, 0, 1)
        grid.stop_gateway(0)
        grid.start_gateway(0)
        servers = on(grid, root).directories.gateway.servers()
        assert servers is not None
        assert sum(server.seen for server in servers) == 2
        with pytest.raises(NotEnoughServers, match=r"server-2 .* server-3 "):
            on(grid, root).save("b", ContentFile(SHORT))
    finally:
        only(grid, 0, 1, 2, 3)


@pytest.mark.parametrize(
    ("servers", "needed", "total", "away"),
    [(2, 1, 2, 0), (3, 1, 3, 1), (4, 3, 10, 1)],
)
def test_other_grids_miss_as_many_as_they_may(
    servers: int, needed: int, total: int, away: int, tahoe: Path
) -> None:
    with LocalGrid(
        servers=servers, needed=needed, happy=1, total=total, tahoe=tahoe
    ) as grid:
        root = grid.create_root()
        on(grid, root).save("dir/0", ContentFile(SHORT))
        for count in range(1, away + 1):
            grid.stop_server(servers - count)
            on(grid, root).save(f"dir/{count}", ContentFile(SHORT))
            on(grid, root).save(f"new {count}/file", ContentFile(LONG))
        before = everything(on(grid, root))
        grid.stop_server(servers - away - 1)
        for change in ("save", "save a literal", "make a directory"):
            with pytest.raises(NotEnoughServers):
                CHANGES[change](on(grid, root))
        # Over Foolscap a gateway finds lost servers only after a while.
        grid.stop_gateway(0)
        for server in range(servers - away - 1, servers):
            grid.start_server(server)
        grid.start_gateway(0)
        assert everything(on(grid, root)) == before
        CHANGES["save"](on(grid, root))


def test_a_grid_of_one_node_is_changed_as_ever(tahoe_grid: LocalGrid) -> None:
    root = tahoe_grid.create_root()
    storage = on(tahoe_grid, root)
    for name, kept in BEFORE.items():
        storage.save(name, ContentFile(kept))
    for change in CHANGES.values():
        change(on(tahoe_grid, root))


def test_a_save_that_fails_while_a_server_is_away_lets_as_many_be_away_later(
    tahoe: Path, tmp_path: Path
) -> None:
    with LocalGrid(servers=5, needed=1, happy=5, total=5, tahoe=tahoe) as grid:
        root = grid.create_root()
        cache = {"directory": str(tmp_path)}
        storage = TahoeStorage(
            base_url=grid.base_url, base_cap=root.uri, cache=cache, retries=0
        )
        storage.save("dir/file", ContentFile(LONG))
        before = marker.read(storage.directories.gateway, root).facts
        grid.stop_server(4)
        storage.links.quorum.invalidate()
        for number in range(2):
            with pytest.raises(NotEnoughServers):
                storage.save(f"new {number}/a/b/c", ContentFile(LONG))
            join_preparing()
        assert marker.read(storage.directories.gateway, root).facts == before
        # Of five, two may be away.
        grid.stop_server(3)
        on(grid, root).delete("dir/file")
        assert everything(on(grid, root)) == {}
