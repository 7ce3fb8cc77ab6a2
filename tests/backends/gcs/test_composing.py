"""Files that the store makes of others."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud.storage import Blob

from tahoestorage.backends.digests import CRC32C, hasher
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.exceptions import (
    FileMissing,
    NameTaken,
    NotConditional,
    StoreError,
    StoreUnreachable,
)
from tests.support.gcs_servers import GCS, HANG_UP, LOSE, refusal
from tests.support.gcs_storages import Make, read, save

TYPE = "image/png"


def parts(storage: GCSStorage, count: int) -> tuple[list[str], bytes]:
    """Save so many files; return their names and what they have together."""
    contents = [b"%d," % number for number in range(count)]
    names = [save(storage, f"parts/{n}", each) for n, each in enumerate(contents)]
    return names, b"".join(contents)


@pytest.mark.parametrize("count", [1, 32, 33, 63, 64])
def test_they_become_one_file_and_nothing_is_sent_or_read(
    gcs: GCS, storage: GCSStorage, count: int
) -> None:
    names, content = parts(storage, count)
    gcs.front.reset()

    storage.compose("dir/a", names, TYPE)

    assert set(gcs.front.kinds) == {"compose"}
    assert gcs.front.sent[0].query["ifGenerationMatch"] == "0"
    assert storage.exists("dir/a")
    assert storage.size("dir/a") == len(content)
    assert read(storage, "dir/a") == content
    digest = hasher(CRC32C)
    digest.update(content)
    assert storage.stored_checksums("dir/a")[CRC32C] == digest.digest()
    blob = storage.bucket.get_blob(storage.key_of("dir/a"))
    assert (blob.content_type, len(blob.metadata["tahoestorage-token"])) == (TYPE, 32)
    assert read(storage, names[0]) == b"0,"


def test_nothing_is_overwritten(storage: GCSStorage) -> None:
    names, _ = parts(storage, 40)
    save(storage, "a", b"somebody's")

    with pytest.raises(NameTaken, match="a"):
        storage.compose("a", names, TYPE)

    assert read(storage, "a") == b"somebody's"


@pytest.mark.parametrize("missing", [0, 39])
def test_without_one_of_them_there_is_no_file(
    storage: GCSStorage, missing: int
) -> None:
    names, _ = parts(storage, 40)
    storage.delete(names[missing])

    with pytest.raises(FileMissing, match="dir/a"):
        storage.compose("dir/a", names, TYPE)

    assert not storage.exists("dir/a")


def test_of_no_file_none_is_made(storage: GCSStorage) -> None:
    with pytest.raises(ValueError, match="one file"):
        storage.compose("a", [], TYPE)


@pytest.mark.usefixtures("undaunted")
def test_a_lost_response_is_no_error(gcs: GCS, storage: GCSStorage) -> None:
    names, content = parts(storage, 40)
    gcs.front.play("compose", LOSE, None, LOSE)

    storage.compose("a", names, TYPE)

    assert read(storage, "a") == content


@pytest.mark.usefixtures("impatient")
def test_a_store_that_goes_away_half_way_keeps_no_half(
    gcs: GCS, storage: GCSStorage
) -> None:
    names, _ = parts(storage, 40)
    gcs.front.play("compose", None, *[HANG_UP] * 50)

    with pytest.raises(StoreUnreachable, match="a"):
        storage.compose("a", names, TYPE)

    assert not storage.exists("a")


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("at", [1, 2])
def test_what_is_interrupted_half_way_keeps_no_half(
    storage: GCSStorage, monkeypatch: pytest.MonkeyPatch, at: int, is_done: bool
) -> None:
    """Whether or not the store has carried out the request under way."""
    names, _ = parts(storage, 40)
    compose, sent = Blob.compose, 0

    def interrupted(*arguments: Any, **options: Any) -> None:
        nonlocal sent
        sent += 1
        if sent < at or is_done:
            compose(*arguments, **options)
        if sent == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(Blob, "compose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.compose("a", names, TYPE)

    assert sent == at
    assert not storage.exists("a")


def test_what_gets_no_acl_is_not_kept(gcs: GCS, make: Make) -> None:
    storage = make(default_acl="publicRead")
    names, content = parts(storage, 2)
    gcs.front.play("PATCH", refusal(400, "uniform bucket-level access is enabled"))

    with pytest.raises(StoreError, match="uniform"):
        storage.compose("a", names, TYPE)

    assert not make(cache=False).exists("a")
    assert not storage.exists("a")
    storage.compose("a", names, TYPE)
    assert read(storage, "a") == content


@pytest.mark.usefixtures("impatient")
def test_what_was_made_before_the_store_went_away_is_found(
    gcs: GCS, storage: GCSStorage
) -> None:
    names, content = parts(storage, 2)
    gcs.front.play("compose", LOSE, *[HANG_UP] * 50)

    storage.compose("a", names, TYPE)

    assert read(storage, "a") == content


@pytest.mark.usefixtures("impatient")
def test_a_half_whose_response_was_lost_is_deleted(
    gcs: GCS, storage: GCSStorage
) -> None:
    names, _ = parts(storage, 40)
    gcs.front.play("compose", LOSE, *[HANG_UP] * 50)

    with pytest.raises(StoreUnreachable, match="a"):
        storage.compose("a", names, TYPE)

    assert not storage.exists("a")


def test_a_store_that_is_not_known_to_refuse_is_tried(gcs: GCS, make: Make) -> None:
    storage: Any = make(conditional_writes=False, cache=False)
    storage._connection.honoured.clear()
    names, content = parts(storage, 2)

    storage.compose("a", names, TYPE)

    assert read(storage, "a") == content
    assert sorted(b.name for b in storage.bucket.list_blobs()) == ["a", *names]


def test_a_store_that_overwrites_makes_nothing(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Any = make(conditional_writes=False, cache=False)
    storage._connection.honoured.clear()
    names, _ = parts(storage, 2)
    monkeypatch.setattr(gcs.front, "_condition", lambda sent: None)

    with pytest.raises(NotConditional):
        storage.compose("a", names, TYPE)

    assert not storage.exists("a")
