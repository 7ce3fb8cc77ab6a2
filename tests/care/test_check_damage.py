"""``manage.py tahoe_check`` tells what can be read by reading all of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from django.core.files.base import ContentFile

from tahoestorage.exceptions import DamagedDownload
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.children import Link
from tahoestorage.testing.grid import LocalGrid
from tests.support.checked_sites import (
    TOTAL,
    cap_of,
    corrupt,
    lose,
    shares,
    states,
)
from tests.support.commands import Made

MIB = 1 << 20
HEAD = 12 + 36
"""Bytes before the first block of a share, in the file that holds it."""


@pytest.mark.parametrize(
    ("size", "place"),
    [(3 * MIB, MIB // 2), (2 * MIB + 20, MIB)],
    ids=["in the middle", "fewer bytes than the gateway's words"],
)
def test_a_file_that_breaks_off_in_a_later_segment_is_lost(
    size: int,
    place: int,
    grid: LocalGrid,
    checked_site: TahoeStorage,
    check: Callable[..., Made],
) -> None:
    """The first segment can be read, and so the response begins as a sound one does."""
    checked_site.save("one/long", ContentFile(secrets.token_bytes(size)))
    for share in shares(grid, cap_of(checked_site, "one/long"))[:3]:
        corrupt(share, HEAD + place, 5)

    made = check("--verify")

    assert (made.status, states(made)) == (3, {"one/long": "lost"})
    assert made.json["checked"] == TOTAL + 1
    with pytest.raises(DamagedDownload):
        checked_site.open("one/long").read()


@pytest.mark.parametrize(("reading", "writing"), ["az", "za"])
def test_a_directory_that_is_linked_by_both_of_its_caps_is_repaired(
    reading: str,
    writing: str,
    grid: LocalGrid,
    checked_site: TahoeStorage,
    check: Callable[..., Made],
) -> None:
    gateway, root = (
        checked_site.directories.gateway,
        checked_site.directories.root.write,
    )
    assert root is not None
    below = gateway.make_directory(
        {"file": Link(cap_of(checked_site, "one/0"))}, label=""
    )
    both = gateway.make_directory({"below": Link(below)}, label="")
    links = {reading: Link(both.read_only), writing: Link(both)}
    gateway.set_children(root, links, label="both")
    for cap in (both, below):
        lose(grid, cap, 1)

    made = check("--repair")

    assert (made.status, states(made)) == (
        1,
        {writing: "repaired", f"{writing}/below": "repaired"},
    )
    assert [len(shares(grid, cap)) for cap in (both, below)] == [4, 4]
    assert made.json["checked"] == TOTAL + 3
