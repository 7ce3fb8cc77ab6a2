"""Google Cloud Storage: what is sent, what is asked, and what may go wrong.

What every store promises is tested for all of them; this is what is special here.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.db.migrations.writer import MigrationWriter
from google.auth import identity_pool, impersonated_credentials
from google.auth.compute_engine import Credentials as MetadataCredentials
from google.oauth2.credentials import Credentials as UserCredentials
from pytest_django.fixtures import Settings

from tahoestorage.backends.gcs import GCSStorage, clients, reading, signing, writing
from tahoestorage.cache import EntryCache
from tahoestorage.environment.secrets import KeyFile
from tahoestorage.exceptions import (
    DamagedDownload,
    NameTaken,
    StoreError,
    StoreForbids,
    StoreUnreachable,
    TahoeStorageError,
)
from tests.gcs_servers import (
    CUT,
    EMAIL,
    GCS,
    HANG_UP,
    LOSE,
    STALL,
    Sent,
    refusal,
    wrong_signature,
)
from tests.leaks import everything_logged

Make = Callable[..., GCSStorage]
PIECE = 1 << 18


@pytest.fixture
def bucket(gcs: GCS) -> str:
    return gcs.make_bucket()


@pytest.fixture
def make(gcs: GCS, bucket: str, tmp_path: Path) -> Make:
    """Make storages of one bucket, with one cache."""

    def make(**options: Any) -> GCSStorage:
        cache = {"directory": str(tmp_path / "cache")}
        defaults = {**gcs.options, "bucket_name": bucket, "cache": cache}
        return GCSStorage(**{**defaults, **options})

    return make


@pytest.fixture
def storage(make: Make) -> GCSStorage:
    return make()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up soon."""
    _retry_for(0.3, monkeypatch)


@pytest.fixture
def undaunted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    _retry_for(9.0, monkeypatch)


def _retry_for(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    retry = clients.RETRY.with_timeout(seconds).with_delay(0.05, 0.1, 2.0)
    monkeypatch.setattr(signing, "RETRY", retry)
    for options in (reading.CALL, writing.LONG):
        monkeypatch.setitem(options, "retry", retry)
        monkeypatch.setitem(options, "timeout", 9.0)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Return options with which 256 KiB are much."""
    monkeypatch.setattr(writing, "PIECE", PIECE)
    return {"blob_chunk_size": PIECE}


def save(storage: GCSStorage, name: str, content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: GCSStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def metadata_in(sent: Sent) -> Any:
    """Return the properties of an object that an upload sends."""
    found = re.search(rb"{.*}", sent.body)
    assert found is not None
    return json.loads(found[0])


def headers_of(url: str) -> dict[str, str]:
    return {"host": urlsplit(url).netloc}


def asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class Once(File):  # type: ignore[type-arg]
    """A file that can be read only once, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(None, "once")
        self.pieces = iter(pieces)

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield from self.pieces


# One request tells all


def test_one_request_tells_existence_size_and_times(
    gcs: GCS, make: Make, bucket: str
) -> None:
    save(make(cache=False), "dir/a", b"12345")
    storage = make()
    gcs.front.reset()
    assert storage.exists("dir/a")
    assert storage.size("dir/a") == 5
    known = gcs.front.object(bucket, "dir/a")
    assert known is not None
    moment = datetime.fromisoformat(known["timeCreated"])
    assert storage.get_created_time("dir/a") == moment
    assert storage.get_modified_time("dir/a") == moment
    assert gcs.front.kinds == ["stat"]


def test_after_a_save_nothing_is_asked(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a", b"12345")
    gcs.front.reset()
    assert storage.exists("a")
    assert storage.size("a") == 5
    assert storage.get_modified_time("a") == storage.get_created_time("a")
    assert gcs.front.kinds == []


def test_what_is_missing_is_asked_for_once(gcs: GCS, storage: GCSStorage) -> None:
    assert not storage.exists("none")
    assert not storage.exists("none")
    assert gcs.front.kinds == ["stat"]
    for ask in (storage.size, storage.get_created_time, storage.open):
        with pytest.raises(FileNotFoundError, match="none"):
            ask("none")


@pytest.mark.parametrize("location", ["", "media", "a/b/"])
@pytest.mark.parametrize("root", ["", ".", "a/.."])
def test_the_root_is_a_directory(
    gcs: GCS, make: Make, location: str, root: str
) -> None:
    # An object that has the name of the location is not in it.
    save(make(allow_overwrite=True), "media")
    gcs.front.reset()
    storage = make(location=location)
    assert not storage.exists(root)
    for ask in (storage.size, storage.open, storage.get_modified_time):
        with pytest.raises(IsADirectoryError):
            ask(root)
    with pytest.raises(IsADirectoryError):
        storage.upload_url(root, "text/plain", 1)
    with pytest.raises(IsADirectoryError), storage.open(root, "wb") as file:
        file.write(b"x")
    assert gcs.front.kinds == []


def test_a_location_is_a_part_of_each_key(gcs: GCS, make: Make, bucket: str) -> None:
    storage = make(location="media/x/")
    assert save(storage, "a/b") == "a/b"
    assert gcs.front.object(bucket, "media/x/a/b") is not None
    assert storage.listdir("a") == ([], ["b"])
    assert storage.listdir("") == (["a"], [])
    # Another storage of the bucket learns of it by the same cache.
    gcs.front.reset()
    assert make(location="media").exists("x/a/b")
    assert gcs.front.kinds == []


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "..\\a"])
def test_names_that_climb_are_suspicious(make: Make, name: str) -> None:
    storage = make(location="media")
    for ask in (storage.exists, storage.open, storage.url, storage.listdir):
        with pytest.raises(SuspiciousFileOperation):
            ask(name)


def test_backslashes_are_slashes(storage: GCSStorage) -> None:
    save(storage, "dir/a")
    assert storage.exists("dir\\a")
    assert read(storage, "dir\\a") == b"content"


# Faults


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that are shown with it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


ACTS: dict[str, tuple[str, Callable[[GCSStorage], object]]] = {
    "exists": ("stat", lambda s: s.exists("some/file")),
    "size": ("stat", lambda s: s.size("some/file")),
    "open": ("read", lambda s: s.open("some/file")),
    "save": ("upload", lambda s: make_over(s).save("some/file", ContentFile(b"c"))),
    "delete": ("delete", lambda s: s.delete("some/file")),
    "copy": ("rewrite", lambda s: s.copy("there", "some/file")),
    "listdir": ("list", lambda s: s.listdir("some/file")),
    "prefetch": ("list", lambda s: s.prefetch("some/file").__enter__()),
}


def make_over(storage: GCSStorage) -> GCSStorage:
    """Return the storage so that a save asks for nothing but the upload."""
    storage.file_overwrite = True
    return storage


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("play", "expected"),
    [
        (refusal(401, "Invalid Credentials"), StoreForbids),
        (refusal(403, "caller does not have storage.objects access"), StoreForbids),
        (refusal(400, "Invalid argument"), StoreError),
        (refusal(429, "Too Many Requests"), StoreUnreachable),
        (refusal(503, "Backend Error"), StoreUnreachable),
        (HANG_UP, StoreUnreachable),
    ],
    ids=["401", "403", "400", "429", "503", "hang-up"],
)
def test_faults_are_ours_and_name_the_file(
    gcs: GCS,
    make: Make,
    act: str,
    play: Any,
    expected: type[StoreError],
) -> None:
    kind, ask = ACTS[act]
    storage = make(cache=False)
    save(storage, "there")
    gcs.front.play(kind, *[play] * 50)
    if act == "open":  # which looks whether an old entry helps
        gcs.front.play("stat", *[play] * 50)
    with pytest.raises(expected, match="some/file") as caught:
        ask(storage)
    assert type(caught.value) is expected
    assert isinstance(caught.value, OSError)
    # Nothing of the library's leads there: its errors hold headers with tokens.
    assert all(isinstance(error, TahoeStorageError) for error in chain(caught.value))
    shown = str(caught.value)
    assert "token" not in shown
    assert "http" not in shown
    if play != HANG_UP:  # what Google says of it
        assert json.loads(play.body)["error"]["message"] in shown


@pytest.mark.usefixtures("impatient")
def test_a_store_that_stalls_is_unreachable(
    gcs: GCS, storage: GCSStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reading.CALL, "timeout", 0.3)
    gcs.front.play("stat", STALL, STALL, STALL)
    with pytest.raises(StoreUnreachable, match="a/b"):
        storage.exists("a/b")


@pytest.mark.usefixtures("impatient")
def test_nobody_listening_is_unreachable(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    storage = make()
    with pytest.raises(StoreUnreachable, match="a/b"):
        storage.exists("a/b")
    with pytest.raises(ConnectionError):
        storage.save("a/b", ContentFile(b"c"))


@pytest.mark.usefixtures("undaunted")
def test_a_passing_fault_is_waited_for(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a", b"content")
    for kind in ("stat", "read", "list", "delete"):
        gcs.front.play(kind, refusal(503, "Backend Error"), HANG_UP)
    assert make_fresh(storage).exists("a")
    assert read(make_fresh(storage), "a") == b"content"
    assert storage.listdir("") == ([], ["a"])
    storage.delete("a")
    assert not make_fresh(storage).exists("a")


def make_fresh(storage: GCSStorage) -> GCSStorage:
    """Return a storage of the same bucket that knows nothing yet."""
    fresh = copy.copy(storage)
    fresh._cache_given = False
    return fresh


def test_a_missing_bucket_is_no_missing_file(make: Make) -> None:
    storage = make(bucket_name="there-is-no-such-bucket")
    acts: list[Callable[[], object]] = [
        lambda: storage.exists("a"),
        lambda: storage.open("a"),
        lambda: storage.listdir(""),
        lambda: storage.delete("a"),
        lambda: make_over(storage).save("a", ContentFile(b"a")),
        lambda: storage.conditional(),
    ]
    for act in acts:
        with pytest.raises(StoreError, match="bucket") as caught:
            act()
        assert not isinstance(caught.value, FileNotFoundError)


def test_a_listing_is_of_a_bucket_and_not_of_a_file(
    gcs: GCS, storage: GCSStorage
) -> None:
    gcs.front.play("list", refusal(404, "Not Found"))
    with pytest.raises(StoreError, match="bucket"):
        storage.listdir("a")


def test_no_bucket_at_all_is_a_wrong_configuration(make: Make) -> None:
    with pytest.raises(ImproperlyConfigured, match="GS_BUCKET_NAME"):
        make(bucket_name=None).exists("a")


@pytest.mark.usefixtures("impatient")
def test_a_token_that_is_refused_or_not_to_be_had(gcs: GCS, make: Make) -> None:
    refused = make(credentials=gcs.accounts.credentials(), cache=False)
    gcs.accounts.answers["token"] = refusal(400, "invalid_grant")
    with pytest.raises(StoreForbids, match="credentials"):
        refused.exists("a")
    gcs.accounts.answers["token"] = refusal(503, "unavailable")
    with pytest.raises(StoreUnreachable):
        make(credentials=gcs.accounts.credentials(), cache=False).exists("a")
    unreachable = gcs.accounts.key_file() | {"token_uri": "http://127.0.0.1:1/token"}
    kind = type(gcs.options["credentials"])
    away = make(credentials=kind.from_service_account_info(unreachable), cache=False)
    with pytest.raises(StoreUnreachable):
        away.exists("a")


def test_no_credentials_is_said_so(
    make: Make, gcs: GCS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StoreForbids, match="GOOGLE_APPLICATION_CREDENTIALS"):
        make(credentials=None).exists("a")


def test_the_store_is_asked_whether_it_can_refuse(
    gcs: GCS, storage: GCSStorage
) -> None:
    assert storage.conditional()
    assert gcs.front.kinds == ["list"]
    assert gcs.front.sent[0].query["maxResults"] == "1"


# Saving


def test_a_save_is_one_request_that_cannot_overwrite(
    gcs: GCS, storage: GCSStorage
) -> None:
    assert not storage.exists("a.txt")
    gcs.front.reset()
    save(storage, "a.txt", b"content")
    (sent,) = gcs.front.sent
    assert sent.kind == "upload"
    # Buckets with uniform access refuse whoever sends an ACL.
    assert sent.query == {"uploadType": "multipart", "ifGenerationMatch": "0"}
    properties = metadata_in(sent)
    assert len(properties.pop("metadata")["tahoestorage-token"]) == 32
    # Google compares it with what has arrived.
    assert properties == {"name": "a.txt", "crc32c": "Ya91Mw=="}
    assert b"content-type: text/plain" in sent.body


def test_what_is_long_is_sent_in_pieces_that_cannot_overwrite_either(
    gcs: GCS, make: Make, small_pieces: dict[str, int]
) -> None:
    storage = make(**small_pieces)
    content = os.urandom(2 * PIECE + 5)
    save(storage, "a", content)
    kinds = gcs.front.kinds
    assert kinds == ["stat", "session", "piece", "piece", "piece"]
    assert gcs.front.sent[1].query["ifGenerationMatch"] == "0"
    assert "predefinedAcl" not in gcs.front.sent[1].query
    assert len(metadata_in(gcs.front.sent[1])["metadata"]["tahoestorage-token"]) == 32
    assert read(make(cache=False), "a") == content


@pytest.mark.parametrize("content", [b"short", b"x" * (PIECE + 1)])
def test_overwriting_has_to_be_asked_for(
    gcs: GCS, make: Make, small_pieces: dict[str, int], content: bytes
) -> None:
    storage = make(allow_overwrite=True, **small_pieces)
    assert [save(storage, "a", content + b"%d" % n) for n in (1, 2)] == ["a", "a"]
    assert read(storage, "a") == content + b"2"
    assert all("ifGenerationMatch" not in sent.query for sent in gcs.front.sent)


def test_nothing_is_overwritten_by_default(make: Make, settings: Settings) -> None:
    assert make().file_overwrite is False
    assert make(file_overwrite=True).file_overwrite is True
    with pytest.raises(ImproperlyConfigured, match="differ"):
        make(file_overwrite=True, allow_overwrite=False)
    settings.GS_FILE_OVERWRITE = True
    assert make().file_overwrite is True
    assert make(allow_overwrite=False).file_overwrite is False


def test_a_name_that_was_taken_meanwhile_gets_another(
    gcs: GCS, make: Make, small_pieces: dict[str, int]
) -> None:
    for content in (b"mine", os.urandom(2 * PIECE)):
        storage = make(**small_pieces)
        assert not storage.exists("dir/a.txt")
        save(make(cache=False), "dir/a.txt", b"theirs")
        gcs.front.reset()
        name = save(storage, "dir/a.txt", content)
        assert re.fullmatch(r"dir/a_[A-Za-z0-9]{7}\.txt", name)
        assert read(storage, name) == content
        assert read(storage, "dir/a.txt") == b"theirs"
        storage.delete("dir/a.txt")


def test_a_name_that_is_taken_while_pieces_are_sent_gets_another(
    make: Make, small_pieces: dict[str, int]
) -> None:
    other = make(cache=False)

    class Slow(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield from super().chunks(PIECE)
            if not other.exists("a"):
                save(other, "a", b"theirs")

    content = os.urandom(3 * PIECE)
    name = make(**small_pieces).save("a", Slow(content))
    assert name != "a"
    assert read(other, name) == content
    assert read(other, "a") == b"theirs"


def test_sixteen_saves_of_one_name_are_sixteen_files(make: Make) -> None:
    names: dict[str, bytes] = {}

    def one(number: int) -> None:
        content = b"content %d" % number
        names[save(make(), "dir/a.txt", content)] = content

    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh = make(cache=False)
    assert {name: read(fresh, name) for name in names} == names
    assert len(names) == len(fresh.listdir("dir")[1]) == 16


@pytest.mark.usefixtures("undaunted")
@pytest.mark.parametrize(
    "play",
    [LOSE, HANG_UP, refusal(503, "Backend Error")],
    ids=["lost", "hang-up", "503"],
)
@pytest.mark.parametrize("kind", ["upload", "session", "first piece", "last piece"])
def test_what_is_sent_again_after_a_lost_answer_is_no_conflict(
    gcs: GCS,
    make: Make,
    small_pieces: dict[str, int],
    kind: str,
    play: Any,
) -> None:
    storage = make(**small_pieces)
    content = os.urandom(5 if kind == "upload" else 2 * PIECE + 1)
    # The last of the three makes the object.
    before = [None, None] if kind == "last piece" else []
    gcs.front.play(kind.split()[-1], *before, play)
    assert save(storage, "a", content) == "a"
    assert storage.listdir("") == ([], ["a"])
    assert read(make(cache=False), "a") == content
    gcs.front.reset()
    assert storage.size("a") == len(content)
    assert gcs.front.kinds == []


@pytest.mark.usefixtures("undaunted")
def test_a_save_whose_last_answer_was_lost_is_known_by_its_mark(
    gcs: GCS, storage: GCSStorage
) -> None:
    gcs.front.play("upload", LOSE)
    save(storage, "a")
    assert gcs.front.kinds == ["stat", "upload", "upload", "stat"]


def test_the_last_piece_may_be_full(make: Make, small_pieces: dict[str, int]) -> None:
    storage = make(**small_pieces)
    for size in (PIECE - 1, PIECE, PIECE + 1, 2 * PIECE):
        content = os.urandom(size)
        name = storage.save(f"{size}", Once(content[:100], content[100:]))
        assert read(storage, name) == content


def test_what_can_be_read_once_finds_another_name_too(
    make: Make, small_pieces: dict[str, int]
) -> None:
    storage = make(**small_pieces)
    assert not storage.exists("a")
    save(make(cache=False), "a", b"theirs")
    pieces = [os.urandom(PIECE) for _ in range(3)]
    name = storage.save("a", Once(*pieces))
    assert name != "a"
    assert read(storage, name) == b"".join(pieces)


def test_a_pipe_can_be_saved(storage: GCSStorage) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        storage.save("a", File(pipe))
        assert not pipe.closed
    assert read(storage, "a") == b"from a pipe"


def test_a_save_holds_one_piece_at_a_time(
    gcs: GCS, make: Make, small_pieces: dict[str, int]
) -> None:
    ahead = []

    class Watched(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            for number in range(8):
                ahead.append(number - gcs.front.kinds.count("piece"))
                yield b"x" * PIECE

    make(**small_pieces).save("a", Watched(b"x"))
    assert len(ahead) == 8
    assert max(ahead) <= 1


def test_the_caller_s_file_stays_as_it_is(storage: GCSStorage, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"content")
    with path.open("rb") as source:
        content = File(source, name="its own/name")
        storage.save("a", content)
        assert content.name == "its own/name"
        assert not source.closed


def test_a_size_that_is_a_lie_does_no_harm(storage: GCSStorage) -> None:
    class Liar(ContentFile):  # type: ignore[type-arg]
        size = 3

    storage.save("a", Liar(b"content"))
    assert read(storage, "a") == b"content"
    assert storage.size("a") == 7


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, ConnectionError, FileNotFoundError]
)
@pytest.mark.parametrize("size", [10, 3 * PIECE])
def test_a_content_that_fails_fails_as_it_does(
    make: Make,
    small_pieces: dict[str, int],
    error: type[Exception],
    size: int,
) -> None:
    class Failing(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield b"x" * size
            raise error("of the content")

    storage = make(**small_pieces)
    with pytest.raises(error, match="of the content"):
        storage.save("a", Failing(b"x"))
    assert not storage.exists("a")


def test_the_options_of_the_parent_are_sent(gcs: GCS, make: Make, bucket: str) -> None:
    parameters = {
        "cache_control": "max-age=60",
        "content_type": "text/x-mine",
        "metadata": {"mine": "yes"},
        "acl": "publicRead",
    }
    storage = make(object_parameters=parameters, default_acl="private")
    save(storage, "a.txt")
    assert gcs.front.sent[-1].query["predefinedAcl"] == "publicRead"
    known = gcs.front.object(bucket, "a.txt")
    assert known is not None
    assert known["cacheControl"] == "max-age=60"
    assert known["contentType"] == "text/x-mine"
    assert known["metadata"].keys() == {"mine", "tahoestorage-token"}
    # Not changed by being used.
    assert storage.object_parameters == parameters
    assert parameters["metadata"] == {"mine": "yes"}
    save(make(default_acl="projectPrivate"), "b.txt")
    assert gcs.front.sent[-1].query["predefinedAcl"] == "projectPrivate"


def test_parameters_of_a_subclass_are_left_as_they_are(gcs: GCS, make: Make) -> None:
    parameters = {"content_type": "text/x-mine", "acl": "private"}

    class Mine(GCSStorage):
        def get_object_parameters(self, name: str) -> dict[str, Any]:
            return parameters

    storage = Mine(**{**gcs.options, "bucket_name": make().bucket_name})
    save(storage, "a")
    assert parameters == {"content_type": "text/x-mine", "acl": "private"}


def test_unknown_options_are_refused_as_before(make: Make) -> None:
    with pytest.raises(ImproperlyConfigured, match="Invalid setting 'buckets'"):
        make(buckets="x")


def test_options_come_from_the_settings_too(settings: Settings) -> None:
    settings.GS_BUCKET_NAME = "of-the-settings"
    settings.GS_LOCATION = "media"
    settings.GS_SA_EMAIL = EMAIL

    class Mine(GCSStorage):
        location = "mine"

    assert GCSStorage().bucket_name == "of-the-settings"
    assert GCSStorage().location == "media"
    assert GCSStorage().sa_email == EMAIL
    assert Mine().location == "mine"


# Packed files

STYLE = b"body { color: red }\n" * 1000


def test_what_is_packed_by_the_option_is_read_unpacked(gcs: GCS, make: Make) -> None:
    storage = make(gzip=True)
    save(storage, "a.css", STYLE)
    save(storage, "a.txt", STYLE)
    # Of each, the size of what is stored.
    assert storage.size("a.css") < 1000
    assert storage.size("a.txt") == len(STYLE)
    gcs.front.reset()
    assert read(make(gzip=True, cache=False), "a.css") == STYLE
    assert gcs.front.kinds == ["read"]
    with storage.open("a.css") as file:
        file.seek(10_000)
        assert file.read(20) == STYLE[10_000:10_020]
        file.seek(0)
        assert file.read(7) == STYLE[:7]
    assert read(storage, "a.txt") == STYLE
    with storage.open("a.css", "r") as text:
        assert text.readline() == "body { color: red }\n"


def test_without_the_option_what_is_stored_is_read_as_it_is(make: Make) -> None:
    save(make(gzip=True), "a.css", STYLE)
    packed = read(make(), "a.css")
    assert len(packed) == make().size("a.css") < len(STYLE)
    assert gzip.decompress(packed) == STYLE


@pytest.mark.parametrize("gzipped", [True, False])
def test_what_came_packed_goes_as_it_came(
    gcs: GCS, make: Make, bucket: str, gzipped: bool
) -> None:
    storage = make(gzip=gzipped)
    content = gzip.compress(STYLE)
    save(storage, "a.css.gz", content)
    known = gcs.front.object(bucket, "a.css.gz")
    assert known is not None
    assert known["contentEncoding"] == "gzip"
    assert read(storage, "a.css.gz") == content


def test_equal_contents_are_packed_equally(make: Make) -> None:
    storage = make(gzip=True)
    save(storage, "a.css", STYLE)
    time.sleep(1.1)  # gzip files may tell when they were made
    save(storage, "b.css", STYLE)
    plain = make()
    assert read(plain, "a.css") == read(plain, "b.css")


def test_the_store_s_hashes_tell_whether_contents_are_equal(make: Make) -> None:
    storage = make(gzip=True)
    save(storage, "a.txt", b"content")
    save(storage, "a.css", STYLE)
    entry = storage._stat("a.txt", "a.txt")
    assert entry is not None
    hashes = storage.content_hashes(entry)
    assert hashes["md5"].hex() == "9a0364b9e99bb480dd25e1f0284c8555"
    assert hashes["crc32c"].hex() == "61af7533"
    assert storage.has_content("a.txt", ContentFile(b"content"))
    assert storage.has_content("a.txt", ContentFile(b"contents")) is False
    # Those of what is packed are of the packed bytes.
    assert storage.has_content("a.css", ContentFile(STYLE)) is None


# Reading


def test_a_small_file_is_read_by_one_request(gcs: GCS, make: Make) -> None:
    content = os.urandom(10_000)
    save(make(cache=False), "a", content)
    storage = make()
    gcs.front.reset()
    assert read(storage, "a") == content
    (sent,) = gcs.front.sent
    assert sent.kind == "read"
    assert sent.headers["range"] == "bytes=0-524287"
    # Otherwise Google unpacks what is packed, and sends all of it.
    assert sent.headers["accept-encoding"] == "gzip"
    # And what it is, is known by that.
    assert storage.size("a") == 10_000
    assert storage.exists("a")
    assert len(gcs.front.sent) == 1


def test_reading_does_not_forget_the_times(gcs: GCS, make: Make) -> None:
    created = make(cache=False).bucket.blob("a")
    created.upload_from_string(b"content")
    storage = make()
    gcs.front.reset()
    read(storage, "a")
    # A part of a file comes without them, or rounded.
    assert storage.get_modified_time("a") == created.updated
    assert gcs.front.kinds == ["read", "stat"]
    read(storage, "a")
    assert storage.get_modified_time("a") == created.updated
    assert storage.get_created_time("a") == created.time_created
    assert gcs.front.kinds == ["read", "stat", "read"]


def test_an_empty_file_is_empty(gcs: GCS, make: Make) -> None:
    save(make(cache=False), "a", b"")
    gcs.front.reset()
    assert read(make(), "a") == b""
    assert gcs.front.kinds == ["read"]


def test_a_byte_of_a_great_file_costs_half_a_mebibyte(gcs: GCS, make: Make) -> None:
    content = os.urandom(9 << 20)
    storage = make()
    save(storage, "a", content)
    gcs.front.reset()
    with storage.open("a") as file:
        assert file.read(1) == content[:1]
        file.seek(8 << 20)
        assert file.read(1) == content[8 << 20 :][:1]
    ranges = [sent.headers["range"] for sent in gcs.front.sent]
    assert ranges == ["bytes=0-524287", "bytes=8388608-8912895"]
    assert read(storage, "a") == content


@pytest.mark.parametrize("act", ["replace", "delete"])
def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(
    gcs: GCS, make: Make, act: str
) -> None:
    storage, other = make(), make(cache=False, allow_overwrite=True)
    save(storage, "a", b"a" * 1_000_000)
    with storage.open("a") as file:
        assert file.read(10) == b"a" * 10
        if act == "replace":
            save(other, "a", b"b" * 1_000_000)
        else:
            other.delete("a")
        file.seek(900_000)
        with pytest.raises(DamagedDownload, match="replaced or deleted"):
            file.read(10)
    first, second = [sent for sent in gcs.front.sent if sent.kind == "read"]
    assert "ifGenerationMatch" not in first.query
    assert int(second.query["ifGenerationMatch"]) > 0


def test_a_body_that_is_cut_is_asked_for_again(gcs: GCS, storage: GCSStorage) -> None:
    content = os.urandom(300_000)
    save(storage, "a", content)
    gcs.front.play("read", CUT)
    assert read(storage, "a") == content
    assert gcs.front.kinds.count("read") == 2


def test_a_body_that_is_always_cut_is_an_error(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a", os.urandom(300_000))
    gcs.front.play("read", *[CUT] * 50)
    with pytest.raises(StoreError, match="a: "):
        read(storage, "a")


def test_a_store_that_tells_no_generation_is_asked_for_it(gcs: GCS, make: Make) -> None:
    content = os.urandom(1_500_000)
    save(make(cache=False), "a", content)
    gcs.front.tells_generations = False
    gcs.front.sent.clear()
    storage = make()
    assert read(storage, "a") == content
    assert gcs.front.kinds[:2] == ["read", "stat"]
    assert set(gcs.front.kinds[2:]) == {"read"}
    assert "ifGenerationMatch" in gcs.front.sent[-1].query


def test_a_store_that_knows_no_ranges_is_not_believed(
    gcs: GCS, storage: GCSStorage
) -> None:
    save(storage, "a", b"a" * 1000)
    gcs.front.play("read", refusal(200, "all of it"))
    with storage.open("a") as file:
        file.seek(500)
        with pytest.raises(StoreError, match="ranges"):
            file.read(10)


# Listings


def test_a_block_is_answered_from_pages_of_a_thousand(
    gcs: GCS, make: Make, bucket: str
) -> None:
    storage = make(location="media")
    for number in range(12):
        save(storage, f"dir/{number}", b"x" * number)
    gcs.front.reset()
    gcs.front.page = 5
    with make(location="media", cache=False).prefetch("dir/") as nothing:
        assert nothing is None
    listings = list(gcs.front.sent)
    assert [sent.kind for sent in listings] == ["list"] * 3
    assert all(sent.query["maxResults"] == "1000" for sent in listings)
    assert all(sent.query["prefix"] == "media/dir/" for sent in listings)
    fresh = make(location="media", cache=False)
    with fresh.prefetch("dir/"):
        gcs.front.sent.clear()
        assert [fresh.size(f"dir/{number}") for number in range(12)] == [*range(12)]
        assert not fresh.exists("dir/none")
        known = gcs.front.object(bucket, "media/dir/3")
        assert known is not None
        created = datetime.fromisoformat(known["timeCreated"])
        assert fresh.get_created_time("dir/3") == created
        assert fresh.get_modified_time("dir/3") == created
        assert fresh.has_content("dir/3", ContentFile(b"xxx"))
        assert gcs.front.kinds == []


def test_a_listing_tells_directories_from_files(gcs: GCS, make: Make) -> None:
    storage = make(location="media")
    for name in ("top", "d/one", "d/two", "d/e/three", "f/g/h"):
        save(storage, name)
    # As consoles make them.
    bucket = storage.bucket
    for folder in ("media/", "media/d/", "media/empty/"):
        bucket.blob(folder).upload_from_string(b"")
    gcs.front.reset()
    gcs.front.page = 2
    assert storage.listdir("") == (["d", "empty", "f"], ["top"])
    assert storage.listdir("d") == storage.listdir("d/") == (["e"], ["one", "two"])
    assert storage.listdir("none") == ([], [])
    assert set(gcs.front.kinds) == {"list"}
    with storage.prefetch(""):
        assert storage.exists("d/one")
        assert not storage.exists("d")


# URLs


def test_a_url_is_signed_with_the_key(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "dir/ä b.txt", b"content")
    url = storage.url("dir/ä b.txt")
    assert asked(url)["X-Goog-Credential"].startswith(EMAIL)
    assert asked(url)["X-Goog-Expires"] == "86400"
    assert wrong_signature("GET", url, headers_of(url)) is None
    assert requests.get(url, timeout=9).content == b"content"
    assert requests.get(url.replace("b.txt", "c.txt"), timeout=9).status_code == 403
    assert gcs.accounts.calls["signBlob"] == 0


def test_a_url_stays_the_same_for_half_of_its_time(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"iam_sign_blob": True, "expiration": timedelta(hours=1)}
    storage = make(**options)
    first = storage.url("a")
    assert [storage.url("a") for _ in range(5)] == [first] * 5
    # Another process has the same, by the disk.
    assert make(**options).url("a") == first
    now = time.time
    for minutes, signatures in ((29, 1), (31, 2), (59, 2), (62, 3)):
        later = now() + minutes * 60
        monkeypatch.setattr("time.time", lambda later=later: later)
        storage.url("a")
        assert gcs.accounts.calls["signBlob"] == signatures


def test_urls_differ_by_what_is_asked(gcs: GCS, make: Make) -> None:
    storage = make()
    parameters = {"response_disposition": "attachment"}
    attached = storage.url("a", parameters)
    assert asked(attached)["response-content-disposition"] == "attachment"
    assert wrong_signature("GET", attached, headers_of(attached)) is None
    assert storage.url("a", {"response_disposition": "attachment"}) == attached
    assert parameters == {"response_disposition": "attachment"}
    assert storage.url("a") != attached
    assert storage.url("b") != storage.url("a")
    assert make(expiration=timedelta(hours=1)).url("a") != storage.url("a")
    headers = {"headers": {"x-goog-meta-a": "b"}}
    with_headers = storage.url("a", headers)
    assert headers == {"headers": {"x-goog-meta-a": "b"}}
    sent = {**headers_of(with_headers), "x-goog-meta-a": "b"}
    assert wrong_signature("GET", with_headers, sent) is None


def test_a_write_makes_an_end_of_a_url(gcs: GCS, make: Make) -> None:
    storage = make(iam_sign_blob=True, allow_overwrite=True)
    save(storage, "a")
    storage.url("a")
    storage.url("a")
    assert gcs.accounts.calls["signBlob"] == 1
    save(storage, "a")
    storage.url("a")
    assert gcs.accounts.calls["signBlob"] == 2


def test_another_key_makes_other_urls(gcs: GCS, make: Make) -> None:
    kind = type(gcs.options["credentials"])
    rotated = gcs.accounts.key_file() | {"private_key_id": "2"}
    other = kind.from_service_account_info(rotated)
    storage = make(expiration=datetime.now(UTC) + timedelta(days=1))
    first = storage.url("a")
    assert storage.url("a") == first
    time.sleep(1.1)
    again = make(expiration=storage.expiration, credentials=other)
    assert again.url("a") != first


def test_url_parameters_with_credentials_are_nobody_else_s(
    gcs: GCS, storage: GCSStorage
) -> None:
    given = {"credentials": gcs.accounts.credentials()}
    first = storage.url("a", given)
    time.sleep(1.1)
    assert storage.url("a", given) != first
    assert wrong_signature("GET", first, headers_of(first)) is None


def test_unsigned_urls_are_those_of_the_parent(gcs: GCS, make: Make) -> None:
    storage = make(querystring_auth=False, bucket_name="b", location="media")
    assert storage.url("d/ä b.txt") == f"{gcs.url}/b/media/d/%C3%A4%20b.txt"
    # Static files ask for those of directories.
    assert storage.url("d/") == f"{gcs.url}/b/media/d/"
    assert storage.url("") == f"{gcs.url}/b/media/"
    cdn = {"custom_endpoint": "https://cdn.example", "querystring_auth": False}
    assert make(**cdn).url("d/ä~b.txt") == "https://cdn.example/d/%C3%A4~b.txt"
    public = make(default_acl="publicRead", bucket_name="b")
    assert public.url("a") == f"{gcs.url}/b/a"
    assert gcs.front.kinds == []
    signed = make(custom_endpoint="https://cdn.example").url("a")
    assert signed.startswith("https://cdn.example/a?")
    assert wrong_signature("GET", signed, {"host": "cdn.example"}) is None


# Signing without a key


def of_cloud_run() -> Any:
    """Return credentials whose tokens come from the metadata server."""
    return MetadataCredentials()  # type: ignore[no-untyped-call]


def of_a_user() -> Any:
    return UserCredentials("secret-token-of-a-user")  # type: ignore[no-untyped-call]


def compute(gcs: GCS, tmp_path: Path) -> Any:
    return of_cloud_run()


def impersonated(gcs: GCS, tmp_path: Path) -> Any:
    return impersonated_credentials.Credentials(  # type: ignore[no-untyped-call]
        of_a_user(), EMAIL, []
    )


def external(gcs: GCS, tmp_path: Path) -> Any:
    subject = tmp_path / "subject"
    subject.write_text("secret-token-of-elsewhere")
    accounts = gcs.accounts.url
    account = f"{accounts}/v1/projects/-/serviceAccounts/{EMAIL}"
    return identity_pool.Credentials(  # type: ignore[no-untyped-call]
        audience="//iam.googleapis.com/projects/1/pools/2",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{accounts}/sts",
        credential_source={"file": str(subject)},
        service_account_impersonation_url=f"{account}:generateAccessToken",
    )


@pytest.mark.parametrize("keyless", [compute, impersonated, external])
def test_without_a_key_iam_signs_once_for_half_of_the_time(
    gcs: GCS, make: Make, tmp_path: Path, keyless: Any
) -> None:
    storage = make(credentials=keyless(gcs, tmp_path))
    pictures = [f"pictures/{number}.jpg" for number in range(100)]
    pages = [[storage.url(name) for name in pictures] for _ in range(100)]
    assert gcs.accounts.calls["signBlob"] == 100
    assert pages == [pages[0]] * 100
    for url in pages[0]:
        assert wrong_signature("GET", url, headers_of(url)) is None
        assert asked(url)["X-Goog-Credential"].startswith(EMAIL)


def test_what_iam_signs_is_kept_for_six_hours_at_most(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[float] = []

    def note(self: EntryCache, *text: Any) -> None:
        kept.append(text[-1])

    monkeypatch.setattr(EntryCache, "keep_text", note)
    options: dict[str, Any]
    for options in (
        {"credentials": of_cloud_run()},
        {"credentials": of_cloud_run(), "expiration": timedelta(hours=1)},
        {},
    ):
        make(**options).url("a")
    assert [round(seconds / 360) / 10 for seconds in kept] == [6, 0.5, 12]


def test_the_environment_s_credentials_may_sign_by_iam(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", gcs.url)
    found: list[Any] = []

    def default(scopes: Any = None, **options: Any) -> tuple[Any, str]:
        found.append(of_cloud_run())
        return found[-1], "tests"

    monkeypatch.setattr("google.auth.default", default)
    storage = make(credentials=None, project_id=None)
    url = storage.url("a")
    assert wrong_signature("GET", url, headers_of(url)) is None
    # On Cloud Run a token is for what was asked; Storage's own scopes do not sign.
    tokens = [sent for sent in gcs.accounts.seen if sent.path.endswith("/token")]
    scopes = {sent.query["scopes"] for sent in tokens}
    assert scopes == {"https://www.googleapis.com/auth/cloud-platform"}
    make(credentials=None, project_id=None).url("b")
    assert len(found) == 1


def test_iam_signs_where_it_is_told_to(gcs: GCS, make: Make) -> None:
    url = make(iam_sign_blob=True).url("a")
    assert gcs.accounts.calls["signBlob"] == 1
    assert wrong_signature("GET", url, headers_of(url)) is None


def test_a_user_signs_as_a_service_account_that_is_named(gcs: GCS, make: Make) -> None:
    user = of_a_user()
    with pytest.raises(ImproperlyConfigured, match="GS_SA_EMAIL"):
        make(credentials=user).url("a")
    url = make(credentials=user, sa_email=EMAIL).url("a")
    assert asked(url)["X-Goog-Credential"].startswith(EMAIL)
    assert wrong_signature("GET", url, headers_of(url)) is None


def test_without_credentials_nothing_is_signed(make: Make) -> None:
    with pytest.raises(ImproperlyConfigured, match="GS_QUERYSTRING_AUTH"):
        make(credentials=None).url("a")


@pytest.mark.parametrize("keyless", [compute, impersonated])
def test_a_signature_that_is_refused(
    gcs: GCS, make: Make, tmp_path: Path, keyless: Any
) -> None:
    gcs.accounts.answers["signBlob"] = refusal(403, "Permission denied")
    storage = make(credentials=keyless(gcs, tmp_path))
    with pytest.raises(StoreForbids, match=f"{EMAIL}.*Token Creator") as caught:
        storage.url("a")
    assert all(isinstance(error, TahoeStorageError) for error in chain(caught.value))


def test_a_signature_that_is_not_to_be_had_now(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    gcs.accounts.answers["signBlob"] = refusal(503, "Unavailable")
    with pytest.raises(StoreUnreachable, match="IAM"):
        make(credentials=of_cloud_run()).url("a")


@pytest.mark.usefixtures("impatient")
def test_iam_that_cannot_be_reached(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "google.auth.iam._IAM_SIGN_ENDPOINT", "http://127.0.0.1:1/{}:signBlob"
    )
    with pytest.raises(StoreUnreachable, match="a: "):
        make(credentials=of_cloud_run()).url("a")


# Direct uploads


def send(upload: Any, body: bytes, **headers: str) -> int:
    status: int = requests.request(
        upload.method,
        upload.url,
        headers=upload.headers | headers,
        data=body,
        timeout=9,
    ).status_code
    return status


@pytest.mark.parametrize("by", ["key", "iam"])
def test_a_direct_upload_is_bounded_and_cannot_overwrite(
    gcs: GCS, make: Make, by: str
) -> None:
    credentials = {"credentials": of_cloud_run()} if by == "iam" else {}
    storage = make(**credentials)
    # What was known of the name will change, and nobody tells the cache.
    assert not storage.exists("in/a.txt")
    upload = storage.upload_url("in/a.txt", "text/plain", 10)
    assert not storage.exists("in/a.txt")
    assert upload.method == "PUT"
    assert upload.fields == {}
    assert send(upload, b"x" * 11) == 400
    assert send(upload, b"0123456789", **{"Content-Type": "text/html"}) == 403
    unbounded = {"x-goog-content-length-range": "0,1000"}
    assert send(upload, b"0123456789", **unbounded) == 403
    assert send(upload, b"0123456789", **{"x-goog-if-generation-match": "1"}) == 403
    assert send(upload, b"0123456789") == 200
    assert storage.exists("in/a.txt")
    assert read(storage, "in/a.txt") == b"0123456789"
    assert send(upload, b"another") == 412
    assert send(storage.upload_url("in/a.txt", "text/plain", 10), b"another") == 412
    assert read(storage, "in/a.txt") == b"0123456789"
    assert gcs.accounts.calls["signBlob"] == (2 if by == "iam" else 0)


def test_a_direct_upload_ends_with_its_time(make: Make) -> None:
    upload = make(expiration=timedelta(seconds=1)).upload_url("a", "text/plain", 10)
    assert asked(upload.url)["X-Goog-Expires"] == "1"
    time.sleep(2.1)
    assert send(upload, b"late") == 403


def test_a_direct_upload_makes_what_a_save_makes(make: Make) -> None:
    parameters = {"cache_control": "max-age=60", "acl": "publicRead"}
    storage = make(object_parameters=parameters, location="media")
    upload = storage.upload_url("a b.txt", "text/plain", 10)
    assert upload.headers == {
        "Content-Type": "text/plain",
        "Cache-Control": "max-age=60",
        "x-goog-acl": "public-read",
        "x-goog-content-length-range": "0,10",
        "x-goog-if-generation-match": "0",
    }
    assert urlsplit(upload.url).path == f"/{storage.bucket_name}/media/a%20b.txt"
    assert send(upload, b"content") == 200
    assert read(storage, "a b.txt") == b"content"


# Copies


def test_a_copy_is_made_by_the_store(gcs: GCS, make: Make, bucket: str) -> None:
    storage = make(object_parameters={"cache_control": "max-age=60"})
    save(storage, "a.txt", b"content")
    gcs.front.reset()
    gcs.front.rewrite_calls = 3
    assert storage.copy("a.txt", "b") == "b"
    assert gcs.front.kinds == ["stat", "rewrite", "rewrite", "rewrite"]
    rewrites = [sent.query for sent in gcs.front.sent[1:]]
    assert [query["ifGenerationMatch"] for query in rewrites] == ["0"] * 3
    assert [query.get("rewriteToken") for query in rewrites] == [None, "1", "2"]
    source, target = (gcs.front.object(bucket, name) for name in ("a.txt", "b"))
    assert source is not None
    assert target is not None
    assert rewrites[0]["sourceGeneration"] == source["generation"]
    assert target["contentType"] == "text/plain"
    assert target["cacheControl"] == "max-age=60"
    assert target["metadata"] != source["metadata"]
    assert read(storage, "b") == b"content"


def test_a_copy_does_not_overwrite(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a", b"a")
    save(storage, "b", b"b")
    for target in ("a", "b"):
        with pytest.raises(NameTaken, match=f"a to {target}"):
            storage.copy("a", target)
    with pytest.raises(FileNotFoundError, match="none to c"):
        storage.copy("none", "c")
    assert read(storage, "b") == b"b"


@pytest.mark.usefixtures("undaunted")
def test_a_copy_whose_answer_was_lost_is_known_by_its_mark(
    gcs: GCS, storage: GCSStorage
) -> None:
    save(storage, "a", b"content")
    gcs.front.play("rewrite", LOSE)
    assert storage.move("a", "b") == "b"
    assert not storage.exists("a")
    assert read(storage, "b") == b"content"


def test_a_source_that_is_replaced_meanwhile_is_looked_at_again(
    gcs: GCS, storage: GCSStorage
) -> None:
    save(storage, "a", b"content")
    gcs.front.play("rewrite", refusal(404, "No such object"))
    storage.copy("a", "b")
    assert gcs.front.kinds[-4:] == ["stat", "rewrite", "stat", "rewrite"]
    assert read(storage, "b") == b"content"
    gcs.front.play("rewrite", *[refusal(404, "No such object")] * 9)
    with pytest.raises(StoreError, match="replaced all the time"):
        storage.copy("a", "c")


def test_a_copy_has_the_acl_that_saves_have(gcs: GCS, make: Make) -> None:
    storage = make(default_acl="publicRead")
    save(storage, "a")
    gcs.front.reset()
    storage.copy("a", "b")
    assert gcs.front.kinds == ["stat", "rewrite", "PATCH"]
    assert gcs.front.sent[-1].query["predefinedAcl"] == "publicRead"


# Travelling


SECRET = re.compile(r"PRIVATE KEY|secret-token|private_key")


def travelled(storage: GCSStorage) -> GCSStorage:
    """Return what arrives when a storage is sent as a pickle."""
    pickled = pickle.dumps(storage)
    assert SECRET.search(pickled.decode("latin-1")) is None
    arrived: GCSStorage = pickle.loads(pickled)  # noqa: S301
    return arrived


class Labelled(GCSStorage):
    """A subclass that keeps something of its own."""

    def __init__(self, label: str = "none", **options: Any) -> None:
        super().__init__(**options)
        self.label = label


def test_copies_keep_their_credentials(storage: GCSStorage) -> None:
    save(storage, "a")
    for other in (copy.copy(storage), *copy.deepcopy([storage])):
        assert other is not storage
        assert other.credentials is storage.credentials
        assert read(other, "a") == b"content"
        assert other.deconstruct() == storage.deconstruct()


def test_a_pickle_takes_its_credentials_from_the_settings(
    gcs: GCS, make: Make, settings: Settings
) -> None:
    save(make(), "a")
    for storage in (make(), travelled_with(settings, gcs, make())):
        settings.GS_CREDENTIALS = gcs.accounts.credentials()
        arrived = travelled(storage)
        assert arrived.credentials is settings.GS_CREDENTIALS
        assert read(arrived, "a") == b"content"
        assert arrived.bucket_name == storage.bucket_name


def travelled_with(settings: Settings, gcs: GCS, storage: GCSStorage) -> GCSStorage:
    settings.GS_CREDENTIALS = gcs.accounts.credentials()
    return travelled(storage)


def test_credentials_by_hand_that_are_gone_are_missed_when_they_are_needed(
    gcs: GCS, make: Make, settings: Settings
) -> None:
    kind = type(gcs.options["credentials"])
    other = gcs.accounts.key_file() | {"client_email": "other@tests.example"}
    for settings.GS_CREDENTIALS in (None, kind.from_service_account_info(other)):
        arrived = travelled(travelled(make()))
        for ask in (arrived.exists, arrived.url):
            with pytest.raises(ImproperlyConfigured, match="GS_CREDENTIALS"):
                ask("a")


def test_credentials_of_the_settings_are_nobody_s_by_hand(
    gcs: GCS, bucket: str, settings: Settings
) -> None:
    settings.GS_CREDENTIALS = gcs.accounts.credentials()
    storage = GCSStorage(bucket_name=bucket, project_id="tests", cache=False)
    save(storage, "a")
    settings.GS_CREDENTIALS = None
    # The environment's, which are none on an emulator.
    assert read(travelled(storage), "a") == b"content"


def test_the_credentials_of_a_key_file_travel_as_its_path(
    gcs: GCS, make: Make, tmp_path: Path
) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(gcs.accounts.key_file()))
    storage = make(credentials=KeyFile(str(file)))
    url = storage.url("a")
    assert wrong_signature("GET", url, headers_of(url)) is None
    arrived = travelled(storage)
    save(arrived, "a")
    assert read(arrived, "a") == b"content"
    assert "credentials" not in arrived.deconstruct()[2]


def test_a_migration_has_no_credentials(make: Make) -> None:
    storage = make(location="media")
    path, arguments, options = storage.deconstruct()
    assert path == "tahoestorage.backends.gcs.GCSStorage"
    assert arguments == ()
    assert options.keys() == {"project_id", "bucket_name", "location", "cache"}
    written, imports = MigrationWriter.serialize(storage)
    assert "location='media'" in written
    assert SECRET.search(written) is None
    assert imports == {"import tahoestorage.backends.gcs"}
    assert SECRET.search(repr(storage)) is None


def test_subclasses_travel(gcs: GCS, make: Make, settings: Settings) -> None:
    settings.GS_CREDENTIALS = gcs.accounts.credentials()
    options = {**gcs.options, "bucket_name": make().bucket_name, "cache": False}
    storage = Labelled("mine", **options)
    for other in (travelled(storage), copy.copy(storage), copy.deepcopy(storage)):
        assert isinstance(other, Labelled)
        assert other.label == "mine"
        assert not other.exists("a")


def test_nothing_secret_is_logged(make: Make) -> None:
    with everything_logged() as lines:
        storage = make(credentials=of_cloud_run())
        save(storage, "a")
        read(storage, "a")
        storage.url("a")
    assert lines
    assert [line for line in lines if SECRET.search(line)] == []


# Clients


def test_storages_with_the_same_configuration_share_a_client(
    gcs: GCS, make: Make
) -> None:
    first = make()
    assert make(location="x", bucket_name="other").client is first.client
    assert copy.copy(first).client is first.client
    assert make(project_id="other").client is not first.client
    assert make(credentials=gcs.accounts.credentials()).client is not first.client


def test_threads_make_one_client(gcs: GCS, make: Make) -> None:
    options = {"credentials": gcs.accounts.credentials()}
    barrier = threading.Barrier(8)
    clients: list[Any] = []

    def one() -> None:
        barrier.wait()
        clients.append(make(**options).client)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(clients) == 8
    assert len({id(client) for client in clients}) == 1


def test_connections_are_used_again(gcs: GCS, make: Make) -> None:
    storage = make(credentials=gcs.accounts.credentials(), cache=False)
    for number in range(5):
        save(storage, f"{number}", b"x" * 10_000)
        assert read(storage, f"{number}") == b"x" * 10_000
    assert len(gcs.front.sent) >= 15
    assert gcs.front.connections == 1


def test_the_bucket_itself_is_not_asked_for(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a")
    read(storage, "a")
    storage.listdir("")
    time.sleep(0.2)
    assert "other" not in gcs.front.kinds


def test_a_child_makes_a_client_of_its_own(gcs: GCS, bucket: str) -> None:
    program = textwrap.dedent("""
        import json, os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        import django; django.setup()
        from django.core.files.base import ContentFile
        from google.oauth2 import service_account
        from tahoestorage.backends.gcs import GCSStorage

        key = json.load(sys.stdin)
        make = service_account.Credentials.from_service_account_info
        storage = GCSStorage(
            bucket_name=sys.argv[1], project_id="tests", credentials=make(key),
            cache=False,
        )
        storage.save("parent", ContentFile(b"of the parent"))
        before = storage.client
        child = os.fork()
        if child == 0:
            assert storage.client is not before
            assert storage.client is storage.client
            assert storage.open("parent").read() == b"of the parent"
            storage.save("child", ContentFile(b"of the child"))
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert storage.client is before
        assert storage.open("child").read() == b"of the child"
    """)
    connections = gcs.front.connections
    subprocess.run(
        [sys.executable, "-c", program, bucket],
        input=json.dumps(gcs.accounts.key_file()),
        text=True,
        check=True,
        timeout=60,
    )
    assert gcs.front.connections - connections == 2


def test_the_root_package_imports_nothing_of_google() -> None:
    program = "import sys, tahoestorage.storage; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert not any(name.startswith("google") for name in run.stdout.split())


def test_a_url_from_memory_takes_microseconds(make: Make) -> None:
    storage = make(location="media")
    storage.url("dir/a")

    def taken() -> float:
        started = time.perf_counter()
        for _ in range(500):
            storage.url("dir/a")
        return (time.perf_counter() - started) / 500

    # The figure is 15; what a busy machine adds is not counted as slowness here.
    assert min(taken() for _ in range(5)) < 150e-6
