"""Archives of exports: names that unpack everywhere, and no file is ever missing."""

from __future__ import annotations

import hashlib
import io
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import zipstream
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from hypothesis import given
from hypothesis import strategies as st

from exports import archive, names
from exports.archive import Archive, Member, SourceFailed, TooMany
from tests.application.stores import KINDS, store_entry

HOSTILE = [
    *("../../etc/passwd", "/etc/passwd", "a//b", "..", ".", "c:\\windows\\x", "a\\b"),
    *("CON", "con.txt", "lpt1", "COM¹.log", "nul .txt", "aux/prn", "CONIN$"),
    *(
        "dots...",
        "blank ",
        " blank",
        "a.",
        "tab\tname",
        "nul\0name",
        "rtl\u202etxt.exe",
    ),
    *(
        "ä",
        "a\u0308",
        "Ä",
        "ß",
        "SS",
        "ﬁ",
        "fi",
        "*?.txt",
        '"<>|:',
        "\ud800",
        "\ufeffx",
    ),
    *(
        "x" * 300,
        "x" * 299 + ".jpeg",
        "é" * 250,
        "👨\u200d👩\u200d👧" * 60,
        "a/" * 200 + "z",
    ),
    *("A/x", "a/x", "a", "a/x/y", "same.txt", "same.txt", "same (2).txt", "SAME.TXT"),
]


def check_safe(paths: list[str]) -> None:
    found = names.safe_paths(paths)

    keys = [names.same_on_some_system(path) for path in found]
    assert len(found) == len(paths)
    assert len(set(keys)) == len(keys)
    folders = {
        "/".join(key.split("/")[:end])
        for key in keys
        for end in range(1, len(key.split("/")))
    }
    assert folders.isdisjoint(keys), "a file is where a folder is"
    for path in found:
        assert len(path) < 200
        for part in path.split("/"):
            assert 0 < len(part.encode()) <= 210
            assert part not in {".", ".."}
            assert part == part.strip()
            assert not part.endswith(".")
            assert not set(part) & set('<>:"\\|?*')
            assert part.isprintable() or "\u200c" in part or "\u200d" in part
            stem = part.partition(".")[0].rstrip().upper()
            assert stem not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1", "COM¹"}


def test_hostile_names_become_safe_ones() -> None:
    check_safe(HOSTILE)


@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=40), max_size=30))
def test_any_names_become_safe_and_different(paths: list[str]) -> None:
    check_safe(paths)


def test_what_is_safe_stays_and_what_is_taken_gets_a_number() -> None:
    paths = ["a/b.txt", "Ä ö & 2026.tar.gz", "A/B.TXT", "a/b (2).txt", "a/b.txt"]

    assert names.safe_paths(paths) == [
        "a/b.txt",
        "Ä ö & 2026.tar.gz",
        "A/B (2).TXT",
        "a/b (2) (2).txt",
        "a/b (3).txt",
    ]


def test_many_of_one_name_take_no_time_in_squares() -> None:
    assert len(set(names.safe_paths(["x.txt"] * 20_000))) == 20_000


@pytest.fixture(params=["files"])
def storage(request: pytest.FixtureRequest, settings: Any, tmp_path: Any) -> Any:
    settings.STORAGES = {"default": store_entry(request.param, tmp_path, request)}
    return storages["default"]


on_each_store = pytest.mark.parametrize("storage", KINDS, indirect=True)


def member(storage: Any, name: str, content: bytes, **more: Any) -> Member:
    key = storage.save(f"in/{name}", ContentFile(content))
    said: dict[str, Any] = {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    } | more
    return Member(path=f"files/{name}", store="default", key=key, **said)


def save(storage: Any, made: Archive) -> str:
    if hasattr(storage, "create"):
        return str(storage.create("out/a.zip", made, unique=True))
    return str(storage.save("out/a.zip", made))


@on_each_store
def test_an_archive_goes_into_a_store_as_it_is_made(storage: Any) -> None:
    contents = {f"{n:02}.bin": bytes([n]) * n * 50_001 for n in range(30)}
    contents |= {"large.bin": b"0123456789abcdef" * 200_000, "z.bin": b"z"}
    members = [Member.of("manifest.json", b"{}")]
    members += [member(storage, name, content) for name, content in contents.items()]

    with Archive(members) as made:
        stored = save(storage, made)

    with storage.open(stored) as file:
        whole = file.read()
    assert len(whole) == made.size
    with zipfile.ZipFile(io.BytesIO(whole)) as zipped:
        assert zipped.testzip() is None
        got = {name: zipped.read(name) for name in zipped.namelist()}
    expected = {f"files/{name}": content for name, content in contents.items()}
    assert got == {"manifest.json": b"{}", **expected}


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("wrong", ["gone", "shorter", "longer", "another"])
@on_each_store
def test_a_source_that_fails_ends_the_archive(
    storage: Any, wrong: str, size: int
) -> None:
    content = b"x" * size
    others: dict[str, dict[str, Any]] = {
        "shorter": {"size": size + 1},
        "longer": {"size": size - 1},
        "another": {"sha256": "0" * 64},
        "gone": {},
    }
    members = [
        member(storage, "first", b"first"),
        member(storage, "wrong", content, **others[wrong]),
        member(storage, "last", b"last"),
    ]
    if wrong == "gone":
        storage.delete(members[1].key)

    with Archive(members) as made:
        with pytest.raises(SourceFailed, match="files/wrong"):
            save(storage, made)
        # Whoever reads on gets no valid archive that lacks it.
        with pytest.raises(SourceFailed, match="files/wrong"):
            made.read()

    if storage.exists("out/a.zip"):  # A folder has the half of it.
        assert storage.size("out/a.zip") < made.size


def test_an_archive_is_stopped_by_another_thread(storage: Any) -> None:
    with Archive([member(storage, "a", b"x" * 100)]) as made:
        made.read(10)
        made.stop(KeyError("stopped"))

        with pytest.raises(KeyError):
            made.read(10)


def test_little_is_read_ahead(storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "AHEAD", 1000)
    opened: list[str] = []
    open_it = storage.open

    def note(name: str, *args: Any) -> Any:
        opened.append(name)
        return open_it(name, *args)

    monkeypatch.setattr(storage, "open", note)
    members = [member(storage, str(n), b"x" * 400) for n in range(20)]

    with Archive(members) as made:
        made.read(500)

    assert len(opened) <= 4


def test_however_small_few_are_read_ahead(
    storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_AHEAD", 3)
    asked = list[int]()
    content = member(storage, "a", b"x")

    def members() -> Iterator[Member]:
        for number in range(50):
            asked.append(number)
            yield replace(content, path=f"files/{number}")

    class Again:
        def __iter__(self) -> Iterator[Member]:
            return members()

    with Archive(Again()) as made:
        asked.clear()
        whole = made.read(50)
        asked_first = len(asked)
        whole += made.read()

    assert asked_first <= 5
    with zipfile.ZipFile(io.BytesIO(whole)) as zipped:
        assert len(zipped.namelist()) == 50


@pytest.mark.parametrize("count", [65_535, 2, 3, 4, 5])
def test_a_zip_of_very_many_members_is_as_long_as_said(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if count < 10:
        # The same around a limit of 3: what is written changes there.
        for module in (archive, zipstream.ng):
            monkeypatch.setattr(module, "ZIP_FILECOUNT_LIMIT", 3)
    members = [Member.of(f"{number}", b"x") for number in range(count)]

    with Archive(members) as made:
        content = made.read()

    assert made.taken == made.size == len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        assert zipped.namelist() == [member.path for member in members]
        assert zipped.read(members[-1].path) == b"x"


def test_places_and_sizes_beyond_32_bits_are_written(
    storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such file is made: the limit is a small one, in the library and here."""
    for module in (archive, zipstream.ng, zipfile):
        monkeypatch.setattr(module, "ZIP64_LIMIT", 100)
    members = [member(storage, str(number), b"x" * 150) for number in range(3)]

    with Archive(members) as made:
        content = made.read()

    assert made.taken == made.size == len(content)
    with zipfile.ZipFile(io.BytesIO(content)) as zipped:
        assert [zipped.read(one.path) for one in members] == [b"x" * 150] * 3


def test_an_archive_that_goes_on_after_its_size_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size_of = archive.size_of
    monkeypatch.setattr(archive, "size_of", lambda members: size_of(members) - 22)

    with Archive([Member.of("a", b"x")]) as made, pytest.raises(SourceFailed):
        made.read()


def test_little_is_held_of_what_was_sent() -> None:
    """A member's object of the library has 500 bytes and more."""

    def of(count: int) -> int:
        with Archive([Member.of(f"files/{n:06}", b"") for n in range(count)]) as made:
            made.read(1)
            tracemalloc.start()
            made.read(made.size - 30)  # Of its last record the end is left.
            held: int = tracemalloc.get_traced_memory()[0]
            tracemalloc.stop()
        return held

    assert (of(6000) - of(2000)) / 4000 < 100


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 0)

    with pytest.raises(TooMany, match="3 files"):
        Archive([Member.of(str(n), b"") for n in range(3)])
