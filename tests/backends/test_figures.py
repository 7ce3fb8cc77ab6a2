"""The figures that are promised, as far as they are counts and bytes.

Requests are counted by the debug log; that it tells the truth is seen from outside.
"""

from __future__ import annotations

import base64
import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage, is_guard, requests_sent
from tests.support.proxy import Proxy, Seen

LONG = b"longer than a cap can hold " * 4
KIB, MIB = 1 << 10, 1 << 20
DEEP = "one/two/three/four/five/file.bin"

START = (
    """
import gc, json, logging, os, sys
from urllib.parse import quote
import django
from django.conf import settings

settings.configure(**json.loads(os.environ["TEST_SETTINGS"]))
django.setup()
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker

sent = []
class Recorder(logging.Handler):
    def emit(self, record):
        if not is_guard(line := record.getMessage()):
            sent.append(line)

def count_requests():
    logger = logging.getLogger("tahoestorage.gateway")
    logger.addHandler(Recorder())
    logger.setLevel(logging.DEBUG)

def memory(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if what in line)

class Peak:
    # How much more memory the process had at any moment than before.
    def __enter__(self):
        gc.collect()
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")
        self.before = memory("VmRSS")
        return self
    def __exit__(self, *error):
        self.grown = memory("VmHWM") - self.before

"""
    + inspect.getsource(is_guard)
    + """
storage = TahoeStorage()
"""
)


def in_a_new_process(storage: TahoeStorage, script: str) -> Any:
    """Run a script with a storage like this one, and return what it prints as JSON."""
    options = storage.options
    assert options.cache is not None
    settings = {
        "TAHOE_STORAGE_BASE_URL": options.base_url,
        "TAHOE_STORAGE_BASE_CAP": options.root.uri,
        "TAHOE_PUBLIC_BASE_URL": options.public_base_url,
        "TAHOE_STORAGE_CACHE": {"directory": str(options.cache.directory)},
    }
    said = subprocess.run(
        [sys.executable, "-P", "-c", START + textwrap.dedent(script)],
        env={**os.environ, "TEST_SETTINGS": json.dumps(settings)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=280,
    ).stdout
    return json.loads(said)


def made_up_cap(size: int) -> str:
    """A cap that reads nothing; a listing does not look at that."""
    key, digest = (
        base64.b32encode(os.urandom(length)).decode().lower().rstrip("=")
        for length in (16, 32)
    )
    return f"URI:CHK:{key}:{digest}:1:1:{size}"


def fill(storage: TahoeStorage, path: str, count: int) -> list[str]:
    """Link files in a new directory by one request, and return their names."""
    base = f"{storage.options.base_url}/uri"
    names = [f"file-{number:05}.jpg" for number in range(count)]
    children = {
        name: ["filenode", {"ro_uri": made_up_cap(number)}]
        for number, name in enumerate(names)
    }
    cap = requests.post(f"{base}?t=mkdir", timeout=60).text
    root = storage.options.root.uri
    for method, target, data in (
        ("POST", f"{cap}?t=set_children", json.dumps(children)),
        ("PUT", f"{root}/{path}?t=uri", cap),
    ):
        response = requests.request(method, f"{base}/{target}", data=data, timeout=60)
        response.raise_for_status()
    return [f"{path}/{name}" for name in names]


# Requests


@pytest.fixture(scope="module")
def deep_root(tahoe_grid: LocalGrid) -> Cap:
    """A root with a file six levels down."""
    root = tahoe_grid.create_root()
    storage = TahoeStorage(base_url=tahoe_grid.base_url, base_cap=root.uri, cache=False)
    storage.save(DEEP, ContentFile(LONG))
    return root


@pytest.mark.parametrize("method", ["exists", "size", "url", "open"])
def test_a_cold_cache_resolves_six_levels_by_one_request(
    make_storage: MakeStorage, deep_root: Cap, method: str
) -> None:
    storage = make_storage(base_cap=deep_root.uri)
    with requests_sent() as sent:
        getattr(storage, method)(DEEP)
    assert sent.verbs == ["GET"]


def test_a_directory_of_1000_is_asked_for_once(storage: TahoeStorage) -> None:
    names = fill(storage, "many", 1000)
    with requests_sent() as sent:
        for number, name in enumerate(names):
            assert storage.exists(name)
            assert storage.size(name) == number
            assert storage.url(name).endswith(name.rpartition("/")[2])
            assert storage.get_created_time(name) <= storage.get_modified_time(name)
        assert len(storage.listdir("many")[1]) == 1000
        assert not storage.exists("many/missing")
    assert sent.verbs == ["GET"]

    found = in_a_new_process(
        storage,
        """
        count_requests()
        names = ["many/" + name for name in storage.listdir("many")[1]]
        for number, name in enumerate(names):
            assert storage.exists(name) and storage.size(name) == number
            assert storage.url(name)
            assert storage.get_created_time(name) and storage.get_modified_time(name)
        print(json.dumps([len(names), len(sent)]))
        """,
    )
    assert found == [1000, 0]


def test_saving_into_a_known_directory_is_two_requests(storage: TahoeStorage) -> None:
    storage.save("dir/first", ContentFile(LONG))
    storage.listdir("dir")
    for content, verbs in ((LONG, ["PUT", "POST"]), (b"literal", ["POST"])):
        with requests_sent() as sent:
            storage.save(f"dir/{len(content)}", ContentFile(content))
        assert sent.verbs == verbs


def test_a_directory_just_made_is_known_to_be_empty(storage: TahoeStorage) -> None:
    for name, verbs in (("new/a", ["PUT", "POST", "POST"]), ("new/b", ["PUT", "POST"])):
        storage.listdir("")
        with requests_sent() as sent:
            storage.save(name, ContentFile(LONG))
        assert sent.verbs == verbs


def test_a_new_process_saves_into_a_known_directory_as_well(
    storage: TahoeStorage,
) -> None:
    storage.save("dir/sub/first", ContentFile(LONG))
    storage.listdir("dir/sub")
    sent = in_a_new_process(
        storage,
        """
        from django.core.files.base import ContentFile
        count_requests()
        storage.save("dir/sub/second", ContentFile(b"x" * 100))
        print(json.dumps([line.split()[0] for line in sent]))
        """,
    )
    assert sent == ["PUT", "POST"]


@pytest.mark.parametrize("known", [True, False])
def test_a_taken_name_is_two_requests_more_and_none_with_the_content(
    make_storage: MakeStorage, tmp_path: Path, tahoe_grid: LocalGrid, known: bool
) -> None:
    with Proxy(tahoe_grid.base_url) as proxy:
        storage = make_storage(base_url=proxy.url)
        storage.save("dir/first", ContentFile(LONG))
        storage.listdir("dir")
        stranger = make_storage(cache={"directory": str(tmp_path / "another host")})
        (storage if known else stranger).save("dir/taken", ContentFile(LONG))
        proxy.clear()
        content = os.urandom(100 * KIB)
        with requests_sent() as sent:
            assert storage.save("dir/taken", ContentFile(content)) != "dir/taken"
        assert len(sent) <= 2 + 2
        assert [seen.method for seen in proxy.seen] == sent.verbs
        bodies = [seen.sent for seen in proxy.seen]
        assert sum(size >= len(content) for size in bodies) == 1
        assert sum(bodies) < len(content) + 2 * KIB


def test_deleting_is_two_requests(storage: TahoeStorage) -> None:
    storage.save("dir/f", ContentFile(LONG))
    with requests_sent() as sent:
        storage.delete("dir/f")
    assert sent.verbs == ["GET", "DELETE"]


def test_deleting_among_1000_names_reads_none_of_the_others(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path
) -> None:
    one, two, three, *_ = fill(storage, "a/many", 1000)
    with Proxy(storage.options.base_url) as proxy:
        cold = make_storage(base_url=proxy.url, cache={"directory": str(tmp_path)})
        for name, verbs in (
            # The directory's cap, the link, and then it is gone.
            (one, ["GET", "GET", "DELETE"]),
            (two, ["GET", "DELETE"]),
            (two, ["GET"]),
            ("a/many/missing", ["GET"]),
            ("a/none/missing", ["GET"]),
        ):
            proxy.clear()
            with requests_sent() as sent:
                cold.delete(name)
            proxy.settle()
            assert sent.verbs == verbs
            # The guards' among them: the page of servers, and the root's marker.
            assert sum(seen.received for seen in proxy.seen) <= 8 * KIB
        # Of what is known nothing is unlearned either.
        cold.listdir("a/many")
        proxy.clear()
        cold.delete(three)
        assert three.rpartition("/")[2] not in cold.listdir("a/many")[1]
        proxy.settle()
        assert sum(seen.received for seen in proxy.seen) <= 8 * KIB
    left = storage.listdir("a/many")[1]
    assert len(left) == 997


def test_reading_a_known_small_file_is_one_request(storage: TahoeStorage) -> None:
    for content, verbs in ((LONG, ["GET"]), (b"literal", [])):
        name = storage.save("dir/f", ContentFile(content))
        assert storage.exists(name)
        with requests_sent() as sent, storage.open(name) as file:
            assert file.read() == content
        assert sent.verbs == verbs


def test_the_log_tells_of_every_request(
    make_storage: MakeStorage, tahoe_grid: LocalGrid
) -> None:
    def line(seen: Seen) -> tuple[str, str]:
        return seen.method, str(seen.status)

    with Proxy(tahoe_grid.base_url) as proxy:
        storage = make_storage(base_url=proxy.url)
        with requests_sent() as sent:
            for _ in range(2):
                name = storage.save("a/b/f", ContentFile(LONG))
                with storage.open(name) as file:
                    file.read()
                    file.seek(3)
                    file.read(1)
                storage.listdir("a")
                storage.get_modified_time(name)
                with storage.open(name, "wb") as file:
                    file.write(LONG * 2)
            storage.delete(name)
            assert not storage.exists(name)
        proxy.settle()
        logged = [(line.split()[0], line.split()[-3]) for line in sent]
        # Directories are made while the file is uploaded: in any order.
        assert sorted(logged) == sorted(line(seen) for seen in proxy.seen)
    assert len(sent) > 9


# Memory


def test_the_first_look_into_10000_files_takes_little_memory(
    storage: TahoeStorage,
) -> None:
    fill(storage, "small", 10)
    fill(storage, "huge", 10_000)
    found = in_a_new_process(
        storage,
        """
        assert storage.url("small/file-00001.jpg")
        count_requests()
        with Peak() as peak:
            assert storage.exists("huge/file-00001.jpg")
        first = len(sent)
        assert storage.size("huge/file-09999.jpg") == 9999
        assert not storage.exists("huge/file-10000.jpg")
        print(json.dumps([peak.grown, first, len(sent)]))
        """,
    )
    assert found[0] <= 32 * MIB
    assert found[1:] == [1, 1]


def test_a_large_file_passes_in_constant_memory_and_is_read_in_parts(
    storage: TahoeStorage, make_storage: MakeStorage
) -> None:
    # Sixteen times what it may take. Each MiB of the file begins with its number.
    grown = in_a_new_process(
        storage,
        """
        from django.core.files.base import ContentFile

        MIB = 1 << 20
        rest = os.urandom(MIB - 8)

        class Content:
            def chunks(self):
                for number in range(256):
                    yield number.to_bytes(8, "big") + rest

        storage.save("small", ContentFile(b"x" * 3 * MIB))
        with storage.open("small") as file:
            assert len(file.read(3 * MIB)) == 3 * MIB
        with Peak() as up:
            storage.save("giant", Content())
        with Peak() as down, storage.open("giant") as file:
            for number in range(256):
                block = file.read(MIB)
                assert block[:8] == number.to_bytes(8, "big") and block[8:] == rest
            assert file.read(1) == b""
        print(json.dumps([up.grown, down.grown]))
        """,
    )
    assert storage.size("giant") == 256 * MIB
    assert max(grown) <= 16 * MIB

    with Proxy(storage.options.base_url) as proxy:
        with make_storage(base_url=proxy.url).open("giant") as file:
            file.seek(225 * MIB)
            block = file.read(KIB)
        proxy.settle()
        assert block[:8] == (225).to_bytes(8, "big")
        assert len(block) == KIB
        assert sum(seen.received for seen in proxy.seen) <= 512 * KIB


# Imports


def test_importing_the_storage_imports_nothing_of_other_stores() -> None:
    script = (
        "import sys, tahoestorage.storage\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    said = subprocess.check_output([sys.executable, "-P", "-c", script], text=True)
    imported = set(said.split())
    assert "tahoestorage" in imported
    others = {
        "boto3",
        "botocore",
        "google",
        "storages",
        "redis",
        "allmydata",
        "twisted",
    }
    assert not imported & (others | {"rich", "pytest", "PIL"})
