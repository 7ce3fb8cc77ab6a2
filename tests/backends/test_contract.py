"""What a site may expect of every store, whichever the environment names.

Django's own two storages are the reference: where one of them differs, it says so.
"""

from __future__ import annotations

import copy
import errno
import io
import os
import pickle
import re
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db.models import FileField
from django.test import override_settings
from django.utils import timezone
from google.api_core.exceptions import NotFound, PreconditionFailed

from tahoestorage.backends.storedfile import StoredFile
from tahoestorage.exceptions import StoreError
from tests.support.costs import costs_counted

OURS = ["tahoe", "s3", "gcs"]
DJANGO_S = ["files", "memory"]
ALTERNATIVE = "[A-Za-z0-9]{7}"
LONG = b"longer than a cap can hold " * 4


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Which kind of storage the test is for."""
    return str(request.param)


@pytest.fixture
def make(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[..., Storage]:
    """Return what makes a storage of that kind."""
    if kind == "tahoe":
        return request.getfixturevalue("make_storage")  # type: ignore[no-any-return]
    if kind in ("s3", "weed"):
        from tahoestorage.backends.s3 import S3Storage

        s3 = request.getfixturevalue("moto" if kind == "s3" else kind)
        bucket = s3.make_bucket()
        return lambda **options: S3Storage(
            **{**s3.options, **_cached(tmp_path), "bucket_name": bucket, **options}
        )
    if kind == "gcs":
        from tahoestorage.backends.gcs import GCSStorage

        gcs = request.getfixturevalue("gcs")
        bucket = gcs.make_bucket()
        return lambda **options: GCSStorage(
            **{**gcs.options, **_cached(tmp_path), "bucket_name": bucket, **options}
        )
    if kind == "files":
        return lambda **options: FileSystemStorage(
            location=tmp_path / "files", base_url="/media/", **options
        )
    memory = InMemoryStorage(base_url="/media/")
    return lambda **options: memory


def _cached(tmp_path: Path) -> dict[str, Any]:
    return {"cache": {"directory": str(tmp_path / "cache")}}


@pytest.fixture
def store(make: Callable[..., Storage]) -> Storage:
    return make()


everywhere = pytest.mark.parametrize("kind", [*OURS, *DJANGO_S], indirect=True)
on_ours = pytest.mark.parametrize("kind", OURS, indirect=True)


def save(storage: Storage, name: str, content: bytes = LONG, **options: Any) -> str:
    return storage.save(name, ContentFile(content), **options)


def read(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


# Saving and reading


@everywhere
@pytest.mark.parametrize("size", [0, 1, 55, 56, 70_000, 1_200_000])
def test_what_was_saved_is_read_back(store: Storage, size: int) -> None:
    content = os.urandom(size)
    assert save(store, "dir/file.bin", content) == "dir/file.bin"
    assert read(store, "dir/file.bin") == content
    assert store.size("dir/file.bin") == size
    assert store.exists("dir/file.bin")


@everywhere
def test_a_taken_name_gets_another(store: Storage) -> None:
    assert save(store, "dir/a.txt", b"one") == "dir/a.txt"
    other = save(store, "dir/a.txt", b"two")
    assert other != "dir/a.txt"
    assert other.startswith("dir/a_")
    assert read(store, "dir/a.txt") == b"one"
    assert read(store, other) == b"two"


@everywhere
@pytest.mark.parametrize(
    "name",
    [
        "sp ace.txt",
        "ünïcode/ñame.txt",
        "a+b&c=d?e#f%20g.txt",
        "日本/語.txt",
        "q'\"`.txt",
    ],
)
def test_names_of_all_sorts(store: Storage, name: str) -> None:
    assert save(store, name) == name
    assert store.exists(name)
    assert read(store, name) == LONG
    folder, _, file = name.rpartition("/")
    assert file in store.listdir(folder)[1]
    store.delete(name)
    assert not store.exists(name)


@pytest.mark.parametrize("kind", ["s3", "gcs"], indirect=True)
def test_a_key_that_is_not_in_nfc_is_found_by_its_spelling_only(store: Any) -> None:
    old, new = "e\u0301.txt", "\xe9.txt"
    store.put_object(store.key_of(old), ContentFile(b"by others"), old, replace=False)

    assert not store.exists(new)
    assert (store.size(old), read(store, old)) == (9, b"by others")
    with store.open(old, "wb") as file:
        file.write(b"replaced")
    with pytest.raises(FileExistsError):
        store.create(old, ContentFile(b"another"))
    other = save(store, old, b"saved")
    assert re.fullmatch(f"\xe9_{ALTERNATIVE}.txt", other)
    assert (read(store, old), read(store, other)) == (b"replaced", b"saved")
    assert len(save(store, old, b"saved", max_length=13)) == 13
    assert save(store, new, b"in the form of a save") == new
    store.delete(old)
    assert old not in store.listdir("")[1]


@pytest.mark.parametrize("kind", ["s3", "gcs"], indirect=True)
def test_what_may_be_overwritten_is_replaced_in_its_own_spelling(
    make: Callable[..., Any],
) -> None:
    store = make(allow_overwrite=True)
    old, new = "e\u0301.txt", "\xe9.txt"
    store.put_object(store.key_of(old), ContentFile(b"by others"), old, replace=True)

    assert save(store, old, b"saved") == old
    assert store.listdir("")[1] == [old]
    assert read(store, old) == b"saved"
    with pytest.raises(SuspiciousFileOperation):
        save(store, old, b"too long", max_length=5)
    store.delete(old)
    assert save(store, old, b"saved") == new


@everywhere
@pytest.mark.parametrize("name", ["../up", "a/../../up", "/etc/passwd"])
def test_names_that_climb_are_suspicious(store: Storage, name: str) -> None:
    for action in (store.exists, store.size, store.delete, store.open):
        with pytest.raises(SuspiciousFileOperation):
            action(name)
    with pytest.raises(SuspiciousFileOperation):
        save(store, name)


@everywhere
def test_max_length_holds_for_alternatives_too(store: Storage) -> None:
    first = save(store, "abcdefghijkl.txt", max_length=16)
    second = save(store, "abcdefghijkl.txt", max_length=16)
    assert first == "abcdefghijkl.txt"
    assert second != first
    assert len(second) <= 16
    with pytest.raises(SuspiciousFileOperation):
        save(store, "a.txt", max_length=3)


@everywhere
def test_a_save_leaves_the_caller_s_file_open(store: Storage, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(LONG)
    with path.open("rb") as source:
        store.save("a", File(source))
        assert not source.closed
        source.seek(0)
        assert source.read() == LONG
    temporary = TemporaryUploadedFile("t.bin", "application/x-t", len(LONG), None)
    with temporary:
        temporary.write(LONG)
        temporary.seek(0)
        store.save("b", temporary)
    assert read(store, "a") == LONG
    assert read(store, "b") == LONG


@everywhere
def test_a_bare_file_object_and_text_can_be_saved(store: Storage) -> None:
    assert store.save("bare", io.BytesIO(b"bare")) == "bare"
    assert read(store, "bare") == b"bare"
    assert store.save("text", ContentFile("täxt")) == "text"
    assert read(store, "text") == "täxt".encode()
    with store.open("text", "r") as file:
        assert file.read() == "täxt"


class Reads:
    """What has nothing but ``read``."""

    def __init__(self, content: bytes) -> None:
        self.read = io.BytesIO(content).read


@on_ours
@pytest.mark.parametrize("size", [0, 10, 70_000])
def test_whatever_can_be_read_is_content_for_subclasses_too(
    store: Storage, size: int
) -> None:
    # Who overrides _save passes on what he likes, past Django's own save.
    content = os.urandom(size)
    with tempfile.SpooledTemporaryFile(1000) as spooled:
        spooled.write(content)
        for name, each in {
            "bytes": io.BytesIO(content),
            "spooled": spooled,
            "reads": Reads(content),
            "text": io.StringIO("täxt"),
        }.items():
            assert store._save(name, each) == name  # type: ignore[attr-defined]
            assert store._save(name, each) != name  # type: ignore[attr-defined]
        assert not spooled.closed
    for name in ("bytes", "spooled", "reads"):
        assert read(store, name) == content
    assert read(store, "text") == "täxt".encode()


@on_ours
def test_text_is_kept_as_utf_8(store: Storage, tmp_path: Path) -> None:
    path, text = tmp_path / "text", "täxt" * 1000
    path.write_text(text, "latin-1")
    with path.open(encoding="latin-1") as file:
        store.save("text", File(file, "text"))
    with store.open("text", "r") as stored:
        assert stored.read() == text


@everywhere
@pytest.mark.parametrize("slashes", ["/", "//"])
def test_a_url_may_be_asked_for_with_a_slash(store: Storage, slashes: str) -> None:
    save(store, "css/a b.css")
    assert store.url(f"{slashes}css/a b.css") == store.url("css/a b.css")
    with pytest.raises(SuspiciousFileOperation):
        store.exists(f"{slashes}css/a b.css")


@everywhere
def test_a_content_that_fails_leaves_nothing(store: Storage) -> None:
    class Failing(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Any:
            yield b"x" * 100
            raise ZeroDivisionError

        def read(self, size: int = -1) -> bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.save("dir/failing", Failing(b"x" * 100))
    if not isinstance(store, FileSystemStorage | InMemoryStorage):  # They leave some.
        assert not store.exists("dir/failing")


@everywhere
def test_reading_by_pieces_and_seeks(store: Storage) -> None:
    content = os.urandom(900_000)
    save(store, "big", content)
    with store.open("big") as file:
        assert file.size == len(content)
        assert file.read(10) == content[:10]
        file.seek(800_000)
        assert file.read(7) == content[800_000:800_007]
        file.seek(-5, os.SEEK_END)
        assert file.read() == content[-5:]
        file.seek(3)
        assert file.read(1) == content[3:4]
        assert file.tell() == 4
        assert b"".join(file.chunks()) == content
    with store.open("big") as file:
        assert b"".join(iter(lambda: file.read(10_001), b"")) == content


@everywhere
def test_a_zip_file_is_read_from_its_end(store: Storage) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("noise", os.urandom(600_000))
        archive.writestr("small.txt", "in the zip")
    save(store, "a.zip", packed.getvalue())
    with store.open("a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("small.txt") == b"in the zip"


@everywhere
@pytest.mark.parametrize("name", ["a.gz", "b.tar.bz2", "style.css.gz"])
def test_packed_files_come_back_byte_for_byte(store: Storage, name: str) -> None:
    content = b"\x1f\x8b" + os.urandom(1000)
    save(store, name, content)
    assert read(store, name) == content


# What is not there


@everywhere
def test_what_is_missing(store: Storage) -> None:
    assert not store.exists("none/such")
    for ask in (store.open, store.size, store.get_modified_time):
        with pytest.raises(FileNotFoundError):
            ask("none/such")
    store.delete("none/such")
    if not isinstance(store, InMemoryStorage):
        with pytest.raises(ValueError, match="name"):
            store.delete("")


@pytest.mark.parametrize("kind", ["s3", "gcs"], indirect=True)
def test_what_the_store_said_is_the_cause(store: Any) -> None:
    save(store, "taken")
    acts: list[Callable[[], object]] = [
        lambda: store.open("none"),
        lambda: store.size("none"),
        lambda: store.get_modified_time("none"),
        lambda: store.whole_entry("none"),
        lambda: store.stored_checksums("none"),
        lambda: store.copy("none", "other"),
        lambda: store.move("none", "other"),
    ]
    # Also where the cache knows by then that there is none.
    for act in acts * 2:
        with pytest.raises(FileNotFoundError) as missing:
            act()
        assert isinstance(missing.value.__cause__, ClientError | NotFound)
    with pytest.raises(FileExistsError) as taken:
        store.create("taken", ContentFile(b"x"))
    assert isinstance(taken.value.__cause__, ClientError | PreconditionFailed)
    with pytest.raises(FileExistsError) as taken:
        store.copy("taken", "taken")
    assert isinstance(taken.value.__cause__, ClientError | PreconditionFailed)


@everywhere
def test_a_deleted_file_is_gone(store: Storage) -> None:
    save(store, "a/b")
    store.delete("a/b")
    assert not store.exists("a/b")
    with pytest.raises(FileNotFoundError):
        store.open("a/b")
    assert save(store, "a/b", b"again") == "a/b"
    assert read(store, "a/b") == b"again"


@everywhere
def test_listdir_tells_directories_from_files(store: Storage) -> None:
    for name in ("top", "d/one", "d/two", "d/e/three"):
        save(store, name)
    directories, files = store.listdir("")
    assert (sorted(directories), sorted(files)) == (["d"], ["top"])
    directories, files = store.listdir("d")
    assert (sorted(directories), sorted(files)) == (["e"], ["one", "two"])


# Times


@everywhere
@pytest.mark.parametrize("use_tz", [True, False])
def test_times_follow_use_tz(store: Storage, use_tz: bool) -> None:
    with override_settings(USE_TZ=use_tz, TIME_ZONE="Asia/Kolkata"):
        save(store, "a")
        modified = store.get_modified_time("a")
        assert timezone.is_aware(modified) is use_tz
        now = timezone.now() if use_tz else datetime.now()
        assert abs(now - modified) < timedelta(seconds=60)


@on_ours
def test_when_a_file_was_read_is_not_kept(store: Storage) -> None:
    save(store, "a")
    with pytest.raises(NotImplementedError):
        store.get_accessed_time("a")
    with pytest.raises(NotImplementedError):
        store.path("a")


# Modes of opening


@everywhere
@pytest.mark.parametrize("mode", ["wb", "w"])
def test_a_file_that_is_written_is_there_when_it_is_closed(
    store: Storage, mode: str
) -> None:
    save(store, "a", b"old")
    text = mode == "w"
    with store.open("a", mode) as file:
        file.write("new ü" if text else b"new")
    assert read(store, "a") == ("new ü".encode() if text else b"new")
    assert store.size("a") == (6 if text else 3)


@on_ours
@pytest.mark.parametrize("mode", ["wb", "w", "xb", "x"])
def test_a_block_that_raises_publishes_nothing(store: Storage, mode: str) -> None:
    if "w" in mode:
        save(store, "a", b"old")

    def fail() -> None:
        with store.open("a", mode) as file:
            file.write(b"new" if "b" in mode else "new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.exists("a") == ("w" in mode)
    if "w" in mode:
        assert read(store, "a") == b"old"


@on_ours
@pytest.mark.parametrize("mode", ["xb", "x"])
def test_exclusive_creation_does_not_replace(store: Storage, mode: str) -> None:
    with store.open("a", mode) as file:
        file.write(b"mine" if "b" in mode else "mine")
    with pytest.raises(FileExistsError):
        store.open("a", mode)
    late = store.open("b", mode)
    late.write(b"late" if "b" in mode else "late")
    save(store, "b", b"first")
    with pytest.raises(FileExistsError):
        late.close()
    late.discard()  # type: ignore[attr-defined]
    assert read(store, "a") == b"mine"
    assert read(store, "b") == b"first"


def _known(store: Storage, mode: str) -> str:
    """Return the mode, but for x on InMemoryStorage, which takes it for reading."""
    return mode.replace("x", "w") if isinstance(store, InMemoryStorage) else mode


@everywhere
@pytest.mark.parametrize("mode", ["wb+", "bw+", "+wb", "w+b", "x+b", "+bx"])
def test_what_was_written_can_be_read_back_before_it_is_closed(
    store: Storage, mode: str
) -> None:
    mode = _known(store, mode)
    # Django's folder has no place for it before a save has made one.
    save(store, "a" if "w" in mode else "other", b"old")
    with store.open("a", mode) as file:
        file.write(LONG)
        file.seek(0)
        assert file.read(6) == LONG[:6]
        file.seek(2)
        file.write(b"NEW")
        assert file.tell() == 5
        file.seek(0)
        assert file.read() == LONG[:2] + b"NEW" + LONG[5:]
        if "w" in mode and isinstance(file, StoredFile):
            assert read(store, "a") == b"old"
    assert read(store, "a") == LONG[:2] + b"NEW" + LONG[5:]


@everywhere
@pytest.mark.parametrize("mode", ["w+", "+w", "tw+", "+xt", "wt", "tx"])
def test_text_is_text_in_any_order_of_letters(store: Storage, mode: str) -> None:
    mode = _known(store, mode)
    save(store, "other")
    with store.open("a", mode) as file:
        file.write("first ü\nsecond\n")
        if "+" in mode:
            file.seek(0)
            assert file.readline() == "first ü\n"
    assert read(store, "a") == "first ü\nsecond\n".encode()
    for reading in ("r", "rt", "tr"):
        with store.open("a", reading) as file:
            assert file.read() == "first ü\nsecond\n"
    with store.open("a", "br") as file:
        assert file.read() == "first ü\nsecond\n".encode()


@on_ours
@pytest.mark.parametrize("mode", ["wb+", "+xb"])
def test_reading_back_publishes_nothing_in_a_block_that_raises(
    store: Storage, mode: str
) -> None:
    def fail() -> None:
        with store.open("a", mode) as file:
            file.write(b"new")
            file.seek(0)
            assert file.read() == b"new"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not store.exists("a")


@on_ours
@pytest.mark.parametrize("mode", ["a", "r+b", "rw", "z", ""])
def test_other_modes_are_refused(store: Storage, mode: str) -> None:
    save(store, "a")
    with pytest.raises(ValueError, match="mode"):
        store.open("a", mode)


@on_ours
def test_an_empty_file_is_written_too(store: Storage) -> None:
    with store.open("empty", "wb"):
        pass
    assert store.size("empty") == 0
    assert read(store, "empty") == b""


# Together


@on_ours
def test_a_second_storage_sees_at_once_what_the_first_one_writes(
    make: Callable[..., Storage],
) -> None:
    here, there = make(), make()
    for number in range(5):
        assert not there.exists("dir/a")
        save(here, "dir/a", b"%d" % number)
        assert there.exists("dir/a")
        assert read(there, "dir/a") == b"%d" % number
        here.delete("dir/a")


# moto lets two through every now and then.
@pytest.mark.parametrize("kind", ["tahoe", "weed"], indirect=True)
def test_sixteen_saves_of_one_name_are_sixteen_files(
    make: Callable[..., Storage],
) -> None:
    names: dict[str, bytes] = {}

    def one(number: int) -> None:
        content = b"content %d " % number * 20
        names[save(make(), "dir/same.txt", content)] = content

    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = make(cache=False)
    assert len(names) == 16
    assert {name: read(store, name) for name in names} == names


@on_ours
def test_allow_overwrite_replaces(make: Callable[..., Storage]) -> None:
    store = make(allow_overwrite=True)
    for content in (b"one", b"two"):
        assert save(store, "dir/a", content) == "dir/a"
        assert read(store, "dir/a") == content
        assert store.size("dir/a") == 3
    assert store.listdir("dir") == ([], ["a"])


@on_ours
def test_copy_and_move_do_not_overwrite(store: Any) -> None:
    save(store, "dir/a", b"a" * 100)
    save(store, "dir/b", b"b" * 100)
    assert not store.exists("new/copy")
    assert store.copy("dir/a", "new/copy") == "new/copy"
    assert read(store, "new/copy") == read(store, "dir/a") == b"a" * 100
    for act in (store.copy, store.move):
        with pytest.raises(FileExistsError):
            act("dir/a", "dir/b")
        with pytest.raises(FileExistsError):
            act("dir/a", "dir/a")
        with pytest.raises(FileNotFoundError):
            act("dir/none", "dir/new")
    assert read(store, "dir/b") == b"b" * 100
    assert store.move("dir/a", "new/moved") == "new/moved"
    assert not store.exists("dir/a")
    assert read(store, "new/moved") == b"a" * 100
    assert store.size("new/moved") == 100


@on_ours
def test_what_is_written_over_the_source_of_a_move_stays(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rival = make(), make(cache=False)
    save(store, "dir/a", b"old" * 100)
    duplicate = store._duplicate

    def copy_and_lose_the_turn(*arguments: str, **more: Any) -> str:
        reference: str = duplicate(*arguments, **more)
        with rival.open("dir/a", "wb") as file:
            file.write(b"new" * 100)
        return reference

    monkeypatch.setattr(store, "_duplicate", copy_and_lose_the_turn)
    assert store.move("dir/a", "dir/b") == "dir/b"
    assert read(rival, "dir/a") == read(store, "dir/a") == b"new" * 100
    assert read(rival, "dir/b") == read(store, "dir/b") == b"old" * 100


@on_ours
def test_the_source_of_a_move_may_be_deleted_meanwhile(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rival = make(), make(cache=False)
    save(store, "dir/a")
    duplicate = store._duplicate

    def copy_and_lose_the_turn(*arguments: str, **more: Any) -> str:
        reference: str = duplicate(*arguments, **more)
        rival.delete("dir/a")
        return reference

    monkeypatch.setattr(store, "_duplicate", copy_and_lose_the_turn)
    assert store.move("dir/a", "dir/b") == "dir/b"
    assert not rival.exists("dir/a")
    assert not store.exists("dir/a")
    assert read(store, "dir/b") == LONG


@on_ours
def test_prefetch_answers_as_without_it(store: Any) -> None:
    for number in range(12):
        save(store, f"dir/{number}", b"x" * number)
    save(store, "other", b"y")
    with store.prefetch("dir/"):
        assert [store.size(f"dir/{number}") for number in range(12)] == [*range(12)]
        assert not store.exists("dir/none")
        assert store.exists("other")
        save(store, "dir/new", b"new")
        assert store.exists("dir/new")
        store.delete("dir/1")
        assert not store.exists("dir/1")
        assert save(store, "dir/2", b"zz") != "dir/2"


@pytest.mark.parametrize("kind", ["s3", "gcs"], indirect=True)
def test_a_mark_for_a_folder_is_an_object_as_any(make: Callable[..., Any]) -> None:
    # As consoles make them.
    bucket = make()
    for mark in ("media/", "media/dir/", "media/empty/"):
        if hasattr(bucket, "endpoint_url"):
            bucket.client.put_object(Bucket=bucket.bucket_name, Key=mark, Body=b"")
        else:
            bucket.bucket.blob(mark).upload_from_string(b"")
    store = make(location="media")
    save(store, "dir/a")
    assert sorted(dict(store.listed())) == ["dir/", "dir/a", "empty/"]

    def look() -> list[bool]:
        names = ["dir/", "empty/", "dir", "empty", "none/", "dir/a", "dir/a/", ""]
        return [store.exists(name) for name in names]

    alone = look()
    # A file is found with a slash behind it too: saves and open drop that.
    assert alone == [True, True, False, False, False, True, True, False]
    with store.prefetch():
        assert look() == alone
    assert store.listdir("") == (["dir", "empty"], [])
    assert store.listdir("dir") == ([], ["a"])


# Travelling


@on_ours
def test_a_storage_can_be_copied_and_written_into_migrations(store: Any) -> None:
    save(store, "a", b"one")
    for other in (copy.copy(store), copy.deepcopy(store)):
        assert read(other, "a") == b"one"
    path, arguments, options = store.deconstruct()
    assert path.startswith("tahoestorage.")
    assert arguments == ()
    shown = repr((path, options)) + repr(store)
    for secret in ("testsecret12", "testkey", "URI:DIR2:", "PRIVATE KEY"):
        assert secret not in shown
        assert secret.encode() not in pickle.dumps(store)
    field = FileField(storage=store)
    assert field.deconstruct()[3]["storage"] is store


@on_ours
def test_a_lookup_from_memory_costs_one_small_read(store: Any) -> None:
    save(store, "dir/a", b"x" * 100)
    for ask in (store.exists, store.size, store.get_modified_time, store.url):
        # After a change, a first look also asks whether others changed this name.
        for _ in range(2):
            ask("dir/a")
        with costs_counted() as costs:
            ask("dir/a")
            assert costs.taken() == [1, 0, 0], ask


# Content and names of all kinds


class Once:
    """Content that can be had once, and only by its chunks; ``act`` in the midst."""

    name = "once"

    def __init__(self, content: bytes, act: Callable[[], object]) -> None:
        self._pieces = self._read(content, act)

    def _read(self, content: bytes, act: Callable[[], object]) -> Iterator[bytes]:
        yield content[:-5]
        act()
        yield content[-5:]

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield from self._pieces


def once(content: bytes, act: Callable[[], object] = bool) -> Any:
    return Once(content, act)


@on_ours
@pytest.mark.parametrize("size", [100, 9 << 20])
def test_what_can_be_read_once_is_saved_by_the_next_name(
    make: Callable[..., Storage], size: int
) -> None:
    store, rival = make(), make(cache=False)
    content = os.urandom(size)

    def take() -> None:
        assert save(rival, "a.bin", b"of the rival") == "a.bin"

    name = store.save("a.bin", once(content, take))
    assert re.fullmatch(f"a_{ALTERNATIVE}.bin", name)
    assert read(rival, name) == content
    assert read(rival, "a.bin") == b"of the rival"


@pytest.mark.parametrize("kind", ["s3", "gcs"], indirect=True)
def test_a_full_disk_stops_no_save_whose_name_is_free(
    make: Callable[..., Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    store, rival = make(), make(cache=False)
    content = os.urandom(3 << 20)
    assert store.save("a", once(content)) == "a"
    assert read(rival, "a") == content
    with pytest.raises(StoreError, match="TMPDIR"):
        store.save("b", once(content, lambda: save(rival, "b", b"of the rival")))
    assert read(rival, "b") == b"of the rival"


everywhere_of_ours = pytest.mark.parametrize("kind", [*OURS, "weed"], indirect=True)


@everywhere_of_ours
@pytest.mark.parametrize("size", [0, 55, 56, 20 << 20])
def test_what_is_created_goes_to_the_store_as_it_comes(
    make: Callable[..., Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    store, rival = make(), make(cache=False)
    content = os.urandom(size)

    assert store.create("dir/a.bin", once(content), unique=True) == "dir/a.bin"

    assert read(rival, "dir/a.bin") == content
    assert store.size("dir/a.bin") == size


@everywhere_of_ours
@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("overwriting", [False, True])
def test_what_is_created_replaces_nothing(
    make: Callable[..., Any], unique: bool, overwriting: bool
) -> None:
    store, rival = make(allow_overwrite=overwriting), make(cache=False)
    assert store.create("a.bin", ContentFile(LONG), unique=unique) == "a.bin"
    assert save(rival, "b.bin", LONG) == "b.bin"

    for name in ("a.bin", "b.bin"):
        with pytest.raises(FileExistsError, match=name):
            store.create(name, ContentFile(b"two"), unique=unique)
        assert read(rival, name) == LONG


@everywhere_of_ours
@pytest.mark.parametrize("size", [100, 20 << 20])
def test_of_created_content_that_fails_nothing_is_left(
    make: Callable[..., Any], size: int
) -> None:
    store = make()

    class Failing(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Any:
            for _ in range(size // 50):
                yield b"x" * 50
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.create("dir/failing", Failing(b""), unique=True)

    assert not store.exists("dir/failing")
    store.create("dir/failing", ContentFile(LONG))


@on_ours
@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../b"])
def test_what_climbs_is_not_created(store: Any, name: str) -> None:
    with pytest.raises(SuspiciousFileOperation):
        store.create(name, ContentFile(LONG))


@on_ours
def test_a_name_that_was_refused_is_not_tried_for_ever(
    store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def same(name: str, max_length: int | None = None) -> str:
        tried.append(name)
        return name

    monkeypatch.setattr(store, "get_available_name", same)
    assert save(store, "a", b"one") == "a"
    tried.clear()
    with pytest.raises(FileExistsError, match="a: "):
        save(store, "a", b"two")
    # Before it is sent, and once it is refused.
    assert tried == ["a", "a"]
    assert read(store, "a") == b"one"


@on_ours
@pytest.mark.parametrize(
    "how",
    [
        {"mode": "rb"},
        {"mode": "rb", "buffering": 0},
        {"mode": "r", "encoding": "utf-8"},
    ],
    ids=["buffered", "bare", "text"],
)
def test_a_pipe_can_be_saved(store: Storage, how: dict[str, Any]) -> None:
    reading, writing = os.pipe()
    os.write(writing, LONG)
    os.close(writing)
    with os.fdopen(reading, **how) as pipe:
        assert store.save("a", File(pipe)) == "a"
        assert not pipe.closed
    assert read(store, "a") == LONG
