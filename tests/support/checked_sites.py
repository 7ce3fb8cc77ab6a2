"""Sites on a grid that are checked, and what is done to their shares."""

from __future__ import annotations

import base64
import secrets
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from tahoestorage.care import examiner
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.support.commands import Made, run

LONG = b"longer than a cap can hold " * 40
FILES = [f"{name}/{i}" for name in ("one", "two", "two/deep") for i in range(3)]
DIRECTORIES = ["", "one", "two", "two/deep"]
TOTAL = len(FILES) + len(DIRECTORIES) + 1  # and a literal file


def make_site(grid: LocalGrid, settings: Settings) -> TahoeStorage:
    """Return a site whose files no other has: equal content would have equal shares."""
    root = grid.create_root()
    storage = on(grid, root, settings)
    gateway, prefix = storage.directories.gateway, secrets.token_bytes(16)

    def upload(name: str) -> Cap:
        content = prefix + name.encode() + LONG
        return gateway.upload(UploadBody(lambda: [content], repeatable=True), label="")

    def make(path: str, **below: Link) -> Link:
        files = {str(i): Link(upload(f"{path}/{i}")) for i in range(3)}
        children = {**marker.child(), **files, **below}
        return Link(gateway.make_directory(children, label=path))

    top = {
        "one": make("one"),
        "two": make("two", deep=make("two/deep")),
        "short": Link(literal_cap(b"literal")),
    }
    gateway.set_children(root, top, label="the root")
    return storage


def on(grid: LocalGrid, root: Cap, settings: Settings) -> TahoeStorage:
    """Return the site's storage, with this root."""
    backend = "tahoestorage.storage.TahoeStorage"
    given = {"base_url": grid.base_url, "base_cap": root.uri, "cache": False}
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": backend, "OPTIONS": given},
    }
    return TahoeStorage(base_url=grid.base_url, base_cap=root.uri, cache=False)


def quick_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Made]:
    """Return what runs ``tahoe_check``, with its record in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(examiner, "PAUSE", 0.05)
    monkeypatch.setattr(examiner, "RETRY_PAUSES", (0.05, 0.05))
    return lambda *arguments: run("tahoe_check", "--json", *arguments)


def shares(grid: LocalGrid, cap: Cap) -> list[Path]:
    """Return the files that hold an object's shares."""
    name = base64.b32encode(cap.storage_index).rstrip(b"=").decode().lower()
    return sorted(grid.directory.glob(f"*/storage/shares/*/{name}/*"))


def cap_of(storage: TahoeStorage, name: str) -> Cap:
    path = tuple(name.split("/"))
    child = storage.directories.fetch(path[:-1], path[-1]).child
    assert child is not None
    return Cap.parse(child.write_reference or child.entry.reference)


def lose(grid: LocalGrid, cap: Cap, count: int) -> None:
    for share in shares(grid, cap)[:count]:
        share.unlink()


def corrupt(share: Path, place: int = 500, count: int = 20) -> None:
    """Change some bytes of what a share holds."""
    content = bytearray(share.read_bytes())
    for each in range(place, place + count):
        content[each] ^= 255
    share.write_bytes(content)


def states(made: Made) -> dict[str, str]:
    return {each["path"]: each["state"] for each in made.json["findings"]}


def lease_ends(share: Path) -> float:
    """Return when the last lease of a share ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from allmydata.storage.shares import get_share_file

    leases = get_share_file(str(share)).get_leases()
    return max(float(lease.get_expiration_time()) for lease in leases)
