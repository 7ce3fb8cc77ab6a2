"""Objects that are known are looked up in memory, and what others change is seen."""

from __future__ import annotations

import copy
import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.files.base import ContentFile

from tahoestorage.backends import keys, lookups
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.cache import generations, sealing
from tests.support.costs import costs_counted
from tests.support.gcs_storages import Make
from tests.support.s3_storages import MakeS3, save

VERBS = ("exists", "size", "get_modified_time", "url")
NAMES = [f"dir/{number}.jpg" for number in range(20)]


@pytest.fixture(params=["s3", "gcs"])
def maker(request: pytest.FixtureRequest) -> Any:
    """What makes storages of one bucket."""
    return request.getfixturevalue("make_s3" if request.param == "s3" else "make")


def another_memory(maker: Any, tmp_path: Path) -> S3Storage | GCSStorage:
    """Return the storage of another process: the same files, and its own memory."""
    made = maker(
        allow_overwrite=True,
        cache={"directory": str(tmp_path / "cache"), "memory_entries": 9_999},
    )
    assert isinstance(made, S3Storage | GCSStorage)
    return made


@pytest.mark.parametrize("verb", VERBS)
def test_a_known_object_costs_one_small_read_and_no_hash(
    maker: MakeS3 | Make, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = maker()
    for name in NAMES:
        save(storage, name)
    ask = getattr(storage, verb)
    hashed: list[object] = []
    for module in (generations, sealing):
        real = module.blake2b

        def hash_(*arguments: Any, real: Any = real, **more: Any) -> Any:
            hashed.append(arguments)
            return real(*arguments, **more)

        monkeypatch.setattr(module, "blake2b", hash_)
    with costs_counted() as costs:
        for _ in range(2):
            for name in NAMES:
                ask(name)
        costs.taken()
        hashed.clear()
        for name in NAMES:
            ask(name)
        assert costs.taken() == [len(NAMES), 0, 0]
    assert hashed == []


@pytest.mark.parametrize("verb", VERBS)
def test_what_follows_from_a_known_name_is_looked_up_at_once(
    maker: MakeS3 | Make, verb: str
) -> None:
    storage = maker(location="media")
    for name in NAMES:
        save(storage, name)
    ask = getattr(storage, verb)
    remembering = (keys._cleaned, lookups._item_of, lookups._urls_of)
    for _ in range(2):
        before = [each.cache_info() for each in remembering]
        for name in NAMES:
            ask(name)
    assert [each.cache_info() for each in remembering] == before


def test_a_storage_that_has_looked_names_up_can_be_pickled_and_copied(
    maker: MakeS3 | Make,
) -> None:
    storage = maker()
    save(storage, "a")
    assert storage.exists("a")
    assert storage.url("a")
    assert pickle.dumps(storage)
    for other in (copy.copy(storage), copy.deepcopy(storage)):
        assert other.exists("a")


def test_what_another_process_changes_is_seen_at_once_though_it_was_in_memory(
    maker: MakeS3 | Make, tmp_path: Path
) -> None:
    storage, other = maker(), another_memory(maker, tmp_path)
    save(storage, "a", b"1")
    for content in (b"22", b"333"):
        for _ in range(3):
            assert storage.size("a") + 1 == len(content)
        assert storage.url("a")
        other.delete("a")
        for _ in range(3):
            assert not storage.exists("a")
        save(other, "a", content)
        for _ in range(3):
            assert storage.exists("a")
            assert storage.size("a") == len(content)
            url = storage.url("a")
        assert requests.get(url, timeout=60).content == content


def test_what_is_in_memory_expires(
    maker: MakeS3 | Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = maker()
    stranger = maker(
        allow_overwrite=True, cache={"directory": str(tmp_path / "another host")}
    )
    save(storage, "a", b"1")
    for _ in range(3):
        assert storage.size("a") == 1
    with stranger.open("a", "wb") as file:
        file.write(b"22")
    assert storage.size("a") == 1
    later = time.time() + 301
    monkeypatch.setattr(time, "time", lambda: later)
    assert storage.size("a") == 2


def test_a_storage_whose_folder_changes_finds_the_files_of_each(
    make_s3: MakeS3, tmp_path: Path
) -> None:
    class OfTheTenant(S3Storage):
        tenant = "one"

        @property
        def location(self) -> str:
            return self.tenant

        @location.setter
        def location(self, value: str) -> None:
            pass

    usual = make_s3()
    storage = OfTheTenant(
        **{
            option: getattr(usual, option)
            for option in ("bucket_name", "endpoint_url", "access_key", "secret_key")
        },
        addressing_style="path",
        cache={"directory": str(tmp_path / "cache")},
    )
    storage.save("a", ContentFile(b"of one"))
    for _ in range(3):
        assert storage.size("a") == 6
    storage.tenant = "two"
    for _ in range(3):
        assert not storage.exists("a")
    storage.save("a", ContentFile(b"of two, which is longer"))
    assert storage.size("a") == 23
    storage.tenant = "one"
    for _ in range(3):
        assert storage.size("a") == 6
    assert usual.exists("one/a")
    assert usual.exists("two/a")
