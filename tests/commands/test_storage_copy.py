"""``manage.py storage_copy``: from any store to any other, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import (
    FileSystemStorage,
    storages,
)
from django.core.management import CommandError, call_command, load_command_class
from django.core.management.base import BaseCommand
from pytest_django.fixtures import Settings

from tahoestorage import progress
from tahoestorage.cache import diskaccess
from tahoestorage.exceptions import GatewayUnreachable
from tahoestorage.moving.resolve import label, store_of
from tahoestorage.moving.throttle import parse_rate
from tahoestorage.progress import Progress
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing.grid import LocalGrid
from tests.support.bucket import Bucket
from tests.support.leaks import assert_no_cap, everything_logged
from tests.support.moves import (
    FILES,
    KINDS,
    PATIENCE,
    Add,
    Copied,
    contents,
    copy,
    django,
    environment,
    fill,
    overwrite,
    running,
    wait_until,
    write_to_disk,
)

pytestmark = pytest.mark.usefixtures("no_waiting")

# From any store to any other


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_all_files_are_copied_once(source: str, target: str, add: Add) -> None:
    fill(add("from", source))
    to = add("to", target)

    first = copy("from", "to", "--json")
    second = copy("from", "to", "--json")

    assert (first.status, second.status) == (0, 0)
    assert first.counts == {"copied": len(FILES)}
    assert first.json["bytes"] == sum(map(len, FILES.values()))
    assert second.counts == {"skipped": len(FILES)}
    assert contents(to) == FILES


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_what_has_changed_is_copied_again(source: str, target: str, add: Add) -> None:
    here, to = add("from", source), add("to", target)
    fill(here)
    copy("from", "to")

    overwrite(here, "photos/b.jpg", b"shorter")
    overwrite(here, "photos/a.jpg", b"J" * 100)
    again = copy("from", "to", "--json")

    assert again.counts == {"copied": 2, "skipped": len(FILES) - 2}
    assert contents(to) == contents(here)


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_verify_finds_a_flipped_byte(source: str, target: str, add: Add) -> None:
    here, to = add("from", source), add("to", target)
    fill(here)
    copy("from", "to")
    spoilt = bytearray(FILES["photos/b.jpg"])
    spoilt[-1] ^= 1
    overwrite(to, "photos/b.jpg", bytes(spoilt))

    by_size = copy("from", "to", "--json")
    by_content = copy("from", "to", "--json", "--verify")

    assert by_size.counts == {"skipped": len(FILES)}
    assert by_content.counts == {"copied": 1, "skipped": len(FILES) - 1}
    assert contents(to) == FILES


def test_of_hundreds_of_files_no_lock_is_warned_of(
    add: Add, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Also of one that does not last.
    monkeypatch.setattr(diskaccess, "LASTING_SECONDS", 0.0)
    files = {f"{n % 7}/{n}.txt": b"file %d" % n for n in range(443)}
    write_to_disk(add("from", "disk"), files)
    to = add("to", "grid")

    assert copy("from", "to", "--json").counts == {"copied": 443}
    again = copy("from", "to", "--json", "--verify")

    assert again.counts == {"skipped": 443}
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(to.exists, files))
    assert [each.message for each in caplog.records if "locked" in each.message] == []


@pytest.mark.parametrize("target", KINDS)
def test_a_dry_run_counts_and_changes_nothing(target: str, add: Add) -> None:
    fill(add("from", "disk"))
    to = add("to", target)
    fill(to, {"old": b"old", "photos/a.jpg": b"another"})

    dry = copy("from", "to", "--dry-run", "--delete-extra", "--json")

    assert dry.status == 0
    assert dry.counts == {"copied": len(FILES), "deleted": 1}
    assert dry.json["bytes"] == sum(map(len, FILES.values()))
    assert dry.json["deleted_names"] == ["old"]
    assert "only in TO: 'old'" in dry.err
    assert contents(to) == {"old": b"old", "photos/a.jpg": b"another"}


def test_a_dry_run_names_some_of_what_it_would_copy(add: Add) -> None:
    fill(add("from", "disk"), {f"{number}.txt": b"12345" for number in range(60)})
    add("to", "disk")

    some = copy("from", "to", "--dry-run", "--json")
    every = copy("from", "to", "--dry-run", "--verbosity", "2")
    none = copy("from", "to", "--dry-run", "--verbosity", "0")

    assert some.err.count("would copy: '") == 50
    assert "would copy: '0.txt' (5 bytes)\n" in some.err
    assert "would copy more, which -v 2 names\n" in some.err
    names = sorted(f"{number}.txt" for number in range(60))
    assert some.json["would_copy_names"] == names
    assert every.err.count("would copy: '") == 60
    assert "-v 2" not in every.err
    assert none.err == ""


@pytest.mark.parametrize("target", KINDS)
def test_what_only_the_target_has_is_deleted_when_asked(target: str, add: Add) -> None:
    fill(add("from", "disk"))
    to = add("to", target)
    fill(to, {"old": b"old", "photos/2025/e.jpg": b"e", "photos/a.jpg": b"another"})

    kept = copy("from", "to", "--json")
    cleared = copy("from", "to", "--json", "--delete-extra")

    assert kept.counts == {"copied": len(FILES)}
    assert cleared.counts == {"skipped": len(FILES), "deleted": 2}
    assert contents(to) == FILES


@pytest.mark.parametrize(
    ("prefix", "files"),
    [
        ("photos/", ["photos/a.jpg", "photos/b.jpg", "photos/2026/c.jpg"]),
        ("photos/2026/c", ["photos/2026/c.jpg"]),
        ("photos/2", ["photos/2026/c.jpg"]),
        ("pho", ["photos/a.jpg", "photos/b.jpg", "photos/2026/c.jpg"]),
        ("nothing/", []),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_prefix_limits_both_sides(
    kind: str, prefix: str, files: list[str], add: Add
) -> None:
    here, to = add("from", kind), add("to", "disk")
    names = ["photos/a.jpg", "photos/b.jpg", "photos/2026/c.jpg", "x/photos/d.jpg"]
    fill(here, dict.fromkeys(names, b"content"))
    outside = {"extra": b"", "x/pho": b""}
    fill(to, {**outside, **({f"{prefix}extra": b""} if files else {})})

    done = copy("from", "to", "--prefix", prefix, "--delete-extra", "--json")

    assert sorted(contents(to)) == sorted([*files, *outside])
    assert done.status == (0 if files else 1)


@pytest.mark.parametrize("prefix", ["/a", "../a", "a/../b", "a//b", "./a"])
def test_a_prefix_that_begins_no_name_is_refused(prefix: str, add: Add) -> None:
    add("from", "disk"), add("to", "disk")
    assert copy("from", "to", "--prefix", prefix).status == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["Photos/", "from/photos/", "photos/2027/"])
def test_a_prefix_that_begins_no_name_there_is_an_error(
    kind: str, prefix: str, add: Add
) -> None:
    here = add("from", kind)
    fill(here)
    add("to", "disk")

    for more in ([], ["--dry-run"]):
        done = copy("from", "to", "--prefix", prefix, "--json", *more)

        assert done.status == 1
        assert (done.json["status"], done.json["seen"]) == ("failed", 0)
        assert f"FROM has no name that begins with {prefix!r}; looked in " in done.err
        assert "Correct what is said above" in done.err
        if kind == "disk":
            assert isinstance(here, FileSystemStorage)
            assert f"looked in {here.location}." in done.err


# What is said


def test_an_alias_that_is_not_there_is_said_with_those_that_are(add: Add) -> None:
    add("new", "disk")

    missing = copy("new", "nwe")
    folder = copy("new", "/srv/media")

    assert (missing.status, folder.status) == (2, 2)
    assert "nwe: there is no such alias in STORAGES; there are: " in missing.err
    assert re.search("there are: .*default.*new", missing.err)
    assert "/srv/media: it is no alias in STORAGES; a folder is given" in folder.err


@pytest.mark.parametrize(
    ("errors", "advice"),
    [
        ([GatewayUnreachable("away")], "1 failed. The next run tries again."),
        (
            [PermissionError("no right to read it")],
            "1 failed. Correct what is said above, and run it again.",
        ),
        (
            [GatewayUnreachable("away"), PermissionError("no right to read it")],
            "2 failed. 1 of these will fail again. Correct what is said above, and run "
            "it again.",
        ),
    ],
)
def test_what_to_do_about_failures_is_said(
    errors: list[Exception], advice: str, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = add("from", "disk")
    fill(here, {f"{number}.txt": b"1" for number in range(len(errors))})
    add("to", "disk")

    def fail(name: str, mode: str = "rb") -> None:
        raise errors[int(name[0])]

    monkeypatch.setattr(here, "open", fail)

    done = copy("from", "to")

    assert done.status == 1
    assert done.err.endswith(f"CommandError: {advice}\n")


def test_a_store_that_is_of_no_use_is_to_be_corrected_first(add: Add) -> None:
    add("from", "disk")
    add("to", "grid", base_url="http://127.0.0.1:9")

    done = copy("from", "to")

    assert "failed: TO takes no files: " in done.err
    assert "Correct what is said above" in done.err


def test_the_summary_is_a_line_for_people(add: Add) -> None:
    fill(add("from", "disk"))
    add("to", "disk")

    done = copy("from", "to")

    assert done.out.startswith(
        "6 files: 6 copied (71.4 KiB), 0 skipped as unchanged, 0 failed, 0 deleted; "
    )
    assert done.out.endswith(" s\n")


def test_json_is_all_that_is_on_standard_output(add: Add) -> None:
    fill(add("from", "disk"))
    add("to", "memory")

    done = copy("from", "to", "--json", "--prefix", "photos/")

    assert {key: done.json[key] for key in ("from", "to", "prefix", "status")} == {
        "from": "from",
        "to": "to",
        "prefix": "photos/",
        "status": "done",
    }
    assert done.json["seconds"] > 0
    assert done.json["seen"] == 4


def test_progress_is_lines_where_there_is_no_terminal(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(add("from", "disk"))
    add("to", "disk")
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)

    lines = copy("from", "to", "--jobs", "1").err.splitlines()

    assert "6 names seen" in lines
    assert lines[-1].startswith("6 of 6 files, 71.4 KiB of 71.4 KiB, ")
    assert "/s, " in lines[-1]
    assert lines[-1].endswith(" left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(5.4, "5 s"), (90, "2 min"), (7_300, "2 h 1 min")]
)
def test_the_time_left_is_that_of_the_rest(
    seconds: float, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    shown = Progress(print)
    shown.begin(4, 1000)
    shown.bytes(250)
    shown.file(0)
    clock[0] += seconds / 3

    assert shown.text().endswith(f"{text} left")


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10M", 10 * 2**20), ("512K", 2**19), ("1000", 1000), ("1.5g", 1.5 * 2**30)],
)
def test_a_rate_is_bytes_per_second(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bwlimit", "0"],
        ["--bwlimit", "fast"],
        ["--bwlimit", "-1M"],
        ["--jobs", "0"],
        ["--jobs", "two"],
        ["--shares", "4/3"],
        ["--shares", "3"],
        ["--keep-newer", "--delete-extra"],
    ],
)
def test_wrong_options_are_refused(arguments: list[str], add: Add) -> None:
    fill(add("from", "disk"))
    to = add("to", "disk")
    with pytest.raises(CommandError):
        call_command("storage_copy", "from", "to", *arguments)
    assert contents(to) == {}


def test_what_is_wrong_on_the_command_line_has_status_2(tmp_path: Path) -> None:
    run = django(tmp_path, "storage_copy", "from", "to", "--jobs", "0")
    assert run.returncode == 2
    assert "'0' is not a number of jobs" in run.stderr


@pytest.mark.parametrize(
    ("source", "target"), [("nobody", "to"), ("from", "nobody"), ("from", "from")]
)
def test_two_storages_are_needed(source: str, target: str, add: Add) -> None:
    add("from", "disk"), add("to", "disk")
    done = copy(source, target)
    assert done.status == 2
    # No name of a class, which says nothing to people.
    assert "Error" not in done.err.removeprefix("CommandError:")


def test_help_says_where_secrets_must_not_be() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "django", "storage_copy", "--help"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Never put a secret into them" in " ".join(run.stdout.split())


# Sides


@pytest.mark.parametrize("inner", ["", "media", "media/old"])
def test_a_store_is_not_copied_into_itself(
    inner: str, add: Add, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "media").mkdir()
    add("outer", "disk", location=str(tmp_path / "site"))
    (tmp_path / "link").symlink_to(tmp_path / "site")
    add("inner", "disk", location=str(tmp_path / "link" / inner))

    for sides in (("outer", "inner"), ("inner", "outer")):
        done = copy(*sides, "--delete-extra")
        assert done.status == 2
        assert "one store" in done.err


def test_one_root_by_two_aliases_is_one_store(
    add: Add, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    file = tmp_path / "cap"
    file.write_text(tahoe_grid.create_root().uri)
    add("one", "grid", base_cap_file=str(file))
    add("other", "grid", base_cap_file=str(file))
    assert copy("one", "other").status == 2


def test_buckets_that_share_objects_are_one_store() -> None:
    whole, part, other = Bucket(), Bucket(location="media"), Bucket(location="media2")
    whole.objects = other.objects = part.objects
    assert store_of(whole).overlaps(store_of(part))
    assert store_of(part).overlaps(store_of(whole))
    assert not store_of(part).overlaps(store_of(other))
    assert not store_of(part).overlaps(store_of(Bucket()))


def test_a_url_is_as_good_as_an_alias(add: Add, tmp_path: Path) -> None:
    fill(add("from", "disk"))
    done = copy("from", f"file://{tmp_path}/to", "--json")
    assert done.counts == {"copied": len(FILES)}
    assert done.json["to"] == f"file://{tmp_path}/to"
    assert contents(FileSystemStorage(str(tmp_path / "to"))) == FILES


def test_a_url_shows_no_secret(add: Add, tahoe_grid: LocalGrid, tmp_path: Path) -> None:
    fill(add("from", "disk"))
    root = tahoe_grid.create_root()
    (tmp_path / "cap").write_text(root.uri)
    gateway = tahoe_grid.base_url
    good = f"tahoe+{gateway}/?base_cap_file={tmp_path}/cap"
    bad = f"tahoe+{gateway}/?base_cap={quote(root.uri, safe='')}"

    done, refused = copy("from", good, "--json"), copy("from", bad)

    assert done.counts == {"copied": len(FILES)}
    assert done.json["to"] == f"tahoe+{gateway}/"
    assert refused.status == 2
    assert_no_cap(done.out + refused.err, root)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/media?secret_key=x", "s3://bucket/media"),
        ("file:///srv/media", "file:///srv/media"),
        ("http://[", "the URL"),
    ],
)
def test_a_url_is_shown_without_user_and_query(url: str, shown: str) -> None:
    assert label(url) == shown


def test_a_location_that_is_missing_is_an_error(add: Add, tmp_path: Path) -> None:
    here, to = add("from", "disk"), add("to", "disk")
    fill(to, {"precious": b"1"})
    assert isinstance(here, FileSystemStorage)
    os.rmdir(here.location)

    done = copy("from", "to", "--delete-extra", "--json")

    assert done.status == 1
    assert done.json["failures"] == [
        {"name": "", "reason": "FROM can't be listed: No such file or directory"}
    ]
    assert contents(to) == {"precious": b"1"}


def test_an_empty_source_deletes_nothing(add: Add) -> None:
    add("from", "disk")
    to = add("to", "disk")
    fill(to, {"precious": b"1"})

    done = copy("from", "to", "--delete-extra")

    assert done.status == 1
    assert "nothing is deleted" in done.err
    assert contents(to) == {"precious": b"1"}


def test_a_target_that_can_t_be_reached_is_said_once(add: Add) -> None:
    fill(add("from", "disk"))
    add("to", "grid", base_url="http://127.0.0.1:1")

    done = copy("from", "to", "--json")

    assert done.status == 1
    assert done.counts == {"failed": 1}
    assert (
        "nothing responds at http://127.0.0.1:1" in done.json["failures"][0]["reason"]
    )


def test_a_target_that_may_only_be_read_takes_nothing(
    add: Add, tahoe_grid: LocalGrid
) -> None:
    fill(add("from", "disk"))
    add("to", "grid", base_cap=tahoe_grid.create_root().read_only.uri)
    done = copy("from", "to", "--json")
    assert done.status == 1
    assert "read-only" in done.json["failures"][0]["reason"]


# Interrupted, killed, and twice at once


MANY = {f"{n % 3}/{n}.bin": os.urandom(20_000) for n in range(40)}


def stored(site: Path, target: str) -> dict[str, bytes]:
    """What is in a target of the site by now."""
    if target == "disk":
        to = site / "to"
        # Not what is unfinished: the next moment it may be gone.
        done = (file for file in to.rglob("*") if file.suffix != ".storage_copy")
        return {
            file.relative_to(to).as_posix(): file.read_bytes()
            for file in done
            if file.is_file()
        }
    options: dict[str, Any] = {}
    scope: dict[str, Any] = {}
    exec((site / "site_settings.py").read_text(), scope)  # noqa: S102
    options = {**scope["STORAGES"]["grid"]["OPTIONS"], "cache": False}
    return contents(TahoeStorage(**options))


@pytest.mark.parametrize("target", ["disk", "grid"])
def test_killed_half_way_it_copies_only_the_rest(target: str, site: Path) -> None:
    write_to_disk(FileSystemStorage(str(site / "from")), MANY)
    with running(site, "some", target, "--jobs", "4") as process:
        wait_until(lambda: len(stored(site, target)) == 12)
        process.kill()
        process.wait()
    there = stored(site, target)
    assert len(there) == 12
    assert there.items() <= MANY.items()

    again = Copied(0, django(site, "storage_copy", "from", target, "--json").stdout, "")

    assert again.counts == {
        "copied": len(MANY) - len(there),
        "skipped": len(there),
    }
    assert stored(site, target) == MANY
    assert [*(site / "to").rglob("*.storage_copy")] == []


@pytest.mark.parametrize("target", ["disk", "grid"])
def test_ctrl_c_ends_it_in_good_order(target: str, site: Path) -> None:
    write_to_disk(FileSystemStorage(str(site / "from")), MANY)
    # Slow enough for a machine that is busy with other things.
    slowly = ["from", target, "--bwlimit", "40K", "--jobs", "4", "--json"]
    with running(site, *slowly) as process:
        wait_until(lambda: len(stored(site, target)) > 5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert "Traceback" not in err
    assert "Interrupted. The next run goes on from here." in err
    done = Copied(130, out, err)
    there = stored(site, target)
    assert done.json["status"] == "interrupted"
    assert done.counts == {"copied": len(there)}
    assert there.items() <= MANY.items()
    assert [*(site / "to").rglob("*.storage_copy")] == []
    assert django(site, "storage_copy", "from", target).returncode == 0
    assert stored(site, target) == MANY


def test_ctrl_c_does_not_wait_for_a_large_file(site: Path) -> None:
    (site / "from" / "large").write_bytes(bytes(40 << 20))
    with running(site, "from", "disk", "--bwlimit", "200K") as process:
        wait_until(lambda: [*(site / "to").glob(".*.storage_copy")])
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert [*(site / "to").iterdir()] == []


def test_a_second_ctrl_c_waits_for_nobody(site: Path) -> None:
    write_to_disk(FileSystemStorage(str(site / "from")), {"a": b"1"})
    with running(site, "stuck", "disk") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert "0 copied" in out


@pytest.mark.parametrize("target", ["disk", "grid"])
def test_two_at_once_spoil_nothing(target: str, site: Path) -> None:
    write_to_disk(FileSystemStorage(str(site / "from")), MANY)
    both = ["from", target, "--json"]
    with running(site, *both) as one, running(site, *both) as other:
        outs = [process.communicate(timeout=PATIENCE) for process in (one, other)]

    assert stored(site, target) == MANY
    for process, (out, err) in zip((one, other), outs, strict=True):
        done = Copied(process.returncode, out, err)
        assert sum(done.counts.values()) == len(MANY)
        assert all("another process" in f["reason"] for f in done.json["failures"])
    assert Copied(0, django(site, "storage_copy", *both).stdout, "").counts == {
        "skipped": len(MANY)
    }


def test_in_a_terminal_there_is_a_bar(site: Path) -> None:
    write_to_disk(FileSystemStorage(str(site / "from")), MANY)
    write_to_disk(FileSystemStorage(str(site / "to")), {"0": b"a file in the way"})
    slowly = ["from", "disk", "--bwlimit", "400K", "--json"]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "storage_copy", *slowly],
        cwd=site,
        env={**environment(), "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=slave,
    )
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # The terminal is closed at the end.
        while some := os.read(master, 4096):
            shown += some
    out, _ = process.communicate(timeout=PATIENCE)
    os.close(master)

    text = shown.decode()
    assert "\u2501" in text
    assert " of 40 files, " in text
    assert " left" in text
    assert "failed: '0/0.bin': " in text
    assert json.loads(out)["failed"] == 14
    assert process.returncode == 1


def test_rich_is_not_imported_where_it_shows_nothing() -> None:
    program = (
        "import sys, django\n"
        "django.setup()\n"
        "import tahoestorage.management.commands.storage_copy\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    heavy = {"rich", "boto3", "botocore", "google", "storages"}
    assert set(run.stdout.split()).isdisjoint(heavy)


# Secrets


def test_no_cap_is_seen_whatever_happens(
    add: Add, tahoe_grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(add("from", "disk"))
    add("to", "grid")
    add("back", "memory")
    with everything_logged():
        for arguments in (
            ["from", "to", "--dry-run", "--verbosity", "3"],
            ["from", "to", "--verify", "--json", "--verbosity", "3"],
            ["to", "back", "--verify"],
        ):
            assert copy(*arguments).status == 0

        def upload(*arguments: Any, **options: Any) -> None:
            raise GatewayUnreachable(
                "PUT /uri/URI:DIR2:aaaaaaaaaaaaaaaa:bbbbbbbb fails"
            )

        monkeypatch.setattr(Gateway, "upload", upload)
        overwrite(storages["from"], "photos/b.jpg", b"n" * 100)
        failed = copy("from", "to", "--json")
    assert failed.status == 1
    assert "URI:***" in failed.json["failures"][0]["reason"]


# The documentation

GUIDE = (Path(__file__).parents[2] / "docs" / "moving.md").read_text()
COMMAND = re.compile(r"python manage\.py (storage_\w+)( [^`\n]*)?")


def commands(text: str) -> list[list[str]]:
    """Every command in a text, as words."""
    return [
        [name, *shlex.split(arguments)] for name, arguments in COMMAND.findall(text)
    ]


def test_every_command_and_option_of_the_guide_is_there() -> None:
    found = commands(GUIDE)
    assert len(found) > 10
    for name, *arguments in found:
        command = load_command_class("tahoestorage", name)
        command.create_parser("manage.py", name).parse_args(arguments)
    ours = load_command_class("tahoestorage", "storage_copy")
    table = set(re.findall(r"^\| `(--[a-z-]+)", GUIDE, re.MULTILINE))
    assert table == options(ours) - options(BaseCommand())


def options(command: BaseCommand) -> set[str]:
    parser = command.create_parser("manage.py", "command")
    strings = [each for action in parser._actions for each in action.option_strings]
    return {each for each in strings if each.startswith("--")}


def test_a_site_moves_without_a_stop_as_the_guide_says(
    add: Add, settings: Settings
) -> None:
    recipe = GUIDE.partition("## Without a stop")[2].partition("\n## ")[0]
    before, _, after = recipe.partition("\n3. Change the environment")
    (first, *others), (later, back) = commands(before), commands(after)
    old, new = add("default", "disk"), add("new", "grid")
    fill(old)

    assert copy(*first[1:]).status == 0
    assert contents(new) == {}
    for command in others:
        assert copy(*command[1:]).status == 0
        time.sleep(0.02)
        old.save(f"after/{len(contents(old))}", ContentFile(b"content"))
    old.save("twice", ContentFile(b"of the old site"))
    settings.STORAGES = {
        "default": settings.STORAGES["new"],
        "old": settings.STORAGES["default"],
    }
    site = storages["default"]
    time.sleep(0.02)
    assert site.save("twice", ContentFile(b"of the new site, and longer")) == "twice"
    overwrite(site, "top.txt", b"changed on the new site")

    done = copy(*later[1:], "--json")

    assert done.status == 0
    assert done.json["kept_names"] == ["top.txt", "twice"]
    assert contents(site) == {
        **contents(old),
        "top.txt": b"changed on the new site",
        "twice": b"of the new site, and longer",
    }
    settings.STORAGES = {
        "new": settings.STORAGES["default"],
        "default": settings.STORAGES["old"],
    }
    assert copy(*back[1:]).status == 0
    assert contents(storages["default"]) == contents(site)
