"""Large content, read back in samples: what they see, and what is read for them."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pytest
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage

from tahoestorage.exceptions import StoreError
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tahoestorage.verification import ContentDigest
from tests.conftest import MakeStorage
from tests.support.checked_sites import shares
from tests.support.proxy import Proxy
from tests.support.s3_servers import S3Server
from tests.support.s3_storages import MakeS3

MIB = 1 << 20
SAMPLES = 32
SIZE = 40 * MIB + 12_345


class Watched(File):  # type: ignore[type-arg]
    def __init__(self, file: IO[bytes], reads: list[tuple[int, int]]) -> None:
        super().__init__(file)
        self.file: IO[bytes] = file
        self._reads = reads

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        data: bytes = self.file.read(size)
        if data:
            self._reads.append((start, len(data)))
        return data


class Disk(FileSystemStorage):
    """One that notes where files are read, and how many bytes."""

    def __init__(self, location: Path) -> None:
        super().__init__(location)
        self.reads: list[tuple[int, int]] = []

    def open(self, name: str, mode: str = "rb") -> File[bytes]:
        return Watched(super().open(name, mode), self.reads)


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def digest_of(
    storage: Storage, content: bytes, chunk: int = MIB, above: int | None = 0
) -> ContentDigest:
    digest = ContentDigest(storage, len(content), sample_above=above)
    for start in range(0, len(content), chunk):
        digest.update(content[start : start + chunk])
    return digest


def damage(path: Path, places: Iterable[int]) -> None:
    with path.open("r+b") as file:
        for place in places:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("chunk", [1 << 16, MIB - 1, MIB, 3 * MIB + 7, SIZE])
def test_samples_are_the_same_however_the_content_came(
    disk: Disk, content: bytes, chunk: int
) -> None:
    name = disk.save("a.bin", ContentFile(content))
    digest = digest_of(disk, content, chunk)

    assert digest.is_stored(name)

    assert digest.sha256 == hashlib.sha256(content).hexdigest()
    starts = [start for start, _ in disk.reads]
    assert [size for _, size in disk.reads] == [MIB] * SAMPLES
    assert (starts[0], starts[-1]) == (0, SIZE - MIB)
    # None overlaps another.
    assert all(b - a >= MIB for a, b in itertools.pairwise(starts))


def test_nobody_knows_before_which_samples_are_taken(
    disk: Disk, content: bytes
) -> None:
    name = disk.save("a.bin", ContentFile(content))
    seen = []
    for _ in range(2):
        assert digest_of(disk, content).is_stored(name)
        seen.append(set(disk.reads))
        disk.reads.clear()

    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    ("size", "above", "sampled"),
    [
        (36 * MIB, 36 * MIB, False),
        (36 * MIB + 1, 36 * MIB, True),
        (36 * MIB, None, False),
        # Samples would be as much as all of it.
        (SAMPLES * MIB, 0, False),
        (SAMPLES * MIB + 1, 0, True),
        (7, 0, False),
        (0, 0, False),
    ],
)
def test_what_is_not_above_the_bound_is_read_whole(
    disk: Disk, content: bytes, size: int, above: int | None, sampled: bool
) -> None:
    name = disk.save("a.bin", ContentFile(content[:size]))

    assert digest_of(disk, content[:size], above=above).is_stored(name)

    read = sum(count for _, count in disk.reads)
    assert read == (SAMPLES * MIB if sampled else size)


@pytest.mark.parametrize("place", [0, MIB - 1, SIZE - MIB, SIZE - 1])
def test_damage_in_the_first_and_the_last_mib_is_seen(
    disk: Disk, content: bytes, place: int
) -> None:
    name = disk.save("a.bin", ContentFile(content))
    damage(Path(disk.path(name)), [place])

    assert not digest_of(disk, content).is_stored(name)


@pytest.mark.parametrize("within", [0, MIB - 1])
def test_damage_in_any_sample_is_seen_and_elsewhere_it_is_not(
    disk: Disk, content: bytes, within: int
) -> None:
    name = disk.save("a.bin", ContentFile(content))
    digest = digest_of(disk, content)
    assert digest.is_stored(name)
    starts = {start for start, _ in disk.reads}
    path = Path(disk.path(name))

    for start in starts:
        damage(path, [start + within])
        assert not digest.is_stored(name)
        damage(path, [start + within])
    others = set(range(0, SIZE - MIB - MIB, MIB)) - starts
    assert others
    damage(path, (start + within for start in others))
    assert digest.is_stored(name)


@pytest.mark.parametrize("by", [-1, 1])
def test_another_length_is_seen(disk: Disk, content: bytes, by: int) -> None:
    name = disk.save("a.bin", ContentFile(content))
    os.truncate(disk.path(name), SIZE + by)

    assert not digest_of(disk, content).is_stored(name)
    assert not disk.reads


def test_a_grid_is_asked_for_each_sample_and_sends_no_more(
    make_storage: MakeStorage, proxy: Proxy, content: bytes
) -> None:
    storage = make_storage(base_url=proxy.url)
    name = storage.save("a.bin", ContentFile(content))
    digest = digest_of(storage, content)
    proxy.clear()

    assert digest.is_stored(name)

    assert [seen.method for seen in proxy.seen] == ["GET"] * SAMPLES
    assert {seen.status for seen in proxy.seen} == {206}
    assert [seen.received for seen in proxy.seen] == [MIB] * SAMPLES


def test_other_content_on_a_grid_is_seen(storage: TahoeStorage, content: bytes) -> None:
    name = storage.save("other.bin", ContentFile(content[:-1] + b"x"))
    longer = storage.save("longer.bin", ContentFile(content + b"x"))
    digest = digest_of(storage, content[:-1] + b"y")

    assert not digest.is_stored(name)
    assert not digest.is_stored(longer)
    assert not digest.is_stored("nothing")


def test_a_grid_that_has_lost_the_end_says_so(
    storage: TahoeStorage, tahoe_grid: LocalGrid, content: bytes
) -> None:
    name = storage.save("a.bin", ContentFile(content[:-1] + b"z"))
    digest = digest_of(storage, content[:-1] + b"z")
    (share,) = shares(tahoe_grid, Cap.parse(storage._entry(name)[1].reference))
    damage(share, [SIZE - MIB // 2])

    with pytest.raises(StoreError, match=r"a\.bin"):
        digest.is_stored(name)


def test_s3_is_asked_for_no_more_than_the_samples(
    make_strict_s3: MakeS3, weed: S3Server, content: bytes
) -> None:
    name = make_strict_s3().save("a.bin", ContentFile(content))
    with Proxy(weed.endpoint_url) as proxy:
        storage = make_strict_s3(endpoint_url=proxy.url)

        assert digest_of(storage, content).is_stored(name)

        proxy.settle()
    parts = [seen for seen in proxy.seen if seen.method == "GET"]
    assert {seen.status for seen in parts} == {206}
    assert sum(seen.received for seen in parts) == SAMPLES * MIB
    assert not digest_of(make_strict_s3(), content[::-1]).is_stored(name)


def test_what_is_packed_is_read_whole(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3(gzip=True)
    text = b"a { color: red }\n" * (2 * MIB) + b"b { }"
    name = storage.save("a.css", ContentFile(text))

    assert digest_of(storage, text).is_stored(name)

    assert not digest_of(storage, text[:-1] + b"]").is_stored(name)
