"""Many at once: threads, processes, forks; nothing is lost, overwritten or mixed up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, requests_sent
from tests.support.proxy import Hold, Proxy

LONG = b"longer than a cap can hold " * 4
PROCESSES, THREADS, ROUNDS = 8, 8, 3

WORKER = """
import json, os, sys, threading
import django
from django.conf import settings
from django.core.files.base import ContentFile

settings.configure(**json.loads(os.environ["TEST_SETTINGS"]))
django.setup()
from tahoestorage.storage import TahoeStorage

storage = TahoeStorage()
print("ready", flush=True)
for line in sys.stdin:
    saves = json.loads(line)
    saved = [None] * len(saves)
    start = threading.Barrier(len(saves))

    def save(number, name, content):
        start.wait()
        try:
            saved[number] = storage.save(name, ContentFile(content.encode()))
        except Exception as error:
            saved[number] = f"{type(error).__name__}: {error}"

    threads = [
        threading.Thread(target=save, args=(number, *one))
        for number, one in enumerate(saves)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(saved), flush=True)
"""

Save = tuple[str, str]
"""A name, and the content for it."""


def settings_of(storage: TahoeStorage) -> dict[str, str]:
    """The environment for a process with a storage like this one."""
    options = storage.options
    assert options.cache is not None
    settings = {
        "TAHOE_STORAGE_BASE_URL": options.base_url,
        "TAHOE_STORAGE_BASE_CAP": options.root.uri,
        "TAHOE_STORAGE_CACHE": {"directory": str(options.cache.directory)},
    }
    return {**os.environ, "TEST_SETTINGS": json.dumps(settings)}


class Workers:
    """Processes that share a cache directory, and save when they are told to."""

    def __init__(self, storage: TahoeStorage) -> None:
        self.storage = storage
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-P", "-c", WORKER],
                env=settings_of(storage),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        assert [self._line(process) for process in self._processes] == [
            "ready\n"
        ] * PROCESSES

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline()

    def save(self, shares: list[list[Save]]) -> list[str]:
        """Let each process save its share at once, a thread each; return the names."""
        for process, share in zip(self._processes, shares, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps(share) + "\n")
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.flush()
        return [
            name
            for process in self._processes
            for name in json.loads(self._line(process))
        ]

    def stop(self) -> None:
        for process in self._processes:
            process.communicate()


@pytest.fixture(scope="module")
def workers(
    tahoe_grid: LocalGrid, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workers]:
    workers = Workers(
        TahoeStorage(
            base_url=tahoe_grid.base_url,
            base_cap=tahoe_grid.create_root().uri,
            cache={"directory": str(tmp_path_factory.mktemp("concurrency"))},
        )
    )
    yield workers
    workers.stop()


def read(storage: TahoeStorage, name: str) -> str:
    with storage.open(name, "r") as file:
        return str(file.read())


def everywhere(storage: TahoeStorage) -> tuple[TahoeStorage, TahoeStorage]:
    """This storage, and one that believes no cache."""
    return storage, TahoeStorage(**{**storage._given, "cache": False})


def content_of(number: int) -> str:
    # Every other one is its own cap.
    return f"content {number} " * (1 if number % 2 else 20)


def test_64_first_saves_under_a_new_prefix_are_all_there(workers: Workers) -> None:
    for turn in range(ROUNDS):
        prefix = f"round {turn}/new"
        numbers = range(PROCESSES * THREADS)
        wanted = {f"{prefix}/{number}": content_of(number) for number in numbers}
        saves = list(wanted.items())
        saved = workers.save([saves[at::PROCESSES] for at in range(PROCESSES)])
        assert sorted(saved) == sorted(wanted)
        known, afresh = everywhere(workers.storage)
        for storage in (afresh, known):
            names = storage.listdir(prefix)[1]
            assert {f"{prefix}/{name}" for name in names} == set(wanted)
        assert {name: read(known, name) for name in wanted} == wanted


@pytest.mark.parametrize("equal", [False, True], ids=["different", "equal"])
@pytest.mark.parametrize("long", [False, True], ids=["literal", "uploaded"])
def test_16_saves_of_one_name_get_16_names(
    workers: Workers, equal: bool, long: bool
) -> None:
    name = f"one/{equal}-{long}.tar.gz"
    contents = [f"{0 if equal else n:02} " * (40 if long else 1) for n in range(16)]
    shares = [
        [(name, contents[at]), (name, contents[at + PROCESSES])]
        for at in range(PROCESSES)
    ]
    saved = workers.save(shares)
    assert len(set(saved)) == 16
    assert name in saved
    alternative = re.compile(rf"{name.removesuffix('.tar.gz')}_\w{{7}}\.tar\.gz")
    assert sum(bool(alternative.fullmatch(other)) for other in saved) == 15
    for storage in everywhere(workers.storage):
        assert set(saved) <= {f"one/{each}" for each in storage.listdir("one")[1]}
        for number, other in enumerate(saved):
            at, turn = divmod(number, 2)
            assert read(storage, other) == contents[at + turn * PROCESSES]


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Call it in as many threads at one moment, and return the results in order."""
    barrier = threading.Barrier(count)

    def wait_and_call(number: int) -> Any:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_call, range(count)))


def test_threads_share_a_storage(storage: TahoeStorage) -> None:
    def use(number: int) -> str:
        name = storage.save("shared/name", ContentFile(content_of(number)))
        assert storage.exists(name)
        assert read(storage, name) == content_of(number)
        own = storage.save(f"own {number % 4}/{number}", ContentFile(b"x"))
        storage.delete(own)
        assert not storage.exists(own)
        with storage.open("rewritten", "w") as file:
            file.write(content_of(number))
        return name

    names = at_once(16, use)
    assert len(set(names)) == 16
    for each in everywhere(storage):
        assert [read(each, name) for name in names] == [
            content_of(n) for n in range(16)
        ]
        assert each.listdir("") == (
            [*(f"own {number}" for number in range(4)), "shared"],
            ["rewritten"],
        )
        assert read(each, "rewritten") in {content_of(n) for n in range(16)}


def test_threads_that_need_a_new_directory_make_one(storage: TahoeStorage) -> None:
    with requests_sent() as sent:
        at_once(8, lambda number: storage.save(f"a/b/{number}", ContentFile(b"x")))
    assert sum("t=mkdir" in line for line in sent) == 2
    assert len(storage.listdir("a/b")[1]) == 8


def test_one_open_file_is_not_mixed_up_with_another(storage: TahoeStorage) -> None:
    contents = [os.urandom(300_000) for _ in range(4)]
    for number, content in enumerate(contents):
        storage.save(str(number), ContentFile(content))

    def read_in_pieces(number: int) -> bytes:
        with storage.open(str(number % 4)) as file:
            return b"".join(file.chunks(10_000))

    assert at_once(8, read_in_pieces) == contents * 2


# Another process, at the worst moment


def test_a_delayed_listing_does_not_undo_what_another_process_did(
    storage: TahoeStorage,
    make_storage: MakeStorage,
    tahoe_grid: LocalGrid,
    tmp_path: Path,
) -> None:
    for name in ("kept", "deleted", "replaced"):
        storage.save(f"dir/{name}", ContentFile(LONG))
    # Nothing is known on this host. The caches have options of their own, so that
    # they share what is on disk, and not what is in memory.
    directory = str(tmp_path / "host")
    writer = make_storage(cache={"directory": directory})
    with Proxy(tahoe_grid.base_url) as proxy:
        reader = make_storage(
            base_url=proxy.url, cache={"directory": directory, "memory_entries": 9_999}
        )
        go_on = threading.Event()
        rule = proxy.rule(lambda seen: "t=json" in seen.target, Hold(go_on))
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(reader.listdir, "dir")
            assert rule.reached.wait(60)
            writer.delete("dir/deleted")
            writer.save("dir/saved", ContentFile(LONG))
            with writer.open("dir/replaced", "w") as file:
                file.write("anew")
            go_on.set()
            late.result(60)
        for each in (writer, *everywhere(reader)):
            assert each.exists("dir/saved")
            assert not each.exists("dir/deleted")
            assert each.size("dir/replaced") == 4
            assert read(each, "dir/replaced") == "anew"
            assert each.listdir("dir") == ([], ["kept", "replaced", "saved"])


# Forks


# Newer Pythons warn of every fork beside threads.
fork = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


def in_a_fork(work: Callable[[], object]) -> int:
    """Start a forked child that does the work, and return its pid."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return child


def wait_for(child: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@fork
def test_forks_under_load_save_and_read(storage: TahoeStorage) -> None:
    storage.save("first", ContentFile(LONG))
    stop = threading.Event()
    counts = [0] * 4

    def keep_saving(number: int) -> None:
        while not stop.is_set():
            name = f"parent/{number}/{counts[number]}"
            assert storage.save(name, ContentFile(LONG)) == name
            assert storage.size(name) == len(LONG)
            counts[number] += 1

    def in_child(number: int) -> None:
        assert read(storage, "first") == LONG.decode()
        for turn in range(4):
            name = f"child/{number}/{turn}"
            assert storage.save(name, ContentFile(content_of(turn))) == name
            assert read(storage, name) == content_of(turn)
        assert storage.exists("parent")

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(keep_saving, number) for number in range(4)]
        children = []
        for number in range(4):
            before = sum(counts)
            while sum(counts) < before + 3:
                time.sleep(0.001)
            children.append(in_a_fork(partial(in_child, number)))
        try:
            for child in children:
                wait_for(child)
        finally:
            stop.set()
        for thread in running:
            thread.result()
    for each in everywhere(storage):
        for number in range(4):
            assert each.listdir(f"child/{number}")[1] == ["0", "1", "2", "3"]
            assert len(each.listdir(f"parent/{number}")[1]) == counts[number]


@fork
def test_a_forked_child_has_connections_of_its_own(
    make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    with Proxy(tahoe_grid.base_url) as proxy:
        storage = make_storage(base_url=proxy.url, cache=False)
        storage.save("f", ContentFile(LONG))
        assert proxy.connections == 1
        wait_for(in_a_fork(lambda: storage.listdir("")))
        assert proxy.connections == 2
        assert read(storage, "f") == LONG.decode()
        assert proxy.connections == 2


SITE = """
import json, os
import django
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY="x",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    **json.loads(os.environ["TEST_SETTINGS"]),
)
django.setup()
from tahoestorage.storage import TahoeStorage

storage = TahoeStorage()
# The master has a connection, and a cache, before its workers are forked.
storage.save("preloaded", ContentFile(b"x" * 100))
assert storage.open("preloaded").read() == b"x" * 100

def upload(request):
    name = storage.save("uploads/file.bin", request.FILES["file"])
    return JsonResponse({"name": name, "pid": os.getpid()})

def download(request, name):
    return FileResponse(storage.open(name))

urlpatterns = [path("", upload), path("<path:name>", download)]
application = WSGIHandler()
"""


@pytest.fixture
def site(storage: TahoeStorage, tmp_path: Path) -> Iterator[str]:
    """The address of a site under gunicorn, loaded before its two workers fork."""
    (tmp_path / "uploading_site.py").write_text(SITE, "utf-8")
    log = tmp_path / "gunicorn.log"
    options = ["--preload", "--workers=2", "--threads=4", "--bind=127.0.0.1:0"]
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "uploading_site"],
            cwd=tmp_path,
            env=settings_of(storage),
            stdout=out,
            stderr=out,
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"Listening at: (\S+)", log.read_text("utf-8"))):
            assert server.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.05)
        yield found[1]
    finally:
        server.terminate()
        server.wait(60)


def test_workers_that_gunicorn_preloaded_serve_uploads(
    site: str, storage: TahoeStorage
) -> None:
    contents = [os.urandom(50 + 7 * number) for number in range(24)]

    def upload(number: int) -> dict[str, Any]:
        files = {"file": ("ignored.bin", contents[number])}
        response = requests.post(f"{site}/", files=files, timeout=60)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        downloaded = requests.get(f"{site}/{found['name']}", timeout=60)
        assert downloaded.content == contents[number]
        return found

    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(upload, range(len(contents))))
    assert len({response["name"] for response in responses}) == len(contents)
    assert len({response["pid"] for response in responses}) == 2
    for response, content in zip(responses, contents, strict=True):
        with storage.open(response["name"]) as file:
            assert file.read() == content


# Several storages


def test_storages_of_different_grids_and_roots_are_not_mixed_up(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, tahoe: Path, tmp_path: Path
) -> None:
    with LocalGrid(tahoe=tahoe) as other_grid:
        storages = [
            make_storage(),
            make_storage(base_cap=tahoe_grid.create_root().uri),
            make_storage(
                base_url=other_grid.base_url, base_cap=other_grid.create_root().uri
            ),
            make_storage(
                base_cap=tahoe_grid.create_root().uri,
                cache={"directory": str(tmp_path / "other cache")},
                allow_overwrite=True,
            ),
            make_storage(base_cap=tahoe_grid.create_root().uri, cache=False),
        ]

        def use(number: int) -> None:
            storage = storages[number]
            for turn in range(3):
                for name in ("f", "dir/f"):
                    content = f"{turn} of {number} " * 20
                    with storage.open(name, "w") as file:
                        file.write(content)
                    assert read(storage, name) == content
            storage.save(f"dir/{number}", ContentFile(b""))

        at_once(len(storages), use)
        for number, storage in enumerate(storages):
            assert read(storage, "dir/f") == f"2 of {number} " * 20
            assert storage.listdir("dir")[1] == [str(number), "f"]
            assert storage.listdir("")[1] == ["f"]


def test_one_directory_by_two_roots_is_known_by_both(
    storage: TahoeStorage, make_storage: MakeStorage, root: Cap
) -> None:
    storage.save("team/shared/f", ContentFile(LONG))
    listing = requests.get(
        f"{storage.options.base_url}/uri/{root.uri}?t=json", timeout=30
    ).json()
    team = make_storage(base_cap=listing[1]["children"]["team"][1]["rw_uri"])
    assert storage.listdir("team/shared") == ([], ["f"])
    team.listdir("")
    with requests_sent() as sent:
        assert team.listdir("shared") == ([], ["f"])
    assert sent == []
    team.delete("shared/f")
    team.save("shared/g", ContentFile(LONG))
    with requests_sent() as sent:
        assert storage.listdir("team/shared") == ([], ["g"])
        assert not storage.exists("team/shared/f")
    assert sent == []


def test_equal_content_from_many_at_once_is_kept_for_all(
    storage: TahoeStorage,
) -> None:
    content = os.urandom(200_000)
    together = threading.Barrier(8)

    def save(number: int) -> str:
        together.wait()
        return storage.save(f"equal/{number}", ContentFile(content))

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(save, range(8)))
    for name in names:
        with storage.open(name) as file:
            assert file.read() == content
