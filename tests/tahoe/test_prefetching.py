"""Directories that a block of ``prefetch`` fetches beside each other."""

from __future__ import annotations

import threading
from pathlib import Path as FilePath

import pytest
from django.core.files.base import ContentFile

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.tahoe import prefetching
from tahoestorage.tahoe.directories import Directories, Directory, Path
from tests.conftest import MakeStorage, requests_sent

DIRECTORIES = [f"photos/{number}" for number in range(6)]
NAMES = [f"{directory}/a.txt" for directory in DIRECTORIES]


@pytest.fixture
def reader(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: FilePath
) -> TahoeStorage:
    """Another host's storage, which knows nothing yet."""
    for name in (*NAMES, "photos/1/deep/b.txt", "other/c.txt"):
        storage.save(name, ContentFile(b"x"))
    return make_storage(cache={"directory": str(tmp_path / "of another host")})


def test_all_below_is_known_within_the_block(reader: TahoeStorage) -> None:
    with requests_sent() as seen, reader.prefetch("photos/"):
        # The root, photos/, the six in it, and the one below.
        assert len(seen) == 9
        assert all(map(reader.exists, (*NAMES, "photos/1/deep/b.txt")))
        assert not reader.exists("photos/2/none.txt")
        assert reader.listdir("photos")[0] == ["0", "1", "2", "3", "4", "5"]
        assert len(seen) == 9


def test_directories_are_fetched_beside_each_other(
    reader: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(len(DIRECTORIES), timeout=60)
    refresh = Directories.refresh

    def wait_for_the_others(
        self: Directories, path: Path, asked: dict[Path, Directory | None]
    ) -> None:
        if len(path) == 2:
            together.wait()
        refresh(self, path, asked)

    monkeypatch.setattr(Directories, "refresh", wait_for_the_others)
    with reader.prefetch("photos/"):
        pass

    assert not together.broken


def test_where_no_directory_is_named_each_is_asked_for_when_it_is_looked_up(
    reader: TahoeStorage,
) -> None:
    with requests_sent() as seen, reader.prefetch("photos/1"):
        assert seen == []
        assert reader.exists("photos/1/a.txt")
        # The root, photos/ and photos/1.
        assert len(seen) == 3


def test_what_is_beyond_the_bound_is_asked_for_when_it_is_looked_up(
    reader: TahoeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetching, "MOST", 3)
    with requests_sent() as seen, reader.prefetch("photos/"):
        # The root comes on the way.
        assert len(seen) == 4
        assert all(map(reader.exists, NAMES))
        assert len(seen) == 8


def test_a_directory_that_is_not_there_is_no_error(reader: TahoeStorage) -> None:
    with reader.prefetch("none/below/"):
        assert not reader.exists("none/below/a.txt")


def test_without_a_cache_a_block_costs_nothing(
    reader: TahoeStorage, make_storage: MakeStorage
) -> None:
    storage = make_storage(cache=False)
    with requests_sent() as without:
        assert all(map(storage.exists, NAMES))
    with requests_sent() as seen, storage.prefetch("photos/"):
        assert seen == []
        assert all(map(storage.exists, NAMES))
    assert len(seen) == len(without)


def test_what_the_disk_cannot_keep_is_fetched_below(
    reader: TahoeStorage, make_storage: MakeStorage, tmp_path: FilePath
) -> None:
    in_the_way = tmp_path / "a file"
    in_the_way.touch()
    storage = make_storage(cache={"directory": str(in_the_way)})
    with requests_sent() as seen, storage.prefetch("photos/"):
        # The root, photos/, the six in it, and the one below.
        assert len(seen) == 9
