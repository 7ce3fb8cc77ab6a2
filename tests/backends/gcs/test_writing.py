"""Writing to Google Cloud Storage: what is sent, and that nothing is overwritten."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django.fixtures import Settings

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.exceptions import NameTaken, StoreError, StoreUnreachable
from tests.support.gcs_servers import (
    EMAIL,
    GCS,
    HANG_UP,
    LOSE,
    PlayedResponse,
    refusal,
)
from tests.support.gcs_storages import PIECE, Make, Once, chain, metadata_in, read, save

# Saving


def test_a_save_is_one_request_that_cannot_overwrite(
    gcs: GCS, storage: GCSStorage
) -> None:
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


def test_a_name_that_another_process_took_is_refused_once(gcs: GCS, make: Make) -> None:
    storage, other = make(), make(cache=False)
    save(other, "a", b"theirs")
    gcs.front.reset()
    name = save(storage, "a", b"mine")
    assert gcs.front.kinds == ["upload", "stat", "upload"]
    assert (read(other, "a"), read(other, name)) == (b"theirs", b"mine")


@pytest.mark.parametrize("content", [b"short", b"x" * (PIECE + 1)])
def test_a_unique_name_is_not_overwritten(
    gcs: GCS, make: Make, small_pieces: dict[str, int], content: bytes
) -> None:
    storage, rival = make(**small_pieces), make(cache=False)
    storage.create("a", Once(content), unique=True)
    assert gcs.front.kinds[0] in ("upload", "session")
    assert gcs.front.sent[0].query["ifGenerationMatch"] == "0"
    assert read(rival, "a") == content

    class Overtaken(Once):
        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
            yield from super().chunks(chunk_size)
            save(rival, "b", b"theirs")

    with pytest.raises(NameTaken):
        storage.create("b", Overtaken(content), unique=True)
    assert read(rival, "b") == b"theirs"


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
def test_what_is_sent_again_after_a_lost_response_is_no_conflict(
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
def test_a_save_whose_last_response_was_lost_is_known_by_its_token(
    gcs: GCS, storage: GCSStorage
) -> None:
    gcs.front.play("upload", LOSE)
    save(storage, "a")
    assert gcs.front.kinds == ["upload", "upload", "stat"]


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
    "error", [ZeroDivisionError, ConnectionError, FileNotFoundError, ValueError]
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


LOST_PIECES = {
    "kept in part": (
        PlayedResponse(308, {"Range": f"bytes=0-{2 * PIECE - 100}"}, b""),
        "only a part of what was sent; try again",
    ),
    "dropped": (refusal(404, "Not Found"), "dropped by the store; save it again"),
}


@pytest.mark.parametrize(("response", "told"), LOST_PIECES.values(), ids=LOST_PIECES)
def test_a_piece_that_the_store_loses_is_told_as_such(
    gcs: GCS, make: Make, small_pieces: dict[str, int], response: Any, told: str
) -> None:
    storage = make(**small_pieces)
    gcs.front.play("piece", None, response)
    with pytest.raises(StoreUnreachable, match=told) as caught:
        save(storage, "a", os.urandom(4 * PIECE))
    assert not any("upload_id" in str(each) for each in chain(caught.value))
    assert not make(cache=False).exists("a")
    content = os.urandom(4 * PIECE)
    assert read(storage, save(storage, "a", content)) == content


def test_a_missing_bucket_is_told_of_long_files_too(
    make: Make, small_pieces: dict[str, int]
) -> None:
    storage = make(bucket_name="there-is-no-such-bucket", cache=False, **small_pieces)
    with pytest.raises(StoreError, match="no such bucket"):
        storage.create("a", ContentFile(os.urandom(2 * PIECE)), unique=True)


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


@pytest.mark.parametrize(
    ("brought", "kept"),
    [
        ("image/x-mine", "image/x-mine"),
        ("", "text/css"),
        ("no type", "text/css"),
        ("text/plain\r\nx-goog-acl: public-read", "text/css"),
        ("text/plain\n", "text/css"),
        ("text/ü", "text/css"),
        (f"text/{'x' * 5000}", "text/css"),
    ],
)
def test_an_upload_s_type_is_kept(
    gcs: GCS,
    make: Make,
    bucket: str,
    small_pieces: dict[str, int],
    brought: str,
    kept: str,
) -> None:
    storage = make(**small_pieces)
    for content in (b"short", b"x" * (PIECE + 1)):
        upload = SimpleUploadedFile("theirs.bin", content, brought)
        name = storage.save("a.css", upload)
        known = gcs.front.object(bucket, name)
        assert known is not None
        assert known["contentType"] == kept
    # What the site asks for is stronger.
    storage = make(object_parameters={"content_type": "text/x-site"})
    storage.save("b.css", SimpleUploadedFile("b", b"x", brought))
    known = gcs.front.object(bucket, "b.css")
    assert known is not None
    assert known["contentType"] == "text/x-site"


def test_an_empty_object_may_have_no_size_in_its_json(
    gcs: GCS, make: Make, bucket: str
) -> None:
    # Google's own testbench leaves it out.
    gcs.front.tells_empty = False
    storage = make()
    assert save(storage, "a", b"") == "a"
    fresh = make(cache=False)
    assert fresh.size("a") == 0
    assert read(fresh, "a") == b""
    assert [entry.size for _, entry in fresh.listed("")] == [0]


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
def test_a_copy_whose_answer_was_lost_is_known_by_its_token(
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


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lost", [None, LOSE], ids=["told", "lost"])
def test_a_copy_that_gets_no_acl_is_not_kept(
    gcs: GCS, make: Make, lost: str | None
) -> None:
    storage = make(default_acl="publicRead")
    save(storage, "a")
    gcs.front.play("rewrite", lost)
    gcs.front.play("PATCH", refusal(400, "uniform bucket-level access is enabled"))
    with pytest.raises(StoreError, match="uniform"):
        storage.copy("a", "b")
    assert not make(cache=False).exists("b")
    assert storage.copy("a", "b") == "b"


def test_a_copy_has_the_acl_that_saves_have(gcs: GCS, make: Make) -> None:
    storage = make(default_acl="publicRead")
    save(storage, "a")
    gcs.front.reset()
    storage.copy("a", "b")
    assert gcs.front.kinds == ["stat", "rewrite", "PATCH"]
    assert gcs.front.sent[-1].query["predefinedAcl"] == "publicRead"
