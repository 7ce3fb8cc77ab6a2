"""The reader that all stores have in common, over a store that is played."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import DamagedDownload, FileMissing, UnexpectedResponse
from tahoestorage.parts import TO_THE_END, Part
from tahoestorage.rangereader import Origin, Policy, RangeReader

CONTENT = bytes(range(100))
POLICY = Policy("the store", block=8, skip=4, read_ahead=16, longest_range=64)
EXACT = replace(POLICY, streams=True, exact=True)


class Store:
    """A store with one file, which notes the ranges that it is asked for."""

    def __init__(self, content: bytes = CONTENT, reference: str = "one") -> None:
        self.content = content
        self.reference = reference
        self.size: int | None = len(content)
        self.surplus = b""
        self.end: int | None = None
        self.asked: list[tuple[int, int]] = []

    def fetch(self, first: int, last: int, reference: str | None) -> Part:
        self.asked.append((first, last))
        if not self.content:
            raise FileMissing("gone")
        body = io.BytesIO(self.content[first : last + 1] + self.surplus)
        entry = Entry(EntryKind.FILE, self.reference, self.size)
        return Part(entry, body, end=self.end)


def test_ranges_in_a_row_grow_up_to_the_longest() -> None:
    store = Store()
    assert RangeReader(Origin(store.fetch), "a", POLICY).readall() == CONTENT
    assert store.asked == [(0, 15), (16, 47), (48, 111)]


def test_where_all_is_asked_for_at_once_it_is_one_request() -> None:
    store = Store()
    assert RangeReader(Origin(store.fetch), "a", EXACT).readall() == CONTENT
    reader = RangeReader(Origin(store.fetch), "a", EXACT)
    reader.until = 90
    reader.seek(5)
    assert reader.read(8) == CONTENT[5:13]
    assert store.asked == [(0, TO_THE_END), (5, 89)]


def test_what_follows_the_end_of_a_body_is_damage() -> None:
    store = Store()
    store.surplus = b"x"
    with pytest.raises(DamagedDownload, match=r"a: .*more came than the file has"):
        RangeReader(Origin(store.fetch), "a", EXACT).readall()


def test_an_end_before_the_beginning_is_damage_and_no_endless_loop() -> None:
    for end in (3, 5):
        store = Store()
        store.end = end
        reader = RangeReader(Origin(store.fetch), "a", EXACT)
        reader.seek(5)
        with pytest.raises(DamagedDownload, match="has nothing at byte 5"):
            reader.read(1)


def test_a_length_that_is_not_told_is_found_by_reading() -> None:
    store = Store()
    store.size, store.end = None, TO_THE_END
    reader = RangeReader(Origin(store.fetch), "a", EXACT)
    assert reader.readall() == CONTENT
    with pytest.raises(UnexpectedResponse, match="the store does not say its length"):
        assert reader.size
    with pytest.raises(DamagedDownload, match="does not say its length"):
        RangeReader(Origin(store.fetch), "a", POLICY).read(1)


def test_what_is_gone_is_asked_for_again_once() -> None:
    gone, there = Store(b""), Store(reference="other")
    calls: list[str] = []

    def again() -> Origin:
        calls.append("again")
        return Origin(there.fetch, 100, "other")

    reader = RangeReader(Origin(gone.fetch, 9, "one"), "a", POLICY, again)
    assert reader.readall() == CONTENT
    assert (reader.reference, calls) == ("other", ["again"])


def test_what_is_gone_is_not_asked_for_again_after_its_size_was_told() -> None:
    gone = Store(b"")
    origin = Origin(Store().fetch, 100, "other")
    reader = RangeReader(Origin(gone.fetch, 9, "one"), "a", POLICY, lambda: origin)
    assert reader.seek(-1, io.SEEK_END) == 8
    with pytest.raises(FileMissing):
        reader.read(1)


def test_an_origin_does_not_show_what_reads_the_file() -> None:
    assert "secret" not in repr(Origin(Store().fetch, 9, "secret"))


def test_of_a_longer_file_put_in_place_of_one_no_more_is_read_than_was_asked() -> None:
    store = Store(CONTENT * 100, "two")
    reader = RangeReader(
        Origin(store.fetch, size=len(CONTENT)), "a", replace(POLICY, holds=True, skip=8)
    )
    reader.seek(96)
    assert reader.read(4) == CONTENT[96:]
    assert reader.read(4) == CONTENT[:4]
    assert store.asked == [(92, 107)]
