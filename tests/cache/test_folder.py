"""The cache's folder is its owner's alone, or it is not used; and what somebody has put
into it is neither followed, nor read whole, nor tripped over.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tahoestorage.backends.s3 import S3Storage
from tahoestorage.cache import EntryCache, Listing, Namespace
from tahoestorage.cache.inspection import InspectedDisk
from tahoestorage.cache.pages import Page, close_page, open_page
from tahoestorage.cache.rawcache import VALUE_LIMIT, RawDisk
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.directories import Directory
from tahoestorage.testing.grid import LocalGrid
from tests.tahoe.test_hostile_gateway import growing_less_than

NOBODY = 65534
MIB = 1 << 20
FILES = ["generations", "cache.db", "cache.db-wal", "cache.db-shm"]
SCOPE = Namespace(b"identity", b"read", b"write")
FILE = Entry(EntryKind.FILE, "a cap", 5)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that is not there yet, in one that all users can enter."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        yield Path(parent) / "cache"


def fill(cache: EntryCache, name: str = "a") -> None:
    listing = Listing()
    listing.add(name, FILE)
    cache.fill(cache.ticket(), SCOPE, listing)


def close(cache: EntryCache) -> None:
    cache._tiers._access.close()  # type: ignore[attr-defined]


def used(directory: Path) -> bool:
    """Whether what one cache keeps there another one finds."""
    fill(EntryCache(directory))
    return EntryCache(directory).entry(SCOPE, "a") == FILE


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Whose it is

AS_SOMEBODY_ELSE = """
import io, json, os, sys
import django
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.management import call_command

settings.configure(**json.loads(os.environ["TEST_SETTINGS"]))
django.setup()
from tahoestorage.storage import TahoeStorage
import tahoestorage.cache.redisstate, tahoestorage.management.commands.storage_cache
import diskcache, requests.adapters, encodings.idna, sqlite3, tempfile

if os.geteuid() == 0:
    os.setgroups([])
    os.setuid(65534)
for number in range(2):
    storage = TahoeStorage(allow_overwrite=True)
    storage.save("a", ContentFile(b"x" * 100))
    assert storage.exists("a") and not storage.exists("b")
    assert storage.open("a").read() == b"x" * 100
out = io.StringIO()
call_command("storage_cache", "stats", stdout=out)
print(out.getvalue())
try:
    call_command("storage_cache", "clear", stdout=out)
except Exception as error:
    print(error)
"""


def test_somebody_else_s_command_works_without_the_folder_and_says_so_once(
    directory: Path, tahoe_grid: LocalGrid, root: Cap
) -> None:
    # Where we are somebody else than the superuser, we need not become so.
    theirs = directory if os.geteuid() == 0 else Path("/usr")
    if theirs == directory:
        close(cache := EntryCache(directory))
        fill(cache)
    before = {path: path.stat().st_mtime_ns for path in theirs.iterdir()}
    settings = {
        "INSTALLED_APPS": ["tahoestorage"],
        "STORAGES": {
            "default": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
        },
        "TAHOE_STORAGE_BASE_URL": tahoe_grid.base_url,
        "TAHOE_STORAGE_BASE_CAP": root.uri,
        "TAHOE_STORAGE_CACHE": {"directory": str(theirs)},
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", AS_SOMEBODY_ELSE],
        env={**os.environ, "TEST_SETTINGS": json.dumps(settings)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Everything works without it, slower") == 1
    assert "can't be used (it belongs to another user)" in done.stderr
    assert "not usable: it belongs to another user" in done.stdout
    assert "Not all could be cleared." in done.stdout
    assert {path: path.stat().st_mtime_ns for path in theirs.iterdir()} == before


@pytest.mark.parametrize("name", FILES)
def test_a_folder_with_a_file_of_somebody_else_is_not_used(
    directory: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    directory.mkdir()
    planted = directory / name
    planted.touch(mode=0o666)
    if os.geteuid() == 0:
        os.chown(planted, NOBODY, NOBODY)
    else:
        usual = Path.lstat

        def lstat(path: Path) -> os.stat_result:
            status = list(usual(path))
            if path == planted:
                status[stat.ST_UID] = NOBODY
            return os.stat_result(status)

        monkeypatch.setattr(Path, "lstat", lstat)
    assert not used(directory)
    assert len(set(warnings(caplog))) == 1
    assert f"{name} in it belongs to another user" in caplog.text
    assert planted.stat().st_size == 0
    said = InspectedDisk(directory, MIB).stats()
    assert said.error == f"{name} in it belongs to another user"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "pipe"])
def test_a_folder_with_something_else_in_the_place_of_a_file_is_not_used(
    directory: Path, caplog: pytest.LogCaptureFixture, name: str, kind: str
) -> None:
    directory.mkdir()
    planted, target = directory / name, directory.parent / "target"
    if kind == "directory":
        planted.mkdir()
    elif kind == "pipe":
        os.mkfifo(planted)
    else:
        planted.symlink_to(target)
    if kind == "link":
        target.write_bytes(b"precious")
    assert not used(directory)
    assert f"{name} in it is a link, or no file" in caplog.text
    assert len(set(warnings(caplog))) == 1
    if kind == "link":
        assert target.read_bytes() == b"precious"
    assert kind == "link" or not target.exists()


def test_a_folder_that_is_a_link_is_not_used(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (elsewhere := directory.parent / "elsewhere").mkdir()
    directory.symlink_to(elsewhere)
    assert not used(directory)
    assert list(elsewhere.iterdir()) == []
    assert "it is a link, or not a directory" in caplog.text


# Modes


@pytest.fixture
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("_umask", [0, 0o077], indirect=True)
@pytest.mark.usefixtures("_umask")
def test_all_that_is_made_is_private_and_so_is_what_leads_to_it(
    directory: Path,
) -> None:
    deep = directory / "one" / "two"
    assert used(deep)
    assert [mode(path) for path in (deep, deep.parent, directory)] == [0o700] * 3
    assert {path.name: mode(path) for path in deep.iterdir()} == dict.fromkeys(
        FILES, 0o600
    )


def test_what_was_open_to_others_is_closed_and_used(directory: Path) -> None:
    cache = EntryCache(directory)
    fill(cache)
    directory.chmod(0o777)
    for path in directory.iterdir():
        path.chmod(0o666)
    assert EntryCache(directory).entry(SCOPE, "a") == FILE
    assert mode(directory) == 0o700
    assert {mode(path) for path in directory.iterdir()} == {0o600}


# What is in it


def run(directory: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(directory / "cache.db")) as database, database:
        database.execute(statement, values)


def test_a_huge_value_is_not_read_and_can_be_overwritten(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(EntryCache(directory))
    run(directory, "UPDATE Cache SET value = zeroblob(?)", 64 * MIB)
    fresh = EntryCache(directory)
    with growing_less_than(16 * MIB):
        assert fresh.entry(SCOPE, "a") is None
        fresh.change(SCOPE, "a").done(FILE)
    fill(fresh)
    assert EntryCache(directory).entry(SCOPE, "a") == FILE
    assert warnings(caplog) == []


def test_a_database_full_of_settings_is_not_read(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    close(EntryCache(directory))
    assert used(directory)
    many = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) "
        "INSERT INTO Settings SELECT 'key' || i, zeroblob(10000) FROM n"
    )
    run(directory, many)
    with growing_less_than(16 * MIB):
        assert EntryCache(directory).entry(SCOPE, "a") is None
    assert "its database is not one of diskcache's" in caplog.text


def test_a_page_that_is_too_large_to_be_read_again_is_not_kept(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(EntryCache(directory), "n" * VALUE_LIMIT)
    assert EntryCache(directory).entry(SCOPE, "n" * VALUE_LIMIT) is None
    assert used(directory)
    assert warnings(caplog) == []


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("read", [True, False])
def test_no_file_is_read_that_a_row_names(kind: int, read: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        named = os.path.relpath("/etc/passwd", directory)
        assert os.path.exists(os.path.join(directory, named))
        disk = RawDisk(directory)
        for value in (None, b"", named.encode()):
            assert disk.fetch(kind, named, value, read) is None


# Other stores

PAGE = Page(b"").with_entry("a", FILE)
WRITE = [Cap.parse(f"URI:DIR2:{letter * 26}:{'a' * 52}") for letter in "ae"]


def s3(**options: Any) -> Namespace:
    return S3Storage(**{"bucket_name": "one", "cache": False, **options})._namespace


def grid(cap: Cap) -> Namespace:
    return Directory.of(cap.read_only.uri, cap.uri).namespace


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (s3(), s3(bucket_name="other")),
        (s3(), s3(endpoint_url="http://127.0.0.1:9")),
        (s3(), grid(WRITE[0])),
        (grid(WRITE[0]), grid(WRITE[1])),
    ],
    ids=["bucket", "endpoint", "kind", "root"],
)
def test_what_another_store_has_sealed_is_of_no_use(
    one: Namespace, other: Namespace
) -> None:
    for here, there in (
        (one, other),
        (other, one),
        (one.item("photos/a"), other.item("photos/a")),
    ):
        sealed = close_page(here, here.root, PAGE, 2e9, 5)
        assert open_page(here, here.root, sealed, 5) is not None
        assert here.root != there.root
        # Neither where the other looks for it, nor as it was.
        assert open_page(there, there.root, sealed, 5) is None
        assert open_page(there, here.root, sealed, 5) is None


def test_an_object_s_page_is_of_no_use_to_another_object() -> None:
    one, other = s3().item("photos/a"), s3().item("photos/b")
    sealed = close_page(one, one.root, PAGE, 2e9, 5)
    assert open_page(one, one.root, sealed, 5) is not None
    assert one.root != other.root
    assert open_page(other, other.root, sealed, 5) is None


def test_the_secret_key_is_a_part_of_what_seals_objects(settings: Settings) -> None:
    namespace = s3()
    sealed = close_page(namespace, namespace.root, PAGE, 2e9, 5)
    settings.SECRET_KEY = "another"
    assert open_page(s3(), namespace.root, sealed, 5) is None
