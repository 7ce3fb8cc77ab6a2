"""``manage.py tahoe_create_root``: the one place where a root cap is shown."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from tahoestorage import env
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap, Kind
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing.grid import LocalGrid


@pytest.fixture(autouse=True)
def site(settings: Settings, tahoe_grid: LocalGrid) -> Settings:
    """A site that knows its gateway, and has no root cap."""
    settings.TAHOE_STORAGE_BASE_URL = tahoe_grid.base_url
    return settings


@pytest.fixture(scope="module")
def unhappy_grid(tahoe: Path) -> Iterator[LocalGrid]:
    """A grid of one server, where uploads ask for two."""
    with LocalGrid(happy=2, total=2, tahoe=tahoe) as grid:
        yield grid


def create_root(*arguments: object) -> tuple[str, str]:
    """Run the command, and return what it writes to stdout and to stderr."""
    out, err = StringIO(), StringIO()
    call_command("tahoe_create_root", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def setting(line: str, name: str) -> str:
    """Return the value of the one setting that the line sets."""
    named, _, value = line.partition(" = ")
    assert named == name
    return str(ast.literal_eval(value))


def test_it_prints_the_setting_of_a_new_root() -> None:
    out, _ = create_root()
    cap = Cap.parse(setting(out, "TAHOE_STORAGE_BASE_CAP"))
    assert cap.kind is Kind.DIR2
    assert cap.is_writable


def test_it_says_what_losing_the_cap_means_beside_the_setting() -> None:
    out, err = create_root()
    assert "loses\nall of them" in err or "loses all of them" in err
    assert "safe place" in err
    assert setting(out, "TAHOE_STORAGE_BASE_CAP") not in err


def test_a_new_site_can_append_it_to_its_settings(
    tmp_path: Path, tahoe_grid: LocalGrid
) -> None:
    settings = tmp_path / "site_settings.py"
    settings.write_text(
        "SECRET_KEY = 'x'\n"
        "INSTALLED_APPS = ['tahoestorage']\n"
        "LANGUAGE_CODE = '?'  # so that Django's checks fail\n"
        "BACKEND = 'tahoestorage.storage.TahoeStorage'\n"
        "STORAGES = {'default': {'BACKEND': BACKEND}}\n"
        f"TAHOE_STORAGE_BASE_URL = '{tahoe_grid.base_url}'\n",
        "utf-8",
    )
    with settings.open("a") as out:
        subprocess.run(
            [sys.executable, "-m", "django", "tahoe_create_root"],
            cwd=tmp_path,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings"},
            stdout=out,
            stderr=subprocess.PIPE,
            check=True,
        )
    last = settings.read_text("utf-8").splitlines()[-1]
    assert Cap.parse(setting(last, "TAHOE_STORAGE_BASE_CAP")).is_writable


def test_each_root_is_another() -> None:
    assert create_root()[0] != create_root()[0]


def test_a_file_gets_the_cap_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / 'of "the" site.cap'
    out, err = create_root("--output", file)
    assert setting(out, "TAHOE_STORAGE_BASE_CAP_FILE") == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert Cap.parse(file.read_text("utf-8").strip()).is_writable
    assert "URI:" not in out + err


def test_the_setting_names_the_file_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, _ = create_root("--output", "root.cap")
    assert setting(out, "TAHOE_STORAGE_BASE_CAP_FILE") == str(tmp_path / "root.cap")


@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
def test_nothing_is_overwritten_nor_made(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Gateway, "probe_upload", lambda self: asked.append("probe"))
    monkeypatch.setattr(marker, "make_root", lambda *args: asked.append("root"))
    file = tmp_path / "root.cap"
    if kind == "file":
        file.write_text("the old cap", "utf-8")
    else:
        file.symlink_to(tmp_path / "nowhere")
    with pytest.raises(CommandError, match="is not overwritten"):
        create_root("--output", file)
    assert asked == []
    if kind == "file":
        assert file.read_text("utf-8") == "the old cap"
    else:
        assert not (tmp_path / "nowhere").exists()


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"Cannot write .*root\.cap: No such file"):
        create_root("--output", tmp_path / "missing" / "root.cap")


def test_a_full_disk_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match="No space left"):
        create_root("--output", tmp_path / "root.cap")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_marking", [False, True])
def test_ctrl_c_says_what_to_do_next_and_leaves_no_file(
    is_marking: bool, site: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.TAHOE_STORAGE_BASE_CAP = setting(create_root()[0], "TAHOE_STORAGE_BASE_CAP")
    backend = "tahoestorage.storage.TahoeStorage"
    site.STORAGES = {**site.STORAGES, "default": {"BACKEND": backend}}

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Gateway, "servers", interrupted)
    monkeypatch.setattr(Gateway, "list", interrupted)
    asked = ["--mark"] if is_marking else ["--output", tmp_path / "root.cap"]
    with pytest.raises(CommandError, match=r"(?i)run it again") as caught:
        create_root(*asked)
    assert caught.value.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_gateway_is_refused_with_the_way_out(
    site: Settings, tmp_path: Path
) -> None:
    site.TAHOE_STORAGE_BASE_URL = "http://127.0.0.1:1"
    with pytest.raises(CommandError) as caught:
        create_root("--output", tmp_path / "root.cap")
    assert "http://127.0.0.1:1" in str(caught.value)
    assert "TAHOE_STORAGE_BASE_URL" in str(caught.value)
    assert "tahoe_grid" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_too_few_servers_for_a_file_are_refused(
    site: Settings, unhappy_grid: LocalGrid, tmp_path: Path
) -> None:
    site.TAHOE_STORAGE_BASE_URL = unhappy_grid.base_url
    with pytest.raises(CommandError, match="no root was made") as caught:
        create_root("--output", tmp_path / "root.cap")
    assert "shares.happy" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_without_servers_is_refused(site: Settings, tahoe: Path) -> None:
    with LocalGrid(gateways=1, servers=2, tahoe=tahoe) as grid:
        grid.stop_server(0)
        grid.stop_server(1)
        site.TAHOE_STORAGE_BASE_URL = grid.base_url
        with pytest.raises(CommandError, match="connected to no storage server"):
            create_root()


def test_what_is_no_gateway_is_refused(site: Settings, tahoe_grid: LocalGrid) -> None:
    site.TAHOE_STORAGE_BASE_URL = f"{tahoe_grid.base_url}/statistics"
    with pytest.raises(CommandError, match="Is a Tahoe-LAFS gateway running"):
        create_root()


def test_another_gateway_can_be_given(site: Settings, tahoe_grid: LocalGrid) -> None:
    site.TAHOE_STORAGE_BASE_URL = "http://127.0.0.1:1"
    out, _ = create_root("--base-url", tahoe_grid.base_url)
    assert Cap.parse(setting(out, "TAHOE_STORAGE_BASE_CAP")).is_writable


@pytest.mark.parametrize("place", ["option", "setting"])
def test_the_format_can_be_chosen(place: str, site: Settings) -> None:
    if place == "setting":
        site.TAHOE_STORAGE_DIRECTORY_FORMAT = "MDMF"
        out, _ = create_root()
    else:
        out, _ = create_root("--format", "MDMF")
    assert Cap.parse(setting(out, "TAHOE_STORAGE_BASE_CAP")).kind is Kind.DIR2_MDMF


def test_wrong_settings_are_reported(site: Settings) -> None:
    site.TAHOE_STORAGE_BASE_URL = "gateway"
    with pytest.raises(CommandError, match="TAHOE_STORAGE_BASE_URL"):
        create_root()


def test_a_root_that_is_set_already_is_mentioned(
    site: Settings, tahoe_grid: LocalGrid
) -> None:
    old = tahoe_grid.create_root()
    site.TAHOE_STORAGE_BASE_CAP = old.uri
    out, err = create_root()
    assert "A root cap is set already" in err
    assert old.uri not in out + err


def test_a_file_that_is_set_before_it_is_made_is_no_root_yet(
    site: Settings, tmp_path: Path
) -> None:
    site.TAHOE_STORAGE_BASE_CAP_FILE = str(tmp_path / "root.cap")
    _, err = create_root("--output", tmp_path / "root.cap")
    assert "already" not in err


def test_a_gateway_that_storage_url_names_is_asked(
    settings: Settings,
    tahoe_grid: LocalGrid,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "root of it.cap"
    url = tahoe_grid.base_url.replace("http", "tahoe+http", 1)
    monkeypatch.setenv("STORAGE_URL", f"{url}/?base_cap_file={quote(str(file))}")
    settings.TAHOE_STORAGE_BASE_URL = "http://127.0.0.1:9"
    settings.STORAGES = {"default": env.storage("STORAGE_URL")}
    _, err = create_root("--output", file)
    assert f"base_cap_file={quote(str(file))}" in err
    assert default_storage.save("a", ContentFile(b"b")) == "a"
