"""Commands on a grid that has children whose names can't be asked for.

A gateway stores any name, by ``set_children``; a URL has its dots resolved.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.care import rootsnapshot
from tahoestorage.exceptions import GatewayError
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.children import Link
from tests.conftest import MakeStorage
from tests.support.commands import run

ODD = ("", ".", "..", "a/b")
NOW = ("--no-writers", "--watch", "0", "--older-than", "0s")


@pytest.fixture
def site(
    make_storage: MakeStorage,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> TahoeStorage:
    """A site with an empty directory, and empty directories of such names beside it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    backend = "tahoestorage.storage.TahoeStorage"
    options = {**make_storage()._given, "cache": False}
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": options}}
    storage = TahoeStorage(**options)
    storage.save("z/file", ContentFile(b"a file that is deleted again"))
    storage.delete("z/file")
    gateway, root = storage.directories.gateway, storage.directories.root.best
    made = {name: Link(gateway.make_directory({}, label=name)) for name in ODD}
    gateway.set_children(root, made, label="the root")
    return storage


@pytest.mark.usefixtures("site")
def test_empty_directories_with_such_names_stop_no_pruning() -> None:
    made = run("tahoe_prune", *NOW, "--json")
    assert (made.status, made.json["odd"]) == (0, 3)
    assert sorted(made.json["pruned"]) == ["a/b", "z"]
    assert "3 with names that can't be asked for" in run("tahoe_prune", *NOW).out


@pytest.mark.django_db
def test_what_has_such_names_is_checked_and_exported(
    site: TahoeStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootsnapshot, "_N", 1 << 10)
    passphrase, new = tmp_path / "passphrase", tmp_path / "new.cap"
    passphrase.write_text("a passphrase of this test")
    saved, by = str(tmp_path / "saved"), ("--passphrase-file", str(passphrase))

    checked = run("tahoe_check", "--json")
    orphans = run("storage_orphans", "--json")
    exported = run("tahoe_root", "export", saved, *by)
    restored = run("tahoe_root", "restore", saved, *by, "--output", str(new), "--json")

    assert (checked.status, checked.json["whole"]) == (0, 2 + len(ODD))
    assert (orphans.status, orphans.json["odd"]) == (0, len(ODD))
    assert (exported.status, restored.status) == (0, 0)
    assert restored.json["kept"] == 1 + len(ODD)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_nothing_is_asked_of_another_object_by_such_a_name(
    name: str, site: TahoeStorage
) -> None:
    gateway, root = site.directories.gateway, site.directories.root.best
    with pytest.raises(GatewayError, match="can't be asked for"):
        gateway.unlink(root, name, label="odd")
    with pytest.raises(GatewayError, match="can't be asked for"):
        gateway.list(root, ("z", name), label="odd")
