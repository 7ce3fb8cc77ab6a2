"""The marker: a hidden child with which each directory that we make is born.

Two gateways that write into an empty directory at the same time are both told that it
is done, and one of the names is gone; where something is in it already, one of them is
told of a collision. So a directory is never empty: it has the file ``NAME`` from its
first moment to its last. It lies in its own cap, and costs the servers nothing.

Nobody but this package sees it. ``Directories`` leaves it out of each listing that it
reads, so that no cache, listing, copy or count has it; names that users give are
refused by ``is_marked`` where they become paths. No FileField makes such a name:
Django's ``get_valid_name`` leaves neither spaces nor parentheses in one.

The link to the root's marker carries facts about the root, which all hosts know so::

    root = marker.create_root(gateway, layout, facts)
    facts = marker.read_facts(gateway, root)      one request; {} where there are none
    links.change_facts(lambda facts: {...})       read, changed and kept

Facts are what JSON can hold. ``change`` may be called again with what somebody else has
kept meanwhile, so that it had better add to what is there.

**No two who change facts at the same moment lose any**, with or without a lock. Facts
have a number. Whoever writes those of number n links, in the same request, an empty
literal directory by the name ``NAME n``. The request lets files be replaced and no
directory, so that nothing of it is done where somebody else has written number n
before; who loses reads anew. So these directories stay, one for each change.

What others have put by the name ``NAME`` into a root is not theirs to lose: a file
stays what it is, and its link gets the facts. Where a directory has the name, or what
no cap of ours names, facts are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    GatewayTimeout,
    InvalidCap,
    NameTaken,
    StoreError,
    WriteCollision,
)
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.children import Child, Link, Linked
from tahoestorage.tahoe.collisions import pause
from tahoestorage.tahoe.gateway import Gateway

NAME = ".tahoestorage (keep)"
CAP = literal_cap(b"Kept by django-tahoestorage: never delete this file.\n")
FACTS_KEY = "tahoestorage-facts"
NUMBER_KEY = "tahoestorage-facts-number"

WHAT = "the root directory's marker"
_WRITTEN = Cap.parse("URI:DIR2-LIT:")
MOST_CHANGES = 100
"""How often others may be faster, while somebody tries to change facts."""

Change = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns facts as they are to be, given those that are there, which it may alter."""

_NUMBERED = re.compile(rf"{re.escape(NAME)} (\d{{1,9}})", re.ASCII)


def child(facts: Mapping[str, Any] | None = None) -> dict[str, Link]:
    """Return the marker as a child of a directory, with facts about it."""
    return {NAME: Link(CAP, {FACTS_KEY: dict(facts)} if facts else {})}


def is_ours(name: str) -> bool:
    """Whether nobody but this package sees what has the name."""
    return name.startswith(NAME) and (name == NAME or bool(_NUMBERED.fullmatch(name)))


def is_marked(path: tuple[str, ...]) -> bool:
    """Whether a path leads to a name of ours, or through one."""
    return any(map(is_ours, path))


def create_root(
    gateway: Gateway, layout: str = "SDMF", facts: Mapping[str, Any] | None = None
) -> Cap:
    """Make a directory that is linked nowhere and return its write cap."""
    return gateway.make_directory(child(facts), layout, label="the root directory")


@dataclass(frozen=True, slots=True)
class Kept:
    """What the link to a root's marker carries: facts, and their number.

    ``link`` is the link itself; None where the name is taken by what cannot carry any.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    link: Link | None = field(default_factory=lambda: Link(CAP))

    @classmethod
    def of(cls, linked: Linked) -> Kept:
        """Return what a link by the marker's name carries."""
        if linked.kind is not EntryKind.FILE or linked.reference is None:
            return cls(link=None)
        try:
            cap = Cap.parse(linked.reference)
        except InvalidCap:
            return cls(link=None)
        facts, number = map(linked.metadata.get, (FACTS_KEY, NUMBER_KEY))
        # The times are the gateway's own, and stay if nothing is said of them.
        others = {key: each for key, each in linked.metadata.items() if key != "tahoe"}
        return cls(
            facts if isinstance(facts, dict) else {},
            number if type(number) is int and number > 0 else 0,
            Link(cap, others),
        )

    def is_so(self, facts: Mapping[str, Any]) -> bool:
        """Whether nothing is left to be done, for facts to be these."""
        return self.link is None or facts == self.facts

    def followed_by(self, facts: Mapping[str, Any], least: int) -> dict[str, Link]:
        """Return the children that make ``facts`` the next, of number ``least`` or up.

        For a request that replaces files only: NameTaken where others were faster.
        """
        link, number = self.link or Link(CAP), max(self.number + 1, least)
        metadata = {**link.metadata, FACTS_KEY: dict(facts), NUMBER_KEY: number}
        return {NAME: Link(link.cap, metadata), f"{NAME} {number}": Link(_WRITTEN)}


def read(gateway: Gateway, root: Cap) -> Kept:
    """Return what the root's marker carries.

    One request. Raises a StoreError where the gateway can't tell.
    """
    try:
        return Kept.of(gateway.linked(root, NAME, label=WHAT))
    except FileMissing:
        return Kept()


def read_facts(gateway: Gateway, root: Cap) -> dict[str, Any]:
    """Return the facts that ``read`` finds; none without a marker."""
    return read(gateway, root).facts


def write_facts(
    gateway: Gateway, root: Cap, change: Change, send: Callable[[dict[str, Link]], None]
) -> Kept:
    """Change the facts of a root until nothing is left to be done; return what is kept.

    ``send`` links children in it by one request that replaces files only. Raises a
    StoreError where it fails.
    """
    errors = least = 0
    before: int | None = None
    for _ in range(MOST_CHANGES):
        there = read(gateway, root)
        changed = change(dict(there.facts))
        if there.is_so(changed):
            return there
        try:
            send(there.followed_by(changed, least))
        except GatewayTimeout:
            raise
        except NameTaken:
            # Others were faster; what they wrote is read, unless it is gone.
            if there.number == before:
                least = _last_number(gateway, root) + 1
            before = there.number
        except StoreError as error:
            # What is there is read in any case.
            if errors > gateway.retries:
                raise
            if isinstance(error, WriteCollision):
                pause(errors)
            errors += 1
    raise WriteCollision(f"{WHAT}: others change it all the time; try again")


def _last_number(gateway: Gateway, root: Cap) -> int:
    """Return the highest number that facts of a root ever had, by all its names.

    For where the marker does not tell: somebody has deleted it, or replaced it.
    """
    last = 0

    def look(child: Child) -> None:
        nonlocal last
        if found := _NUMBERED.fullmatch(child.name):
            last = max(last, int(found[1]))

    gateway.list(root, (), look, label=WHAT)
    return last
