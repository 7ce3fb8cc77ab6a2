"""Moving what listings tell little of: mutable files, and links that lack something."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from tahoestorage.exceptions import FileMissing, NameTaken, TimeUnknown
from tahoestorage.moving.resolve import store_of
from tahoestorage.storage import TahoeStorage
from tests.conftest import requests_sent
from tests.support.links import link, link_without_time, uri
from tests.support.moves import Add, contents, copy
from tests.support.s3_servers import S3Server

pytestmark = pytest.mark.usefixtures("no_waiting")

LAYOUTS = ["SDMF", "MDMF"]


def put(storage: Storage, cap: str, content: bytes) -> None:
    """Change a mutable file where it is."""
    requests.put(uri(storage, cap), data=content, timeout=30).raise_for_status()


def mutable(storage: Storage, name: str, content: bytes, layout: str = "SDMF") -> str:
    """Make a mutable file in the root, and return its write cap."""
    assert isinstance(storage, TahoeStorage)
    url = f"{storage.options.base_url}/uri?format={layout}"
    cap = requests.put(url, data=content, timeout=30).text
    link(storage, {name: ["filenode", {"rw_uri": cap}]})
    return cap


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("target", ["disk", "memory", "grid"])
@pytest.mark.parametrize("options", [(), ("--verify",)])
def test_a_file_that_was_changed_in_place_is_copied_again(
    target: str, layout: str, options: tuple[str, ...], add: Add
) -> None:
    here, there = add("from", "grid"), add("to", target)
    cap = mutable(here, "notes", b"first", layout)
    here.save("b", ContentFile(b"b"))

    assert copy("from", "to", "--json", *options).counts == {"copied": 2}
    assert copy("from", "to", "--json", *options).counts == {"skipped": 2}
    for content in (b"as long", b"As long", b"longer than before"):
        put(here, cap, content)
        assert copy("from", "to", "--json", "--dry-run").counts["copied"] == 1
        done = copy("from", "to", "--json", *options)
        assert done.counts == {"copied": 1, "skipped": 1}
        assert contents(there) == {"notes": content, "b": b"b"}
        assert copy("from", "to", "--json", *options).counts == {"skipped": 2}


def test_so_it_is_on_the_way_to_s3(
    add: Add, moto: S3Server, settings: Any, tmp_path: Any
) -> None:
    here = add("from", "grid")
    options = {**moto.options, "bucket_name": moto.make_bucket(), "cache": False}
    backend = "tahoestorage.backends.s3.S3Storage"
    settings.STORAGES |= {"to": {"BACKEND": backend, "OPTIONS": options}}
    cap = mutable(here, "notes", b"first")

    assert copy("from", "to", "--json").counts == {"copied": 1}
    put(here, cap, b"other")
    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert copy("from", "to", "--json").counts == {"skipped": 1}


@pytest.mark.parametrize("source", ["disk", "grid"])
def test_a_mutable_file_in_the_target_is_compared_by_its_content(
    source: str, add: Add
) -> None:
    here, there = add("from", source), add("to", "grid")
    here.save("notes", ContentFile(b"first"))
    cap = mutable(there, "notes", b"first")

    assert copy("from", "to", "--json").counts == {"skipped": 1}
    put(there, cap, b"other")
    # Which of them is newer nobody can tell.
    assert copy("from", "to", "--json", "--keep-newer").counts == {"kept": 1}
    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert contents(there) == {"notes": b"first"}


def test_its_time_is_known_to_nobody_and_its_size_is_asked_for(add: Add) -> None:
    storage = add("grid", "grid")
    cap = mutable(storage, "notes", b"first")
    assert storage.size("notes") == 5
    put(storage, cap, b"longer")

    assert storage.size("notes") == 6
    assert storage.get_created_time("notes")
    with pytest.raises(TimeUnknown, match="notes: it is a mutable file") as caught:
        storage.get_modified_time("notes")
    # As Django asks of a storage that does not know.
    assert isinstance(caught.value, NotImplementedError)


def test_a_mutable_file_that_is_moved_stays_the_same_one(add: Add) -> None:
    storage: Any = add("grid", "grid")
    cap = mutable(storage, "notes", b"first")

    assert storage.copy("notes", "copy") == "copy"
    assert storage.move("notes", "dir/moved") == "dir/moved"
    # What is written into it goes with it, and can be written on.
    put(storage, cap, b"second")

    assert contents(storage) == {"copy": b"first", "dir/moved": b"second"}
    child = storage.directories.fetch(("dir",), "moved").child
    assert child.write_reference == cap
    assert storage._entry("dir/moved")[1].reference == child.entry.reference != cap


def test_comparing_equal_files_of_a_grid_asks_for_listings_only(add: Add) -> None:
    here, _ = add("from", "grid"), add("to", "grid")
    for name in ("a", "dir/b"):
        here.save(name, ContentFile(name.encode() * 100))
    copy("from", "to")

    with requests_sent() as sent:
        assert copy("to", "from", "--json", "--keep-newer").counts == {"skipped": 2}
    assert set(sent.verbs) == {"GET"}
    assert len(sent.verbs) <= 8


def nothing_at(storage: Storage, name: str) -> None:
    """Leave a link without any cap, as magic-folder does where a file was deleted."""
    link(storage, {name: ["unknown", {"metadata": {"deleted": True}}]})


@pytest.mark.parametrize("target", ["disk", "memory", "grid"])
def test_a_link_without_a_cap_is_counted_and_named_and_the_others_are_copied(
    target: str, add: Add
) -> None:
    here, there = add("from", "grid"), add("to", target)
    here.save("a", ContentFile(b"a"))
    nothing_at(here, "deleted")

    done = copy("from", "to", "--json")

    assert (done.status, done.counts) == (0, {"copied": 1, "refused": 1})
    assert [each["name"] for each in done.json["refusals"]] == ["deleted"]
    assert "its link has no cap" in done.json["refusals"][0]["reason"]
    assert "refused: 'deleted'" in done.err
    assert contents(there) == {"a": b"a"}
    assert "1 refused, which are no files" in copy("from", "to").out


def test_a_link_without_a_cap_is_no_file(add: Add) -> None:
    storage = add("grid", "grid")
    storage.save("a", ContentFile(b"a"))
    nothing_at(storage, "deleted")
    assert isinstance(storage, TahoeStorage)
    storage.directories.forget(("deleted",))

    assert storage.listdir("") == ([], ["a"])
    asked = (storage.open, storage.size, storage.get_modified_time)
    for ask in (*asked, storage.get_created_time):
        with pytest.raises(FileMissing, match=r"deleted: .* its link has no cap"):
            ask("deleted")
    # The name is taken, as by a broken link on a disk.
    assert storage.exists("deleted")
    assert storage.save("deleted", ContentFile(b"new")).startswith("deleted_")
    with pytest.raises(NameTaken):
        storage.open("deleted", "xb")
    storage.delete("deleted")
    assert not storage.exists("deleted")
    assert storage.save("deleted", ContentFile(b"new")) == "deleted"


def test_a_link_without_a_cap_gives_way_to_a_file_that_is_brought(add: Add) -> None:
    here, there = add("from", "disk"), add("to", "grid")
    here.save("deleted", ContentFile(b"here again"))
    nothing_at(there, "deleted")
    nothing_at(there, "other")

    done = copy("from", "to", "--json", "--delete-extra")

    assert done.counts == {"copied": 1}
    assert contents(there) == {"deleted": b"here again"}
    assert copy("from", "to", "--json").counts == {"skipped": 1}


@pytest.mark.parametrize("target", ["disk", "grid"])
def test_of_links_without_a_time_sizes_are_compared(target: str, add: Add) -> None:
    here, there = add("from", "grid"), add("to", target)
    link_without_time(here, "of-others/a", b"first")

    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert copy("from", "to", "--json").counts == {"skipped": 1}
    link_without_time(here, "of-others/a", b"longer")
    # Which of them is newer nobody can tell.
    assert copy("from", "to", "--json", "--keep-newer").counts == {"kept": 1}
    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert contents(there) == {"of-others/a": b"longer"}
    # Only their contents tell this one.
    link_without_time(here, "of-others/a", b"LONGER")
    assert copy("from", "to", "--json").counts == {"skipped": 1}
    assert copy("from", "to", "--json", "--verify").counts == {"copied": 1}
    assert contents(there) == {"of-others/a": b"LONGER"}


@pytest.mark.parametrize("way", ["by-path", "by-listings"])
def test_a_directory_in_the_place_of_another_is_copied_as_it_is_now(
    way: str, add: Add
) -> None:
    here, there = add("from", "grid"), add("to", "disk")
    link_without_time(here, "of-others/a", b"first")
    if way == "by-path":
        assert here.size("of-others/a") == 5
    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert contents(here) == {"of-others/a": b"first"}

    link_without_time(here, "of-others/a", b"longer")

    assert copy("from", "to", "--json").counts == {"copied": 1}
    assert contents(there) == {"of-others/a": b"longer"}


def test_a_file_that_came_where_a_link_led_nowhere_is_not_overwritten(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = add("grid", "grid")
    assert isinstance(storage, TahoeStorage)
    nothing_at(storage, "a")
    storage.directories.forget(("a",))
    upload = TahoeStorage.upload

    def slow(self: TahoeStorage, name: str, body: Any) -> Any:
        monkeypatch.setattr(TahoeStorage, "upload", upload)
        cap = upload(self, name, body)
        # Meanwhile somebody else saves a file there.
        storage.delete("a")
        storage.save("a", ContentFile(b"theirs" * 20))
        return cap

    monkeypatch.setattr(TahoeStorage, "upload", slow)
    with pytest.raises(NameTaken):
        store_of(storage).write("a", ContentFile(b"ours" * 30), replace=False)

    assert contents(storage) == {"a": b"theirs" * 20}
