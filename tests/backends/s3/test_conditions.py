"""Trials of stores of S3's kind: several write at once, and just one may succeed."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.test import override_settings

from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.backends.s3 import S3Storage, conditions
from tahoestorage.exceptions import (
    NameTaken,
    NotConditional,
    StoreError,
    StoreForbids,
)
from tests.support.proxy import Proxy, Seen, SendResponse
from tests.support.s3_servers import S3Server, s3_requests
from tests.support.s3_storages import MakeS3, keys, read, save, storages_of, unfinished

FORBIDDEN = SendResponse(403, {}, b"<Error><Code>AccessDenied</Code></Error>")
REFUSED = SendResponse(412, {}, b"<Error><Code>PreconditionFailed</Code></Error>")


@pytest.fixture
def make_s3(moto: S3Server, tmp_path: Path) -> MakeS3:
    """Make storages of one bucket on moto, which is tried by itself."""
    return storages_of(moto, tmp_path, untried=True)


@pytest.fixture
def make_strict_s3(weed: S3Server, tmp_path: Path) -> MakeS3:
    """Make storages of one bucket on SeaweedFS, which is tried by itself."""
    return storages_of(weed, tmp_path, untried=True)


@pytest.fixture
def proxy(weed: S3Server) -> Iterator[Proxy]:
    """A proxy before SeaweedFS."""
    with Proxy(weed.endpoint_url) as proxy:
        yield proxy


@contextlib.contextmanager
def letting_several_through(storage: S3Storage, operation: str) -> Iterator[None]:
    """Let the store refuse one after another only: it looks first and writes later.

    Of those that come at once, it sees the condition of the first alone. It looks once
    a body has come whole, so that one that is held shows nothing.
    """
    events = storage.connection.meta.client.meta.events
    usual, lock, landed = conditions.S3Trial._race, threading.Lock(), threading.Event()
    first: int | None = None
    racing = False

    def race(self: conditions.S3Trial, *arguments: Any) -> Any:
        nonlocal first, racing
        landed.clear()
        held = isinstance(arguments[0], functools.partial)
        first, racing = None, not held
        try:
            return usual(self, *arguments)
        finally:
            racing = False

    def created(request: Any, **kwargs: Any) -> None:
        nonlocal first
        here = threading.get_ident()
        with lock:
            if racing and first is None:
                first = here
        if racing and first != here:
            # After the first one, so that both are told that they have done it.
            assert landed.wait(60)
            del request.headers["If-None-Match"]

    def done(**kwargs: Any) -> None:
        if threading.get_ident() == first:
            landed.set()

    events.register(f"request-created.s3.{operation}", created)
    events.register(f"needs-retry.s3.{operation}", done)
    try:
        with mock.patch.object(conditions.S3Trial, "_race", race):
            yield
    finally:
        events.unregister(f"request-created.s3.{operation}", created)
        events.unregister(f"needs-retry.s3.{operation}", done)


def test_a_store_that_lets_several_through_at_once_is_found_out(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    storage = make_strict_s3(bucket_name=weed.make_bucket(untried=True), cache=False)
    with letting_several_through(storage, "PutObject"):
        # One after another it refuses.
        trusted = make_strict_s3(
            bucket_name=storage.bucket_name, conditional_writes=True
        )
        with trusted.open("a", "xb") as file:
            file.write(b"one")
            save(trusted, "a", b"two")
            with pytest.raises(NameTaken):
                file.close()
            file.discard()  # type: ignore[attr-defined]
        assert not storage.conditional()
        assert not storage.conditional(thorough=True)
        with pytest.raises(NotConditional, match=r"b: .*several at once"):
            save(storage, "b")
    assert keys(storage) == ["a"]


def test_what_was_believed_is_not_believed_by_a_thorough_trial(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    storage = make_strict_s3(bucket_name=weed.make_bucket(untried=True))
    assert storage.conditional()
    with letting_several_through(storage, "PutObject"):
        assert storage.conditional()
        assert not storage.conditional(thorough=True)
        storage._clients.honoured.clear()
        assert not storage.conditional()


def test_the_trial_is_beside_the_file(make_strict_s3: MakeS3, proxy: Proxy) -> None:
    storage = make_strict_s3(endpoint_url=proxy.url, cache=False)
    below = f"/{storage.bucket_name}/uploads/"
    proxy.rule(lambda seen: not seen.path.startswith(below), FORBIDDEN, times=None)
    assert save(storage, "uploads/a.txt") == "uploads/a.txt"
    storage.copy("uploads/a.txt", "uploads/b.txt")
    with pytest.raises(StoreForbids):
        save(storage, "elsewhere/a.txt")


def test_where_nothing_may_be_deleted_one_hidden_object_remains(
    make_strict_s3: MakeS3, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make_strict_s3(endpoint_url=proxy.url, cache=False)
    # Each finds that of the one before, and long after.
    monkeypatch.setattr(conditions, "_LEFT_BEHIND", -1.0)

    def deletes(seen: Seen) -> bool:
        return seen.method == "DELETE" and "uploadId" not in seen.target

    proxy.rule(deletes, FORBIDDEN, times=None)
    for number in range(3):
        # Each time as another container would, with a cache of its own.
        storage._clients.honoured.clear()
        # After the first round nothing can be tried any more: nothing is proven.
        with pytest.raises(NotConditional, match=r"deleted.*conditional_writes"):
            save(storage, f"dir/{number}")
        assert not storage._honours("CopyObject", "a", "dir/a")
        assert not storage.conditional(thorough=True)
    trusted = make_strict_s3(
        endpoint_url=proxy.url, cache=False, conditional_writes=True
    )
    names = sorted(f"{copy}{number}" for copy in ("", "copy-") for number in range(3))
    for number in range(3):
        assert save(trusted, f"dir/{number}") == f"dir/{number}"
        assert trusted.copy(f"dir/{number}", f"dir/copy-{number}")
    assert sorted(keys(storage)) == sorted(
        [TRIAL, f"dir/{TRIAL}", *(f"dir/{name}" for name in names)]
    )
    # No listing shows it, and so nobody copies it.
    assert sorted(storage.listdir("dir")[1]) == names
    assert sorted(name for name, _ in storage.listed()) == [f"dir/{n}" for n in names]
    assert unfinished(storage) == []


def test_what_a_trial_left_behind_is_used_and_deleted(
    make_strict_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make_strict_s3(cache=False)
    storage.client.put_object(
        Bucket=storage.bucket_name,
        Key=f"dir/{TRIAL}",
        Metadata={conditions.MARK: "of another process"},
    )
    monkeypatch.setattr(conditions, "_LEFT_BEHIND", -1.0)
    assert save(storage, "dir/a") == "dir/a"
    assert keys(storage) == ["dir/a"]


def test_a_file_that_has_the_name_of_the_trial_stays(
    make_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make_s3(cache=False)
    # As another program saved it.
    storage.client.put_object(Bucket=storage.bucket_name, Key=f"dir/{TRIAL}")
    monkeypatch.setattr(conditions, "_LEFT_BEHIND", -1.0)
    with pytest.raises(NotConditional, match="nothing is proven"):
        save(storage, "dir/a")
    assert keys(storage) == [f"dir/{TRIAL}"]


def test_parts_are_not_believed_where_whole_objects_are_not(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    storage = make_strict_s3(bucket_name=weed.make_bucket(untried=True), cache=False)
    # So Swift does: parts that are completed at once pass the trial at times.
    storage._clients.honoured[storage.bucket_name, "CompleteMultipartUpload"] = True
    with (
        letting_several_through(storage, "PutObject"),
        pytest.raises(NotConditional, match="PutObject"),
    ):
        save(storage, "large", bytes(9 << 20))
    assert keys(storage) == []
    assert unfinished(storage) == []


def test_nobody_waits_for_ever_for_a_thread_that_does_not_come(
    s3: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = conditions.S3Trial(s3, TRIAL, "a")
    come = threading.Event()

    def attempt(key: str, start: threading.Barrier) -> conditions.S3Response:
        if come.is_set():
            start.wait()
        come.set()
        return {}

    monkeypatch.setattr(conditions, "_TOGETHER", 0.1)
    with pytest.raises(StoreError, match=r"a: .*several at once"):
        trial._race(attempt, TRIAL, 2)


def test_nobody_waits_for_a_thread_that_can_not_be_started(
    s3: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, start, count = conditions.S3Trial(s3, TRIAL, "a"), threading.Thread.start, 0

    def once(thread: threading.Thread) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", once)
    with pytest.raises(StoreError, match=r"a: .*a thread could not be started"):
        trial._race(trial._put, TRIAL, 2)
    assert keys(s3) == []


def test_nothing_is_left_in_a_bucket_with_versions(
    make_s3: MakeS3, moto: S3Server
) -> None:
    storage = make_s3(bucket_name=moto.make_bucket(untried=True), cache=False)
    client = moto.client()
    client.put_bucket_versioning(
        Bucket=storage.bucket_name, VersioningConfiguration={"Status": "Enabled"}
    )
    save(storage, "dir/a")
    storage.copy("dir/a", "dir/b")
    found = client.list_object_versions(Bucket=storage.bucket_name)
    client.close()
    assert sorted(each["Key"] for each in found["Versions"]) == ["dir/a", "dir/b"]
    assert "DeleteMarkers" not in found


def test_threads_and_processes_that_try_at_once_all_get_it_right(
    make_strict_s3: MakeS3,
) -> None:
    storage = make_strict_s3(cache=False)
    found: list[bool] = []

    def trial() -> None:
        # Past what is known: as another process does.
        one = conditions.S3Trial(storage, TRIAL, "a trial")
        found.append(one.honours("PutObject"))

    threads = [threading.Thread(target=trial) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 6
    assert keys(storage) == []


def test_the_operator_s_word_is_believed(make_strict_s3: MakeS3) -> None:
    with override_settings(AWS_S3_CONDITIONAL_WRITES=True):
        storage = make_strict_s3(cache=False)
    # Whatever another storage found out by a trial.
    storage._clients.honoured[storage.bucket_name, "PutObject"] = False
    with s3_requests(storage) as sent:
        save(storage, "a")
        storage.copy("a", "b")
    assert all(TRIAL not in each.key for each in sent)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("parts", [True, False])
def test_copies_where_the_store_refuses_them_for_free_names(
    make_strict_s3: MakeS3, proxy: Proxy, trusted: bool, parts: bool
) -> None:
    def copies(seen: Seen) -> bool:
        copied = "x-amz-copy-source" in seen.headers
        return copied and (parts or "uploadId" not in seen.target)

    # As Swift does, whatever there is.
    proxy.rule(copies, REFUSED, times=None)
    storage = make_strict_s3(
        endpoint_url=proxy.url, cache=False, conditional_writes=trusted
    )
    save(storage, "a", b"content")
    assert storage.copy("a", "b") == "b"
    assert storage.move("b", "c") == "c"
    assert read(storage, "c") == b"content"
    for target in ("a", "c"):
        with pytest.raises(NameTaken):
            storage.copy("a", target)
    assert sorted(keys(storage)) == ["a", "c"]
    assert unfinished(storage) == []


def test_copies_where_no_part_can_be_copied_go_through_this_host(
    make_strict_s3: MakeS3, proxy: Proxy
) -> None:
    unknown = SendResponse(501, {}, b"<Error><Code>NotImplemented</Code></Error>")
    proxy.rule(lambda seen: "x-amz-copy-source" in seen.headers, unknown, times=None)
    storage = make_strict_s3(endpoint_url=proxy.url, cache=False)
    for size in (0, 10, 9 << 20):
        save(storage, f"{size}", bytes(size))
        assert storage.copy(f"{size}", f"copy-of-{size}") == f"copy-of-{size}"
        assert read(storage, f"copy-of-{size}") == bytes(size)
        with pytest.raises(NameTaken):
            storage.copy(f"{size}", f"copy-of-{size}")
    assert unfinished(storage) == []


def test_a_copy_that_a_store_refuses_for_a_free_name_is_tried_once(
    make_strict_s3: MakeS3, proxy: Proxy
) -> None:
    def whole(seen: Seen) -> bool:
        return "x-amz-copy-source" in seen.headers and "uploadId" not in seen.target

    refused = proxy.rule(whole, REFUSED, times=None)
    storage = make_strict_s3(
        endpoint_url=proxy.url, cache=False, conditional_writes=True
    )
    save(storage, "a", b"content")
    for source, target in (("a", "b"), ("a", "c"), ("b", "d")):
        assert storage.copy(source, target) == target
        assert read(storage, target) == b"content"
    # The lowest versions of boto3 can't ask for it: there copies are made in parts.
    can_ask = conditions.is_modelled(storage.client, "CopyObject")
    assert refused.reached.is_set() is can_ask
    assert sum(map(whole, proxy.seen)) == can_ask


def test_what_is_changed_while_it_is_copied_is_told(
    make_strict_s3: MakeS3, proxy: Proxy
) -> None:
    storage = make_strict_s3(
        endpoint_url=proxy.url, cache=False, conditional_writes=True
    )
    directly = make_strict_s3(bucket_name=storage.bucket_name)
    save(storage, "a", b"content")

    def copies(seen: Seen) -> bool:
        if "x-amz-copy-source" not in seen.headers:
            return False
        directly.client.put_object(Bucket=storage.bucket_name, Key="a", Body=b"another")
        return True

    # As a store answers whose copy is to be of what is no more.
    proxy.rule(copies, REFUSED, times=None)
    with pytest.raises(StoreError, match="changed while it was copied"):
        storage.copy("a", "b")
    assert keys(storage) == ["a"]
