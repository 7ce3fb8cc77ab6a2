"""What goes on without the first gateway, and what says that it waits for it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage.care import examiner
from tahoestorage.exceptions import GatewayUnreachable
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import SMALL, UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.support import commands
from tests.support.proxy import LoseResponse, Proxy, Seen
from tests.support.redis_server import RedisServer

LONG = b"longer than a cap can hold " * 4
DOWN = "http://127.0.0.1:1"
Make = Callable[..., TahoeStorage]

pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture
def root(two_gateways: LocalGrid) -> Cap:
    return two_gateways.create_root()


@pytest.fixture
def make(two_gateways: LocalGrid, root: Cap, redis_server: RedisServer) -> Make:
    """Make storages of one root; the first of two gateways is down, unless told.

    Whoever may link an upload shares the locks in a Redis.
    """

    def make(**options: Any) -> TahoeStorage:
        usual = {
            "base_url": [DOWN, two_gateways.base_urls[1]],
            "base_cap": root.uri,
            "retries": 0,
            "cache": {"redis": redis_server.url},
        }
        return TahoeStorage(**{**usual, **options})

    # With the first file the servers are noted with the root.
    storage = make(base_url=list(two_gateways.base_urls))
    storage.save("dir/file", ContentFile(LONG))
    return make


def once(*chunks: bytes) -> UploadBody:
    given = iter(chunks)
    return UploadBody(lambda: given, repeatable=False)


def content_of(gateway: Gateway, cap: Cap) -> bytes:
    with gateway.fetch(cap, label="it") as response:
        return b"".join(gateway.blocks(response, label="it"))


def is_upload(seen: Seen) -> bool:
    return (seen.method, seen.target) == ("PUT", "/uri")


@pytest.mark.parametrize("size", [100, SMALL, 3 * SMALL])
def test_what_can_be_read_once_is_uploaded_by_the_next(make: Make, size: int) -> None:
    storage = make()
    gateways = storage.directories.gateways
    for _ in range(3):
        # Each is tried first once; that one counts as away.
        gateways._again.clear()
        content = secrets.token_bytes(size)
        half = size // 2
        cap = storage.upload("new", once(content[:half], content[half:]))
        assert content_of(gateways.all[1], cap) == content


def test_what_was_read_further_is_sent_to_no_other_and_the_next_is(
    make: Make, proxies: list[Proxy]
) -> None:
    first, second = proxies
    storage = make(base_url=[proxy.url for proxy in proxies])
    gateways = storage.directories.gateways
    first.rule(is_upload, LoseResponse(), None)
    gateways._uploads = 1
    large = [secrets.token_bytes(SMALL) for _ in range(3)]
    with pytest.raises(GatewayUnreachable, match=first.url):
        storage.upload("new", once(*large))
    assert sum(map(is_upload, second.seen)) == 0

    cap = storage.upload("new", once(*large))
    assert content_of(gateways.all[1], cap) == b"".join(large)
    assert [sum(map(is_upload, each.seen)) for each in proxies] == [1, 1]


def test_a_small_one_whose_response_is_lost_is_sent_to_the_next(
    make: Make, proxies: list[Proxy]
) -> None:
    storage = make(base_url=[proxy.url for proxy in proxies])
    proxies[0].rule(is_upload, LoseResponse(), None)
    storage.directories.gateways._uploads = 1
    cap = storage.upload("new", once(LONG))
    assert content_of(storage.directories.gateways.all[1], cap) == LONG
    assert [sum(map(is_upload, each.seen)) for each in proxies] == [1, 1]


def test_a_body_is_begun_again_only_while_its_start_alone_was_read() -> None:
    chunks = [bytes([number]) * (SMALL // 2) for number in range(4)]
    body = once(*chunks)
    body.keep_start()
    assert body.can_begin
    assert next(body.begin()) == chunks[0]
    assert body.can_begin
    sent = body.begin()
    assert [next(sent) for _ in range(3)] == chunks[:3]
    assert not body.can_begin
    assert [*sent] == chunks[3:]


def test_what_reading_the_start_raises_is_raised_as_it_is(make: Make) -> None:
    def chunks() -> Iterator[bytes]:
        yield LONG
        raise LookupError("the disk is gone")

    with pytest.raises(LookupError, match="the disk is gone"):
        make().upload("new", UploadBody(chunks, repeatable=False))


def test_a_mutable_file_is_moved_through_the_next_by_its_write_cap(
    make: Make, two_gateways: LocalGrid, root: Cap
) -> None:
    api = f"{two_gateways.base_urls[0]}/uri"
    cap = requests.put(f"{api}?format=SDMF", data=LONG, timeout=30).text
    requests.put(f"{api}/{root.uri}/changing?t=uri", data=cap, timeout=30)
    storage = make()

    assert storage.move("changing", "moved") == "moved"

    there = make(cache=False).directories.fetch(
        (), "moved", make(cache=False).directories.gateways
    )
    assert there.child is not None
    assert Cap.parse(there.child.write_reference or "").is_writable


@pytest.mark.parametrize(
    "command",
    [
        ("tahoe_check", "--repair"),
        ("tahoe_prune", "--no-writers", "--watch", "0"),
        ("tahoe_prune", "--dry-run"),
        ("tahoe_create_root", "--mark"),
        ("tahoe_root", "export", "FILE", "--passphrase-file", "PASSPHRASE"),
    ],
    ids=" ".join,
)
def test_what_waits_for_the_first_says_which_is_down_and_what_to_do(
    make: Make,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase that is long enough")
    passphrase.chmod(0o600)
    places = {"FILE": str(tmp_path / "root"), "PASSPHRASE": str(passphrase)}
    monkeypatch.setattr(examiner, "RETRY_PAUSES", ())
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": dict(make()._given),
        }
    }
    done = commands.run(*(places.get(each, each) for each in command))
    assert done.status != 0
    said = " ".join((done.out + done.err).split())
    assert f"nothing responds at {DOWN}" in said
    assert "only the first in base_url does this: start it again" in said


def test_with_one_gateway_nothing_is_said_of_others(make: Make) -> None:
    gateways = make(base_url=DOWN).directories.gateways
    error = GatewayUnreachable("nothing responds")
    assert gateways.by_the_first(error) is error
