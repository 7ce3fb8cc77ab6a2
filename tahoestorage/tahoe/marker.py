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
    links.change_facts(lambda facts: {...})       read, changed and kept, under the lock

Facts are what JSON can hold. ``change`` may be called again with what somebody else has
kept meanwhile, so that it had better add to what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tahoestorage.exceptions import FileMissing
from tahoestorage.tahoe.caps import Cap, literal_cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.gateway import Gateway

NAME = ".tahoestorage (keep)"
CAP = literal_cap(b"Kept by django-tahoestorage: never delete this file.\n")
FACTS_KEY = "tahoestorage-facts"


def child(facts: Mapping[str, Any] | None = None) -> dict[str, Link]:
    """Return the marker as a child of a directory, with facts about it."""
    return {NAME: Link(CAP, {FACTS_KEY: dict(facts)} if facts else {})}


def is_marked(path: tuple[str, ...]) -> bool:
    """Whether a path leads to a marker, or through one."""
    return NAME in path


def create_root(
    gateway: Gateway, layout: str = "SDMF", facts: Mapping[str, Any] | None = None
) -> Cap:
    """Make a directory that is linked nowhere and return its write cap."""
    return gateway.make_directory(child(facts), layout, what="the root directory")


def read_facts(gateway: Gateway, root: Cap) -> dict[str, Any]:
    """Return the facts that the root's marker carries; none without a marker.

    One request. Raises a StoreError where the gateway can't tell.
    """
    try:
        metadata = gateway.metadata(root, NAME, what="the root directory's marker")
    except FileMissing:
        return {}
    facts = metadata.get(FACTS_KEY)
    return facts if isinstance(facts, dict) else {}
