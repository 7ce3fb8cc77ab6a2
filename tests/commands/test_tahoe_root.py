"""``manage.py tahoe_root``: a site is found again after its root directory is lost."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.care import rootsnapshot
from tahoestorage.care.rootsnapshot import Restoration, RootSnapshot
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import GatewayTimeout, ReadOnly
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.serverfacts import ServerRules
from tahoestorage.testing.grid import LocalGrid
from tests.support.commands import Made, run
from tests.support.links import link

LONG = b"longer than a cap can hold " * 4
FILES = {"top": LONG, "a/one": LONG + b"1", "a/b/two": b"literal", "c/d/three": LONG}


@pytest.fixture
def site(
    tahoe_grid: LocalGrid,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TahoeStorage:
    """A site with files, and a passphrase whose key is made quickly."""
    monkeypatch.setattr(rootsnapshot, "_N", 1 << 10)
    (tmp_path / "passphrase").write_text("a passphrase of this test\n")
    given: dict[str, Any] = {
        "base_url": tahoe_grid.base_url,
        "base_cap": tahoe_grid.create_root().uri,
        "cache": False,
    }
    backend = "tahoestorage.storage.TahoeStorage"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": backend, "OPTIONS": given},
    }
    storage = TahoeStorage(**given)
    for name, content in FILES.items():
        storage.save(name, ContentFile(content))
    return storage


def export(folder: Path, *more: str) -> Made:
    passphrase = ("--passphrase-file", str(folder / "passphrase"))
    return run("tahoe_root", "export", str(folder / "saved"), *passphrase, *more)


def restore(folder: Path, *more: str) -> Made:
    passphrase = ("--passphrase-file", str(folder / "passphrase"))
    output = ("--output", str(folder / "new.cap"))
    saved = str(folder / "saved")
    return run("tahoe_root", "restore", saved, *output, *passphrase, "--json", *more)


def lose(grid: LocalGrid, cap: Cap) -> None:
    """Delete all shares of a directory."""
    name = base64.b32encode(cap.storage_index).rstrip(b"=").decode().lower()
    shares = list(grid.directory.glob(f"*/storage/shares/*/{name}/*"))
    assert shares
    for share in shares:
        share.unlink()


def cap_of(storage: TahoeStorage, *path: str) -> Cap:
    child = storage.directories.fetch(path[:-1], path[-1]).child
    assert child is not None
    return Cap.parse(child.entry.reference)


def restored(grid: LocalGrid, folder: Path) -> TahoeStorage:
    cap = (folder / "new.cap").read_text().strip()
    return TahoeStorage(base_url=grid.base_url, base_cap=cap, cache=False)


def contents(storage: TahoeStorage, *names: str) -> dict[str, bytes]:
    return {name: storage.open(name).read() for name in names}


def test_all_is_found_again_after_the_root_and_others_were_lost(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    times = {name: site.get_modified_time(name) for name in FILES}
    exported = export(tmp_path)
    site.save("a/since", ContentFile(LONG))
    lost = cap_of(site, "c", "d")
    lose(tahoe_grid, lost)
    lose(tahoe_grid, site.directories.root.read)

    made = restore(tmp_path)

    assert (exported.status, made.status) == (0, 0)
    assert exported.out.startswith("4 files in 5 directories.")
    found = restored(tahoe_grid, tmp_path)
    assert contents(found, *FILES) == FILES
    assert {name: found.get_modified_time(name) for name in FILES} == times
    # What can be read is as it is now.
    assert contents(found, "a/since") == {"a/since": LONG}
    assert made.json["kept"] == 2
    assert sorted(made.json["made"]) == ["c", "c/d"]
    # It is a root like others.
    found.save("c/d/new", ContentFile(LONG))
    assert found.listdir("c/d") == ([], ["new", "three"])
    assert (tmp_path / "new.cap").stat().st_mode & 0o777 == 0o600


def test_what_is_lost_and_in_no_snapshot_is_named(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    lose(tahoe_grid, cap_of(site, "c", "d"))
    exported = export(tmp_path, "--json")
    made = restore(tmp_path)
    assert exported.json["unread"] == made.json["unread"] == ["c/d"]
    assert (exported.status, made.status) == (1, 1)
    assert "'c/d'" in made.err
    names = ["top", "a/one", "a/b/two"]
    assert contents(restored(tahoe_grid, tmp_path), *names) == {
        name: FILES[name] for name in names
    }


def test_a_link_of_an_unknown_form_is_left_out_and_named(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    link(site, {"odd": ["unknown", {"ro_uri": "ro.lafs://from_the_future"}]})
    assert export(tmp_path).status == 0
    lose(tahoe_grid, site.directories.root.read)
    made = restore(tmp_path)
    assert made.json["odd"] == ["odd"]
    assert made.status == 1
    assert "caps of a form that is not known here, and are left out: 'odd'" in made.err
    assert contents(restored(tahoe_grid, tmp_path), *FILES) == FILES


def test_a_killed_export_leaves_no_file_of_that_name(
    site: TahoeStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: object) -> None:
        # What is there now is what a kill would leave.
        assert not (tmp_path / "saved").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr("tahoestorage.management.commands.tahoe_root.take", killed)
    assert export(tmp_path).status == 130
    assert [each.name for each in tmp_path.iterdir()] == ["passphrase"]


def test_a_directory_that_only_fails_to_answer_is_not_taken_for_lost(
    site: TahoeStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or all that was saved there since the export would be left behind."""
    export(tmp_path)
    usual = Gateway.list

    def slow(self: Gateway, cap: Cap, *rest: Any, label: str) -> Any:
        if label == "a":
            raise GatewayTimeout("a: the gateway did not respond")
        return usual(self, cap, *rest, label=label)

    monkeypatch.setattr(Gateway, "list", slow)
    made = restore(tmp_path)
    exported = run(
        *("tahoe_root", "export", str(tmp_path / "again")),
        *("--passphrase-file", str(tmp_path / "passphrase")),
    )
    for each in (made, exported):
        assert each.status == 1
        assert "the gateway did not respond" in each.err
    assert not (tmp_path / "new.cap").exists()
    assert not (tmp_path / "again").exists()


def test_what_the_old_root_knew_of_the_servers_the_new_one_knows(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    """By it changes are refused that could be lost: it holds for old directories."""

    def with_an_encoding_of_before(facts: dict[str, Any]) -> dict[str, Any]:
        others = [each for each in facts["shares"] if each != [2, 4]]
        return {**facts, "shares": [*others, [2, 4]]}

    before = site.links.change_facts(with_an_encoding_of_before)
    assert before is not None
    export(tmp_path)
    lose(tahoe_grid, site.directories.root.read)
    assert restore(tmp_path).status == 0
    root = restored(tahoe_grid, tmp_path).directories
    after = marker.read_facts(root.gateway, root.root.best)
    assert after["fewest"] == before["fewest"]
    assert [2, 4] in after["shares"]
    assert after["servers"] == before["servers"]


def test_a_directory_that_is_linked_twice_is_restored_at_both_names(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    lost = site.directories.fetch(("c",), "d").child
    assert lost is not None
    assert lost.write_reference is not None
    root = site.directories.root.best
    for name in ("0", "z"):
        link = Link(Cap.parse(lost.write_reference))
        site.directories.gateway.set_children(root, {name: link}, label=name)
    export(tmp_path)
    lose(tahoe_grid, Cap.parse(lost.entry.reference))

    made = restore(tmp_path)

    assert (made.status, made.json["unread"]) == (0, [])
    names = ["0/three", "c/d/three", "z/three"]
    found = restored(tahoe_grid, tmp_path)
    assert contents(found, *names) == dict.fromkeys(names, LONG)


def test_two_directories_with_one_path_are_restored_each_with_its_own_files(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    """A gateway stores names with a slash: a child "a/b" is not b in a."""
    gateway, root = site.directories.gateway, site.directories.root.best
    file = Link(cap_of(site, "top"))
    slashed = gateway.make_directory({"slashed": file}, label="a/b")
    gateway.set_children(root, {"a/b": Link(slashed)}, label="a/b")
    nested = cap_of(site, "a", "b")
    assert export(tmp_path).status == 0
    lose(tahoe_grid, slashed)
    lose(tahoe_grid, nested)

    made = restore(tmp_path)

    assert (made.status, made.json["unread"]) == (0, [])
    found = restored(tahoe_grid, tmp_path)
    assert found.listdir("a/b") == ([], ["two"])
    there: list[Child] = []
    top = found.directories.root.best
    found.directories.gateway.list(top, ("a/b",), there.append, label="a/b")
    assert [child.name for child in there if child.name != marker.NAME] == ["slashed"]


def test_a_snapshot_of_the_format_before_is_restored_but_for_what_it_mixed_up(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    gateway, root = site.directories.gateway, site.directories.root.best
    slashed = gateway.make_directory({}, label="a/b")
    gateway.set_children(root, {"a/b": Link(slashed)}, label="a/b")
    snapshot = rootsnapshot.take(gateway, root)
    paths: dict[tuple[str, ...], Cap] = {(): root}
    for each in ("a", "a/b", "c", "c/d"):
        paths[tuple(each.split("/"))] = cap_of(site, *each.split("/"))
    by_path = {
        "/".join(path): snapshot.directories[cap.storage_index.hex()]
        for path, cap in paths.items()
    }
    before = RootSnapshot(root, snapshot.taken, by_path, facts=snapshot.facts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rootsnapshot, "FORMAT", "tahoestorage-root-1")
        (tmp_path / "saved").write_text(before.sealed("a passphrase of this test"))
    for lost in (root, paths["a", "b"], paths["c", "d"]):
        lose(tahoe_grid, lost)

    made = restore(tmp_path)

    assert made.json["unread"] == ["a/b"]
    names = ["top", "a/one", "c/d/three"]
    found = restored(tahoe_grid, tmp_path)
    assert contents(found, *names) == {name: FILES[name] for name in names}


def test_a_directory_that_is_linked_by_its_read_cap_too_can_be_written_to(
    site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    gateway, root = site.directories.gateway, site.directories.root.best
    for name in ("a", "c"):
        link = Link(cap_of(site, name))
        links = {f"0{name}": link, f"z{name}": link}
        gateway.set_children(root, links, label=name)
    export(tmp_path)
    lose(tahoe_grid, cap_of(site, "a"))

    assert restore(tmp_path).status == 0

    found = restored(tahoe_grid, tmp_path)
    for name in ("a/b/new", "c/new"):
        assert found.save(name, ContentFile(LONG)) == name


@pytest.mark.parametrize("is_new", [False, True], ids=["of before", "since"])
def test_what_is_made_anew_is_read_only_where_it_was_and_nowhere_else(
    is_new: bool, site: TahoeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    """The directory is found by its read cap first: "0" comes before its own name."""
    gateway, root = site.directories.gateway, site.directories.root.best
    site.save("c/f/lost/three", ContentFile(LONG))
    site.save("c/f/e/whole", ContentFile(LONG))
    here = "c/f"
    lost = site.directories.fetch(("c", "f"), "lost").child
    assert lost is not None
    assert lost.write_reference is not None
    if is_new:
        export(tmp_path)
        here = "n"
        site.save("n/e/whole", ContentFile(LONG))
        there = site.directories.fetch(("n",)).directory
        moved = Link(Cap.parse(lost.write_reference))
        gateway.set_children(there.best, {"lost": moved}, label="n/lost")
    read_only = Link(cap_of(site, *here.split("/")))
    gateway.set_children(root, {"0": read_only}, label="0")
    if not is_new:
        export(tmp_path)
    lose(tahoe_grid, Cap.parse(lost.entry.reference))

    made = restore(tmp_path)

    assert made.status == 0
    assert "0" in made.json["made"]
    found = restored(tahoe_grid, tmp_path)
    for name in (f"{here}/new", f"{here}/lost/new", f"{here}/e/new"):
        assert found.save(name, ContentFile(LONG)) == name
    found.delete(f"{here}/e/whole")
    for name in ("0/new", "0/lost/new", "0/e/new"):
        with pytest.raises(ReadOnly):
            found.save(name, ContentFile(LONG))
    assert contents(found, "0/lost/three") == {"0/lost/three": LONG}


def test_more_directories_in_one_another_than_python_has_calls_are_restored(
    site: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = (number.to_bytes(16, "big") for number in range(sys.getrecursionlimit()))
    texts = [base64.b32encode(key).decode("ascii").lower()[:26] for key in keys]
    chain = [Cap.parse(f"URI:DIR2:{text}:{'a' * 52}") for text in texts]
    below = dict(pairwise(chain))

    def listed(
        self: Gateway,
        cap: Cap,
        path: object,
        add: Callable[[Child], None],
        *,
        label: str,
    ) -> None:
        if cap in below:
            entry = Entry(EntryKind.DIRECTORY, below[cap].read_only.uri)
            add(Child("d", entry, below[cap].uri, None))

    monkeypatch.setattr(Gateway, "list", listed)
    snapshot = RootSnapshot(chain[0], 0.0, {})
    restoration = Restoration(site.directories.gateway, snapshot, "SDMF", ServerRules())
    restoration.carry_out()
    assert restoration.kept == len(below)


def test_a_root_that_is_only_read_is_not_exported(
    site: TahoeStorage, settings: Settings, tmp_path: Path
) -> None:
    entry = settings.STORAGES["default"]
    given = {**entry["OPTIONS"], "base_cap": site.directories.root.read.uri}
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**entry, "OPTIONS": given},
    }
    exported = export(tmp_path)
    assert exported.status == 1
    assert "where the site has the write cap" in exported.err
    assert not (tmp_path / "saved").exists()


def test_the_file_is_encrypted_and_for_its_owner_alone(
    site: TahoeStorage, tmp_path: Path
) -> None:
    export(tmp_path)
    saved = tmp_path / "saved"
    key = site.options.root.uri.split(":")[2]
    assert saved.stat().st_mode & 0o777 == 0o600
    body = base64.b64decode(saved.read_text().splitlines()[1])
    for secret in (key, "three", "URI:", key[:12]):
        assert secret.encode() not in body
        assert secret not in saved.read_text()
    again = export(tmp_path)
    assert again.status == 1
    assert "is not overwritten" in again.err


@pytest.mark.parametrize("damage", ["passphrase", "body", "head", "other file"])
def test_what_does_not_open_is_told_and_no_root_is_made(
    damage: str, site: TahoeStorage, tmp_path: Path
) -> None:
    export(tmp_path)
    saved = tmp_path / "saved"
    text = saved.read_text()
    if damage == "passphrase":
        (tmp_path / "passphrase").write_text("another passphrase")
    elif damage == "body":
        saved.write_text(text[:-9] + ("A" if text[-9] != "A" else "B") + text[-8:])
    elif damage == "head":
        saved.write_text(text.replace('"nonce": "', '"nonce":  "'))
    else:
        saved.write_text("something else")
    made = restore(tmp_path)
    assert (made.status, made.out) == (1, "")
    assert "passphrase is another one" in made.err or "no snapshot" in made.err
    assert not (tmp_path / "new.cap").exists()


@pytest.mark.parametrize("run_it", [export, restore], ids=["export", "restore"])
def test_a_passphrase_that_is_no_text_is_refused_and_not_told(
    site: TahoeStorage, tmp_path: Path, run_it: Callable[..., Made]
) -> None:
    export(tmp_path)
    (tmp_path / "passphrase").write_bytes(b"\xff" * 20)
    try:
        made = run_it(tmp_path)
    except Exception as error:
        pytest.fail(f"{type(error).__name__} has the passphrase")
    assert made.status == 2
    assert "no text in UTF-8" in made.err
    assert "xff" not in made.err


@pytest.mark.parametrize("name", ["passphrase", "saved"])
def test_a_file_that_cant_be_read_is_named(
    name: str, site: TahoeStorage, tmp_path: Path
) -> None:
    export(tmp_path)
    (tmp_path / name).unlink()
    made = restore(tmp_path)
    assert (made.status, made.out) == (1, "")
    assert f"{tmp_path / name}' can't be read: No such file" in made.err
    assert "default" not in made.err


def test_where_nobody_can_be_asked_for_the_passphrase_its_file_is_asked_for(
    site: TahoeStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", closed)
    made = run("tahoe_root", "export", str(tmp_path / "saved"))
    assert made.status == 2
    assert "give --passphrase-file" in made.err
    assert not (tmp_path / "saved").exists()


def test_a_short_passphrase_is_refused(site: TahoeStorage, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("short")
    made = export(tmp_path)
    assert made.status == 2
    assert "12 characters" in made.err
    assert not (tmp_path / "saved").exists()
