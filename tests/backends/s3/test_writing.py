"""Writing to S3: nothing is overwritten, nothing is lost, nothing is left behind."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import InMemoryUploadedFile, TemporaryUploadedFile

from tahoestorage.backends.content import reader_of
from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.backends.s3 import S3Storage, uploads, writing
from tahoestorage.exceptions import (
    FileMissing,
    NameTaken,
    NotConditional,
    StoreError,
    StoreUnreachable,
)
from tahoestorage.verification import ContentDigest
from tests.support.proxy import LoseResponse, Proxy, Refuse, Seen, SendResponse
from tests.support.s3_servers import S3Server, s3_requests
from tests.support.s3_storages import MakeS3, head, keys, read, save, unfinished

MIB = 1 << 20
# More than one part.
BIG = os.urandom(9 * MIB)
PART = "UploadPartCopy"


class Pieces:
    """Content that can be had once, and only by its chunks."""

    name = "pieces"

    def __init__(self, pieces: Iterator[bytes | str]) -> None:
        self.pieces = pieces

    def chunks(self) -> Iterator[bytes | str]:
        return self.pieces


@pytest.fixture(params=["moto", "weed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Both servers, one after the other."""
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def make(server: S3Server, request: pytest.FixtureRequest, tmp_path: Path) -> MakeS3:
    """Make storages on that server."""
    name = "make_s3" if request.node.callspec.params["server"] == "moto" else ""
    made: MakeS3 = request.getfixturevalue(name or "make_strict_s3")
    return made


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    """A proxy before that server."""
    with Proxy(server.endpoint_url) as proxy:
        yield proxy


def writes(key: str) -> Callable[[Seen], bool]:
    """Tell the requests that make the object of this key."""

    def is_one(seen: Seen) -> bool:
        ends = seen.method == "POST" and "uploads" not in seen.target
        return seen.path.endswith(f"/{key}") and (seen.method == "PUT" or ends)

    return is_one


# Names


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_a_save_asks_the_store_not_to_overwrite(make: MakeS3, size: int) -> None:
    storage = make()
    assert storage.conditional()
    with s3_requests(storage) as sent:
        save(storage, "a", BIG[:size])
    last = sent[-1]
    assert last.headers["if-none-match"] == "*"
    assert last.key == "a"
    (conditional,) = [
        each
        for each in sent
        if "if-none-match" in each.headers and TRIAL not in each.key
    ]
    assert conditional is last
    replacing = make(allow_overwrite=True)
    with s3_requests(replacing) as sent:
        save(replacing, "a", BIG[:size])
    assert all("if-none-match" not in each.headers for each in sent)


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_a_unique_name_is_not_overwritten_where_the_store_is_trusted(
    make: MakeS3, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    storage = make(conditional_writes=True)
    rival = make(conditional_writes=True, cache=False)
    with s3_requests(storage) as sent:
        storage.create("a", Pieces(iter([BIG[:size]])), unique=True)
    assert "HEAD" not in [each.method for each in sent]
    assert sent[-1].headers["if-none-match"] == "*"
    assert read(rival, "a") == BIG[:size]

    def overtaken() -> Iterator[bytes]:
        yield BIG[:size]
        save(rival, "b", b"of the rival")

    with pytest.raises(NameTaken):
        storage.create("b", Pieces(overtaken()), unique=True)
    assert read(rival, "b") == b"of the rival"
    assert unfinished(storage) == []


class Sized(Pieces):
    """Content that says how long it is."""

    def __init__(self, content: bytes) -> None:
        super().__init__(iter([content]))
        self.size = len(content)


def test_a_small_file_of_a_unique_name_takes_one_request(make: MakeS3) -> None:
    storage, rival = make(), make(cache=False)
    storage.create("first", Sized(b"tries the store"), unique=True)

    with s3_requests(storage) as sent:
        storage.create("a", Sized(b"content"), unique=True)

    assert [each.method for each in sent] == ["PUT"]
    assert sent[0].headers["if-none-match"] == "*"
    save(rival, "b", b"of the rival")
    with pytest.raises(NameTaken):
        storage.create("b", Sized(b"mine"), unique=True)
    assert read(rival, "b") == b"of the rival"


def test_a_store_that_can_t_refuse_is_asked_whether_a_unique_name_is_free(
    make: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = make()
    monkeypatch.setattr(S3Storage, "_try_out", lambda *args: False)

    with s3_requests(storage) as sent:
        storage.create("a", Sized(b"content"), unique=True)

    assert [each.method for each in sent] == ["HEAD", "PUT"]
    with pytest.raises(NameTaken):
        storage.create("a", Sized(b"other"), unique=True)
    assert read(storage, "a") == b"content"


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_what_the_cache_does_not_know_of_is_not_overwritten(
    make: MakeS3, size: int
) -> None:
    storage, rival = make(), make(cache=False)
    assert not storage.exists("a")
    save(rival, "a", b"of the rival")
    name = save(storage, "a", BIG[:size])
    assert name != "a"
    assert read(rival, "a") == b"of the rival"
    assert read(rival, name) == BIG[:size]
    assert unfinished(storage) == []
    with storage.open("b", "xb") as file:
        file.write(b"mine")
        save(rival, "b", b"of the rival")
        with pytest.raises(NameTaken):
            file.close()
        file.discard()  # type: ignore[attr-defined]
    assert read(rival, "b") == b"of the rival"


def test_sixteen_saves_of_one_name_are_sixteen_files(make_strict_s3: MakeS3) -> None:
    names: dict[str, bytes] = {}
    start = threading.Barrier(16)

    def one(number: int) -> None:
        content = b"%d " % number * 1000
        storage = make_strict_s3()
        start.wait()
        names[save(storage, "dir/same.txt", content)] = content

    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = make_strict_s3(cache=False)
    assert len(names) == 16
    assert {name: read(store, name) for name in names} == names
    assert sorted(keys(store)) == sorted(names)


def test_max_length_holds_where_the_name_is_taken(
    s3: S3Storage, make_s3: MakeS3
) -> None:
    assert not s3.exists("abcdefghijkl.txt")
    save(make_s3(cache=False), "abcdefghijkl.txt")
    name = s3.save("abcdefghijkl.txt", ContentFile(b"x"), max_length=16)
    assert len(name) <= 16
    assert sorted(keys(s3)) == sorted(["abcdefghijkl.txt", name])


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_a_lost_response_is_found_out(make: MakeS3, proxy: Proxy, size: int) -> None:
    storage = make(endpoint_url=proxy.url, conditional_writes=True)
    completes = (
        writes("a")
        if size == 10
        else lambda seen: (
            seen.method == "POST"
            and seen.path.endswith("/a")
            and "uploads" not in seen.target
        )
    )
    lost = proxy.rule(completes, LoseResponse())
    assert save(storage, "a", BIG[:size]) == "a"
    assert lost.reached.is_set()
    assert keys(storage) == ["a"]
    assert read(storage, "a") == BIG[:size]
    assert storage.size("a") == size


def test_a_conflict_that_is_over_is_tried_again(
    make_s3: MakeS3, moto: S3Server
) -> None:
    body = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
    with Proxy(moto.endpoint_url) as proxy:
        storage = make_s3(endpoint_url=proxy.url)
        assert storage.conditional()
        proxy.rule(writes("a"), SendResponse(409, {}, body))
        name = save(storage, "a", b"mine")
        assert keys(storage) == [name]
        assert read(storage, name) == b"mine"


def test_an_upload_that_failed_is_not_thought_to_be_there(
    make_s3: MakeS3, moto: S3Server
) -> None:
    with Proxy(moto.endpoint_url) as proxy:
        addressing: Any = {"addressing_style": "path"}
        config = Config(s3=addressing, retries={"total_max_attempts": 1})
        storage = make_s3(endpoint_url=proxy.url, client_config=config)
        assert storage.conditional()
        proxy.rule(writes("a"), Refuse())
        with pytest.raises(StoreUnreachable, match="a: "):
            save(storage, "a", b"mine")
        assert not storage.exists("a")
        # Nobody repeats it, and it is there all the same.
        proxy.rule(writes("b"), LoseResponse())
        assert save(storage, "b", b"mine") == "b"
        assert keys(storage) == ["b"]


# Stores without conditions


def without_condition(storage: S3Storage, *operations: str) -> Any:
    """Let the server not see the condition, as if it knew none."""
    events = storage.connection.meta.client.meta.events

    def strip(request: Any, **kwargs: Any) -> None:
        del request.headers["If-None-Match"]

    @contextlib.contextmanager
    def block() -> Iterator[None]:
        for operation in operations:
            events.register(f"request-created.s3.{operation}", strip)
        try:
            yield
        finally:
            for operation in operations:
                events.unregister(f"request-created.s3.{operation}", strip)

    return block()


def test_a_store_that_ignores_the_condition_is_not_written_to(
    make_s3: MakeS3, server: S3Server
) -> None:
    bucket = server.make_bucket(untried=True)
    usual = {**server.options, "bucket_name": bucket}
    storage = make_s3(**usual)
    both = ("PutObject", "CompleteMultipartUpload")
    with without_condition(storage, *both), s3_requests(storage) as sent:
        with pytest.raises(NotConditional, match=r"a: .*allow_overwrite"):
            save(storage, "a")
        assert not storage.conditional()
        with pytest.raises(NotConditional):
            storage.upload_url("a", "text/plain", 1)
        with pytest.raises(NotConditional), storage.open("a", "xb") as file:
            file.write(b"x")
        # Where that is set already, nobody is told to set it.
        meant = make_s3(**usual, allow_overwrite=True)
        only = r"or set conditional_writes where you know better$"
        with pytest.raises(NotConditional, match=only):
            meant.upload_url("a", "text/plain", 1)
        with pytest.raises(NotConditional, match=only), meant.open("a", "xb"):
            pass
        with pytest.raises(NotConditional):
            save(storage, "a", BIG)
        assert all(each.key != "a" or each.method == "HEAD" for each in sent)
        assert keys(storage) == []
        # Whoever says that he means it can.
        replacing = make_s3(**usual, allow_overwrite=True)
        assert save(replacing, "a", b"1") == "a"
        with storage.open("a", "wb") as file:
            file.write(b"22")
    assert read(storage, "a") == b"22"


@pytest.mark.parametrize("known", [True, False])
def test_a_store_that_ignores_it_for_parts_gets_large_files_whole(
    make_s3: MakeS3, moto: S3Server, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    storage = make_s3(bucket_name=moto.make_bucket(untried=True))
    with without_condition(storage, "CompleteMultipartUpload"):
        assert storage.conditional()
        content: Any = ContentFile(BIG) if known else Pieces(iter([BIG]))
        with s3_requests(storage) as sent:
            assert storage._save("big", content) == "big"
        assert [str(each) for each in sent if each.key == "big"] == ["PUT big"]
        assert sent[-1].headers["if-none-match"] == "*"
        monkeypatch.setattr(writing, "SENT_AT_ONCE", len(BIG) - 1)
        with pytest.raises(NotConditional, match="CompleteMultipartUpload"):
            save(storage, "larger", BIG)
    assert read(storage, "big") == BIG
    assert keys(storage) == ["big"]
    assert unfinished(storage) == []


def test_a_store_that_does_not_know_the_condition(
    make_s3: MakeS3, moto: S3Server
) -> None:
    with Proxy(moto.endpoint_url) as proxy:
        storage = make_s3(endpoint_url=proxy.url)
        unknown = SendResponse(501, {}, b"<Error><Code>NotImplemented</Code></Error>")
        proxy.rule(lambda seen: "if-none-match" in seen.headers, unknown, times=None)
        with pytest.raises(NotConditional, match="a: "):
            save(storage, "a")
        assert not storage.conditional()
    assert keys(make_s3()) == []


def test_it_is_tried_once_for_each_process_and_day(
    make_strict_s3: MakeS3, weed: S3Server, tmp_path: Path
) -> None:
    bucket = weed.make_bucket(untried=True)
    storage = make_strict_s3(bucket_name=bucket)
    with s3_requests(storage) as sent:
        save(storage, "a", b"1")
    tried = [each for each in sent if each.key.startswith(TRIAL)]
    rounds = [2, 2, 2, 2, 8]
    expected = [m for count in rounds for m in [*["PUT"] * count, "DELETE"]]
    assert [each.method for each in tried] == expected
    assert keys(storage) == ["a"]
    with s3_requests(storage) as sent:
        save(make_strict_s3(bucket_name=bucket, cache=False), "b", b"1")
    assert all(each.key == "b" for each in sent)
    # Another process, which has the cache.
    storage._clients.honoured.clear()
    with s3_requests(storage) as sent:
        save(storage, "c", b"1")
    assert all(each.key == "c" for each in sent)
    # And one that has none.
    storage._clients.honoured.clear()
    with s3_requests(storage) as sent:
        save(make_strict_s3(bucket_name=bucket, cache=False), "d", b"1")
    assert len({each.key for each in sent}) == 2


def test_amazon_s_own_is_not_tried() -> None:
    of_amazon: dict[str, Any] = {
        "access_key": "a",
        "secret_key": "b",
        "region_name": "eu-west-1",
    }
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"region_name": "cn-north-1"}, True),
        ({"endpoint_url": "https://s3.eu-west-1.amazonaws.com"}, True),
        ({"endpoint_url": "https://amazonaws.com.example"}, False),
        ({"signature_version": "s3"}, False),
    ]
    for options, trusted in cases:
        storage = S3Storage(
            bucket_name="b",
            cache=False,
            **(of_amazon | options),
        )
        tried = Mock(return_value=False)
        storage._try_out = tried  # type: ignore[method-assign]
        assert storage.conditional() is trusted
        assert tried.call_count == (0 if trusted else 1)


# Content


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, len(BIG)])
def test_content_of_all_kinds_arrives_whole(make_s3: MakeS3, size: int) -> None:
    storage, content = make_s3(), BIG[:size]

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, 700_001):
            yield content[start : start + 700_001]

    class Trickle(io.BytesIO):
        def read(self, amount: int | None = -1) -> bytes:
            return super().read(min(amount or 1 << 19, 1 << 19))

    class Pipe(io.BufferedReader):
        def seekable(self) -> bool:
            return False

        def seek(self, *arguments: int) -> int:
            raise io.UnsupportedOperation

    temporary = TemporaryUploadedFile("t", "text/plain", size, None)
    temporary.write(content)
    uploaded = InMemoryUploadedFile(
        io.BytesIO(content), None, "u", "text/plain", size, None
    )
    middle = ContentFile(content)
    middle.seek(size // 2)
    for each in (
        ContentFile(content),
        Pieces(pieces()),
        File(Trickle(content)),
        File(Pipe(io.BytesIO(content))),
        temporary,
        uploaded,
        middle,
    ):
        name = storage._save("a", each)
        assert read(storage, name) == content
        assert storage.size(name) == size
        assert not getattr(each, "closed", False)
    temporary.close()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_text_is_not_cut_short(make_s3: MakeS3, tmp_path: Path, encoding: str) -> None:
    storage, text = make_s3(), "äöü€"[:3] * 10_000
    assert read(storage, save(storage, "a", text)) == text.encode()
    assert read(storage, storage._save("b", Pieces(iter([text])))) == text.encode()
    middle = ContentFile(text)
    middle.seek(100)
    assert read(storage, storage.save("m", middle)) == text.encode()
    path = tmp_path / "text"
    path.write_text(text, encoding)
    with path.open(encoding=encoding) as file:
        storage.save("c", File(file))
        assert not file.closed
    # As on the other stores: whatever the encoding it was read by.
    assert read(storage, "c") == text.encode()


def test_a_file_that_is_written_here_is_published_whole(make_s3: MakeS3) -> None:
    storage = make_s3()
    with storage.open("a", "wb") as file:
        for start in range(0, len(BIG), MIB):
            file.write(BIG[start : start + MIB])
        assert not storage.exists("a")
    assert read(storage, "a") == BIG
    assert storage.size("a") == len(BIG)


def test_a_file_from_one_storage_is_saved_on_another(
    make_s3: MakeS3, make_strict_s3: MakeS3
) -> None:
    here, there = make_s3(), make_strict_s3()
    save(here, "a", BIG)
    with here.open("a") as file:
        assert there.save("a", file) == "a"
        assert not file.closed
    assert read(there, "a") == BIG


class DiskFailed(OSError):
    """What reading a file of one's own may raise."""


class Failing(io.BytesIO):
    """A file that cannot be read to its end."""

    def __init__(self, size: int, good: int, error: type[BaseException]) -> None:
        super().__init__(bytes(size))
        self.good = good
        self.error = error

    def read(self, amount: int | None = -1) -> bytes:
        left = self.good - self.tell()
        if amount and left <= 0:
            raise self.error
        return super().read(min(left if amount is None or amount < 0 else amount, left))


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("size", [10, 30 * MIB])
@pytest.mark.parametrize("known", [True, False])
def test_an_upload_that_is_interrupted_leaves_nothing(
    make_strict_s3: MakeS3, error: type[BaseException], size: int, known: bool
) -> None:
    storage = make_strict_s3()
    failing = Failing(size, size // 2, error)
    content: Any = File(failing)
    if not known:
        content = Pieces(iter(lambda: failing.read(MIB), b""))
    with pytest.raises(error):
        storage._save("a", content)
    assert keys(storage) == []
    assert unfinished(storage) == []
    assert not storage.exists("a")
    assert not failing.closed


@pytest.mark.parametrize("size", [3 * MIB, len(BIG)])
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_disk_that_fails_is_not_told_as_the_store(
    make_tls_s3: MakeS3, size: int, is_signed: bool
) -> None:
    # A body whose hash is not signed is read as it is sent, and only then.
    parts: Any = {
        "addressing_style": "path",
        "payload_signing_enabled": is_signed,
    }
    config = Config(
        s3=parts,
        signature_version="s3v4",
        request_checksum_calculation="when_required",
    )
    storage = make_tls_s3(client_config=config, conditional_writes=True)
    failing, stream = (Failing(size, size // 2, DiskFailed) for _ in range(2))

    for content in (File(failing), Pieces(iter(partial(stream.read, MIB), b""))):
        with pytest.raises(DiskFailed):
            storage._save("a", content)

    assert keys(storage) == []
    assert unfinished(storage) == []


def test_what_a_disk_failed_at_is_forgotten_where_it_has_recovered() -> None:
    class FailingOnce(io.BytesIO):
        has_failed = False

        def read(self, size: int | None = -1) -> bytes:
            if not self.has_failed and size:
                self.has_failed = True
                raise DiskFailed
            return super().read(size)

    reader = reader_of(File(FailingOnce(b"content")))
    with pytest.raises(DiskFailed):
        reader.read(3)
    assert isinstance(reader.error, DiskFailed)

    assert reader.read(3) == b"con"
    assert reader.error is None


def test_parts_are_longer_where_there_would_be_too_many(
    make_strict_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_MOST_PARTS", 3)
    checked = {"object_parameters": {"ChecksumAlgorithm": "SHA256"}}
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    storage = make_strict_s3(transfer_config=config, conditional_writes=True, **checked)
    content = os.urandom(16 * MIB)

    class Announced(Pieces):
        size = len(content)

    for name, given in (
        ("seekable", ContentFile(content)),
        ("stream", Announced(iter([content]))),
    ):
        digest = ContentDigest(storage, len(content))
        digest.update(content)
        with s3_requests(storage) as sent:
            storage._save(name, given)
        parts = [each for each in sent if "partNumber" in each.query]
        assert len(parts) == 2
        with s3_requests(storage) as sent:
            assert digest.is_stored(name)
        assert not [each for each in sent if each.method == "GET"]
        assert read(storage, name) == content


def test_a_stream_of_a_terabyte_fits_into_the_parts_that_s3_takes() -> None:
    config = uploads.usual_transfers(use_threads=True, parts=3)

    for size in (0, 78 << 30):
        assert uploads.part_length(config, size) == 8 * MIB
    for size in (79 << 30, 1 << 40, 48 << 40):
        assert -(-size // uploads.part_length(config, size)) <= 10_000
    assert uploads.part_length(config, None) == 8 * MIB


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_a_name_that_is_taken_while_it_is_sent(make: MakeS3, size: int) -> None:
    storage, rival = make(), make(cache=False)

    def late(name: str) -> Iterator[bytes]:
        yield BIG[: size - 5]
        save(rival, name, b"of the rival")
        yield BIG[size - 5 : size]

    name = storage._save("once", Pieces(late("once")))
    assert name != "once"
    assert read(rival, "once") == b"of the rival"
    assert read(rival, name) == BIG[:size]

    class Again(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            if "again" in keys(storage):
                return iter([BIG[:size]])
            return late("again")

    name = storage._save("again", Again(b""))
    assert name != "again"
    assert read(rival, "again") == b"of the rival"
    assert read(rival, name) == BIG[:size]
    assert unfinished(storage) == []


def test_transfers_are_made_as_the_user_says(make_s3: MakeS3) -> None:
    config = TransferConfig(
        multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, use_threads=False
    )
    storage = make_s3(transfer_config=config)
    threads = threading.active_count()
    with s3_requests(storage) as sent:
        save(storage, "a", BIG[: 6 * MIB])
    assert threading.active_count() == threads
    parts = [each for each in sent if "partNumber" in each.query]
    assert [each.key for each in parts if not each.key.startswith(".")] == ["a", "a"]
    assert read(storage, "a") == BIG[: 6 * MIB]


def test_a_client_in_c_is_never_chosen(
    make_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3.s3.transfer

    def fail(*args: Any) -> bool:
        raise AssertionError

    monkeypatch.setattr(boto3.s3.transfer, "_should_use_crt", fail)
    config = TransferConfig(preferred_transfer_client="crt")
    assert save(make_s3(transfer_config=config), "a") == "a"


def test_memory_is_bounded(make_strict_s3: MakeS3, tmp_path: Path) -> None:
    storage = make_strict_s3()
    program = """
        import sys, django
        from django.conf import settings
        settings.configure(SECRET_KEY="of-the-tests", USE_TZ=True)
        django.setup()
        from django.core.files.base import ContentFile, File
        from tahoestorage.backends.s3 import S3Storage

        def peak():
            lines = open("/proc/self/status").read().splitlines()
            return int(next(l for l in lines if l.startswith("VmHWM")).split()[1]) >> 10

        class Pieces:
            name = "pieces"
            def chunks(self):
                for _ in range(SIZE):
                    yield bytes(1 << 20)

        SIZE = 128
        bucket, endpoint_url, path = sys.argv[1:]
        storage = S3Storage(bucket_name=bucket, endpoint_url=endpoint_url, cache=False,
            access_key="testkey", secret_key="testsecret12", region_name="us-east-1")
        storage.save("small", ContentFile(b"x"))
        storage.conditional()
        before = peak()
        storage.save("pieces", Pieces())
        with open(path, "rb") as file:
            storage.save("file", File(file))
        with storage.open("file") as file:
            assert sum(map(len, file.chunks())) == SIZE << 20
        print(peak() - before)
    """
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(128 * MIB)
    arguments = [storage.bucket_name, storage.endpoint_url, str(large)]
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.stderr == ""
    assert int(run.stdout) <= 64


def test_a_reader_reads_as_much_as_it_is_asked_for() -> None:
    reader = reader_of(Pieces(iter([b"ab", "", "cdé", b"", b"fg"])))
    assert [reader.read(3), reader.read(0), reader.read(3)] == [
        b"abc",
        b"",
        b"d\xc3\xa9",
    ]
    assert [reader.read(), reader.read(1), reader.taken] == [b"fg", b"", 8]


# Copies


@pytest.mark.parametrize("size", [0, 10, len(BIG)])
def test_a_copy_is_made_on_the_server(make: MakeS3, size: int) -> None:
    parameters = {"Metadata": {"who": "me"}, "CacheControl": "max-age=9"}
    storage = make(object_parameters=parameters, default_acl="public-read")
    content = ContentFile(BIG[:size])
    content.content_type = "application/x-mine"  # type: ignore[attr-defined]
    storage.save("a.txt", content)
    # Without a trial, which a busy server may fail.
    bare = make(conditional_writes=True)
    bare.copy("a.txt", "warm")
    with s3_requests(bare) as sent:
        # Its name would say that it is packed.
        assert bare.copy("a.txt", "dir/b.gz") == "dir/b.gz"
    assert sum(int(each.headers.get("content-length", 0)) for each in sent) < 1000
    assert read(bare, "dir/b.gz") == BIG[:size]
    response = head(bare, "dir/b.gz")
    assert response["ContentType"] == "application/x-mine"
    assert response["CacheControl"] == "max-age=9"
    assert response["Metadata"]["who"] == "me"
    assert "ContentEncoding" not in response


def test_a_copy_does_not_overwrite(make: MakeS3) -> None:
    storage, rival = make(), make(cache=False)
    for size in (0, 10, len(BIG)):
        save(rival, f"{size}", BIG[:size])
        assert not storage.exists(f"to-{size}")
        save(rival, f"to-{size}", b"of the rival")
        for act in (storage.copy, storage.move):
            with pytest.raises(NameTaken):
                act(f"{size}", f"to-{size}")
            with pytest.raises(NameTaken):
                act(f"{size}", f"{size}")
            with pytest.raises(FileMissing):
                act("none", "new")
        assert read(rival, f"to-{size}") == b"of the rival"
        assert read(rival, f"{size}") == BIG[:size]
        assert storage.move(f"{size}", "moved") == "moved"
        assert read(rival, "moved") == BIG[:size]
        assert not storage.exists(f"{size}")
        storage.delete("moved")
    assert unfinished(storage) == []


def test_a_copy_whose_answer_was_lost(make: MakeS3, proxy: Proxy) -> None:
    storage = make(endpoint_url=proxy.url)
    save(storage, "a", b"content")
    storage.copy("a", "warm")

    def ends(seen: Seen) -> bool:
        copies = seen.method == "PUT" and "partNumber" not in seen.target
        completes = seen.method == "POST" and "uploadId" in seen.target
        return seen.path.endswith("/b") and (copies or completes)

    lost = proxy.rule(ends, LoseResponse())
    assert storage.copy("a", "b") == "b"
    assert lost.reached.is_set()
    assert read(storage, "b") == b"content"


def test_large_copies_are_made_of_parts(
    make_strict_s3: MakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "COPIED_AT_ONCE", 5 * MIB)
    monkeypatch.setattr(uploads, "COPIED_PART", 5 * MIB)
    storage = make_strict_s3(conditional_writes=True)
    content = os.urandom(10 * MIB + 1)
    save(storage, "a", content)
    with s3_requests(storage) as sent:
        storage.copy("a", "b")
    ranges = [each.headers.get("x-amz-copy-source-range") for each in sent]
    assert sorted(filter(None, ranges)) == [
        f"bytes=0-{5 * MIB - 1}",
        f"bytes={10 * MIB}-{10 * MIB}",
        f"bytes={5 * MIB}-{10 * MIB - 1}",
    ]
    assert sent[-1].headers["if-none-match"] == "*"
    assert read(storage, "b") == content
    with pytest.raises(NameTaken):
        storage.copy("a", "b")
    assert unfinished(storage) == []


@pytest.mark.parametrize("operation", ["CopyObject", PART])
def test_a_source_that_changes_while_it_is_copied(
    make_strict_s3: MakeS3, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    storage = make_strict_s3(conditional_writes=True)
    save(storage, "a", BIG)
    storage.copy("a", "warm")
    if operation == PART:
        monkeypatch.setattr(writing, "COPIED_AT_ONCE", 5 * MIB)
        monkeypatch.setattr(uploads, "COPIED_PART", 5 * MIB)

    def change(**kwargs: Any) -> None:
        save(make_strict_s3(allow_overwrite=True), "a", BIG[::-1])

    events = storage.connection.meta.client.meta.events
    # An older botocore knows no condition for CopyObject.
    names = [f"before-parameter-build.s3.{each}" for each in (operation, PART)]
    for name in names:
        events.register_first(name, change)
    try:
        with pytest.raises(StoreError, match="try again"):
            storage.copy("a", "b")
    finally:
        for name in names:
            events.unregister(name, change)
    assert sorted(keys(storage)) == ["a", "warm"]
    assert unfinished(storage) == []


def test_a_store_that_copies_under_no_condition_gets_parts(
    make_strict_s3: MakeS3, weed: S3Server
) -> None:
    with Proxy(weed.endpoint_url) as proxy:
        storage = make_strict_s3(endpoint_url=proxy.url, conditional_writes=True)
        save(storage, "a", b"content")
        storage.copy("a", "warm")

        def copies(seen: Seen) -> bool:
            copied = "x-amz-copy-source" in seen.headers
            return copied and "uploadId" not in seen.target

        proxy.rule(
            copies, SendResponse(501, {}, b"<Error><Code>NotImplemented</Code></Error>")
        )
        assert storage.copy("a", "b") == "b"
        assert read(storage, "b") == b"content"


# Moves


def test_a_move_deletes_what_it_has_copied_and_nothing_else(make: MakeS3) -> None:
    storage, rival = make(), make(cache=False, allow_overwrite=True)
    save(storage, "a", b"old")
    storage.copy("a", "warm")

    def change(**kwargs: Any) -> None:
        save(rival, "a", b"new")

    events = storage.connection.meta.client.meta.events
    name = "before-parameter-build.s3.DeleteObject"
    events.register_first(name, change)
    try:
        assert storage.move("a", "b") == "b"
    finally:
        events.unregister(name, change)
    assert [read(storage, each) for each in ("a", "b")] == [b"new", b"old"]


def test_a_move_in_a_store_that_deletes_under_no_condition(
    make: MakeS3, proxy: Proxy
) -> None:
    storage = make(endpoint_url=proxy.url)
    save(storage, "a", b"content")

    def conditional(seen: Seen) -> bool:
        return seen.method == "DELETE" and "if-match" in seen.headers

    no = SendResponse(501, {}, b"<Error><Code>NotImplemented</Code></Error>")
    refused = proxy.rule(conditional, no)
    assert storage.move("a", "b") == "b"
    assert refused.reached.is_set()
    assert not storage.exists("a")
    assert read(storage, "b") == b"content"
