"""A store that looks before it takes a body, as OpenStack Swift, is never believed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.backends.s3 import S3Storage, conditions
from tahoestorage.backends.s3.heldbody import HeldBody, begins_a_held_body
from tahoestorage.backends.s3.storage import DAY
from tahoestorage.exceptions import NotConditional
from tests.support.proxy import HoldRequest, Proxy, Seen, SendResponse
from tests.support.s3_servers import S3Server, s3_requests
from tests.support.s3_storages import MakeS3, keys, read, save, unfinished
from tests.support.swift_like import SwiftLike

LARGE = bytes(9 << 20)
CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code></Error>"


@pytest.fixture
def swift(moto: S3Server) -> Iterator[SwiftLike]:
    """A Swift whose name something before it has taken out of the responses."""
    with SwiftLike(moto.endpoint_url, names_itself=False) as swift:
        yield swift


def honours(storage: S3Storage, key: str = f"dir/{TRIAL}") -> bool:
    """Make the trial, as a process does that knows nothing."""
    return conditions.S3Trial(storage, key, "a trial").honours("PutObject")


def test_one_round_shows_it_each_time(make_s3: MakeS3, swift: SwiftLike) -> None:
    storage = make_s3(endpoint_url=swift.url, cache=False)
    for _ in range(20):
        with s3_requests(storage) as sent:
            assert not honours(storage)
        assert [each.method for each in sent] == ["PUT", "PUT", "DELETE", "DELETE"]
    assert keys(storage) == []


def test_one_after_another_is_refused_there(make_s3: MakeS3, swift: SwiftLike) -> None:
    storage = make_s3(endpoint_url=swift.url, cache=False, conditional_writes=True)
    assert save(storage, "a", b"one") == "a"
    second = save(storage, "a", b"two")
    assert second != "a"
    assert storage.copy("a", "b") == "b"
    assert [read(storage, name) for name in ("a", second, "b")] == [
        b"one",
        b"two",
        b"one",
    ]


@pytest.mark.parametrize("names_itself", [True, False])
def test_where_bodies_come_whole_its_name_tells(
    make_s3: MakeS3, moto: S3Server, names_itself: bool
) -> None:
    swift = SwiftLike(moto.endpoint_url, names_itself=names_itself, buffered=True)
    with swift:
        storage = make_s3(endpoint_url=swift.url, cache=False)
        assert honours(storage) is not names_itself
        assert storage.conditional(thorough=True) is not names_itself
        trusted = make_s3(endpoint_url=swift.url, conditional_writes=True)
        assert save(trusted, "a") == "a"
    assert keys(make_s3()) == ["a"]


def exclusively(storage: S3Storage) -> None:
    with storage.open("new", "xb") as file:
        file.write(b"x")


WAYS: dict[str, Callable[[S3Storage], object]] = {
    "save": lambda storage: save(storage, "new"),
    "save in parts": lambda storage: save(storage, "new", LARGE),
    "open xb": exclusively,
    "upload_url": lambda storage: storage.upload_url("new", "text/plain", 1),
    "copy": lambda storage: storage.copy("there", "new"),
    "copy of what is large": lambda storage: storage.copy("large", "new"),
    "move": lambda storage: storage.move("there", "new"),
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_could_overwrite_is_done(
    make_s3: MakeS3, swift: SwiftLike, way: str
) -> None:
    direct = make_s3(cache=False)
    save(direct, "there", b"one")
    save(direct, "large", LARGE)
    # Of another process, with nothing in memory, and of one more, with the cache.
    each: list[dict[str, Any]] = [{"cache": False}, {}, {}]
    for options in each:
        storage = make_s3(endpoint_url=swift.url, **options)
        storage._clients.honoured.clear()
        with pytest.raises(NotConditional):
            WAYS[way](storage)
        assert not storage.conditional()
        assert not storage.conditional(thorough=True)
    assert keys(direct) == ["large", "there"]
    assert read(direct, "there") == b"one"
    assert unfinished(direct) == []


@pytest.mark.parametrize("tried", ["", ", several at once"])
def test_what_older_releases_believed_is_tried_again(
    make_s3: MakeS3, swift: SwiftLike, tried: str
) -> None:
    storage = make_s3(endpoint_url=swift.url)
    entries, namespace = storage._entries, storage._namespace.item("conditions:")
    ticket = entries.ticket()
    entries.keep_text(ticket, namespace, f"PutObject{tried}", "honoured", DAY)
    assert entries.text(namespace, f"PutObject{tried}", DAY) == "honoured"
    assert not storage.conditional()


# Stores that are to be believed


def is_held(seen: Seen) -> bool:
    return TRIAL in seen.path and "expect" in seen.headers


def is_whole(seen: Seen) -> bool:
    return TRIAL in seen.path and seen.method == "PUT" and not is_held(seen)


def test_a_store_that_locks_the_name_meanwhile(
    make_strict_s3: MakeS3, weed: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As MinIO does: the other one waits, here for the first to be done.
    monkeypatch.setattr(conditions, "_HELD", 0.2)
    with Proxy(weed.endpoint_url) as proxy:
        done = threading.Event()
        proxy.rule(is_whole, HoldRequest(done))

        def unlock() -> None:
            until = time.monotonic() + 60
            while not any(is_held(each) and each.status for each in proxy.seen):
                assert time.monotonic() < until
                time.sleep(0.01)
            done.set()

        unlocks = threading.Thread(target=unlock)
        unlocks.start()
        storage = make_strict_s3(endpoint_url=proxy.url, cache=False)
        assert honours(storage)
        unlocks.join()
        # It is not made to wait again.
        assert sum(map(is_held, proxy.seen)) == 1
        assert keys(storage) == []


def test_a_store_that_refuses_the_other_one_meanwhile(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    with Proxy(weed.endpoint_url) as proxy:
        proxy.rule(is_whole, SendResponse(409, {}, CONFLICT), times=3)
        storage = make_strict_s3(endpoint_url=proxy.url, cache=False)
        assert honours(storage)
        # It could have been for the trial of another process, so that is done again.
        assert sum(map(is_held, proxy.seen)) == 3
        assert keys(storage) == []


# The body


def test_a_body_is_held_while_it_is_sent_and_not_while_it_is_read_before() -> None:
    body = HeldBody(b"0123456789", 60.0)
    assert not begins_a_held_body()
    with body.sent_by_this_thread():
        for _ in range(2):
            # For the digest, also of a second attempt.
            assert body.read() == b"0123456789"
            body.seek(0)
            assert begins_a_held_body()
            assert body.read(1 << 20) == b"01234"
            assert not body.begun.is_set()
            body.seek(0)
    assert body.begun.is_set()
    body.begin()
    body.seek(5)
    body.begin()
    body.release()
    assert body.read() == b"56789"
    assert not body.is_overdue


def test_a_body_that_nobody_releases_is_sent_all_the_same() -> None:
    body = HeldBody(b"0123456789", 0.01)
    body.begin()
    assert body.read(4096) + body.read(4096) + body.read(4096) == b"0123456789"
    assert body.is_overdue
