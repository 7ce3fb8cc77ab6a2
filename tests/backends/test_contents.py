"""Contents of small files that are kept on disk: read without a request, and right."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from tahoestorage.cache import Contents, Namespace
from tahoestorage.exceptions import DamagedDownload
from tahoestorage.moving.resolve import store_of
from tahoestorage.storage import TahoeStorage
from tests.cache.test_limits import taken
from tests.cache.test_tiers import warnings
from tests.conftest import MakeStorage, requests_sent
from tests.support import commands
from tests.support.costs import costs_counted
from tests.support.gcs_storages import Make
from tests.support.proxy import CutBody, Proxy, Seen
from tests.support.s3_storages import MakeS3

MIB = 1 << 20
CONTENT = bytes(range(256)) * 40
SCOPE = Namespace(b"identity", b"secret")
_numbers = iter(range(5_000, 9_000))

pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def cache_in(directory: Path) -> dict[str, Any]:
    """Return options with which a storage shares nothing of its memory."""
    return {
        "directory": str(directory),
        "content_size_limit": 8 * MIB,
        "memory_entries": next(_numbers),
    }


def read(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def test_a_small_file_is_asked_for_once_on_a_host(
    make_storage: MakeStorage, directory: Path
) -> None:
    first, second = (make_storage(cache=cache_in(directory)) for _ in range(2))
    first.save("a/b", ContentFile(CONTENT))
    assert read(first, "a/b") == CONTENT
    assert second.exists("a/b")

    with requests_sent() as sent:
        assert read(first, "a/b") == read(second, "a/b") == CONTENT
        with second.open("a/b") as file:
            file.seek(-100, 2)
            assert file.read(50) == CONTENT[-100:-50]
            file.seek(7)
            assert file.read(1) == CONTENT[7:8]
    assert sent == []


def test_what_is_written_in_its_place_is_read(
    make_storage: MakeStorage, directory: Path
) -> None:
    storage = make_storage(cache=cache_in(directory))
    for content in (CONTENT, CONTENT[::-1]):
        with storage.open("a", "wb") as file:
            file.write(content)
        assert read(storage, "a") == read(storage, "a") == content


@pytest.mark.parametrize("size", [128 * 1024 + 1, MIB])
def test_a_larger_file_is_not_kept(
    make_storage: MakeStorage, directory: Path, size: int
) -> None:
    storage = make_storage(cache=cache_in(directory))
    storage.save("large", ContentFile(b"x" * size))
    for _ in range(2):
        with requests_sent() as sent:
            assert len(read(storage, "large")) == size
        assert len(sent) == 1


def test_nothing_is_kept_unless_a_size_is_given(
    storage: TahoeStorage, directory: Path
) -> None:
    storage.save("a", ContentFile(CONTENT))
    for _ in range(2):
        with requests_sent() as sent:
            assert read(storage, "a") == CONTENT
        assert len(sent) == 1
    assert not (directory / "contents").exists()


def test_a_part_or_a_damaged_download_is_not_kept(
    make_storage: MakeStorage, directory: Path, proxy: Proxy
) -> None:
    storage = make_storage(base_url=proxy.url, retries=0, cache=cache_in(directory))
    storage.save("a", ContentFile(CONTENT))
    proxy.rule(is_download, CutBody(5_000))
    with pytest.raises(DamagedDownload):
        read(storage, "a")
    with storage.open("a") as file:
        file.seek(9_000)
        assert file.read(10) == CONTENT[9_000:9_010]

    assert read(storage, "a") == CONTENT


def is_download(seen: Seen) -> bool:
    return seen.method == "GET" and "URI:CHK" in seen.path


def rows(directory: Path) -> list[tuple[bytes, bytes]]:
    with closing(sqlite3.connect(directory / "contents" / "cache.db")) as database:
        return database.execute("SELECT key, value FROM Cache").fetchall()


def test_contents_are_sealed_and_what_does_not_open_is_asked_for(
    make_storage: MakeStorage, directory: Path
) -> None:
    storage = make_storage(cache=cache_in(directory))
    for name, content in (("a", CONTENT), ("b", CONTENT[::-1])):
        storage.save(name, ContentFile(content))
        read(storage, name)
    (_, value), (other, _) = rows(directory)
    for path in (directory / "contents").iterdir():
        assert CONTENT[:100] not in path.read_bytes()

    # What was put in another one's place.
    file = directory / "contents" / "cache.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE Cache SET value = ? WHERE key = ?", (value, other))
    assert read(storage, "a") == CONTENT
    assert read(storage, "b") == CONTENT[::-1]
    with requests_sent() as sent:
        read(storage, "a")
        read(storage, "b")
    assert sent == []


@pytest.mark.parametrize("how", ["removed", "garbage", "no folder"])
def test_what_happens_to_the_files_costs_requests_and_nothing_else(
    make_storage: MakeStorage,
    directory: Path,
    how: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = directory / "contents"
    if how == "no folder":
        directory.mkdir(0o700)
        folder.write_text("a file, where the folder should be")
    storage = make_storage(cache=cache_in(directory))
    storage.save("a", ContentFile(CONTENT))
    assert read(storage, "a") == CONTENT
    if how != "no folder":
        for path in folder.iterdir():
            if how == "garbage":
                path.write_bytes(b"garbage" * 1_000)
            else:
                path.unlink()
    for _ in range(2):
        assert read(storage, "a") == CONTENT
    storage.save("b", ContentFile(CONTENT[::-1]))
    for _ in range(2):
        assert read(storage, "b") == CONTENT[::-1]
    assert len(warnings(caplog)) == (0 if how == "removed" else 1)


def test_the_oldest_go_first_and_the_limit_holds(directory: Path) -> None:
    contents = Contents(directory, 8 * MIB, 300.0)
    most = 0
    for number in range(200):
        content = number.to_bytes(2, "big") * (1 << 16)
        contents.keep(SCOPE, f"{number}", content)
        assert contents.get(SCOPE, f"{number}") == content
        most = max(most, taken(directory / "contents"))
    assert most <= 8 * MIB
    assert contents.get(SCOPE, "0") is None
    assert contents.get(SCOPE, "180") is not None
    assert contents.get(Namespace(b"identity", b"other secret"), "180") is None


def test_an_object_is_read_by_its_etag(make_s3: MakeS3, directory: Path) -> None:
    _check_objects(make_s3(cache=cache_in(directory), allow_overwrite=True))


def test_an_object_is_read_by_its_generation(make: Make, directory: Path) -> None:
    _check_objects(make(cache=cache_in(directory), allow_overwrite=True))


def _check_objects(storage: Storage) -> None:
    for content in (CONTENT, CONTENT[::-1]):
        storage.save("a", ContentFile(content))
        assert read(storage, "a") == content
        with costs_counted() as costs:
            assert read(storage, "a") == content
            with storage.open("a") as file:
                file.seek(9_000)
                assert file.read(10) == content[9_000:9_010]
        assert costs.sends == 0


def test_the_command_tells_of_contents_and_clears_them(
    settings: Any, make_storage: MakeStorage, directory: Path
) -> None:
    storage = make_storage(cache=cache_in(directory))
    storage.save("a", ContentFile(CONTENT))
    read(storage, "a")
    backend = "tahoestorage.storage.TahoeStorage"
    options = storage.deconstruct()[2]
    settings.STORAGES = {"default": {"BACKEND": backend, "OPTIONS": options}}
    made = commands.run("storage_cache", "stats", "--json")
    tiers = {tier["tier"]: tier for tier in made.json["tiers"]}
    assert tiers["contents"]["pages"] == 1
    assert tiers["contents"]["limit"] == 8 * MIB
    assert commands.run("storage_cache", "clear").status == 0
    assert rows(directory) == []
    assert read(storage, "a") == CONTENT


def test_a_copy_and_a_check_are_of_what_the_store_has(
    make_storage: MakeStorage, directory: Path, tmp_path: Path
) -> None:
    storage = make_storage(cache=cache_in(directory))
    storage.save("a", ContentFile(CONTENT))
    storage.save("b", ContentFile(CONTENT[::-1]))
    assert read(storage, "a") == CONTENT

    with requests_sent() as sent:
        with store_of(storage).open("a") as file:
            assert file.read() == CONTENT
        with store_of(storage).open("b") as file:
            assert file.read() == CONTENT[::-1]
        assert len(sent) == 2
        # And a copy of all files drives out nothing that is asked for.
        assert read(storage, "b") == CONTENT[::-1]
        assert len(sent) == 3


def test_what_counts_as_packed_hangs_on_the_options(
    make_s3: MakeS3, directory: Path
) -> None:
    """Others have packed an object, and have left no mark of ours."""
    raw = make_s3(gzip=False, cache=cache_in(directory))
    packed = gzip.compress(CONTENT)
    raw.client.put_object(
        Bucket=raw.bucket_name,
        Key=raw.key_of("a.css"),
        Body=packed,
        ContentEncoding="gzip",
        ContentType="text/css",
    )
    assert read(raw, "a.css") == packed

    unpacks = make_s3(gzip=True, cache=cache_in(directory))
    assert unpacks.exists("a.css")
    assert read(unpacks, "a.css") == CONTENT
