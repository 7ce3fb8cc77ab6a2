"""The marker: in every directory that we make, and seen by nobody."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from tahoestorage.exceptions import WriteCollision
from tahoestorage.moving.grid import Grid
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import LITERAL_LIMIT, Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.links import Links
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.moves import moved

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
            below = gateway.make_directory(marker.child(), label=name)
            gateway.set_children(root, {name: Link(below)}, label=name)
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
    f"{marker.NAME} 12",
    f"dir/{marker.NAME} 1/below",
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
    assert not marker.has_reserved_name((storage.generate_filename(marker.NAME),))


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
        links, other = storage.links, make_storage(cache=False).links
        one, both = {**born, "a": 1}, {**born, "a": 1, "b": [2]}
        assert links.change_facts(lambda facts: {**facts, "a": 1}) == one
        storage.save("file", ContentFile(LONG))
        assert other.change_facts(lambda facts: {**facts, "b": [2]}) == both
        with requests_sent() as sent:
            assert marker.read_facts(gateway, root.read_only) == both
        assert (sent.verbs, len(sent.guards)) == ([], 1)
        new = marker.make_root(gateway, facts={"n": 4})
        assert marker.read_facts(gateway, new) == {"n": 4}
    assert storage.listdir("") == ([], ["file"])
    assert [found.name for found in Grid(storage).walk()] == ["file"]


@pytest.mark.parametrize("name", [f"{marker.NAME}er", f"{marker.NAME} x", "(keep) 1"])
def test_names_that_are_but_like_it_are_anybody_s(
    storage: TahoeStorage, name: str
) -> None:
    assert storage.save(name, ContentFile(LONG)) == name
    assert storage.listdir("") == ([], [name])


def adding(key: str) -> marker.FactsChange:
    return lambda facts: {**facts, key: 1}


def change_at_once(links: list[Links], rounds: int) -> None:
    """Have facts be changed by all of these at the same moment, again and again."""
    start = threading.Barrier(len(links))

    def change(number: int) -> None:
        for turn in range(rounds):
            start.wait(60)
            # A collision of two gateways is an error, and says that it is not kept.
            while True:
                with contextlib.suppress(WriteCollision):
                    key = f"{number} in {turn}"
                    links[number].change_facts(adding(key))
                    break

    with ThreadPoolExecutor(len(links)) as pool:
        for done in [pool.submit(change, number) for number in range(len(links))]:
            done.result(300)


def all_changes(count: int, rounds: int) -> set[str]:
    return {f"{number} in {turn}" for number in range(count) for turn in range(rounds)}


@pytest.mark.parametrize("there", ["a marker", "no marker", "a lost marker"])
def test_facts_that_somebody_keeps_between_a_look_and_a_change_are_not_lost(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, there: str
) -> None:
    root = requests.post(f"{tahoe_grid.base_url}/uri?t=mkdir", timeout=30).text
    links = [make_storage(base_cap=root, cache=False).links for _ in range(2)]
    if there != "no marker":
        links[0].change_facts(adding("first"))
    if there == "a lost marker":
        links[0].change_facts(adding("second"))
        url = f"{tahoe_grid.base_url}/uri/{root}/{quote(marker.NAME)}"
        assert requests.delete(url, timeout=30).ok
    for turn in range(3):
        looks = 0

        def change(facts: dict[str, Any], turn: int = turn) -> dict[str, Any]:
            nonlocal looks
            looks += 1
            if looks <= 3:
                # All of it, until it has seen that it is there.
                links[1].change_facts(adding(f"theirs {turn} {looks}"))
            return {**facts, f"ours {turn}": 1}

        links[0].change_facts(change)
        kept = links[1].change_facts(dict)
        assert kept is not None
        theirs = {f"theirs {turn} {look}" for look in (1, 2, 3)}
        assert theirs | {f"ours {turn}"} <= kept.keys()


def test_of_changes_of_facts_at_the_same_moment_none_is_lost(
    make_storage: MakeStorage, root: Cap
) -> None:
    # Each with a cache of its own, so that they have no lock in common.
    storages = [make_storage(cache=False) for _ in range(4)]
    change_at_once([each.links for each in storages], 5)
    kept = marker.read_facts(storages[0].directories.gateway, root)
    assert all_changes(4, 5) <= kept.keys()


def test_nor_where_they_come_from_two_gateways(two_gateways: LocalGrid) -> None:
    root = two_gateways.create_root()
    storages = [
        TahoeStorage(base_url=url, base_cap=root.uri, cache=False)
        for url in two_gateways.base_urls
    ]
    change_at_once([each.links for each in storages], 4)
    kept = marker.read_facts(storages[0].directories.gateway, root)
    assert all_changes(2, 4) <= kept.keys()


def test_facts_are_kept_anew_where_somebody_has_deleted_the_marker(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, root: Cap
) -> None:
    storages = [make_storage(cache=False) for _ in range(3)]
    links = [each.links for each in storages]
    change_at_once(links, 3)
    url = f"{tahoe_grid.base_url}/uri/{root.uri}/{quote(marker.NAME)}"
    assert requests.delete(url, timeout=30).ok
    change_at_once(links, 2)
    kept = marker.read_facts(storages[0].directories.gateway, root)
    assert kept.keys() == all_changes(3, 2)


def test_a_file_of_somebody_else_s_by_its_name_stays_what_it_is(
    make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    api = f"{tahoe_grid.base_url}/uri"
    for form in ("CHK", "SDMF"):
        root = requests.post(f"{api}?t=mkdir", timeout=30).text
        theirs = f"{api}/{root}/{quote(marker.NAME)}"
        requests.put(f"{theirs}?format={form}", data=LONG, timeout=30)
        (before,) = raw(tahoe_grid, root).values()
        storage = make_storage(base_cap=root)
        storage.save("file", ContentFile(LONG))
        assert requests.get(theirs, timeout=30).content == LONG
        after = raw(tahoe_grid, root)[marker.NAME]
        assert after[1]["ro_uri"] == before[1]["ro_uri"]
        assert after[1].get("rw_uri") == before[1].get("rw_uri")
        assert "servers" in marker.read_facts(
            storage.directories.gateway, Cap.parse(root)
        )


TAKEN: dict[str, Any] = {
    "a directory": ["dirnode", {"rw_uri": ""}],
    "of a kind to come": ["unknown", {"ro_uri": "ro.URI:FUTURE:x"}],
    "without a cap": ["unknown", {}],
}


@pytest.mark.parametrize("label", TAKEN)
def test_where_something_else_has_its_name_files_are_saved_and_that_is_told(
    make_storage: MakeStorage,
    tahoe_grid: LocalGrid,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    label: str,
) -> None:
    api = f"{tahoe_grid.base_url}/uri"
    root = requests.post(f"{api}?t=mkdir", timeout=30).text
    kind, own = TAKEN[label]
    if kind == "dirnode":
        own = {"rw_uri": requests.post(f"{api}?t=mkdir", timeout=30).text}
        for number in range(3):
            url = f"{api}/{own['rw_uri']}/theirs%20{number}"
            requests.put(url, data=LONG, timeout=30)
    requests.post(
        f"{api}/{root}?t=set_children",
        json={marker.NAME: [kind, {**own, "metadata": {}}]},
        timeout=30,
    )
    before = raw(tahoe_grid, root)
    storage = make_storage(base_cap=root)
    with caplog.at_level(logging.WARNING):
        storage.save("a/b", ContentFile(LONG))
        storage.save("c", ContentFile(LONG))
        storage.delete("c")
    (warned,) = [each for each in caplog.records if each.name == "tahoestorage.quorum"]
    assert f"something else has the name {marker.NAME!r}" in warned.getMessage()
    assert "tahoe mv" in warned.getMessage()
    assert storage.listdir("") == (["a"], [])
    after = raw(tahoe_grid, root)
    assert after.keys() == {marker.NAME, "a"}
    assert after[marker.NAME] == before[marker.NAME]
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": storage._given,
        },
    }
    found = [message.id for message in check_gateways(None) if message.level > 20]
    assert found == ["tahoestorage.W010"]


def test_a_root_without_a_marker_gets_one_with_its_facts(
    make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    root = requests.post(f"{tahoe_grid.base_url}/uri?t=mkdir", timeout=30).text
    storage = make_storage(base_cap=root)
    gateway = storage.directories.gateway
    assert marker.read_facts(gateway, Cap.parse(root)) == {}
    storage.links.change_facts(lambda facts: {"n": 1})
    assert marker.read_facts(gateway, Cap.parse(root)) == {"n": 1}
    assert set(raw(tahoe_grid, root)) == {marker.NAME, f"{marker.NAME} 1"}


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
