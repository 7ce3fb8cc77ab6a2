"""Django's Storage API, on a real grid: what FileSystemStorage promises holds here."""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, default_storage, storages
from django.core.files.uploadedfile import (
    InMemoryUploadedFile,
    TemporaryUploadedFile,
)
from django.test import override_settings
from django.utils import timezone
from pytest_django.fixtures import Settings

from tahoestorage.backends.tahoe import TahoeStorage as FromItsModule
from tahoestorage.exceptions import GatewayUnreachable, NotEnoughShares, TimeUnknown
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Access, Cap, Kind
from tahoestorage.testing.grid import LocalGrid
from tests.checks.test_checks import WRITE_CAP
from tests.conftest import MakeStorage, requests_sent
from tests.support.links import link_without_time
from tests.support.ports import free_port

ALTERNATIVE = "[A-Za-z0-9]{7}"
LONG = b"longer than a cap can hold " * 4


def save(storage: Storage, name: str, content: bytes = LONG, **options: Any) -> str:
    return storage.save(name, ContentFile(content), **options)


def read(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def test_the_class_has_two_import_paths() -> None:
    assert TahoeStorage is FromItsModule


# What can be saved


@pytest.mark.parametrize("size", [0, 1, 55, 56, 70_000, 300_000])
def test_what_was_saved_is_read_back(storage: TahoeStorage, size: int) -> None:
    content = os.urandom(size)
    name = save(storage, "file.bin", content)
    assert name == "file.bin"
    assert read(storage, name) == content
    assert storage.size(name) == size


class Reader:
    """The least that Django takes for a file: no seek, no closed, no size."""

    def __init__(self, content: bytes) -> None:
        self._source = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)


class Chunks:
    """Content that comes by chunks alone, as from a generator."""

    def chunks(self) -> Iterator[bytes]:
        yield b""
        for letter in b"abc":
            yield bytes([letter]) * 70_000


class OwnChunks(ContentFile):  # type: ignore[type-arg]
    """A File with chunks of its own, which can't be told how long they are to be."""

    def chunks(self) -> Iterator[bytes]:  # type: ignore[override]
        yield b"mine " * 20


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (io.StringIO("a text, in UTF-8: žluťoučký"), "a text, in UTF-8: žluťoučký"),
        (ContentFile("text of Django's: ßåø " * 9), "text of Django's: ßåø " * 9),
        (io.BytesIO(LONG), LONG.decode()),
        (Reader(LONG), LONG.decode()),
        (Reader(b"short"), "short"),
        (OwnChunks(b"other"), "mine " * 20),
        (Chunks(), "a" * 70_000 + "b" * 70_000 + "c" * 70_000),
    ],
    ids=[
        "StringIO",
        "ContentFile",
        "BytesIO",
        "reader",
        "short reader",
        "own chunks",
        "chunks",
    ],
)
def test_whatever_django_takes_for_a_file_is_saved(
    storage: TahoeStorage, content: Any, expected: str
) -> None:
    assert read(storage, storage.save("f", content)) == expected.encode()


def test_a_file_that_was_read_before_is_saved_from_its_start(
    storage: TahoeStorage,
) -> None:
    content = ContentFile(LONG)
    content.read(10)
    assert read(storage, storage.save("f", content)) == LONG


def test_a_file_of_one_storage_is_saved_to_another(
    storage: TahoeStorage, make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    save(storage, "f", LONG * 1000)
    other = make_storage(base_cap=tahoe_grid.create_root().uri)
    with storage.open("f") as file:
        other.save("copy", file)
    assert read(other, "copy") == LONG * 1000


def test_the_name_is_the_contents_own_when_none_is_given(
    storage: TahoeStorage,
) -> None:
    assert storage.save(None, ContentFile(b"x", name="its-own.txt")) == "its-own.txt"


def test_saving_never_closes_the_callers_file(storage: TahoeStorage) -> None:
    with TemporaryUploadedFile("test", "text/plain", 1, "utf8") as file:
        file.write(b"1")
        file.seek(0)
        storage.save("a/temporary", file)
        assert not file.closed
        assert file.file is not None
        assert not file.file.closed
        assert os.path.exists(file.temporary_file_path())
    inner = io.StringIO("1")
    memory = InMemoryUploadedFile(inner, "", "test", "text/plain", 1, "utf8")
    storage.save("a/memory", memory)
    assert not memory.closed
    assert not inner.closed


def test_a_name_with_directories_makes_them(storage: TahoeStorage) -> None:
    assert not storage.exists("path/to")
    assert save(storage, "path/to/test.file") == "path/to/test.file"
    assert storage.exists("path")
    assert storage.exists("path/to")
    assert storage.listdir("path") == (["to"], [])
    assert read(storage, "path/to/test.file") == LONG


def test_the_name_that_is_returned_is_the_normal_one(storage: TahoeStorage) -> None:
    assert save(storage, "a/./b//c.txt") == "a/b/c.txt"
    assert save(storage, "a\\b\\d.txt") == "a/b/d.txt"
    assert storage.listdir("a/b")[1] == ["c.txt", "d.txt"]


def test_content_that_fails_leaves_nothing(storage: TahoeStorage) -> None:
    class Failing(Chunks):
        def chunks(self) -> Iterator[bytes]:
            yield b"a" * 100_000
            raise ZeroDivisionError("of the content itself")

    with pytest.raises(ZeroDivisionError, match="of the content itself"):
        storage.save("deep/down/f", Failing())
    assert storage.listdir("") == ([], [])


# Names that are taken


def test_a_taken_name_gets_an_alternative(storage: TahoeStorage) -> None:
    save(storage, "a.tar.gz", b"first")
    second = save(storage, "a.tar.gz", b"second")
    assert re.fullmatch(rf"a_{ALTERNATIVE}\.tar\.gz", second)
    assert read(storage, "a.tar.gz") == b"first"
    assert read(storage, second) == b"second"


def test_the_file_gets_another_name_and_not_its_directory(
    storage: TahoeStorage,
) -> None:
    for name in ("dotted.path/test", "dotted.path/.test"):
        save(storage, name)
        assert re.fullmatch(rf"{re.escape(name)}_{ALTERNATIVE}", save(storage, name))


def test_a_name_that_a_directory_has_is_taken(storage: TahoeStorage) -> None:
    save(storage, "a/b")
    other = save(storage, "a")
    assert re.fullmatch(f"a_{ALTERNATIVE}", other)
    assert storage.listdir("") == (["a"], [other])


@pytest.fixture
def stranger(make_storage: MakeStorage, tmp_path: Path) -> TahoeStorage:
    """A storage of the same root on another host: the caches don't know each other."""
    return make_storage(cache={"directory": str(tmp_path / "another host")})


@pytest.fixture
def surprised(storage: TahoeStorage, stranger: TahoeStorage) -> TahoeStorage:
    """A storage that believes ``uploads/photo.jpg`` to be free; it was just taken."""
    save(storage, "uploads/other.jpg")
    assert not storage.exists("uploads/photo.jpg")
    save(stranger, "uploads/photo.jpg", b"the stranger's")
    return storage


def test_a_name_that_is_taken_while_it_is_saved_is_not_overwritten(
    surprised: TahoeStorage,
) -> None:
    name = save(surprised, "uploads/photo.jpg", b"mine")
    assert re.fullmatch(rf"uploads/photo_{ALTERNATIVE}\.jpg", name)
    assert read(surprised, name) == b"mine"
    assert read(surprised, "uploads/photo.jpg") == b"the stranger's"


def test_the_alternative_found_then_keeps_max_length_too(
    surprised: TahoeStorage,
) -> None:
    name = save(surprised, "uploads/photo.jpg", max_length=21)
    assert re.fullmatch(rf"uploads/p_{ALTERNATIVE}\.jpg", name)
    with pytest.raises(SuspiciousFileOperation, match="available filename"):
        save(surprised, "uploads/photo.jpg", max_length=17)


def test_a_storage_that_knows_but_one_name_gives_up(
    surprised: TahoeStorage,
) -> None:
    class Stubborn(TahoeStorage):
        def get_available_name(self, name: str, max_length: int | None = None) -> str:
            return name

    stubborn = Stubborn(**surprised._given)
    with pytest.raises(FileExistsError, match=r"photo\.jpg: the name is taken$"):
        save(stubborn, "uploads/photo.jpg")
    assert read(surprised, "uploads/photo.jpg") == b"the stranger's"


def test_max_length_shortens_the_name(storage: TahoeStorage) -> None:
    assert save(storage, "folder/filename.ext", max_length=19) == "folder/filename.ext"
    second = save(storage, "folder/filename.ext", max_length=20)
    assert re.fullmatch(rf"folder/f_{ALTERNATIVE}\.ext", second)
    assert len(second) == 20
    with pytest.raises(SuspiciousFileOperation, match="available filename"):
        save(storage, "folder/short.longext", max_length=10)


# Overwriting


def test_allow_overwrite_replaces_a_file(make_storage: MakeStorage) -> None:
    storage = make_storage(allow_overwrite=True)
    for content in (b"extra extra extra", b"extra", LONG, b""):
        assert save(storage, "a/f", content) == "a/f"
        assert read(storage, "a/f") == content
        assert storage.size("a/f") == len(content)
    assert storage.listdir("a") == ([], ["f"])


def test_allow_overwrite_replaces_no_directory(make_storage: MakeStorage) -> None:
    storage = make_storage(allow_overwrite=True)
    save(storage, "a/b/f")
    with pytest.raises(IsADirectoryError, match=r"^a/b "):
        save(storage, "a/b")
    assert read(storage, "a/b/f") == LONG


def test_allow_overwrite_shortens_names_without_a_suffix(
    make_storage: MakeStorage,
) -> None:
    storage = make_storage(allow_overwrite=True)
    assert save(storage, "test_long_file_name.txt", max_length=10) == "test_l.txt"
    with pytest.raises(SuspiciousFileOperation, match="available filename"):
        save(storage, "file_name.longext", max_length=5)


# Subclasses


class Numbered(TahoeStorage):
    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        root, extension = os.path.splitext(name)
        number = 2
        while self.exists(name):
            name = f"{root}.{number}{extension}"
            number += 1
        return name


class Counted(TahoeStorage):
    number = 0

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        self.number += 1
        return f"{file_root}-{self.number}{file_ext}"


class Discarding(TahoeStorage):
    def _save(self, name: str, content: Any) -> str:
        return super()._save(name, content) if content.size else "empty"


@pytest.mark.parametrize(("kind", "second"), [(Numbered, "f.2.x"), (Counted, "f-1.x")])
def test_a_subclass_chooses_its_own_alternatives(
    surprised: TahoeStorage, kind: type[TahoeStorage], second: str
) -> None:
    storage = kind(**surprised._given)
    assert save(storage, "f.x") == "f.x"
    assert save(storage, "f.x") == second
    name = save(storage, "uploads/photo.jpg", b"mine")
    assert name == f"uploads/photo{second[1:4].rstrip('.')}.jpg".replace("-1", "-2")
    assert read(storage, name) == b"mine"


def test_a_subclass_saves_as_djangos_documentation_says(storage: TahoeStorage) -> None:
    discarding = Discarding(**storage._given)
    assert save(discarding, "f", b"content") == "f"
    assert save(discarding, "g", b"", max_length=20) == "empty"
    assert storage.listdir("") == ([], ["f"])


# What is there


def test_listdir_tells_directories_from_files(storage: TahoeStorage) -> None:
    assert storage.listdir("") == ([], [])
    for name in ("b", "a", "dir/c", "dir/sub/d"):
        save(storage, name)
    for root in ("", ".", Path("")):
        assert storage.listdir(root) == (["dir"], ["a", "b"])  # type: ignore[arg-type]
    assert storage.listdir("dir") == storage.listdir("./dir/.") == (["sub"], ["c"])
    with pytest.raises(FileNotFoundError, match="missing"):
        storage.listdir("missing")
    with pytest.raises(NotADirectoryError, match="dir/c"):
        storage.listdir("dir/c")


@pytest.mark.parametrize("name", ["missing", "no/such/directory", "file/below"])
def test_a_missing_file_is_file_not_found(storage: TahoeStorage, name: str) -> None:
    save(storage, "file")
    for call in (storage.open, storage.size, storage.url, storage.get_modified_time):
        with pytest.raises(FileNotFoundError, match=f"^{name}: "):
            call(name)
    assert not storage.exists(name)


def test_a_directory_is_no_file(storage: TahoeStorage) -> None:
    save(storage, "dir/sub/f")
    for name in ("dir", "dir/sub", ""):
        assert storage.exists(name)
        for call in (storage.open, storage.size, storage.url):
            with pytest.raises(IsADirectoryError, match="is a directory"):
                call(name)


def test_a_file_in_the_way_of_a_directory_is_not_replaced(
    storage: TahoeStorage, stranger: TahoeStorage
) -> None:
    assert not storage.exists("a")
    save(stranger, "a", b"the file")
    for name in ("a/b", "a/b/c"):
        with pytest.raises(NotADirectoryError, match=r"^a(/b(/c)?)?: "):
            save(storage, name)
        with pytest.raises(NotADirectoryError), requests_sent() as sent:
            save(storage, name)
        assert "PUT" not in sent.verbs
    assert read(storage, "a") == b"the file"


def test_paths_are_names_too(storage: TahoeStorage) -> None:
    path: Any = Path("folder/test.file")
    assert not storage.exists(path)
    assert storage.save(path, ContentFile(LONG)) == "folder/test.file"
    assert storage.exists(path)
    assert storage.size(path) == len(LONG)
    assert storage.url(path) == storage.url("folder/test.file")
    assert read(storage, path) == LONG
    assert storage.get_modified_time(path) == storage.get_created_time(path)
    storage.delete(path)
    assert not storage.exists("folder/test.file")


def test_case_is_kept(storage: TahoeStorage) -> None:
    assert save(storage, "CaSe", b"upper") == "CaSe"
    assert save(storage, "case", b"lower") == "case"
    assert read(storage, "CaSe") == b"upper"


def test_packed_files_come_back_byte_for_byte(storage: TahoeStorage) -> None:
    content = gzip.compress(os.urandom(100))
    for name in ("a.gz", "b.tar.bz2", "c.html.gz"):
        save(storage, name, content)
        assert read(storage, name) == content
        assert storage.size(name) == len(content)


# Deleting


def test_delete_removes_a_file(storage: TahoeStorage) -> None:
    save(storage, "dir/a")
    save(storage, "dir/b")
    storage.delete("dir/a")
    assert not storage.exists("dir/a")
    assert storage.listdir("dir") == ([], ["b"])
    with pytest.raises(FileNotFoundError):
        storage.open("dir/a")
    assert save(storage, "dir/a", b"anew") == "dir/a"
    assert read(storage, "dir/a") == b"anew"


def test_delete_reads_no_other_names(storage: TahoeStorage) -> None:
    save(storage, "dir/a")
    save(storage, "dir/b")
    with requests_sent() as sent:
        storage.delete("dir/a")
    # The link, by its own name, and then it is gone.
    assert "/a?t=json " in sent[0]
    assert sent.verbs == ["GET", "DELETE"]
    with requests_sent() as sent:
        assert storage.listdir("dir") == ([], ["b"])
    assert sent == []


def test_delete_of_a_missing_name_is_silent(storage: TahoeStorage) -> None:
    save(storage, "file")
    for name in ("missing", "no/such/directory", "file/below"):
        storage.delete(name)
    assert storage.listdir("") == ([], ["file"])


@pytest.mark.parametrize("name", ["", None])
def test_delete_wants_a_name(storage: TahoeStorage, name: Any) -> None:
    with pytest.raises(ValueError, match="The name must be given to delete"):
        storage.delete(name)


def test_delete_refuses_directories_empty_or_not(storage: TahoeStorage) -> None:
    save(storage, "dir/sub/f")
    storage.delete("dir/sub/f")
    for name in ("dir", "dir/sub", ".", "dir/.."):
        with pytest.raises(IsADirectoryError):
            storage.delete(name)
    assert storage.listdir("dir") == (["sub"], [])


def test_delete_finds_what_the_cache_does_not_know(surprised: TahoeStorage) -> None:
    surprised.delete("uploads/photo.jpg")
    assert surprised.listdir("uploads") == ([], ["other.jpg"])


def test_delete_forgets_what_somebody_else_deleted(
    storage: TahoeStorage, stranger: TahoeStorage
) -> None:
    save(storage, "f")
    assert storage.exists("f")
    stranger.delete("f")
    storage.delete("f")
    assert not storage.exists("f")


def test_delete_forgets_the_file_that_somebody_else_made_a_directory(
    storage: TahoeStorage, stranger: TahoeStorage
) -> None:
    save(storage, "f")
    save(storage, "beside")
    stranger.delete("f")
    save(stranger, "f/below")
    with pytest.raises(IsADirectoryError):
        storage.delete("f")
    assert storage.listdir("") == (["f"], ["beside"])


def test_a_move_forgets_the_file_that_somebody_else_replaced(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path
) -> None:
    save(storage, "f")
    stranger = make_storage(allow_overwrite=True, cache=False)
    save(stranger, "f", LONG * 2)
    # What it knows is moved; what somebody else put there stays, and is seen.
    storage.move("f", "target")
    assert read(storage, "target") == LONG
    assert read(storage, "f") == LONG * 2
    assert storage.size("f") == len(LONG * 2)


def test_delete_finds_its_way_where_the_directory_known_to_the_cache_is_gone(
    storage: TahoeStorage, make_storage: MakeStorage
) -> None:
    save(storage, "dir/a")
    save(storage, "dir/b")
    directories = storage.directories
    # The cap is of nothing that any server has.
    gone = Cap.parse(f"URI:DIR2:{'a' * 26}:{'a' * 52}")
    directories.cache.fill_path(
        directories.cache.ticket(),
        directories.root.namespace,
        "dir",
        gone.read_only.uri,
        gone.uri,
    )
    storage.delete("dir/a")
    assert make_storage(cache=False).listdir("dir") == ([], ["b"])


# Times


def test_times_are_aware_or_naive_after_use_tz(storage: TahoeStorage) -> None:
    soon = timedelta(seconds=30)
    save(storage, "f")
    for get in (storage.get_created_time, storage.get_modified_time):
        with override_settings(TIME_ZONE="Africa/Algiers"):
            with override_settings(USE_TZ=True), timezone.override("America/Lima"):
                aware = get("f")
            with override_settings(USE_TZ=False):
                naive = get("f")
                assert abs(naive - datetime.now()) < soon
        assert aware.utcoffset() == timedelta(0)
        assert abs(aware - timezone.now()) < soon
        assert naive.tzinfo is None
        assert naive - aware.replace(tzinfo=None) == timedelta(hours=1)


def test_a_file_is_created_once_and_modified_often(make_storage: MakeStorage) -> None:
    storage = make_storage(allow_overwrite=True)
    save(storage, "f", b"1")
    created = storage.get_created_time("f")
    save(storage, "f", b"2")
    assert storage.get_created_time("f") == created
    assert storage.get_modified_time("f") > created


@pytest.mark.parametrize("options", [{}, {"cache": False}], ids=["cached", "uncached"])
def test_a_link_that_was_made_without_a_time_has_none(
    make_storage: MakeStorage, options: dict[str, Any]
) -> None:
    storage = make_storage(**options)
    link_without_time(storage, "of-others/f", LONG)

    for _ in range(2):
        for time_of in (storage.get_modified_time, storage.get_created_time):
            with pytest.raises(
                TimeUnknown, match=r"^of-others/f: its link has no time"
            ):
                time_of("of-others/f")
    assert read(storage, "of-others/f") == LONG
    assert storage.get_modified_time("of-others")


def test_directories_have_times_too(storage: TahoeStorage) -> None:
    save(storage, "dir/f")
    # A new directory is linked after what is in it.
    apart = storage.get_created_time("dir") - storage.get_created_time("dir/f")
    assert timedelta() <= apart < timedelta(seconds=30)


def test_what_the_grid_does_not_keep_is_not_implemented(storage: TahoeStorage) -> None:
    save(storage, "f")
    with pytest.raises(NotImplementedError, match="when a file was read"):
        storage.get_accessed_time("f")
    with pytest.raises(NotImplementedError):
        storage.path("f")


# URLs


def test_a_url_is_the_read_cap_and_the_name(storage: TahoeStorage) -> None:
    save(storage, "dir/a photo?.jpg")
    url = storage.url("dir/a photo?.jpg")
    found = re.fullmatch(
        r"http://files\.example/named/(URI%3ACHK%3A[^/]+)/a%20photo%3F\.jpg", url
    )
    assert found
    cap = Cap.parse(found[1].replace("%3A", ":"))
    assert (cap.kind, cap.access, cap.size) == (Kind.CHK, Access.READ, len(LONG))
    assert storage.url("dir/a photo?.jpg") == url


@pytest.mark.parametrize("content", [b"short", LONG])
def test_visitors_download_by_the_url(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, content: bytes
) -> None:
    # A node on the visitors' own machine: the public address is loopback.
    storage = make_storage(public_base_url=tahoe_grid.base_url + "/")
    save(storage, "dir/100% ščř #1.jpg", content)
    response = requests.get(storage.url("dir/100% ščř #1.jpg"), timeout=60)
    assert response.content == content
    assert response.headers["Content-Type"] == "image/jpeg"


def test_without_a_public_address_there_is_no_url(make_storage: MakeStorage) -> None:
    storage = make_storage(public_base_url=None)
    save(storage, "f")
    with pytest.raises(ValueError, match="TAHOE_PUBLIC_BASE_URL"):
        storage.url("f")


# When the gateway is away


def test_nothing_is_said_to_be_missing_when_the_store_cannot_be_asked(
    make_storage: MakeStorage,
) -> None:
    port = free_port()
    storage = make_storage(base_url=f"http://127.0.0.1:{port}", retries=0)
    for call in (
        storage.exists,
        storage.open,
        storage.size,
        storage.url,
        storage.listdir,
        storage.delete,
        storage.get_modified_time,
        lambda name: save(storage, name),
    ):
        with pytest.raises(GatewayUnreachable, match=f":{port}") as caught:
            call("dir/f")
        assert isinstance(caught.value, ConnectionError)


# Settings and aliases


@pytest.fixture
def site(settings: Settings, tahoe_grid: LocalGrid, tmp_path: Path) -> Settings:
    """Settings of a site that keeps its files on the grid, but for the root cap."""
    settings.TAHOE_STORAGE_BASE_URL = tahoe_grid.base_url
    settings.TAHOE_STORAGE_CACHE = {"directory": str(tmp_path / "cache")}
    settings.STORAGES = {
        "default": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
        "overwriting": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {"allow_overwrite": True},
        },
    }
    return settings


def test_a_storage_without_a_cap_is_well_until_it_is_used(
    site: Settings, root: Cap
) -> None:
    storage = TahoeStorage()
    assert storage.generate_filename("a b.txt") == "a_b.txt"
    assert storage.deconstruct()[2] == {}
    with pytest.raises(ImproperlyConfigured, match="tahoe_create_root"):
        storage.exists("f")
    site.TAHOE_STORAGE_BASE_CAP = root.uri
    assert not storage.exists("f")


def test_settings_are_followed_when_they_change(
    site: Settings, root: Cap, tahoe_grid: LocalGrid
) -> None:
    site.TAHOE_STORAGE_BASE_CAP = root.uri
    storage = TahoeStorage()
    save(storage, "f", b"first")
    other = tahoe_grid.create_root()
    with override_settings(
        TAHOE_STORAGE_BASE_CAP=other.uri, TAHOE_PUBLIC_BASE_URL="http://pub"
    ):
        assert not storage.exists("f")
        save(storage, "g")
        assert storage.url("g").startswith("http://pub/named/")
    assert storage.listdir("") == ([], ["f"])
    with override_settings(TAHOE_STORAGE_ALLOW_OVERWRITE=True):
        assert save(storage, "f", b"second") == "f"
    assert save(storage, "f", b"third") != "f"
    assert read(storage, "f") == b"second"


def test_it_serves_as_the_default_storage_and_under_an_alias(
    site: Settings, root: Cap
) -> None:
    site.TAHOE_STORAGE_BASE_CAP = root.uri
    assert isinstance(storages["overwriting"], TahoeStorage)
    assert save(default_storage, "f", b"first") == "f"
    assert save(storages["overwriting"], "f", b"second") == "f"
    assert read(default_storage, "f") == b"second"


def test_a_file_holds_the_cap(make_storage: MakeStorage, root: Cap) -> None:
    storage = make_storage()
    save(storage, "f")
    file = Path(storage.options.cache.directory).parent / "cap"  # type: ignore
    file.write_text(f"{root.uri}\n")
    from_file = make_storage(base_cap=None, base_cap_file=file)
    assert read(from_file, "f") == LONG


def test_everything_works_without_a_cache(make_storage: MakeStorage) -> None:
    storage = make_storage(cache=False)
    save(storage, "a/b/f")
    other = save(storage, "a/b/f", b"other")
    assert sorted(storage.listdir("a/b")[1]) == sorted(["f", other.split("/")[-1]])
    assert (storage.size("a/b/f"), read(storage, other)) == (len(LONG), b"other")
    assert storage.get_modified_time("a/b/f") <= storage.get_modified_time(other)
    storage.delete("a/b/f")
    assert not storage.exists("a/b/f")
    with requests_sent() as sent:
        assert storage.exists(other)
        assert storage.exists(other)
    assert len(sent) == 2


def test_directories_are_made_in_the_format_asked_for(
    make_storage: MakeStorage, root: Cap, tahoe_grid: LocalGrid
) -> None:
    save(make_storage(directory_format="MDMF"), "m/f")
    save(make_storage(), "s/f")
    listing = requests.get(
        f"{tahoe_grid.base_url}/uri/{root.uri}", params={"t": "json"}, timeout=60
    ).json()[1]["children"]
    kinds = {
        name: Cap.parse(child["rw_uri"]).kind
        for name, (kind, child) in listing.items()
        if kind == "dirnode"
    }
    assert kinds == {"m": Kind.DIR2_MDMF, "s": Kind.DIR2}


def test_the_root_of_another_grid_is_asked_for_by_the_error(
    tahoe_grid: LocalGrid,
) -> None:
    storage = TahoeStorage(
        base_url=tahoe_grid.base_url, base_cap=WRITE_CAP, cache=False, retries=0
    )

    uses: tuple[Callable[[], object], ...] = (
        lambda: storage.save("a.txt", ContentFile(b"x" * 99)),
        lambda: storage.save("b/c.txt", ContentFile(b"x")),
        lambda: storage.exists("a.txt"),
        lambda: storage.listdir(""),
    )
    for use in uses:
        with pytest.raises(NotEnoughShares, match="is the root cap that of this grid"):
            use()
