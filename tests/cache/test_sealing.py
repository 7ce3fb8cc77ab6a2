"""What lies on disk is of no use to those who may not read the directory, and whatever
they put there is not believed, not loaded and not tripped over.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import blake2b, sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tahoestorage.cache import MISSING, EntryCache, Listing, Namespace
from tahoestorage.cache.pages import Page, close_page, open_page
from tahoestorage.cache.rawcache import RawCache, RawDisk
from tahoestorage.cache.sealing import Seal, page_key, path_key
from tahoestorage.entries import Entry, EntryKind

READ_CAP = "URI:DIR2-RO:rhkvmsovyd2lbxq4hxhmwhcrpe:27amulf4k2fn5lrmpqkgrcs6yy54"
WRITE_CAP = "URI:DIR2:gswpmrkjwjjkvyw6txdvahdjs4:27amulf4k2fn5lrmpqkgrcs6yy54mcz"
FILE_CAP = "URI:CHK:lw6q2rjh3vdgfxh3xdqkuo6yui:otuuvhrw5pvqnhtqtqyqh3zz5isj:1:1:4096"
CHILD_CAP = "URI:DIR2-RO:ogxnnmpykq4kjvsmcvyqgs6wzu:tqm3xlh6yyxcvyyscorzvxlrgrt3"
CHILD_WRITE_CAP = "URI:DIR2:p5yt7s2khv7dkgdd3qzokkx5q4:tqm3xlh6yyxcvyyscorzvxlrgrt3h"
FILE = Entry(EntryKind.FILE, FILE_CAP, 4096, 1.7e9, 1.7e9)
CHILD = Entry(EntryKind.DIRECTORY, CHILD_CAP)
SECRETS = [
    READ_CAP,
    WRITE_CAP,
    FILE_CAP,
    CHILD_CAP,
    CHILD_WRITE_CAP,
    "a quite confidential name.pdf",
    "a quite confidential folder",
    "a path/that leads/somewhere",
    "a name that is written",
]
EPOCH, EXPIRY = 5, 2e9
PAGE = Page(b"").with_entry("a", FILE)


def namespace_of(read: str = READ_CAP, write: str | None = WRITE_CAP) -> Namespace:
    identity = sha256(read.encode()).digest()[:16]
    return Namespace(identity, read.encode(), None if write is None else write.encode())


SCOPE = namespace_of()
SEALED = close_page(SCOPE, SCOPE.root, PAGE, EXPIRY, EPOCH)


def listing() -> Listing:
    listing = Listing()
    listing.add("a quite confidential name.pdf", FILE)
    listing.add("a quite confidential folder", CHILD, CHILD_WRITE_CAP)
    return listing


def known(cache: EntryCache, namespace: Namespace = SCOPE) -> object:
    return cache.entry(namespace, "a quite confidential name.pdf")


def close(cache: EntryCache) -> None:
    cache._tiers._access.close()  # type: ignore[attr-defined]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> Iterator[EntryCache]:
    """A cache on disk that knows a listing and a path."""
    cache = EntryCache(directory)
    ticket = cache.ticket()
    cache.fill(ticket, SCOPE, listing())
    path = "a path/that leads/somewhere"
    cache.fill_path(ticket, SCOPE, path, CHILD_CAP, CHILD_WRITE_CAP)
    yield cache
    close(cache)


def run(directory: Path, statement: str, *values: object) -> list[tuple[bytes, bytes]]:
    """Do what somebody could who may write to the database."""
    with closing(sqlite3.connect(directory / "cache.db")) as database, database:
        return database.execute(statement, values).fetchall()


def rows(directory: Path) -> dict[bytes, bytes]:
    return dict(run(directory, "SELECT key, value FROM Cache"))


# Values


@given(st.binary(max_size=200), st.binary(max_size=40))
@settings(max_examples=50, deadline=None)
def test_what_is_sealed_opens_only_with_its_key_and_what_is_bound(
    value: bytes, bound: bytes
) -> None:
    seal = Seal(b"k" * 32)
    sealed = seal.close(value, bound)
    assert seal.open(sealed, bound) == value
    assert seal.open(sealed, bound + b"x") is None
    assert Seal(b"l" * 32).open(sealed, bound) is None
    assert seal.close(value, bound) != sealed


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_value_that_was_tampered_with_is_a_miss(data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, len(SEALED) * 8 - 1))
    flipped = bytearray(SEALED)
    flipped[bit // 8] ^= 1 << bit % 8
    cut = SEALED[: data.draw(st.integers(0, len(SEALED) - 1))]
    longer = SEALED + data.draw(st.binary(min_size=1, max_size=40))
    junk = data.draw(st.binary(max_size=80))
    for value in (bytes(flipped), cut, longer, junk):
        # Whatever epoch an attacker makes us expect.
        for epoch in (EPOCH, int.from_bytes(value[9:17], "big")):
            assert open_page(SCOPE, SCOPE.root, value, epoch) is None
    assert open_page(SCOPE, SCOPE.root, SEALED, EPOCH) is not None


def test_expiry_epoch_and_version_are_part_of_the_seal() -> None:
    header = struct.Struct(">BdQ")
    body = SEALED[header.size :]
    assert header.unpack_from(SEALED) == (1, EXPIRY, EPOCH)
    for other in [(1, EXPIRY + 1e6, EPOCH), (1, EXPIRY, EPOCH + 1), (2, EXPIRY, EPOCH)]:
        value = header.pack(*other) + body
        assert open_page(SCOPE, SCOPE.root, value, other[2]) is None


def test_a_value_is_of_no_use_at_another_key_or_to_another_reader() -> None:
    assert open_page(SCOPE, page_key(SCOPE, 0), SEALED, EPOCH) is None
    other = namespace_of(CHILD_CAP)
    assert open_page(other, other.root, SEALED, EPOCH) is None
    assert open_page(other, SCOPE.root, SEALED, EPOCH) is None


def test_a_reader_without_the_write_cap_is_told_all_but_the_write_caps(
    cache: EntryCache,
) -> None:
    reader, folder = namespace_of(write=None), "a quite confidential folder"
    path = "a path/that leads/somewhere"
    assert cache.entry(reader, folder) == CHILD
    assert cache.path(reader, path) == CHILD_CAP
    assert cache.write_reference(reader, folder) is None
    assert cache.path_write_reference(reader, path) is None
    assert cache.write_reference(SCOPE, folder) == CHILD_WRITE_CAP
    assert cache.path_write_reference(SCOPE, path) == CHILD_WRITE_CAP
    stranger = namespace_of(write=CHILD_WRITE_CAP)
    assert cache.write_reference(stranger, folder) is None
    assert cache.path_write_reference(stranger, path) is None


def test_a_write_cap_of_what_had_the_name_before_is_not_told(cache: EntryCache) -> None:
    cache.change(SCOPE, "a quite confidential folder").done(CHILD)
    assert cache.entry(SCOPE, "a quite confidential folder") == CHILD
    assert cache.write_reference(SCOPE, "a quite confidential folder") is None


# Keys


def test_keys_follow_from_the_read_cap_and_from_nothing_less() -> None:
    identity, labels = SCOPE.identity, [b"listing", b"page:0", b"path:a"]
    strangers = Namespace(identity, identity), Namespace(identity, CHILD_CAP.encode())
    plain = [
        digest(text).digest()[:16]
        for label in labels
        for text in (label, identity, identity + label, label + identity)
        for digest in (sha256, lambda text: blake2b(text, digest_size=16))
    ]
    keys = [SCOPE.key(label) for label in labels]
    assert keys == [namespace_of(write=None).key(label) for label in labels]
    assert len(set(keys)) == len(labels)
    assert set(keys).isdisjoint(plain)
    for stranger in strangers:
        assert set(keys).isdisjoint(stranger.key(label) for label in labels)


def test_all_that_is_stored_is_stored_by_such_keys(
    cache: EntryCache, directory: Path
) -> None:
    path = path_key(SCOPE, "a path/that leads/somewhere")
    assert set(rows(directory)) == {SCOPE.root, path}


def test_a_scope_does_not_show_its_secrets() -> None:
    for text in (repr(SCOPE), str(SCOPE), repr([SCOPE, CHILD]), f"{SCOPE}"):
        assert not any(part in text for part in parts(SECRETS))


# Files


def parts(texts: list[str]) -> set[str]:
    """Return every 8 characters that stand together."""
    return {text[i : i + 8] for text in texts for i in range(len(text) - 7)}


def test_no_file_of_the_cache_holds_a_part_of_a_name_or_of_a_cap(
    cache: EntryCache, directory: Path
) -> None:
    change = cache.change(SCOPE, "a name that is written")
    change.done(FILE)
    cache.change(SCOPE, "a name that is written").done(CHILD, CHILD_WRITE_CAP)
    found = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert {"cache.db", "cache.db-wal", "generations"} <= set(found)
    assert len(found["cache.db-wal"]) > 4096
    for content in found.values():
        assert [part for part in parts(SECRETS) if part.encode() in content] == []
        assert SCOPE.identity[:8] not in content


# Those who may write to the database


def test_a_database_from_another_store_is_not_believed(
    cache: EntryCache, directory: Path, tmp_path: Path
) -> None:
    close(cache)
    other = tmp_path / "other"
    EntryCache(other)
    shutil.copy(directory / "cache.db", other / "cache.db")
    stranger = EntryCache(other)
    assert known(EntryCache(directory)) == FILE
    assert known(stranger) is None
    assert stranger.entries(SCOPE) is None


def test_a_value_that_was_forgotten_can_not_be_put_back(
    cache: EntryCache, directory: Path
) -> None:
    before = rows(directory)
    cache.forget(SCOPE)
    cache.fill(cache.ticket(), SCOPE, Listing())
    for key, value in before.items():
        run(directory, "UPDATE Cache SET value = ? WHERE key = ?", value, key)
    assert known(EntryCache(directory)) is None


@pytest.mark.parametrize(
    "tampered",
    [
        lambda value: b"",
        lambda value: value[:20],
        lambda value: value[:-1],
        lambda value: value[:30] + bytes([value[30] ^ 1]) + value[31:],
        lambda value: b"junk" * 100,
        lambda value: None,
        lambda value: 7,
        lambda value: 1.5,
        lambda value: "text",
    ],
    ids=["empty", "cut", "shorter", "flipped", "junk", "null", "int", "float", "text"],
)
def test_junk_in_the_database_is_a_miss_and_can_be_overwritten(
    cache: EntryCache, directory: Path, tampered: Callable[[bytes], object]
) -> None:
    value = tampered(rows(directory)[SCOPE.root])
    run(directory, "UPDATE Cache SET value = ?", value)
    fresh = EntryCache(directory)
    assert known(fresh) is None
    assert fresh.entries(SCOPE) is None
    assert fresh.path(SCOPE, "a path/that leads/somewhere") is None
    change = fresh.change(SCOPE, "a quite confidential name.pdf")
    change.done(MISSING)
    assert known(fresh) is None
    fresh.fill(fresh.ticket(), SCOPE, listing())
    assert known(EntryCache(directory)) == FILE


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_the_bomb_would_go_off(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "boom")))  # noqa: S301 - our own
    assert (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("raw", "mode", "in_file"),
    [
        (1, 4, False),
        (1, 4, True),
        (0, 4, False),
        (0, 4, True),
        (1, 3, True),
        (1, 2, True),
        (1, 1, True),
        (1, "4", False),
    ],
)
def test_a_planted_pickle_is_never_loaded(
    cache: EntryCache,
    directory: Path,
    tmp_path: Path,
    raw: int,
    mode: object,
    in_file: bool,
) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "boom"))
    (directory / "bomb.val").write_bytes(bomb)
    run(
        directory,
        "UPDATE Cache SET raw = ?, mode = ?, filename = ?, value = ?",
        raw,
        mode,
        "bomb.val" if in_file else None,
        None if in_file else bomb,
    )
    run(
        directory,
        "INSERT INTO Cache(key, raw, mode, value, store_time) VALUES (?, 0, 4, ?, 0)",
        bomb,
        bomb,
    )
    fresh = EntryCache(directory, size_limit=1)  # So that it is culled, too.
    assert known(fresh) is None
    fresh.change(SCOPE, "a quite confidential name.pdf").done(MISSING)
    assert known(fresh) is None
    fresh.fill(fresh.ticket(), SCOPE, listing())
    assert known(fresh) == FILE
    assert not (tmp_path / "boom").exists()


def test_a_planted_pickle_is_not_loaded_when_keys_are_listed(
    cache: EntryCache, directory: Path, tmp_path: Path
) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "boom"))
    run(directory, "INSERT INTO Cache(key, raw, mode) VALUES (?, 0, 4)", bomb)
    with closing(RawCache(directory, disk=RawDisk)) as database:
        assert {SCOPE.root, None} < set(database)
    assert not (tmp_path / "boom").exists()


def test_a_file_that_a_row_names_is_not_removed(
    cache: EntryCache, directory: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("dear")
    run(directory, "UPDATE Cache SET filename = ?", "../precious")
    fresh = EntryCache(directory, size_limit=1)
    fresh.fill(fresh.ticket(), SCOPE, listing())
    fresh.change(SCOPE, "another").done(MISSING)
    assert precious.read_text() == "dear"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("disk_unknown", 1),
        ("get", "no function"),
        ("transact", 3),
        ("_disk", None),
        ("cull_limit", "many"),
        ("statistics", 1),
        ("sqlite_no_such", "pragma; DROP TABLE Cache"),
        ("directory", "elsewhere"),
        ("eviction_policy", "none such"),
    ],
)
def test_settings_in_the_database_that_are_not_ours_do_no_harm(
    cache: EntryCache,
    directory: Path,
    key: str,
    value: object,
) -> None:
    run(directory, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", key, value)
    fresh, healthy = EntryCache(directory), cache
    name = "a quite confidential name.pdf"
    assert fresh.entry(SCOPE, name) in (FILE, None)
    fresh.change(SCOPE, name).done(MISSING)
    assert fresh.entry(SCOPE, name) in (MISSING, None)
    assert healthy.entry(SCOPE, name) in (MISSING, None)
    fresh.fill(fresh.ticket(), SCOPE, Listing())
    assert fresh.entry(SCOPE, name) is MISSING
