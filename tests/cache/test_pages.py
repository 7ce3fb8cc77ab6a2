"""Pages hold any names, each on exactly one page, and give back what was put in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tahoestorage.cache import MISSING, Absent, Listing
from tahoestorage.cache.pages import (
    PAGE_ENTRIES,
    Page,
    bucket,
    close_references,
    page_number,
)
from tahoestorage.cache.sealing import Seal
from tahoestorage.entries import Entry, EntryKind

SEAL, OTHER_SEAL = Seal(b"w" * 32), Seal(b"x" * 32)
BOUND = b"identity"

AWKWARD = [
    "",
    " ",
    "a\nb",
    "a\tb",
    "a\r\nb",
    "\0",
    "\x85\u2028\u2029",
    "\ud83d",
    "\udcff",
    '"',
    '"a"\t"b"',
    "\\",
    "\\u0061",
    "null",
    "é",
    "e\u0301",
    "🎉",
    "👩‍👩‍👧‍👦",
    "n" * 3000,
    "🎉" * 3000,
]

# Of all code points, surrogates too. Two that follow each other are one character in
# JSON, and in no name that Tahoe has.
characters = st.characters(codec=None)
names = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(characters, max_size=20).filter(
        lambda name: (
            name
            == name.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        )
    ),
)
seconds = st.none() | st.floats(0, 2**33)
entries = st.builds(
    Entry,
    st.sampled_from(EntryKind),
    st.text(max_size=60),
    st.none() | st.integers(0, 2**63),
    seconds,
    seconds,
)
directories = st.dictionaries(names, entries, max_size=80)
known = st.one_of(entries, st.just(MISSING), st.text("0123456789abcdef", max_size=16))


def listing_of(directory: dict[str, Entry]) -> Listing:
    listing = Listing()
    for name, entry in directory.items():
        listing.add(name, entry)
    return listing


def pages_of(listing: Listing) -> dict[int, Page]:
    bits = listing.bits
    return {
        number: Page(lines, close_references(references, SEAL, BOUND), bits)
        for number, lines, references in listing.pages()
    }


@given(directories, names)
@settings(max_examples=60, deadline=None)
def test_a_listing_tells_of_every_name_and_of_no_other(
    directory: dict[str, Entry], other: str
) -> None:
    listing = listing_of(directory)
    assert len(listing) == len(directory)
    assert dict(listing.items()) == directory
    for name in [*directory, other]:
        assert listing.entry(name) == directory.get(name, MISSING)


@given(directories, names)
@settings(max_examples=60, deadline=None)
def test_every_name_is_on_the_page_of_its_hash_and_on_no_other(
    directory: dict[str, Entry], other: str
) -> None:
    listing = listing_of(directory)
    pages = pages_of(listing)
    assert sorted(pages) == list(range(1 << listing.bits))
    assert sum(len(page) for page in pages.values()) == len(directory)
    for name in [*directory, other]:
        home = page_number(bucket(name), listing.bits)
        for number, page in pages.items():
            wanted = directory.get(name, MISSING) if number == home else MISSING
            assert page.entry(name) == wanted
            assert dict(page.items()).get(name, MISSING) == wanted


@pytest.mark.parametrize(
    ("count", "pages"),
    [(0, 1), (1, 1), (16, 1), (17, 2), (32, 2), (33, 4), (4096, 256)],
)
def test_a_page_has_some_sixteen_names(count: int, pages: int) -> None:
    listing = listing_of(
        {f"name {number}": Entry(EntryKind.FILE, "cap") for number in range(count)}
    )
    sizes = [len(page) for page in pages_of(listing).values()]
    assert len(sizes) == pages
    assert sum(sizes) == count
    assert max(sizes) <= 3 * PAGE_ENTRIES


@given(directories, st.lists(st.tuples(names, known), max_size=8))
@settings(max_examples=80, deadline=None)
def test_a_page_that_is_changed_is_as_if_it_had_been_made_so(
    directory: dict[str, Entry], changes: list[tuple[str, Entry | Absent | str]]
) -> None:
    page = Page(b"".join(lines for _, lines, _ in listing_of(directory).pages()))
    wanted: dict[str, Entry | Absent | str] = dict(directory)
    for name, value in changes:
        before = page.pack()
        changed = page.with_entry(name, value)
        assert page.pack() == before
        page = Page.unpack(changed.pack())
        wanted[name] = value
        for each, there in wanted.items():
            marked = isinstance(there, str)
            assert page.entry(each) == (None if marked else there)
            if isinstance(there, str):
                assert each in page.marked(there)
            assert each not in page.marked("no such mark")
    assert dict(page.items()) == {
        name: None if isinstance(value, str) else value
        for name, value in wanted.items()
        if value is not MISSING
    }
    assert len(page) == sum(value is not MISSING for value in wanted.values())


@given(names, entries)
@settings(max_examples=60, deadline=None)
def test_an_entry_is_the_same_before_and_after_it_is_kept(
    name: str, entry: Entry
) -> None:
    page = Page(b"", b"", 3, b"12345678").with_entry(name, entry)
    kept = Page.unpack(page.pack())
    assert (kept.bits, kept.fill, kept.lines) == (3, b"12345678", page.lines)
    assert kept.entry(name) == entry


@given(st.dictionaries(names, st.text(max_size=40), max_size=8), names)
@settings(max_examples=60, deadline=None)
def test_write_caps_open_with_the_seal_of_those_who_may_write_and_no_other(
    references: dict[str, str], other: str
) -> None:
    page = Page(b"")
    for name, reference in references.items():
        page = page.with_write_references({name: reference}, SEAL, BOUND)
    for name in [*references, other]:
        assert page.write_reference(name, SEAL, BOUND) == references.get(name)
        assert page.write_reference(name, OTHER_SEAL, BOUND) is None
        assert page.write_reference(name, SEAL, b"other") is None


def test_a_write_cap_can_be_taken_out_again() -> None:
    both = {"a": "write a", "b": "write b"}
    page = Page(b"").with_write_references(both, SEAL, BOUND)
    page = page.with_write_references({"a": None}, SEAL, BOUND)
    assert page.write_reference("a", SEAL, BOUND) is None
    assert page.write_reference("b", SEAL, BOUND) == "write b"


def test_no_write_cap_is_in_the_lines_of_a_page() -> None:
    listing = Listing()
    listing.add("a", Entry(EntryKind.DIRECTORY, "read cap"), "write cap of a")
    ((_, lines, references),) = listing.pages()
    page = Page(lines, close_references(references, SEAL, BOUND))
    assert b"write cap" not in page.pack()
    assert page.write_reference("a", SEAL, BOUND) == "write cap of a"


@pytest.mark.parametrize("count", [4_000, 5_000, 10_000])
def test_a_listing_of_many_pages_is_divided_by_the_same_hash(count: int) -> None:
    listing = Listing()
    for number in range(count):
        write = f"write {number}" if number % 2 else None
        listing.add(f"{number}", Entry(EntryKind.DIRECTORY, f"read {number}"), write)
    pages = pages_of(listing)
    assert list(pages) == list(range(1 << listing.bits))
    assert sum(map(len, pages.values())) == count
    for number in range(count):
        name = f"{number}"
        page = pages[page_number(bucket(name), listing.bits)]
        entry, write = page.entry(name), page.write_reference(name, SEAL, BOUND)
        assert isinstance(entry, Entry)
        assert entry.reference == f"read {number}"
        assert write == listing.write_reference(name)
        assert write == (f"write {number}" if number % 2 else None)
