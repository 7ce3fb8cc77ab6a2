"""Content that goes to S3 in parts, some of which are sent while the next is read."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from objects import partwise, storing
from objects.incoming import IncomingFile, Truncated
from objects.models import StoredObject, Version
from tahoestorage.backends.sentparts import PART, SentPart
from tahoestorage.exceptions import StoreError
from tests.application.stores import put, read, store_entry
from tests.support.s3_servers import s3_requests
from tests.support.s3_storages import keys, unfinished

SIZE = 5 * PART + 7
CONTENT = os.urandom(SIZE)


class SlowStore:
    """A store on S3 that has a part only once it is told to take one."""

    gzip = False

    def __init__(self, parts_in_memory: int, *, use_threads: bool = True) -> None:
        self.parts_in_memory, self.use_threads = parts_in_memory, use_threads
        self.most = 0
        """Parts that were sent at the same time."""
        self.has_begun = threading.Semaphore(0)
        """Released as each part begins."""
        self.taken: dict[int, bytes] = {}
        self.buffers: list[Any] = []
        self.fails_at = 0
        self.ended: list[str] = []
        self._sending = 0
        self._takes = threading.Semaphore(0)
        self._lock = threading.Lock()

    def take(self, parts: int) -> None:
        """Let so many parts arrive."""
        self._takes.release(parts)

    def begin_parts(self, name: str, content_type: str) -> str:
        return "upload"

    def put_part(self, name: str, upload: str, number: int, content: Any) -> SentPart:
        with self._lock:
            self._sending += 1
            self.most = max(self.most, self._sending)
        self.has_begun.release()
        assert self._takes.acquire(timeout=60)
        with self._lock:
            self._sending -= 1
            self.taken[number] = found = content[:]
            self.buffers.append(content)
        if number == self.fails_at:
            raise StoreError("It fails.")
        return SentPart(number, len(found), str(number), hashlib.sha256(found).digest())

    def complete_parts(self, name: str, upload: str, parts: list[SentPart]) -> None:
        assert not self._sending
        assert [part.number for part in parts] == [*range(1, len(parts) + 1)]
        self.ended.append("completed")

    def abort_parts(self, name: str, upload: str) -> None:
        assert not self._sending
        self.ended.append("aborted")


def incoming(size: int = SIZE) -> IncomingFile:
    return IncomingFile(io.BytesIO(CONTENT), size, "image/png")


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_no_more_parts_are_in_memory_than_the_options_say(parts: int) -> None:
    store, content = SlowStore(parts), incoming()
    saving = threading.Thread(target=partwise.save, args=(store, "a", content))
    saving.start()
    for _ in range(parts):
        assert store.has_begun.acquire(timeout=60)
    # The next one is read, and no other: these are not sent yet.
    saving.join(0.5)
    assert content.taken == min((parts + 1) * PART, SIZE)

    store.take(6)
    saving.join(60)

    assert store.ended == ["completed"]
    assert store.most == parts
    assert all(buffer.closed for buffer in store.buffers)
    assert b"".join(store.taken[number] for number in range(1, 7)) == CONTENT
    assert content.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_without_threads_none_is_sent_while_one_is_read() -> None:
    store, content = SlowStore(3, use_threads=False), incoming()
    saving = threading.Thread(target=partwise.save, args=(store, "a", content))
    saving.start()
    assert store.has_begun.acquire(timeout=60)
    saving.join(0.5)
    assert content.taken == PART

    store.take(6)
    saving.join(60)

    assert store.ended == ["completed"]


def test_memory_of_parts_that_were_sent_is_used_again() -> None:
    buffers = partwise.Buffers()
    first = buffers.take(PART)
    first.write(b"first")
    buffers.give_back(first)

    second = buffers.take(PART)

    assert second is first
    assert second.tell() == 0
    buffers.give_back(second)
    assert len(buffers.take(7)) == 7
    assert first.closed


def test_a_part_that_fails_ends_it_before_all_is_read() -> None:
    store, content = SlowStore(2), incoming()
    store.fails_at = 1
    store.take(6)

    with pytest.raises(StoreError, match="It fails"):
        partwise.save(store, "a", content)

    assert store.ended == ["aborted"]
    assert content.taken <= 4 * PART
    assert all(buffer.closed for buffer in store.buffers)


def test_content_that_breaks_off_leaves_nothing() -> None:
    store = SlowStore(2)
    store.take(6)

    with pytest.raises(Truncated):
        partwise.save(store, "a", incoming(SIZE + 1))

    assert store.ended == ["aborted"]


@pytest.fixture
def on_s3(settings: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    from django.core.files.storage import storages

    kind = getattr(request, "param", "s3")
    settings.STORAGES = {"default": store_entry(kind, tmp_path, request)}
    return storages["default"]


@pytest.mark.django_db
@pytest.mark.parametrize("on_s3", ["s3", "s3 by https"], indirect=True)
def test_s3_is_sent_the_sha256_of_each_part_and_not_read(
    user: User, on_s3: Any
) -> None:
    put(user, CONTENT, "tries-the-store.bin")
    with s3_requests(on_s3) as sent:
        version = put(user, CONTENT)

    digests = [
        each.headers["x-amz-checksum-sha256"]
        for each in sent
        if "partNumber" in each.query
    ]
    assert len(digests) == 6
    assert "GET" not in {each.method for each in sent}
    assert version.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert read(version) == CONTENT
    assert not unfinished(on_s3)


@pytest.mark.django_db
def test_a_part_that_s3_refuses_leaves_nothing(
    user: User, on_s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = on_s3.put_part

    def damaged(name: str, upload: str, number: int, content: Any) -> SentPart:
        part: SentPart = whole(name, upload, number, content)
        if number == 3:
            raise StoreError("It is lost.")
        return part

    monkeypatch.setattr(on_s3, "put_part", damaged)
    with pytest.raises(StoreError, match="It is lost"):
        put(user, CONTENT)

    assert not keys(on_s3)
    assert not unfinished(on_s3)
    assert not Version.objects.exists()
    assert not StoredObject.objects.exists()
    user.tenant.refresh_from_db()
    assert user.tenant.reserved_bytes == user.tenant.used_bytes == 0


@pytest.mark.django_db
def test_what_the_store_holds_besides_is_not_taken_for_it(
    user: User, on_s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if another's were there, or a part were mixed up.
    complete = on_s3.complete_parts

    def other(name: str, upload: str, parts: list[SentPart]) -> None:
        complete(name, upload, [*parts[:1], *parts[2:]])

    monkeypatch.setattr(on_s3, "complete_parts", other)
    with pytest.raises(storing.NotStored):
        put(user, CONTENT)

    assert not keys(on_s3)
    assert not Version.objects.exists()


@pytest.mark.django_db
def test_what_the_store_packs_is_one_stream(user: User, on_s3: Any) -> None:
    assert partwise.is_for(on_s3, SIZE)
    assert not partwise.is_for(on_s3, PART)
    on_s3.gzip = True

    assert not partwise.is_for(on_s3, SIZE)
