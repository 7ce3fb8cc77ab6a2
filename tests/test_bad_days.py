"""Bad days in small, of the kinds that no other test has; `make chaos` has them large.

`docs/reliability.md` names the test for each kind.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.exceptions import DamagedDownload, NotEnoughShares
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support import commands
from tests.support.nginx_server import public_proxy
from tests.support.old_release import Worker
from tests.support.proxy import Hold, HoldRequest, Proxy, Seen, Stall

LONG = b"longer than a cap can hold " * 40
CLIENTS, SIZE = 40, 3_000_000  # more than the kernel takes for a client
HANG = 0.5  # seconds
PATIENCE = 60  # seconds; only an error takes so long


@pytest.fixture
def on_four(four_servers: LocalGrid) -> TahoeStorage:
    """A storage on four servers, of which any two restore a file."""
    cap = four_servers.create_root().uri
    return TahoeStorage(base_url=four_servers.base_url, base_cap=cap, cache=False)


def read(storage: TahoeStorage, name: str) -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def test_slow_clients_hold_up_nobody_and_get_what_they_asked_for(
    make_storage: MakeStorage, tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    content = os.urandom(SIZE)
    with public_proxy(tmp_path, tahoe_grid.base_url) as proxy:
        storage = make_storage(public_base_url=proxy.url)
        url = urlsplit(storage.url(storage.save("slow", ContentFile(content))))
        with contextlib.ExitStack() as stack:
            begun = []
            for _ in range(CLIENTS):
                client = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
                stack.callback(client.close)
                client.request("GET", url.path)
                response = client.getresponse()
                begun.append((response.read(1), response))

            storage.save("quick", ContentFile(LONG))
            other = urlsplit(storage.url("quick"))
            visitor = http.client.HTTPConnection(other.netloc, timeout=PATIENCE)
            stack.callback(visitor.close)
            visitor.request("GET", other.path)

            assert read(storage, "quick") == visitor.getresponse().read() == LONG
            for first, response in begun:
                assert first + response.read() == content


SETUP = """
import django
from django.conf import settings
from django.core.files.base import ContentFile
settings.configure(USE_TZ=True, INSTALLED_APPS=["tahoestorage"])
django.setup()
from tahoestorage.storage import TahoeStorage
"""


def is_upload(seen: Seen) -> bool:
    return seen.method == "PUT"


def is_link(seen: Seen) -> bool:
    return "t=set_children" in seen.target


@pytest.mark.parametrize("moment", ["in the upload", "before the link", "after it"])
def test_of_a_worker_that_is_killed_in_a_save_nothing_half_is_seen(
    moment: str, storage: TahoeStorage, proxy: Proxy
) -> None:
    storage.save("d/kept", ContentFile(LONG))
    released = threading.Event()
    rule = proxy.rule(
        is_upload if moment == "in the upload" else is_link,
        Hold(released) if moment == "after it" else HoldRequest(released),
    )
    worker = Worker(None, SETUP)
    try:
        given = {"base_url": proxy.url, "base_cap": storage.options.root.uri}
        worker.run(f"storage = TahoeStorage(cache=False, **{given!r})")
        save = f"storage.save('d/new', ContentFile({LONG!r} + b'new'))"
        print(json.dumps(save), file=worker.process.stdin, flush=True)
        assert rule.reached.wait(PATIENCE)
    finally:
        worker.end()
        released.set()
    proxy.settle()

    fresh = TahoeStorage(**{**storage._given, "cache": False})
    found = read(fresh, "d/new") if fresh.exists("d/new") else None
    assert found in (None, LONG + b"new")
    if moment != "before the link":
        assert (found is None) == (moment == "in the upload")
    # It has left nothing that holds others up.
    name = fresh.save("d/new", ContentFile(LONG))
    assert (name == "d/new") == (found is None)
    assert read(fresh, name) == read(fresh, "d/kept") == LONG


@contextlib.contextmanager
def hanging(pids: Sequence[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_save_while_storage_servers_hang_is_done_once_they_go_on(
    count: int, on_four: TahoeStorage, four_servers: LocalGrid
) -> None:
    on_four.save("d/before", ContentFile(LONG))
    saved: list[str] = []
    with Proxy(four_servers.base_url) as proxy:
        beside = TahoeStorage(**{**on_four._given, "base_url": proxy.url})

        def save() -> None:
            saved.append(beside.save("d/meanwhile", ContentFile(LONG + b"2")))

        saving = threading.Thread(target=save)
        _, *servers = four_servers.pids
        with hanging(servers[:count]):
            rule = proxy.rule(lambda seen: True, Stall(0.0))
            saving.start()
            assert rule.reached.wait(PATIENCE)
            # So long they hang.
            saving.join(HANG)
        saving.join()
    assert saved == ["d/meanwhile"]
    for name, content in (("d/before", LONG), ("d/meanwhile", LONG + b"2")):
        assert read(on_four, name) == content


def test_nothing_is_read_while_too_many_servers_are_away_and_all_is_after_that(
    on_four: TahoeStorage, four_servers: LocalGrid
) -> None:
    on_four.save("d/file", ContentFile(LONG))
    for server in range(3):
        four_servers.stop_server(server)
    try:
        for ask in (on_four.exists, on_four.size, lambda name: read(on_four, name)):
            with pytest.raises(NotEnoughShares):
                ask("d/file")
    finally:
        for server in range(3):
            four_servers.start_server(server)
    assert read(on_four, "d/file") == LONG


def test_damaged_shares_are_read_around_and_too_many_are_an_error_until_mended(
    on_four: TahoeStorage, four_servers: LocalGrid
) -> None:
    content = os.urandom(3000)
    body = UploadBody(lambda: [content], repeatable=True)
    before = set(four_servers.directory.glob("server-*/storage/shares/*/*/*"))
    cap = on_four.upload("d/file", body)
    after = set(four_servers.directory.glob("server-*/storage/shares/*/*/*"))
    on_four.link("d/file", cap, "false")
    shares = {share: share.read_bytes() for share in sorted(after - before)}
    assert len(shares) == 4

    for number, (share, whole) in enumerate(shares.items()):
        if number == 3:
            break
        share.write_bytes(whole[:100] + bytes(len(whole) - 100))
        if number == 0:
            assert read(on_four, "d/file") == content
    with pytest.raises((NotEnoughShares, DamagedDownload)):
        read(on_four, "d/file")
    assert on_four.exists("d/file")
    for share, whole in shares.items():
        share.write_bytes(whole)

    assert read(on_four, "d/file") == content


def test_checks_and_repairs_beside_saves_find_all_whole_and_disturb_none(
    make_storage: MakeStorage, settings: Settings, tmp_path: Path, root: Cap
) -> None:
    storage = make_storage()
    entry = {
        "BACKEND": "tahoestorage.storage.TahoeStorage",
        "OPTIONS": dict(storage._given),
    }
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    storage.save("d/first", ContentFile(LONG))
    made: list[commands.Made] = []
    is_over = threading.Event()

    def check() -> None:
        arguments = ("--repair", "--restart", "--state", str(tmp_path / "state"))
        while len(made) < 2 or not is_over.is_set():
            made.append(commands.run("tahoe_check", *arguments))

    checking = threading.Thread(target=check)
    checking.start()
    try:
        for number in range(8):
            storage.save(f"d/{number}", ContentFile(LONG + bytes([number])))
    finally:
        is_over.set()
        checking.join()

    assert {each.status for each in made} == {0}
    fresh = make_storage(cache=False)
    for number in range(8):
        assert read(fresh, f"d/{number}") == LONG + bytes([number])
