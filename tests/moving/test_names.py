"""Names that a store can't hold, or would make one of."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import (
    InMemoryStorage,
    storages,
)

from tahoestorage.moving.names import NameRules, Names, utf8
from tests.support.bucket import Bucket
from tests.support.moves import (
    FILES,
    KINDS,
    Add,
    contents,
    copy,
    fill,
    moved,
    write_to_disk,
)

pytestmark = pytest.mark.usefixtures("no_waiting")

HOSTILE = {
    "a\nb": b"1",
    "a\x1b[31mred": b"2",
    " spaced ": b"3",
    "quo'te\"s": b"4",
    "-rf": b"5",
    "%2F%00?#&;": b"6",
    "back\\slash": b"7",
    "\N{SNOWMAN}/\N{PILE OF POO}.txt": b"8",
    unicodedata.normalize("NFC", "cafe\u0301"): b"9",
    "l" * 255: b"10",
    "d/e/e/p/e/r": b"11",
    "URI:CHK:aaaaaaaaaaaaaaaaaaaaaaaaaa:bbbbbbbbbb:1:1:9": b"12",
    ".hidden/...": b"13",
    "[red]markup[/red]": b"14",
}


def test_hostile_names_go_to_the_grid_and_back(add: Add) -> None:
    write_to_disk(add("from", "disk"), HOSTILE)
    add("grid", "grid")
    back = add("back", "disk")

    there = copy("from", "grid", "--json", "--verify")
    here = copy("grid", "back", "--json", "--verify")

    assert there.counts == here.counts == {"copied": len(HOSTILE)}
    assert contents(back) == HOSTILE


def test_names_are_shown_so_that_a_terminal_survives(add: Add) -> None:
    write_to_disk(add("from", "disk"), HOSTILE)
    add("to", "disk")
    fill(storages["to"], {"x": b""})
    (Path(storages["to"].path("")) / "a\x1b[31mred").mkdir()

    done = copy("from", "to")

    assert "failed: 'a\\x1b[31mred': " in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    ("kind", "names", "refused", "why"),
    [
        ("grid", ["cafe\u0301"], "cafe\u0301", "NFC"),
        ("grid", ["cafe\u0301", "caf\xe9"], "caf\xe9", "both 'caf\xe9' in NFC"),
        ("grid", ["bad\udcff"], "bad\udcff", "not valid Unicode"),
        ("memory", ["back\\slash"], "back\\slash", "in it"),
    ],
)
def test_what_a_target_can_t_hold_is_refused_before_anything_is_copied(
    kind: str, names: list[str], refused: str, why: str, add: Add
) -> None:
    here, to = add("from", "disk"), add("to", kind)
    write_to_disk(here, {**FILES, **dict.fromkeys(names, b"content")})

    done = copy("from", "to", "--json", "--delete-extra")

    assert done.status == 1
    assert done.json["status"] == "refused"
    assert {each["name"] for each in done.json["refusals"]} <= set(names)
    (reason,) = [
        each["reason"] for each in done.json["refusals"] if each["name"] == refused
    ]
    assert why in reason
    assert f"refused: {refused!r}" in done.err
    assert contents(to) == {}


@pytest.mark.parametrize("name", ["n" * 256, "a\0b", "/".join(["n" * 200] * 21)])
def test_a_disk_refuses_what_it_can_t_hold(name: str, add: Add) -> None:
    fill(add("from", "memory"), {"good": b"", name: b"content"})
    to = add("to", "disk")

    done = copy("from", "to", "--json")

    assert [each["name"] for each in done.json["refusals"]] == [name]
    assert contents(to) == {}


def test_a_disk_keeps_names_that_are_no_text(add: Add) -> None:
    files = {"bad\udcff": b"1", "cafe\u0301": b"2", "caf\xe9": b"3"}
    write_to_disk(add("from", "disk"), files)
    to = add("to", "disk")
    assert copy("from", "to", "--json").counts == {"copied": 3}
    assert contents(to) == files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("keys", "refused"),
    [
        (["a", "a/b"], "a/b"),
        (["a/b/c", "a"], "a/b/c"),
        (["a//b"], "a//b"),
        (["/a"], "/a"),
        (["a/"], "a/"),
        (["a/./b"], "a/./b"),
        (["a/../b"], "a/../b"),
        ([".."], ".."),
    ],
)
def test_keys_that_are_no_paths_are_refused(
    kind: str, keys: list[str], refused: str, add: Add
) -> None:
    to = add("to", kind)
    bucket = Bucket(location="media")
    for key in [*keys, "good"]:
        bucket.put(f"media/{key}", b"content")
    bucket.put("media/", b"")

    move = moved(bucket, to)

    assert [name for name, _ in move.summary.refusals] == [refused]
    assert move.summary.status == "refused"
    assert contents(to) == {}


def test_a_bucket_takes_a_file_beside_what_is_below_its_name() -> None:
    here, there = Bucket(), Bucket(location="x")
    for key in ("a", "a/b"):
        here.put(key, b"content")
    assert moved(here, there).summary.status == "done"
    assert sorted(there.objects) == ["x/a", "x/a/b"]


@pytest.mark.parametrize("key", ["cafe\u0301", "k" * 1023])
def test_a_bucket_refuses_keys_that_it_would_change_or_not_take(key: str) -> None:
    here, there = Bucket(), Bucket(location="x")
    here.put(key, b"content")
    assert moved(here, there).summary.status == "refused"


@pytest.mark.parametrize("key", ["cafe\u0301", "a\\b"])
def test_a_key_by_which_the_source_can_t_be_asked_is_refused(key: str) -> None:
    class Windows(Bucket):
        def key_of(self, name: str) -> str:
            return super().key_of(name.replace("\\", "/"))

    here = Windows()
    here.put(key, b"content")
    assert moved(here, Bucket()).summary.status == "refused"


def test_a_part_that_can_t_be_asked_for_is_refused() -> None:
    class Odd(InMemoryStorage):
        def listdir(self, path: str) -> tuple[list[str], list[str]]:
            directories, files = super().listdir(path)
            return [*directories, "."], [*files, "a/b"]

    move = moved(Odd(), InMemoryStorage())
    assert [name for name, _ in move.summary.refusals] == ["a/b", "./"]


def test_a_name_takes_16_bytes_and_what_a_set_needs() -> None:
    names = Names(NameRules(nfc=True, tree=True, encode=utf8), lambda name: None)
    for number in range(1000):
        assert names.add(f"photos/{number % 7}/{number}.jpg") is None
    assert len(names) == 1000
    assert "photos/1/1.jpg" in names
    assert "photos/1/2.jpg" not in names
    assert {len(each) for each in names._files | names._directories} == {16}


def test_a_file_and_a_directory_of_one_name_are_found_in_any_order() -> None:
    for order in (["a", "a/b/c"], ["a/b/c", "a"], ["a/b/c", "a/b"], ["a/b", "a/b/c"]):
        names = Names(NameRules(tree=True), lambda name: None)
        first, second = order
        assert names.add(first) is None
        assert names.add("x/y") is None
        assert names.add(second) is not None


def test_a_name_that_came_later_is_looked_at_too() -> None:
    class Late(Bucket):
        asked_before = False

        def list_pages(self, prefix: str) -> Any:
            if self.asked_before:
                self.put("late//name", b"content")
                self.put("late", b"content")
            self.asked_before = True
            return super().list_pages(prefix)

    here, there = Late(), InMemoryStorage()
    here.put("early", b"content")

    move = moved(here, there)

    assert move.summary.failures == [("late//name", "it has an empty part, as in a//b")]
    assert contents(there) == {"early": b"content", "late": b"content"}
