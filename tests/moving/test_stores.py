"""storage_copy between all kinds of stores."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.core.management import call_command
from pytest_django.fixtures import Settings

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.moving import copier
from tests.conftest import MakeStorage
from tests.support.gcs_servers import GCS
from tests.support.moves import moved
from tests.support.s3_servers import S3Server, s3_requests

FILES = {
    "top.txt": b"at the top",
    "empty": b"",
    "photos/2026/ünïcode sp ace.jpg": b"\xff\xd8" * 4000,
    "photos/a.gz": b"\x1f\x8b not really packed",
    "large.bin": bytes(range(256)) * 5000,
}
WAY = ["folder", "s3", "tahoe", "gcs", "s3", "folder"]


@pytest.fixture(autouse=True)
def aliases(
    settings: Settings,
    make_storage: MakeStorage,
    moto: S3Server,
    gcs: GCS,
    tmp_path: Path,
) -> None:
    """An alias for each stage of the way, with a store of its own."""
    settings.STORAGES = {}
    for number, kind in enumerate(WAY):
        options: dict[str, Any]
        cache = {"cache": {"directory": str(tmp_path / "cache")}}
        if kind == "folder":
            backend = "django.core.files.storage.FileSystemStorage"
            options = {"location": str(tmp_path / f"folder {number}")}
        elif kind == "tahoe":
            backend = "tahoestorage.storage.TahoeStorage"
            options = dict(make_storage()._given)
        elif kind == "s3":
            backend = "tahoestorage.backends.s3.S3Storage"
            options = {**moto.options, **cache, "bucket_name": moto.make_bucket()}
        else:
            backend = "tahoestorage.backends.gcs.GCSStorage"
            options = {**gcs.options, **cache, "bucket_name": gcs.make_bucket()}
        if kind in ("s3", "gcs") and number % 2:
            options["location"] = "below/here"
        made = {"BACKEND": backend, "OPTIONS": options}
        settings.STORAGES = {**settings.STORAGES, f"{number}": made}


def copy(source: str, target: str, *options: str) -> dict[str, Any]:
    out = io.StringIO()
    arguments = ("storage_copy", source, target, "--json", *options)
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return dict(json.loads(out.getvalue()))


def content(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


@pytest.mark.parametrize("verify", [(), ("--verify",)])
def test_files_come_back_from_a_way_through_all_stores(
    verify: tuple[str, ...],
) -> None:
    for name, text in FILES.items():
        assert storages["0"].save(name, ContentFile(text)) == name
    for number in range(len(WAY) - 1):
        done = copy(f"{number}", f"{number + 1}", *verify)
        assert (done["copied"], done["failed"]) == (len(FILES), 0), done
        again = copy(f"{number}", f"{number + 1}", *verify)
        assert (again["copied"], again["skipped"]) == (0, len(FILES)), again
    last = storages[f"{len(WAY) - 1}"]
    assert {name: content(last, name) for name in FILES} == FILES


def test_what_has_changed_is_replaced_and_what_is_extra_deleted() -> None:
    here, there = storages["0"], storages["1"]
    for name, text in FILES.items():
        here.save(name, ContentFile(text))
    copy("0", "1")
    with here.open("top.txt", "wb") as file:
        file.write(b"changed, and longer than before")
    there.save("extra/file", ContentFile(b"nobody has it"))
    done = copy("0", "1", "--delete-extra")
    assert (done["copied"], done["deleted"]) == (1, 1)
    assert content(there, "top.txt") == b"changed, and longer than before"
    assert not there.exists("extra/file")


@pytest.mark.parametrize(("source", "target"), [("1", "2"), ("3", "1"), ("1", "3")])
def test_marks_for_folders_are_counted_and_left_out(source: str, target: str) -> None:
    here: Any = storages[source]
    here.save("dir/a", ContentFile(b"content"))
    for mark in ("dir/", "empty/", "empty/below/"):
        # As consoles make them.
        here.put_object(
            f"{here.key_prefix}{mark}", ContentFile(b""), mark, replace=False
        )

    done = copy(source, target)

    assert (done["copied"], done["folder_marks"], done["refused"]) == (1, 3, 0)
    assert done["status"] == "done"
    there = storages[target]
    assert content(there, "dir/a") == b"content"
    assert not there.exists("empty")
    if isinstance(there, Cached):
        assert [name for name, _ in there.listed()] == ["dir/a"]
    # Nor are those in TO extra files.
    here.save("b", ContentFile(b"b"))
    again = moved(there, here, delete_extra=True).summary
    assert (again.extra, again.failed, again.refused) == (["b"], 0, 0)
    assert "3 marks for folders left out" in moved(here, there).summary.text(
        dry_run=False
    )


def test_a_name_that_ends_with_a_slash_and_has_content_is_refused() -> None:
    here: Any = storages["1"]
    here.save("dir/a", ContentFile(b"content"))
    lost = ContentFile(b"lost if it were left out")
    here.put_object(f"{here.key_prefix}dir/", lost, "dir/", replace=False)

    summary = moved(here, storages["2"]).summary

    assert summary.status == "refused"
    assert [name for name, _ in summary.refusals] == ["dir/"]
    assert not storages["2"].exists("dir/a")


def test_the_mark_of_the_location_itself_is_no_name_in_it() -> None:
    here: Any = storages["1"]
    here.save("dir/a", ContentFile(b"content"))
    options = {**here._constructor_args[1], "location": ""}
    type(here)(**options).write("below/here/", ContentFile(b""), replace=False)

    summary = moved(here, storages["2"]).summary

    assert (summary.status, summary.folder_marks) == ("done", 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0", "2"),
        ("0", "3"),
        ("1", "2"),
        ("1", "3"),
        ("2", "0"),
        ("2", "1"),
        ("3", "2"),
    ],
)
def test_who_goes_back_copies_what_has_changed_only(
    old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is outside of tests: S3 lists whole seconds, so that a change within
    # the second of the first save would seem to be the older one.
    monkeypatch.setattr(copier, "SETTLED_SECONDS", 1.0)
    here, there = storages[old], storages[new]
    for name, text in FILES.items():
        here.save(name, ContentFile(text))
    copy(old, new)
    with there.open("photos/a.gz", "wb") as file:
        file.write(b"\x1f\x8b not truly packed"[: len(FILES["photos/a.gz"])])
    there.save("since", ContentFile(b"saved in the new store"))

    back = copy(new, old, "--keep-newer")

    assert (back["copied"], back["skipped"], back["kept"]) == (2, len(FILES) - 1, 0)
    assert content(here, "photos/a.gz") == content(there, "photos/a.gz")
    assert content(here, "since") == b"saved in the new store"


def test_hashes_that_both_stores_tell_cost_no_download() -> None:
    here, there = storages["1"], storages["4"]
    here.save("whole", ContentFile(b"content"))
    here.save("parts", ContentFile(bytes(20 << 20)))
    copy("1", "4")
    storages["0"].save("parts", ContentFile(bytes(20 << 20)))

    with s3_requests(here) as sent, s3_requests(there) as asked:
        assert copy("4", "1", "--keep-newer")["skipped"] == 2
        assert copy("0", "1")["skipped"] == 1
        # Once more: the folder's file is newer than the object.
        os.utime(storages["0"].path("parts"))
        assert copy("0", "1")["skipped"] == 1
    assert {each.method for each in (*sent, *asked)} == {"GET"}
    assert not [each for each in (*sent, *asked) if each.key.endswith("parts")]


def test_comparing_costs_a_request_for_a_thousand_names() -> None:
    here, there = storages["0"], storages["1"]
    for number in range(30):
        here.save(f"{number % 5}/{number}", ContentFile(b"%d" % number))
    copy("0", "1")
    with s3_requests(there) as sent:
        assert copy("0", "1")["skipped"] == 30
    assert len(sent) <= 2


def test_a_small_file_waits_for_no_leave_to_be_sent() -> None:
    here, there = storages["0"], storages["1"]
    here.save("small", ContentFile(bytes(1 << 20)))
    here.save("large", ContentFile(bytes((1 << 20) + 1)))

    with s3_requests(there) as sent:
        assert copy("0", "1")["copied"] == 2

    puts = {
        each.key.rpartition("/")[2]: each.headers
        for each in sent
        if each.method == "PUT" and TRIAL not in each.key
    }
    assert {name: "expect" in headers for name, headers in puts.items()} == {
        "small": False,
        "large": True,
    }
    assert all(headers["if-none-match"] == "*" for headers in puts.values())
