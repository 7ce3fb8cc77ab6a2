"""The marker: in every directory that we make, and seen by nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage
from django.core.management import call_command
from pytest_django.fixtures import Settings

from tahoestorage.checks import check_gateways
from tahoestorage.moving.grid import Grid
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import LITERAL_LIMIT, Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.moves import moved

LONG = b"longer than a cap can hold " * 4


def raw(grid: LocalGrid, cap: str, path: str = "") -> dict[str, Any]:
    """Return what the gateway says is in a directory."""
    url = f"{grid.base_url}/uri/{quote(cap, safe='')}/{quote(path)}?t=json"
    children: dict[str, Any] = requests.get(url, timeout=30).json()[1]["children"]
    return children


def marked_root(grid: LocalGrid, *path: str) -> Cap:
    """A root in which others have put directories with nothing but a marker in them."""
    root = grid.create_root()
    with contextlib.closing(Gateway(grid.base_url)) as gateway:
        for name in path:
            below = gateway.make_directory(marker.child(), what=name)
            gateway.set_children(root, {name: Link(below)}, what=name)
    return root


def test_it_costs_the_servers_nothing() -> None:
    assert 0 < (marker.CAP.size or 0) <= LITERAL_LIMIT


@pytest.mark.parametrize("layout", ["SDMF", "MDMF"])
def test_a_root_is_born_with_it(
    tahoe_grid: LocalGrid, settings: Settings, layout: str
) -> None:
    settings.TAHOE_STORAGE_BASE_URL = tahoe_grid.base_url
    out = StringIO()
    call_command("tahoe_create_root", f"--format={layout}", stdout=out, stderr=out)
    cap = out.getvalue().split('"')[1]
    assert list(raw(tahoe_grid, cap)) == [marker.NAME]
    assert list(raw(tahoe_grid, tahoe_grid.create_root().uri)) == [marker.NAME]


@pytest.mark.parametrize("cache", [True, False])
def test_nobody_sees_it(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, tmp_path: Path, cache: bool
) -> None:
    root = marked_root(tahoe_grid, "dir")
    options = {} if cache else {"cache": False}
    storage = make_storage(base_cap=root.uri, **options)
    for _ in range(2):
        assert storage.listdir("") == (["dir"], [])
        assert storage.listdir("dir") == ([], [])
        assert [found.name for found in Grid(storage).walk()] == []
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert marker.NAME.encode() not in kept


NAMES = [
    marker.NAME,
    f"dir/{marker.NAME}",
    f"{marker.NAME}/below",
]


@pytest.mark.parametrize("name", NAMES)
def test_its_name_is_refused_plainly(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, name: str
) -> None:
    root = marked_root(tahoe_grid, "dir")
    storage = make_storage(base_cap=root.uri)
    storage.save("file", ContentFile(LONG))
    paths = make_storage(base_cap=root.uri, url_style="path", media_url="/m/")
    calls: list[Callable[[], object]] = [
        lambda: storage.exists(name),
        lambda: storage.size(name),
        lambda: storage.url(name),
        lambda: paths.url(name),
        lambda: storage.listdir(name),
        lambda: storage.get_created_time(name),
        lambda: storage.get_modified_time(name),
        lambda: storage.delete(name),
        lambda: storage.copy(name, "other"),
        lambda: storage.copy("file", name),
        lambda: storage.move(name, "other"),
        lambda: storage.move("file", name),
        lambda: storage.get_available_name(name),
        lambda: storage.save(name, ContentFile(LONG)),
        *(lambda mode=mode: storage.open(name, mode) for mode in ("rb", "wb", "xb")),
    ]
    with requests_sent() as sent:
        for call in calls:
            with pytest.raises(SuspiciousFileOperation, match="keeps directories"):
                call()
    assert sent == []
    assert list(raw(tahoe_grid, root.uri, "dir")) == [marker.NAME]


def test_no_upload_has_its_name(storage: TahoeStorage) -> None:
    assert storage.get_valid_name(marker.NAME) != marker.NAME
    assert not marker.is_marked((storage.generate_filename(marker.NAME),))


def test_a_move_neither_takes_it_nor_brings_it(
    make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    root = marked_root(tahoe_grid, "dir")
    grid, memory = make_storage(base_cap=root.uri), InMemoryStorage()
    grid.save("dir/kept", ContentFile(b"here"))
    assert moved(grid, memory).summary.failed == 0
    assert memory.listdir("dir") == ([], ["kept"])
    memory.save(f"dir/{marker.NAME}", ContentFile(b"theirs"))
    memory.delete("dir/kept")
    refused = moved(memory, grid, delete_extra=True).summary
    assert [name for name, _ in refused.refusals] == [f"dir/{marker.NAME}"]
    memory.delete(f"dir/{marker.NAME}")
    memory.save("dir/other", ContentFile(b"there"))
    moved(memory, grid, delete_extra=True)
    assert set(raw(tahoe_grid, root.uri, "dir")) == {marker.NAME, "other"}


def test_facts_of_the_root_are_kept_in_its_link(
    storage: TahoeStorage, make_storage: MakeStorage, root: Cap, tahoe_grid: LocalGrid
) -> None:
    with contextlib.closing(Gateway(tahoe_grid.base_url)) as gateway:
        born = marker.read_facts(gateway, root)
        links, other = storage._links, make_storage(cache=False)._links
        one, both = {**born, "a": 1}, {**born, "a": 1, "b": [2]}
        assert links.change_facts(lambda facts: {**facts, "a": 1}) == one
        storage.save("file", ContentFile(LONG))
        assert other.change_facts(lambda facts: {**facts, "b": [2]}) == both
        with requests_sent() as sent:
            assert marker.read_facts(gateway, root.read_only) == both
        assert (sent.verbs, len(sent.guards)) == ([], 1)
        new = marker.create_root(gateway, facts={"n": 4})
        assert marker.read_facts(gateway, new) == {"n": 4}
    assert storage.listdir("") == ([], ["file"])


def test_a_root_without_a_marker_gets_one_with_its_facts(
    make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    root = requests.post(f"{tahoe_grid.base_url}/uri?t=mkdir", timeout=30).text
    storage = make_storage(base_cap=root)
    gateway = storage._directories.gateway
    assert marker.read_facts(gateway, Cap.parse(root)) == {}
    storage._links.change_facts(lambda facts: {"n": 1})
    assert marker.read_facts(gateway, Cap.parse(root)) == {"n": 1}
    assert list(raw(tahoe_grid, root)) == [marker.NAME]


def test_the_empty_directories_of_others_are_marked(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, settings: Settings, tmp_path: Path
) -> None:
    api = f"{tahoe_grid.base_url}/uri"
    root = requests.post(f"{api}?t=mkdir", timeout=30).text
    for name, cap in (
        ("empty", requests.post(f"{api}?t=mkdir", timeout=30).text),
        ("itself", root),
        ("kept", requests.post(f"{api}?t=mkdir", timeout=30).text),
    ):
        requests.put(f"{api}/{root}/{name}?t=uri", data=cap, timeout=30)
    requests.put(f"{api}/{root}/kept/file", data=LONG, timeout=30)
    settings.STORAGES = {
        **settings.STORAGES,
        "grid": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": make_storage(base_cap=root)._given,
        },
    }
    said = [StringIO(), StringIO()]
    for out in said:
        call_command("tahoe_create_root", "--mark", "grid", stdout=out)
    assert [out.getvalue() for out in said] == [
        "1 empty directory was marked.\n",
        "0 empty directories were marked.\n",
    ]
    assert list(raw(tahoe_grid, root, "empty")) == [marker.NAME]
    assert set(raw(tahoe_grid, root)) == {"empty", "itself", "kept"}
    assert list(raw(tahoe_grid, root, "kept")) == ["file"]


def test_an_empty_root_is_warned_of_where_writers_have_no_lock(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, settings: Settings
) -> None:
    empty = requests.post(f"{tahoe_grid.base_url}/uri?t=mkdir", timeout=30).text
    ours = tahoe_grid.create_root().uri
    found = {}
    for root in (empty, ours):
        for redis in (None, "redis://127.0.0.1:9"):
            storage = make_storage(
                base_cap=root, cache={"redis": redis} if redis else {}
            )
            settings.STORAGES = {
                **settings.STORAGES,
                "default": {
                    "BACKEND": "tahoestorage.storage.TahoeStorage",
                    "OPTIONS": storage._given,
                },
            }
            found[root, redis] = [
                message.id for message in check_gateways(None) if message.level > 20
            ]
    assert found.pop((empty, None)) == ["tahoestorage.W009"]
    assert not any(found.values())
