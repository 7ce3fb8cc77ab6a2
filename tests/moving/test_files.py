"""Moving one file: what may go wrong, and whether it has changed."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import time
import weakref
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile, File
from django.core.files.storage import (
    FileSystemStorage,
    InMemoryStorage,
)

from tahoestorage.moving import copier, disk
from tahoestorage.moving.content import Content, SourceChanged
from tahoestorage.moving.names import NoFile
from tahoestorage.moving.resolve import store_of
from tahoestorage.moving.run import Plan, Run
from tahoestorage.moving.store import Found, Store
from tahoestorage.moving.throttle import Stopped, Throttle
from tahoestorage.progress import Progress
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.children import Link
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support.bucket import Bucket
from tests.support.moves import (
    FILES,
    KINDS,
    Add,
    contents,
    copy,
    fill,
    moved,
    overwrite,
    unfinished,
)

pytestmark = pytest.mark.usefixtures("no_waiting")

# What may go wrong with a file


class Faulty(FileSystemStorage):
    """A folder of which some files can't be read."""

    errors: dict[str, BaseException]

    def open(self, name: str, mode: str = "rb") -> File[Any]:
        if name in self.errors:
            raise self.errors[name]
        return super().open(name, mode)


def test_a_file_that_can_t_be_read_is_named_and_the_others_are_copied(
    tmp_path: Path,
) -> None:
    here, there = (
        Faulty(str(tmp_path / "from")),
        FileSystemStorage(str(tmp_path / "to")),
    )
    here.errors = {"photos/a.jpg": PermissionError(errno.EACCES, "Permission denied")}
    fill(here)
    fill(there, {"extra": b"1"})

    move = moved(here, there, delete_extra=True)

    assert move.summary.failures == [("photos/a.jpg", "Permission denied")]
    assert move.summary.status == "failed"
    rest = {name: each for name, each in FILES.items() if name != "photos/a.jpg"}
    assert contents(there) == {**rest, "extra": b"1"}


def test_a_file_of_which_nothing_is_heard_again_fails_the_run(tmp_path: Path) -> None:
    here, there = (
        Faulty(str(tmp_path / "from")),
        FileSystemStorage(str(tmp_path / "to")),
    )
    # It ends the thread's task, and is no error that a copy knows.
    here.errors = {"photos/a.jpg": SystemExit(3)}
    fill(here)
    fill(there, {"extra": b"1"})

    move = moved(here, there, delete_extra=True)

    assert move.summary.status == "failed"
    ((name, why),) = move.summary.failures
    assert not name
    assert "1 files may not be copied" in why
    rest = {name: each for name, each in FILES.items() if name != "photos/a.jpg"}
    assert contents(there) == {**rest, "extra": b"1"}


def test_what_is_no_file_is_named(add: Add) -> None:
    here, to = add("from", "disk"), add("to", "disk")
    fill(here)
    folder = Path(here.path(""))
    os.mkfifo(folder / "pipe")
    (folder / "nowhere").symlink_to("missing")
    (folder / "round").symlink_to(".")
    (folder / "top-again.txt").symlink_to("top.txt")

    done = copy("from", "to", "--json")

    reasons = {each["name"]: each["reason"] for each in done.json["failures"]}
    assert "pipe" in reasons["pipe"]
    assert "leads nowhere" in reasons["nowhere"]
    assert "leads back" in reasons["round/"]
    assert len(reasons) == 3
    assert contents(to) == {**FILES, "top-again.txt": FILES["top.txt"]}


def test_a_directory_of_the_grid_that_is_in_itself_is_named(
    add: Add, tahoe_grid: LocalGrid
) -> None:
    here = add("from", "grid")
    assert isinstance(here, TahoeStorage)
    fill(here, {"a/b": b"content"})
    directories = here.directories
    gateway, root = directories.gateway, directories.root.write
    assert root is not None
    within = directories.fetch(("a",)).directory.write
    assert within is not None
    gateway.set_children(within, {"again": Link(root)}, label="again")
    to = add("to", "disk")

    done = copy("from", "to", "--json")

    assert [each["name"] for each in done.json["failures"]] == ["a/again/"]
    assert contents(to) == {"a/b": b"content"}


@pytest.mark.parametrize("target", KINDS)
def test_a_target_that_takes_some_files_only(target: str, add: Add) -> None:
    fill(add("from", "disk"))
    to = add("to", target)
    fill(to, {"photos/2026": b"a file where a directory is meant"})

    done = copy("from", "to", "--json", "--delete-extra")

    assert done.status == 1
    assert done.counts == {"copied": len(FILES) - 2, "failed": 2}
    assert {each["name"] for each in done.json["failures"]} == {
        "photos/2026/c.jpg",
        "photos/2026/d.jpg",
    }
    assert "Nothing is deleted, because not all was copied." in done.err
    assert "photos/2026" in contents(to)


@pytest.mark.parametrize("target", KINDS)
def test_a_directory_is_not_replaced_by_a_file(target: str, add: Add) -> None:
    fill(add("from", "disk"), {"photos": b"a file where a directory is"})
    to = add("to", target)
    fill(to, {"photos/a.jpg": b"a"})

    done = copy("from", "to", "--json")

    assert done.counts == {"failed": 1}
    assert contents(to) == {"photos/a.jpg": b"a"}


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("target", KINDS)
def test_half_a_file_is_never_published(
    target: str, old: bytes | None, add: Add, tmp_path: Path
) -> None:
    class Cut(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1 << 20:
                raise OSError("the line is dead")
            return super().read(size)

    class Half(FileSystemStorage):
        def open(self, name: str, mode: str = "rb") -> File[Any]:
            return File(Cut(bytes(3 << 20)), name)

    here, to = Half(str(tmp_path / "half")), add("to", target)
    fill(here, {"large": bytes(3 << 20)})
    before = {} if old is None else {"large": old}
    fill(to, before)

    move = moved(here, to)

    assert move.summary.failures == [("large", "the line is dead")]
    assert contents(to) == before
    if target == "disk":
        assert unfinished(to) == []


@pytest.mark.parametrize("kind", [*KINDS, "bucket"])
def test_a_name_that_somebody_took_meanwhile_is_a_conflict(
    kind: str, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = add("from", "disk")
    to = Bucket() if kind == "bucket" else add("to", kind)
    fill(here, {"name": b"ours", "same": b"same"})
    source, target = store_of(here), store_of(to)
    monkeypatch.setattr(target, "lookup", lambda name: None)
    fill(to, {"name": b"somebody else's", "same": b"same"})

    move = Run(Plan(source, target), Progress(print))
    move.carry_out()

    assert [name for name, _ in move.summary.failures] == ["name"]
    for name, content in (("name", b"somebody else's"), ("same", b"same")):
        with to.open(name) as file:
            assert file.read() == content


def test_a_disk_without_links_is_written_too(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*arguments: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    fill(add("from", "memory"))
    to = add("to", "disk")

    assert copy("from", "to", "--json").counts == {"copied": len(FILES)}
    assert contents(to) == FILES
    with pytest.raises(FileExistsError):
        store_of(to).write("top.txt", ContentFile(b"x"), replace=False)
    assert contents(to) == FILES


def test_what_another_process_is_bringing_is_left_to_it(add: Add) -> None:
    fill(add("from", "memory"), {"name": b"content"})
    to = add("to", "disk")
    path = disk.unfinished_path(to.path("name"), "name")
    with open(path, "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        done = copy("from", "to", "--json")
        assert Path(path).exists()

    assert done.counts == {"failed": 1}
    assert "another process" in done.json["failures"][0]["reason"]
    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert unfinished(to) == []


def test_what_a_killed_run_left_is_no_file_and_is_used_again(add: Add) -> None:
    here, to = add("from", "disk"), add("to", "disk")
    fill(here)
    path = disk.unfinished_path(to.path("top.txt"), "top.txt")
    Path(path).write_bytes(b"far longer than what the file will be")
    left = disk.unfinished_path(here.path("gone"), "gone")
    Path(left).write_bytes(b"half")

    done = copy("from", "to", "--json")

    assert done.counts == {"copied": len(FILES)}
    assert contents(to) == FILES


def test_files_on_disk_get_the_modes_that_django_gives_them(add: Add) -> None:
    fill(add("from", "memory"), {"a/b/c": b"content"})
    to = add(
        "to", "disk", file_permissions_mode=0o640, directory_permissions_mode=0o750
    )
    copy("from", "to")
    modes = [os.stat(to.path(name)).st_mode & 0o777 for name in ("a", "a/b", "a/b/c")]
    assert modes == [0o750, 0o750, 0o640]


def test_a_link_in_the_target_is_replaced_and_not_followed(
    add: Add, tmp_path: Path
) -> None:
    fill(add("from", "memory"), {"name": b"new"})
    to = add("to", "disk")
    (tmp_path / "elsewhere").write_bytes(b"elsewhere")
    Path(to.path("name")).symlink_to(tmp_path / "elsewhere")

    copy("from", "to")

    assert (tmp_path / "elsewhere").read_bytes() == b"elsewhere"
    assert contents(to) == {"name": b"new"}


# Which files have changed


def test_a_file_that_changes_while_it_is_read_is_copied_again(tmp_path: Path) -> None:
    class Busy(FileSystemStorage):
        changes = 1

        def open(self, name: str, mode: str = "rb") -> File[Any]:
            file = super().open(name, mode)
            if self.changes and mode == "rb":
                self.changes -= 1
                file.read(1)
                Path(self.path(name)).write_bytes(b"after!")
                file.seek(0)
            return file

    here, there = Busy(str(tmp_path / "from")), FileSystemStorage(str(tmp_path / "to"))
    fill(here, {"name": b"before"})

    assert moved(here, there).summary.status == "done"
    assert contents(there) == {"name": b"after!"}

    here.changes = 9
    Path(here.path("name")).write_bytes(b"before")
    assert moved(here, there).summary.failures == [
        ("name", "it was changed while it was read")
    ]
    assert contents(there) == {"name": b"after!"}


def test_a_file_that_changed_before_it_was_published_is_copied_again() -> None:
    class Slow(Bucket):
        def put_object(
            self, key: str, content: Any, label: str, *, replace: bool
        ) -> Any:
            entry = super().put_object(key, content, label, replace=replace)
            if here.changes:
                here.changes -= 1
                here.put(key, b"after!")
            return entry

    class Busy(Bucket):
        changes = 1

    here, there = Busy(), Slow()
    here.put("name", b"before")

    assert moved(here, there).summary.status == "done"
    assert there.objects["name"][0] == b"after!"
    assert there.asked.count("put") == 2


def test_a_file_that_never_rests_is_named() -> None:
    class Busy(Bucket):
        def fetch_object(self, key: str, *arguments: Any) -> Any:
            self.put(key, os.urandom(8))
            return super().fetch_object(key, *arguments)

    here = Busy()
    here.put("name", b"original")
    move = moved(here, InMemoryStorage())
    assert move.summary.failures == [
        ("name", "it was changed each time that it was copied")
    ]


def test_a_file_is_read_a_second_after_its_last_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(copier, "SETTLED_SECONDS", 1000.0)
    waits: list[float] = []
    monkeypatch.setattr(Throttle, "wait", lambda self, seconds: waits.append(seconds))
    here = Bucket()
    now = time.time()
    here.put("new", b"1", now)
    here.put("old", b"1", now - 10_000)
    here.put("future", b"1", now + 10_000)

    moved(here, InMemoryStorage(), jobs=1)

    assert any(500 < wait <= 1000 for wait in waits)
    assert all(wait <= 1000 for wait in waits)


def test_a_file_with_an_old_time_put_in_place_is_found(add: Add) -> None:
    here, to = add("from", "disk"), add("to", "disk")
    fill(here, {"name": b"before"})
    copy("from", "to")
    time.sleep(0.02)
    other = Path(here.path("other"))
    other.write_bytes(b"after!")
    os.utime(other, (1, 1))
    other.rename(here.path("name"))

    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert contents(to) == {"name": b"after!"}


def test_without_times_sizes_are_compared() -> None:
    class Timeless(InMemoryStorage):
        def get_modified_time(self, name: str) -> Any:
            raise NotImplementedError

    here, there = Timeless(), InMemoryStorage()
    fill(here, {"name": b"before"})
    moved(here, there)
    overwrite(here, "name", b"after!")

    assert moved(here, there).summary.counts[copier.Outcome.SKIPPED] == 1
    assert moved(here, there, verify=True).summary.counts[copier.Outcome.COPIED] == 1
    assert contents(there) == {"name": b"after!"}


def test_what_is_newer_in_the_target_can_be_kept(add: Add) -> None:
    here, to = add("from", "disk"), add("to", "disk")
    fill(here, {"theirs": b"of the old site", "ours": b"old", "new": b"1"})
    copy("from", "to", "--prefix", "ours")
    time.sleep(0.02)
    fill(to, {"theirs": b"of the new site, longer"})
    overwrite(here, "ours", b"changed later")

    done = copy("from", "to", "--keep-newer", "--json")

    assert done.status == 0
    assert done.counts == {"copied": 2, "kept": 1}
    assert done.json["kept_names"] == ["theirs"]
    assert "kept: 'theirs'" in done.err
    assert contents(to)["theirs"] == b"of the new site, longer"
    assert contents(to)["ours"] == b"changed later"


def test_what_was_replaced_after_it_was_listed_is_kept() -> None:
    class Site(Bucket):
        def list_pages(self, prefix: str) -> Any:
            yield from [*super().list_pages(prefix)]
            # By another process, of which the cache knows nothing.
            self.put("ours", b"by a visitor")

    here, there = InMemoryStorage(), Site()
    there.put("ours", b"old", 1e9)
    there.put("old", b"older", 1e9)
    fill(here, {"ours": b"of the old site", "old": b"changed later", "new": b"1"})

    move = moved(here, there, keep_newer=True)

    assert move.summary.kept == ["ours"]
    assert move.summary.counts[copier.Outcome.COPIED] == 2
    assert there.objects["ours"][0] == b"by a visitor"
    assert there.objects["old"][0] == b"changed later"
    # A request more for each that is to be replaced.
    assert there.asked.count("stat") == 2


def test_what_another_gateway_has_replaced_after_it_was_listed_is_kept(
    add: Add, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here, there = add("from", "disk"), add("to", "grid")
    assert isinstance(there, TahoeStorage)
    # A cache of its own: what it saves, the run is not told.
    visitor = TahoeStorage(
        base_url=there.options.base_url, base_cap=there.options.root, cache=False
    )
    fill(there, {"dir/ours": b"old"})
    time.sleep(0.02)
    fill(here, {"dir/ours": b"of the old site"})

    def settle(self: copier.Copier, stat: Any) -> None:
        overwrite(visitor, "dir/ours", b"by a visitor")

    monkeypatch.setattr(copier.Copier, "_let_settle", settle)
    assert copy("from", "to", "--json", "--keep-newer").counts == {"kept": 1}
    assert contents(visitor)["dir/ours"] == b"by a visitor"


@pytest.mark.parametrize("visited", [False, True])
def test_a_change_while_it_is_sent_is_sent_again_but_over_no_other_file(
    visited: bool,
) -> None:
    class Site(Bucket):
        def put_object(self, *args: Any, **options: Any) -> Any:
            entry = super().put_object(*args, **options)
            if self.asked.count("put") == 1:
                overwrite(here, "name", b"changed meanwhile")
                if visited:
                    self.put("name", b"by a visitor")
            return entry

    here, there = InMemoryStorage(), Site()
    there.put("name", b"old", 1e9)
    fill(here, {"name": b"content"})

    move = moved(here, there, keep_newer=True)

    outcome = copier.Outcome.KEPT if visited else copier.Outcome.COPIED
    assert move.summary.counts[outcome] == 1
    content = b"by a visitor" if visited else b"changed meanwhile"
    assert there.objects["name"][0] == content


def test_a_file_that_has_gone_is_no_failure(tmp_path: Path) -> None:
    class Fleeting(FileSystemStorage):
        def open(self, name: str, mode: str = "rb") -> File[Any]:
            if name == "top.txt":
                self.delete(name)
            return super().open(name, mode)

    here = Fleeting(str(tmp_path / "from"))
    fill(here)
    move = moved(here, FileSystemStorage(str(tmp_path / "to")))
    assert move.summary.status == "done"
    assert move.summary.counts[copier.Outcome.GONE] == 1


def test_verify_reads_back_what_was_copied() -> None:
    class Forgetful(Bucket):
        def fetch_object(self, key: str, *arguments: Any) -> Any:
            self.put(key, b"something else")
            return super().fetch_object(key, *arguments)

    here = Bucket()
    here.put("name", b"content")
    move = moved(here, Forgetful(), verify=True)
    assert move.summary.failures == [
        ("name", "what TO gives back is not what it was given")
    ]


def test_packed_objects_have_another_size_than_their_content() -> None:
    class Packed(Bucket):
        def _entry_of(self, key: str) -> Any:
            entry = super()._entry_of(key)
            return type(entry)(entry.kind, entry.reference, 5, modified=entry.modified)

        def _open(self, name: str, mode: str = "rb") -> File[Any]:
            return ContentFile(self.objects[self.key_of(name)][0], name)

    here, there = Packed(), InMemoryStorage()
    here.put("name", b"far more than five bytes")
    assert moved(here, there).summary.status == "done"
    again = moved(here, there, verify=True)
    assert again.summary.counts[copier.Outcome.SKIPPED] == 1
    assert contents(there) == {"name": b"far more than five bytes"}


def test_nothing_is_deleted_that_came_meanwhile() -> None:
    class Site(Bucket):
        listings = 0

        def list_pages(self, prefix: str) -> Any:
            self.listings += 1
            if self.listings == 2:  # The first is for comparing, this for deleting.
                here.put("extra", b"saved on both")
            return super().list_pages(prefix)

    here, there = Bucket(), Site()
    here.put("name", b"content")
    there.put("extra", b"saved on both")
    there.put("old", b"old")

    move = moved(here, there, delete_extra=True)

    assert move.summary.extra == ["old"]
    assert sorted(there.objects) == ["extra", "name"]


class Losing(Store):
    """A store that has lost a file, and a directory, and still lists both."""

    def walk(self, prefix: str = "", avoid: Hashable = None) -> Iterator[Found]:
        yield from super().walk(prefix, avoid)
        for name in ("lost.txt", "dir"):
            yield Found(name, error=NoFile("its link has no cap"))


def test_what_is_refused_in_from_is_not_deleted_in_to() -> None:
    here, there = InMemoryStorage(), InMemoryStorage()
    fill(here, {"a": b"1"})
    fill(there, {"lost.txt": b"the last copy", "dir/b/c": b"2", "dirt/extra": b"3"})
    said: list[str] = []
    plan = Plan(Losing(here), store_of(there), delete_extra=True)

    move = Run(plan, Progress(said.append))
    move.carry_out()

    assert (move.summary.status, move.summary.extra) == ("done", ["dirt/extra"])
    assert set(contents(there)) == {"a", "lost.txt", "dir/b/c"}
    assert sum("not deleted: " in line for line in said) == 2


@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_deleted_behind_a_link(
    add: Add, tmp_path: Path, dry_run: bool
) -> None:
    here, there = add("from", "disk"), add("to", "disk")
    fill(here, {"dir/a": b"1"})
    fill(there, {"dir/a": b"1", "dir/extra": b"2"})
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "below" / "precious").write_bytes(b"3")
    (outside / "file").write_bytes(b"4")
    Path(there.path("outside")).symlink_to(outside)
    Path(there.path("inside")).symlink_to(there.path("dir"))
    Path(there.path("link")).symlink_to(outside / "file")

    done = copy("from", "to", "--json", "--delete-extra", *["--dry-run"] * dry_run)

    assert done.json["deleted_names"] == ["dir/extra", "link"]
    assert done.json["status"] == "done"
    assert "not deleted: 'outside/below/precious'" in done.err
    assert (outside / "below" / "precious").read_bytes() == b"3"
    assert (outside / "file").read_bytes() == b"4"
    assert Path(there.path("dir/a")).read_bytes() == b"1"
    assert Path(there.path("link")).is_symlink() == dry_run


def test_nothing_is_deleted_by_another_name() -> None:
    here, there = InMemoryStorage(), Bucket()
    fill(here, {"folder": b"content"})
    there.put("folder/", b"not empty, as a mark is")

    move = moved(here, there, delete_extra=True)

    assert [name for name, _ in move.summary.failures] == ["folder/"]
    assert "can't be deleted" in move.summary.failures[0][1]
    assert sorted(there.objects) == ["folder", "folder/"]


class Marked(InMemoryStorage):
    """A storage of others' that lists a mark for a folder as a file without a name."""

    of_mark = 0

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        directories, files = super().listdir(path)
        return directories, [*files, ""] if path else files

    def size(self, name: str) -> int:
        return self.of_mark if name.endswith("/") else super().size(name)


def test_marks_of_other_storages_are_counted_and_left_out() -> None:
    here, there = Marked(), InMemoryStorage()
    fill(here, {"dir/a": b"a"})

    done = moved(here, there).summary
    here.of_mark = 3
    refused = moved(here, InMemoryStorage()).summary

    assert (done.status, done.folder_marks) == ("done", 1)
    assert contents(there) == {"dir/a": b"a"}
    assert (refused.status, refused.folder_marks) == ("refused", 0)


# Its content


def test_content_ends_with_the_run() -> None:
    flow = Throttle()
    content = Content(io.BytesIO(bytes(3)), flow, 3)
    assert content.read(1) == b"\0"
    flow.stop()
    with pytest.raises(Stopped):
        content.read(1)


@pytest.mark.parametrize("size", [0, 2, 4])
def test_content_of_another_size_is_refused_before_its_end(size: int) -> None:
    content = Content(io.BytesIO(bytes(3)), Throttle(), size)
    with pytest.raises(SourceChanged):
        content.read(3), content.read(1)


def test_the_last_byte_is_given_away_when_all_is_well() -> None:
    def check() -> None:
        raise SourceChanged("it was changed")

    content = Content(io.BytesIO(bytes(3)), Throttle(), 3, check)
    content.read(2)
    with pytest.raises(SourceChanged):
        content.read(1)


def test_content_can_be_sent_again_and_is_hashed_once() -> None:
    content = Content(io.BytesIO(b"0123456789"), Throttle(), 10)
    content.read(4)
    content.seek(0)
    assert content.read() == b"0123456789"
    other = Content(io.BytesIO(b"0123456789"), Throttle())
    other.read()
    assert content.digest == other.digest
    assert content.count == 10
    with pytest.raises(io.UnsupportedOperation):
        other.seek(0)


def test_content_that_is_closed_keeps_its_digest_and_not_the_file() -> None:
    class Kept(io.BytesIO):
        def close(self) -> None:
            # As Django's ContentFile, which stays in memory.
            pass

    file = Kept(b"0123456789")
    content, kept = Content(file, Throttle()), weakref.ref(file)
    content.read()
    digest = content.digest
    del file
    content.close()
    assert kept() is None
    assert (content.digest, content.count) == (digest, 10)
    assert content.closed
    with pytest.raises(ValueError, match="closed"):
        content.read(1)


# What other hosts do


@pytest.mark.parametrize("side", ["from", "to"])
def test_what_another_host_did_is_seen(
    side: str, make_storage: MakeStorage, tmp_path: Path
) -> None:
    ours = make_storage()
    other = make_storage(cache={"directory": str(tmp_path / "other host")})
    folder = FileSystemStorage(str(tmp_path / "folder"))
    source, target = (ours, folder) if side == "from" else (folder, ours)
    fill(source, {"a/gone": b"1", "a/stays": b"2"})
    moved(source, target)
    assert ours.exists("a/gone")
    other.delete("a/gone")
    other.save("a/new", ContentFile(b"3"))

    again = moved(source, target, delete_extra=True)

    assert again.summary.status == "done"
    assert again.summary.deleted == 1
    stays = {"a/gone", "a/stays"} if side == "to" else {"a/stays", "a/new"}
    assert set(contents(folder)) == set(contents(make_storage(cache=False))) == stays
