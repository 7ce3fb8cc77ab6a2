"""Small files to S3, copied by several processes: how they work, fail and end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage

from tahoestorage.backends.s3 import S3Storage
from tests.support.moves import PATIENCE, Copied, running, wait_until, write_to_disk
from tests.support.s3_servers import S3Server

FILES = {f"{n % 3}/{n}.bin": b"%d" % n for n in range(120)}
# Says who sends what, and does as the test has it.
STORE = """
import os, time
from pathlib import Path
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.moving import processes

processes.MANY = 100
os.sched_getaffinity = lambda pid: {0, 1}
FIRST = os.getpid()


class Threads(processes.ThreadPoolExecutor):
    # Of a machine on which a user may have no more of them.
    def submit(self, *arguments):
        if os.getpid() != FIRST and Path("threadless").exists():
            raise RuntimeError("can't start new thread")
        return super().submit(*arguments)


processes.ThreadPoolExecutor = Threads


class Store(S3Storage):
    def write(self, name, content, *, replace):
        note = Path("sent", f"{os.getpid()}")
        with note.open("a") as file:
            file.write(f"{name}\\n")
        if name == "bad":
            raise OSError("the line is dead")
        if name == "deadly":
            os._exit(1)
        time.sleep(float(Path("seconds").read_text()))
        super().write(name, content, replace=replace)
"""

# Copies that never end, and a second Ctrl-C while they are waited for.
IMPATIENT = """
import contextlib, multiprocessing, os, time
from tahoestorage.moving.copier import Copier
from tahoestorage.moving.pool import Impatient
from tahoestorage.moving.processes import BATCH, WorkerProcesses
from tahoestorage.moving.store import Found, Stat


class Stuck(Copier):
    def copy(self, found):
        time.sleep(1000)


def stop():
    raise Impatient


def copy():
    notes = []
    processes = WorkerProcesses(
        Stuck(None, None, None), 2, 1, stop, lambda *note: notes.append(note)
    )
    with contextlib.suppress(Impatient), processes:
        for number in range(BATCH):
            processes.take(Found(f"{number}", Stat(1, 0.0, 0.0)))
        raise KeyboardInterrupt
    until = time.monotonic() + 60
    while multiprocessing.active_children():
        assert time.monotonic() < until, "processes are left"
        time.sleep(0.02)
    assert notes == []


copy()
os._exit(0)  # As the command ends then.
"""


# A process that is killed while it pauses, and a Ctrl-C after that.
KILLED = """
import contextlib, os, signal, time
from pathlib import Path
from tahoestorage.moving.copier import Copier
from tahoestorage.moving.processes import BATCH, WorkerProcesses
from tahoestorage.moving.store import Found, Stat


class Pausing(Copier):
    def copy(self, found):
        Path(f"{os.getpid()}").touch()
        self.throttle.wait(1000)


def wait_until(is_so):
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.02)


notes = []
processes = WorkerProcesses(
    Pausing(None, None, None), 2, 1, lambda: None, lambda *note: notes.append(note)
)
with contextlib.suppress(KeyboardInterrupt), processes:
    for number in range(BATCH):
        processes.take(Found(f"{number}", Stat(1, 0.0, 0.0)))
    wait_until(lambda: list(Path().glob("*")))
    time.sleep(0.1)
    os.kill(int(next(Path().glob("*")).name), signal.SIGKILL)
    wait_until(lambda: len(notes) == BATCH)
    raise KeyboardInterrupt
"""


class Site(NamedTuple):
    """A site with a folder and a bucket."""

    path: Path
    bucket: S3Storage

    def sent(self) -> dict[int, list[str]]:
        """Which names each process has sent."""
        notes = (self.path / "sent").iterdir()
        return {int(note.name): note.read_text().split() for note in notes}

    def names(self) -> list[str]:
        """What was sent by any of them."""
        return [name for names in self.sent().values() for name in names]

    def stored(self) -> dict[str, bytes]:
        found = {}
        for name, _ in self.bucket.listed():
            with self.bucket.open(name) as file:
                found[name] = file.read()
        return found

    def copy(self, *options: str) -> tuple[Copied, int]:
        """Run the command; return what it has done, and its process."""
        with running(self.path, "from", "to", "--json", *options) as process:
            out, err = process.communicate(timeout=PATIENCE)
        return Copied(process.returncode, out, err), process.pid


@pytest.fixture
def site(tmp_path: Path, moto: S3Server) -> Site:
    cache = {"cache": {"directory": str(tmp_path / "cache")}}
    options = {**moto.options, **cache, "bucket_name": moto.make_bucket()}
    stores = {
        "from": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": "from"},
        },
        "to": {"BACKEND": "store.Store", "OPTIONS": options},
    }
    (tmp_path / "store.py").write_text(STORE)
    (tmp_path / "seconds").write_text("0")
    (tmp_path / "site_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tahoestorage']\nUSE_TZ = True\n"
        f"STORAGES = {stores!r}\n"
    )
    (tmp_path / "sent").mkdir()
    write_to_disk(FileSystemStorage(str(tmp_path / "from")), FILES)
    return Site(tmp_path, S3Storage(**options))


def are_gone(processes: dict[int, Any]) -> Callable[[], bool]:
    def gone() -> bool:
        return not any(_runs(process) for process in processes)

    return gone


def _runs(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    # One whose parent was killed may be waited for by nobody.
    return status.rpartition(")")[2].split()[0] not in "ZX"


def test_processes_share_the_files_and_the_rest_is_as_ever(site: Site) -> None:
    done, process = site.copy()

    assert done.status == 0, done.err
    assert done.counts == {"copied": len(FILES)}
    assert done.json["bytes"] == sum(map(len, FILES.values()))
    assert site.stored() == FILES
    sent = site.sent()
    assert len(sent) == 2
    assert process not in sent
    assert sorted(site.names()) == sorted(FILES)
    assert are_gone(sent)()

    (site.path / "from" / "new").write_bytes(b"new")
    again, _ = site.copy("--delete-extra")
    assert again.counts == {"copied": 1, "skipped": len(FILES)}


def test_large_files_are_left_to_the_first_process(site: Site) -> None:
    large = bytes((1 << 20) + 1)
    write_to_disk(FileSystemStorage(str(site.path / "from")), {"large": large})

    done, process = site.copy()

    assert done.counts == {"copied": len(FILES) + 1}
    assert site.sent()[process] == ["large"]
    assert site.stored() == {**FILES, "large": large}


@pytest.mark.parametrize(
    "options", [["--jobs", "3"], ["--bwlimit", "10M"], ["--verify"]]
)
def test_one_process_does_it_where_others_gain_nothing(
    options: list[str], site: Site
) -> None:
    done, process = site.copy(*options)
    assert done.counts == {"copied": len(FILES)}
    assert [*site.sent()] == [process]


def test_a_file_that_fails_is_named_and_the_others_are_copied(site: Site) -> None:
    write_to_disk(FileSystemStorage(str(site.path / "from")), {"bad": b"1"})

    done, _ = site.copy()

    assert done.status == 1
    assert done.json["failures"] == [{"name": "bad", "reason": "the line is dead"}]
    assert "failed: 'bad': the line is dead" in done.err
    assert done.counts == {"copied": len(FILES), "failed": 1}
    assert site.stored() == FILES


def test_a_process_that_dies_takes_no_file_with_it_in_silence(site: Site) -> None:
    write_to_disk(FileSystemStorage(str(site.path / "from")), {"deadly": b"1"})

    done, _ = site.copy()

    assert done.status == 1
    failed = {each["name"]: each["reason"] for each in done.json["failures"]}
    assert "has died" in failed["deadly"]
    assert done.json["copied"] + done.json["failed"] == len(FILES) + 1
    stored = site.stored()
    assert FILES.keys() - stored.keys() <= failed.keys()
    assert stored.items() <= FILES.items()
    assert "Traceback" not in done.err

    (site.path / "from" / "deadly").unlink()
    again, _ = site.copy()
    assert again.status == 0
    assert site.stored() == FILES


def test_a_batch_that_fails_as_a_whole_is_a_failure_of_each_of_its_files(
    site: Site,
) -> None:
    (site.path / "threadless").touch()
    site.bucket.save("extra", ContentFile(b"1"))

    done, _ = site.copy("--delete-extra")

    assert done.status == 1
    assert done.counts == {"failed": len(FILES)}
    assert {each["name"] for each in done.json["failures"]} == {*FILES}
    assert "can't start new thread" in done.err
    assert "Traceback" not in done.err
    assert site.stored() == {"extra": b"1"}


@pytest.mark.parametrize("to_all", [False, True])
def test_ctrl_c_ends_all_processes_in_good_order(to_all: bool, site: Site) -> None:
    (site.path / "seconds").write_text("1")
    with running(site.path, "from", "to", "--json") as process:
        wait_until(lambda: len(site.names()) > 10)
        for each in [process.pid, *(site.sent() if to_all else ())]:
            os.kill(each, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert "Traceback" not in err
    done = json.loads(out)
    stored = site.stored()
    assert done["status"] == "interrupted"
    assert done["failed"] == 0
    assert done["copied"] == len(stored)
    assert 0 < len(stored) < len(FILES)
    assert are_gone(site.sent())()

    (site.path / "seconds").write_text("0")
    again, _ = site.copy()
    assert again.counts == {
        "copied": len(FILES) - len(stored),
        "skipped": len(stored),
    }
    assert site.stored() == FILES


def test_a_second_ctrl_c_waits_for_no_process(site: Site) -> None:
    (site.path / "seconds").write_text("1000")
    with running(site.path, "from", "to") as process:
        wait_until(lambda: len(site.sent()) == 2)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)

        def is_over() -> bool:
            # Python drops what is raised while it tidies up: whoever sees nothing
            # happen presses it again.
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=30)
            return process.returncode is not None

        wait_until(is_over)

    assert process.returncode == 130
    wait_until(are_gone(site.sent()))


def test_none_outlives_a_block_whose_end_is_interrupted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPATIENT],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_waits_for_no_process_that_was_killed_while_it_paused(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_none_outlives_the_first_process(site: Site) -> None:
    (site.path / "seconds").write_text("1")
    with running(site.path, "from", "to") as process:
        wait_until(lambda: len(site.names()) > 10)
        process.kill()
        process.wait()
        wait_until(are_gone(site.sent()))

    (site.path / "seconds").write_text("0")
    stored = site.stored()
    assert stored.items() <= FILES.items()
    again, _ = site.copy()
    assert again.counts["copied"] == len(FILES) - len(stored)
    assert site.stored() == FILES
