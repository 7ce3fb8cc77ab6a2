"""Roots that others have filled: Tahoe's own tools, or this package's past."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
import requests
from django.core.files.base import ContentFile
from django.utils import timezone

from tahoestorage.exceptions import InvalidCap, ReadOnly
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Access, Cap, Kind
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.proxy import Proxy, SendResponse

LONG = b"longer than a cap can hold " * 4
MODIFIED = datetime(2010, 5, 17, 12, 30, tzinfo=UTC)
FILES = {
    "report.txt": LONG,
    "empty": b"",
    "sub/short": b"short",
    "sub/deeper/žluť kůň?.bin": bytes(range(256)) * 2000,
    "sub/deeper/packed.gz": b"not packed at all" * 9,
}


class Api:
    """The gateway's web API, as other programs speak it."""

    def __init__(self, base_url: str, root: Cap) -> None:
        self._base_url = base_url
        self._root = quote(root.uri, safe="")

    def put(self, target: str, content: bytes) -> str:
        """PUT to BASE/uri, or to a path below the root."""
        url = f"{self._base_url}/uri"
        if not target.startswith("?"):
            url += f"/{self._root}/"
        response = requests.put(url + target, data=content, timeout=30)
        response.raise_for_status()
        return response.text

    def link(self, **caps: str) -> None:
        """Link caps by name; each in the slot that the name ends with."""
        children = {
            name: ["filenode", {f"{name[-2:]}_uri": cap}] for name, cap in caps.items()
        }
        self._post(children)

    def link_both(self, name: str, write: str, read: str) -> None:
        self._post({name: ["filenode", {"rw_uri": write, "ro_uri": read}]})

    def _post(self, children: dict[str, Any]) -> None:
        requests.post(
            f"{self._base_url}/uri/{self._root}?t=set_children",
            data=json.dumps(children),
            timeout=30,
        ).raise_for_status()


@dataclass
class Existing:
    """A root with files, and what reads it."""

    root: Cap
    storage: TahoeStorage
    api: Api


def make_existing(grid: LocalGrid, cache: Path) -> Existing:
    root = grid.create_root()
    storage = TahoeStorage(
        base_url=grid.base_url,
        base_cap=root.uri,
        public_base_url=grid.base_url,
        cache={"directory": str(cache)},
    )
    return Existing(root, storage, Api(grid.base_url, root))


@pytest.fixture(scope="module")
def filled(
    tahoe_grid: LocalGrid, tmp_path_factory: pytest.TempPathFactory
) -> TahoeStorage:
    """A root filled by ``tahoe cp -r`` and by ``tahoe backup``."""
    folder = tmp_path_factory.mktemp("existing")
    for name, content in FILES.items():
        file = folder / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, (MODIFIED.timestamp(), MODIFIED.timestamp()))
    existing = make_existing(tahoe_grid, folder / "cache")
    # All that its command line needs of a node: where it is, and our alias.
    node = folder / "node"
    (node / "private").mkdir(parents=True)
    (node / "node.url").write_text(tahoe_grid.base_url + "/")
    (node / "private" / "aliases").write_text(f"root: {existing.root.uri}\n")
    beside = os.path.dirname(sys.executable)
    tahoe = shutil.which("tahoe", path=beside) or shutil.which("tahoe")
    assert tahoe is not None
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    for verb in (["cp", "-r"], ["backup"]):
        subprocess.run(
            [tahoe, "-d", str(node), *verb, str(folder / "source"), f"root:{verb[0]}"],
            env={**environment, "PYTHONUTF8": "1"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return existing.storage


@pytest.fixture
def existing(tahoe_grid: LocalGrid, tmp_path: Path) -> Existing:
    """A root that is empty so far."""
    return make_existing(tahoe_grid, tmp_path / "cache")


def read(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def walk(storage: TahoeStorage, path: str) -> dict[str, bytes]:
    """Return all that is below a directory."""
    directories, files = storage.listdir(path)
    found = {name: read(storage, f"{path}/{name}") for name in files}
    for directory in directories:
        below = walk(storage, f"{path}/{directory}")
        found |= {f"{directory}/{name}": content for name, content in below.items()}
    return found


# Tahoe's own tools


@pytest.mark.parametrize("below", ["cp/source", "backup/Latest"])
def test_all_that_tahoe_stored_is_there(filled: TahoeStorage, below: str) -> None:
    assert walk(filled, below) == FILES
    for name, content in FILES.items():
        name = f"{below}/{name}"
        assert filled.exists(name)
        assert filled.size(name) == len(content)
        with requests.get(filled.url(name), timeout=30, stream=True) as response:
            assert response.raw.read() == content
    assert not filled.exists(f"{below}/missing")


def test_copied_files_have_the_times_of_their_links(filled: TahoeStorage) -> None:
    for name in ("cp/source/report.txt", "cp/source/sub", "cp"):
        for time in (filled.get_created_time(name), filled.get_modified_time(name)):
            assert timedelta() < timezone.now() - time < timedelta(minutes=10)


def test_backed_up_files_have_times_of_their_own(filled: TahoeStorage) -> None:
    assert filled.get_modified_time("backup/Latest/report.txt") == MODIFIED
    assert filled.get_modified_time("backup/Latest/sub/short") == MODIFIED
    assert filled.get_created_time("backup/Latest/report.txt") > MODIFIED


def test_what_is_copied_is_written_to_as_before(filled: TahoeStorage) -> None:
    name = filled.save("cp/source/sub/new.txt", ContentFile(LONG))
    assert read(filled, name) == LONG
    filled.delete(name)
    taken = filled.save("cp/source/report.txt", ContentFile(b"mine"))
    assert taken.startswith("cp/source/report_")
    filled.delete(taken)
    assert walk(filled, "cp/source") == FILES


def test_immutable_directories_are_read_only(filled: TahoeStorage) -> None:
    def overwrite() -> None:
        with filled.open("backup/Latest/report.txt", "wb") as file:
            file.write(LONG)

    for change in (
        lambda: filled.save("backup/Latest/new.txt", ContentFile(LONG)),
        lambda: filled.save("backup/Latest/sub/report.txt", ContentFile(LONG)),
        lambda: filled.save("backup/Latest/newer/new.txt", ContentFile(LONG)),
        lambda: filled.delete("backup/Latest/report.txt"),
        overwrite,
    ):
        with pytest.raises(ReadOnly, match="immutable directory") as caught:
            change()
        assert str(caught.value).startswith("backup/Latest")
        assert isinstance(caught.value, PermissionError)
    assert walk(filled, "backup/Latest") == FILES


def test_content_is_not_sent_to_where_it_cannot_be_linked(filled: TahoeStorage) -> None:
    with requests_sent() as sent, pytest.raises(ReadOnly):
        filled.save("backup/Latest/sub/new.txt", ContentFile(LONG))
    assert "PUT" not in sent.verbs


def test_a_backup_is_a_root_too(
    filled: TahoeStorage, make_storage: MakeStorage
) -> None:
    latest = filled.directories.entry(("backup", "Latest"))
    assert latest is not None
    assert Cap.parse(latest.reference).kind is Kind.DIR2_CHK
    storage = make_storage(base_cap=latest.reference)
    assert storage.listdir("") == (["sub"], ["empty", "report.txt"])
    assert read(storage, "sub/short") == b"short"
    assert not storage.exists("missing")
    with pytest.raises(ReadOnly, match="immutable directory"):
        storage.save("new.txt", ContentFile(LONG))


# The past


def test_a_root_of_the_package_of_2010_goes_on(existing: Existing) -> None:
    # It wrote PUT BASE/uri/ROOT/NAME, and let the gateway make directories.
    for name, content in FILES.items():
        existing.api.put(quote(name), content)
    storage = existing.storage
    assert storage.listdir("sub") == (["deeper"], ["short"])
    for name, content in FILES.items():
        assert read(storage, name) == content
        assert storage.size(name) == len(content)
        age = timezone.now() - storage.get_created_time(name)
        assert timedelta() < age < timedelta(minutes=10)
    storage.save("sub/deeper/new", ContentFile(LONG))
    storage.delete("sub/short")
    assert storage.listdir("sub") == (["deeper"], [])
    assert read(storage, "sub/deeper/new") == LONG


# Mutable files


@pytest.mark.parametrize("layout", ["SDMF", "MDMF"])
def test_mutable_files_are_read(existing: Existing, layout: str) -> None:
    content = bytes(range(256)) * 1000
    cap = existing.api.put(f"?format={layout}", content)
    existing.api.link(by_rw=cap, by_ro=cap, reader_ro=Cap.parse(cap).read_only.uri)
    storage = existing.storage
    for name in storage.listdir("")[1]:
        assert storage.size(name) == len(content)
        with storage.open(name) as file:
            assert file.size == len(content)
            assert file.read() == content
            file.seek(-3, os.SEEK_END)
            assert file.read() == content[-3:]
            file.seek(100_000)
            assert file.read(5) == content[100_000:100_005]
    assert len(storage.listdir("")[1]) == 3


def test_a_mutable_file_is_read_as_it_is_by_now(
    existing: Existing, tahoe_grid: LocalGrid
) -> None:
    cap = existing.api.put("?format=SDMF", LONG)
    existing.api.link(f_rw=cap)
    assert read(existing.storage, "f_rw") == LONG
    for content in (LONG * 2, b"shorter", b""):
        requests.put(
            f"{tahoe_grid.base_url}/uri/{cap}", data=content, timeout=30
        ).raise_for_status()
        assert existing.storage.size("f_rw") == len(content)
        assert read(existing.storage, "f_rw") == content
        with existing.storage.open("f_rw") as file:
            assert file.seek(0, os.SEEK_END) == len(content)


def test_the_url_of_a_mutable_file_is_read_only(existing: Existing) -> None:
    for layout, kind in (("SDMF", Kind.SSK), ("MDMF", Kind.MDMF)):
        cap = Cap.parse(existing.api.put(f"?format={layout}", LONG))
        existing.api.link(by_rw=cap.uri, by_ro=cap.uri, reader_ro=cap.read_only.uri)
        for name in ("by_rw", "by_ro", "reader_ro"):
            url = existing.storage.url(name)
            shown = Cap.parse(unquote(url.split("/")[-2]))
            assert shown == cap.read_only
            assert (shown.kind, shown.access) == (kind, Access.READ)
            assert requests.get(url, timeout=30).content == LONG
            existing.storage.delete(name)


def test_a_mutable_file_is_replaced_and_not_written_into(
    existing: Existing, tahoe_grid: LocalGrid
) -> None:
    cap = existing.api.put("?format=SDMF", LONG)
    existing.api.link(f_rw=cap)
    with existing.storage.open("f_rw", "wb") as file:
        file.write(b"another")
    assert read(existing.storage, "f_rw") == b"another"
    old = requests.get(f"{tahoe_grid.base_url}/uri/{cap}", timeout=30)
    assert old.content == LONG


# Caps in the wrong place, and of the future


WRITE_CAPS = [
    "URI:SSK:7htvj3w34fvxjwmelifjyw73ny:"
    "6lhjez3rcw7gbtfypxr2dqrotqqke4d4k3vfyg67b7gbhtoreryq",
    "URI:MDMF:xggsiedyupeim7efplryo6ago4:"
    "mpdjgvx7lbijm6eq42pb3ywrasmzumfb7sp3cmlbu5c4tzgyyyda",
]


@pytest.mark.parametrize("slot", ["ro_uri", "rw_uri"])
def test_a_write_cap_in_any_slot_never_shows_in_a_url(
    existing: Existing, make_storage: MakeStorage, slot: str
) -> None:
    # A gateway of ours puts none into a reader's slot; another one might.
    children = {
        str(number): ["filenode", {slot: cap, "mutable": True, "metadata": {}}]
        for number, cap in enumerate(WRITE_CAPS)
    }
    own = {"rw_uri": existing.root.uri, "ro_uri": existing.root.read_only.uri}
    body = json.dumps(["dirnode", {**own, "children": children}]).encode()
    with Proxy(existing.storage.options.base_url) as proxy:
        proxy.rule(
            lambda seen: "t=json" in seen.target, SendResponse(body=body), times=9
        )
        for cache in (False, True):
            options = {} if cache else {"cache": False}
            storage = make_storage(
                base_url=proxy.url, base_cap=existing.root.uri, **options
            )
            for _ in range(2):
                for number, text in enumerate(WRITE_CAPS):
                    url = unquote(storage.url(str(number)))
                    secret = text.split(":")[2]
                    assert secret not in url
                    assert Cap.parse(text).read_only.uri in url


@pytest.fixture
def newer(existing: Existing) -> Existing:
    """A root with caps of a Tahoe to come, a verify cap, and a file."""
    existing.api.link_both("both", "URI:FUTURE-W:secret", "URI:FUTURE-R:secret")
    existing.api.link(
        reader_ro="URI:FUTURE-R:secret",
        marked_ro="ro.URI:FUTURE-W:secret",
        verify_ro=WRITE_CAPS[0].replace("SSK", "SSK-Verifier"),
    )
    existing.api.put("known", LONG)
    return existing


UNKNOWN = ["both", "marked_ro", "reader_ro", "verify_ro"]


def test_unknown_caps_do_not_break_a_listing(newer: Existing) -> None:
    assert newer.storage.listdir("") == ([], sorted([*UNKNOWN, "known"]))
    assert read(newer.storage, "known") == LONG
    for name in UNKNOWN:
        assert newer.storage.exists(name)
        age = timezone.now() - newer.storage.get_modified_time(name)
        assert timedelta() < age < timedelta(minutes=10)


def test_unknown_caps_are_refused_plainly(newer: Existing) -> None:
    storage = newer.storage
    with requests_sent() as sent:
        for name in UNKNOWN:
            for call in (storage.open, storage.url, storage.size, storage.delete):
                with pytest.raises(
                    InvalidCap, match=r"of a kind .* not known"
                ) as caught:
                    call(name)
                assert str(caught.value).startswith(f"{name}: ")
                assert "FUTURE" not in str(caught.value)
                assert isinstance(caught.value, ValueError)
    # Deleting reads the listing afresh.
    assert set(sent.verbs) == {"GET"}
    assert len(storage.listdir("")[1]) == 5


def test_a_name_of_an_unknown_cap_is_taken(newer: Existing) -> None:
    assert newer.storage.save("both", ContentFile(LONG)).startswith("both_")


# A root that may only be read


def test_a_read_cap_is_a_root_for_readers(
    existing: Existing, make_storage: MakeStorage
) -> None:
    existing.api.put("dir/f", LONG)
    reader = make_storage(base_cap=existing.root.read_only.uri)
    assert reader.listdir("dir") == ([], ["f"])
    assert (reader.size("dir/f"), read(reader, "dir/f")) == (len(LONG), LONG)
    assert reader.url("dir/f").startswith("http://files.example/named/URI%3ACHK")
    for change in (
        lambda: reader.save("dir/g", ContentFile(LONG)),
        lambda: reader.save("new/g", ContentFile(LONG)),
        lambda: reader.delete("dir/f"),
    ):
        with requests_sent() as sent, pytest.raises(PermissionError, match="read-only"):
            change()
        assert set(sent.verbs) <= {"GET"}
    reader.delete("dir/missing")
    assert read(reader, "dir/f") == LONG
