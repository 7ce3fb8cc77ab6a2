"""The marker: a hidden file that each directory of ours has from the start.

Two gateways that write into an empty directory at the same time both report success,
and one of the two names is lost. Where the directory has a child already, one of them
reports a collision. So a directory is never empty: it has the file ``NAME`` from its
first moment to its last. The content is in the cap, and needs no space on servers.

Nobody but this package sees it. ``Directories`` leaves it out of each listing that it
reads, so that no cache, listing, copy or count has it. Names that users give are
refused where they become paths, by ``has_reserved_name``. No FileField makes such a
name: Django's ``get_valid_name`` leaves neither spaces nor parentheses in one.

The metadata of the link to the root's marker holds facts about the root, so that all
hosts share them::

    root = marker.make_root(gateway, layout, facts)
    facts = marker.read_facts(gateway, root)      one request; {} where there are none
    links.change_facts(lambda facts: {...})       read, changed and kept

Facts are a JSON object. A ``change`` may be called again, with what another process has
stored meanwhile; so it should add to what it is given.

**Concurrent changes of facts lose nothing**, with or without a lock. Facts have a
number. The request that stores number n also links an empty literal directory as
``NAME n``. It may replace files and no directory, so all of it is refused if another
process has stored number n before; the loser reads again. These directories stay, one
for each change.

Something else may have the name ``NAME`` in a root. A file stays as it is, and its link
gets the facts. For a directory, or a cap of an unknown kind, facts are not stored.
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
from tahoestorage.tahoe.children import Child, Link, LinkTarget
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.writecollisions import pause

NAME = ".tahoestorage (keep)"
CAP = literal_cap(b"Kept by django-tahoestorage: never delete this file.\n")
FACTS_KEY = "tahoestorage-facts"
NUMBER_KEY = "tahoestorage-facts-number"

LABEL = "the root directory's marker"
_EMPTY_DIRECTORY = Cap.parse("URI:DIR2-LIT:")
CHANGE_ATTEMPTS = 100
"""How often a change of facts is tried, where others are faster each time."""

FactsChange = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes the facts as stored, which it may alter; returns them as they shall be."""

_NUMBERED_NAME = re.compile(rf"{re.escape(NAME)} (\d{{1,9}})", re.ASCII)


def child(facts: Mapping[str, Any] | None = None) -> dict[str, Link]:
    """Return the marker as the children of a new directory, with ``facts`` about it."""
    return {NAME: Link(CAP, {FACTS_KEY: dict(facts)} if facts else {})}


def is_reserved_name(name: str) -> bool:
    """Whether a name is the marker's, or that of a change of facts."""
    return name.startswith(NAME) and (
        name == NAME or bool(_NUMBERED_NAME.fullmatch(name))
    )


def has_reserved_name(path: tuple[str, ...]) -> bool:
    """Whether any name in a path is reserved for this package."""
    return any(map(is_reserved_name, path))


def make_root(
    gateway: Gateway,
    layout: str = "SDMF",
    facts: Mapping[str, Any] | None = None,
    children: Mapping[str, Link] | None = None,
) -> Cap:
    """Make a directory that is not linked anywhere; return its write cap.

    One or two requests. Raises a StoreError.
    """
    born_with = {**child(facts), **(children or {})}
    return gateway.make_directory(born_with, layout, label="the root directory")


@dataclass(frozen=True, slots=True)
class MarkerFacts:
    """The facts stored in the link to a root's marker, and their number.

    ``link`` is the link itself; None where something else has the marker's name that
    can't store facts.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    link: Link | None = field(default_factory=lambda: Link(CAP))

    @classmethod
    def of(cls, linked: LinkTarget) -> MarkerFacts:
        """Return the facts stored in the link that has the marker's name."""
        if linked.entry.kind is not EntryKind.FILE or linked.reference is None:
            return cls(link=None)
        try:
            cap = Cap.parse(linked.reference)
        except InvalidCap:
            return cls(link=None)
        facts, number = map(linked.metadata.get, (FACTS_KEY, NUMBER_KEY))
        # The times are the gateway's own, and stay if the request leaves them out.
        others = {key: each for key, each in linked.metadata.items() if key != "tahoe"}
        return cls(
            facts if isinstance(facts, dict) else {},
            number if type(number) is int and number > 0 else 0,
            Link(cap, others),
        )

    def needs_no_change(self, facts: Mapping[str, Any]) -> bool:
        """Whether ``facts`` are stored already, or can't be stored."""
        return self.link is None or facts == self.facts

    def next_children(self, facts: Mapping[str, Any], least: int) -> dict[str, Link]:
        """Return the children that store ``facts``, under a number from ``least`` on.

        For a request that replaces files only: NameTaken where others were faster.
        """
        link, number = self.link or Link(CAP), max(self.number + 1, least)
        metadata = {**link.metadata, FACTS_KEY: dict(facts), NUMBER_KEY: number}
        return {
            NAME: Link(link.cap, metadata),
            f"{NAME} {number}": Link(_EMPTY_DIRECTORY),
        }


def read(gateway: Gateway, root: Cap) -> MarkerFacts:
    """Return the facts in the root's marker; none where it has no marker.

    One request. Raises a StoreError where the gateway can't respond.
    """
    try:
        return MarkerFacts.of(gateway.read_link(root, NAME, label=LABEL))
    except FileMissing:
        return MarkerFacts()


def read_facts(gateway: Gateway, root: Cap) -> dict[str, Any]:
    """Return the facts that ``read`` finds, as a dictionary."""
    return read(gateway, root).facts


def write_facts(
    gateway: Gateway,
    root: Cap,
    change: FactsChange,
    send: Callable[[dict[str, Link]], None],
) -> MarkerFacts:
    """Apply ``change`` to the facts of a root until they are stored; return them.

    ``send`` links children in the root by one request that replaces files only. Raises
    WriteCollision where others are faster ``CHANGE_ATTEMPTS`` times, and the StoreError
    of a request that fails.
    """
    errors = least = 0
    before: int | None = None
    for _ in range(CHANGE_ATTEMPTS):
        there = read(gateway, root)
        changed = change(dict(there.facts))
        if there.needs_no_change(changed):
            return there
        try:
            send(there.next_children(changed, least))
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
    raise WriteCollision(f"{LABEL}: others change it all the time; try again")


def _last_number(gateway: Gateway, root: Cap) -> int:
    """Return the highest number that facts of a root ever had, from its listing.

    For when the marker has been deleted or replaced.
    """
    last = 0

    def look(child: Child) -> None:
        nonlocal last
        if found := _NUMBERED_NAME.fullmatch(child.name):
            last = max(last, int(found[1]))

    gateway.list(root, (), look, label=LABEL)
    return last
