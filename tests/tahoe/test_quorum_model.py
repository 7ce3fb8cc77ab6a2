"""How many servers may be away: the arithmetic, held against a model of Tahoe's own.

The model follows what a gateway does (``allmydata.mutable.publish``): a change reads
the newest state of which enough numbers are there, writes anew what each server has
that is there, and gives numbers that nobody has to the servers that have fewest. All
sequences of outages are gone through.
"""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tahoestorage.tahoe.caps import Shares
from tahoestorage.tahoe.serverfacts import birth_count, tolerance

with warnings.catch_warnings():
    # What it imports is old.
    warnings.simplefilter("ignore")
    from allmydata.mutable.publish import Publish

Held = tuple[int, int, int]
"""A server, a number that it holds, and how many states there are since that one."""
State = frozenset[Held]
Placed = set[tuple[int, int]]
Placing = Callable[[Placed, list[int], Collection[int]], Iterable[Placed]]


def fewest_first(
    known: Placed, homeless: list[int], up: Collection[int]
) -> list[Placed]:
    """Give numbers to the servers that have fewest, as a gateway does."""
    counts = {server: sum(server == other for other, _ in known) for server in up}
    order = sorted(up, key=lambda server: (counts[server], server))
    return [{(order[i % len(order)], x) for i, x in enumerate(homeless)}]


def anywhere(known: Placed, homeless: list[int], up: Collection[int]) -> list[Placed]:
    """Give numbers to any servers, in every way there is."""
    ways = itertools.product(sorted(up), repeat=len(homeless))
    return [set(zip(way, homeless, strict=True)) for way in ways]


def born(shares: Shares, up: Collection[int]) -> State:
    (placed,) = fewest_first(set(), list(range(shares.total)), up)
    return frozenset((server, number, 0) for server, number in placed)


def newest(state: State, up: Collection[int], needed: int) -> int | None:
    """Return which state these servers give back: 0 is the newest there is."""
    numbers: dict[int, set[int]] = {}
    for server, number, age in state:
        if server in up:
            numbers.setdefault(age, set()).add(number)
    return min(
        (a for a, found in numbers.items() if len(found) >= needed), default=None
    )


def changed(
    state: State, up: Collection[int], shares: Shares, place: Placing
) -> Iterator[State]:
    """Yield the states that a change may leave, made while these servers are there."""
    known = {(server, number) for server, number, _ in state if server in up}
    there = {number for _, number in known}
    homeless = [number for number in range(shares.total) if number not in there]
    stale = {(s, x, age) for s, x, age in state if s not in up}
    # Only which is newer matters.
    ages = {age: rank for rank, age in enumerate(sorted({a for *_, a in stale}), 1)}
    old = {(s, x, ages[age]) for s, x, age in stale}
    for placed in place(known, homeless, up):
        yield frozenset({(s, x, 0) for s, x in known | placed} | old)


def give_up(state: State) -> State:
    """Have a server that comes back give up the numbers that others hold by now."""
    new = {number for _, number, age in state if age == 0}
    return frozenset(h for h in state if h[2] == 0 or h[1] not in new)


def loses(
    shares: Shares,
    servers: int,
    away: int,
    births: Iterable[int] = (0,),
    place: Placing = fewest_first,
    then: Callable[[State], State] = lambda state: state,
) -> bool:
    """Whether, with so many away at most, a change can miss an acknowledged one.

    ``births`` are how many may be away when the directory is made. A change that can
    read nothing is as bad: nobody could change the directory any more.
    """
    everyone = range(servers)
    groups = [
        frozenset(group)
        for count in range(servers - away, servers + 1)
        for group in itertools.combinations(everyone, count)
    ]
    pending = deque(
        born(shares, group)
        for count in births
        for group in itertools.combinations(everyone, servers - count)
    )
    seen = set(pending)
    while pending:
        state = pending.popleft()
        for up in groups:
            if newest(state, up, shares.needed) != 0:
                return True
            for left in changed(state, up, shares, place):
                after = then(left)
                if after not in seen:
                    seen.add(after)
                    pending.append(after)
    return False


def grid(needed: int, total: int, servers: int) -> tuple[Shares, int]:
    return Shares(needed, total), servers


@pytest.mark.parametrize(
    ("needed", "total", "servers", "away"),
    [
        (1, 1, 1, 0),
        (1, 1, 4, 0),
        (1, 2, 2, 0),
        (1, 3, 3, 1),
        (2, 3, 3, 0),
        (2, 4, 1, 0),
        (2, 4, 2, 0),
        (2, 4, 3, 0),
        (2, 4, 4, 1),
        (2, 4, 9, 1),
        (3, 10, 3, 1),
        (3, 10, 4, 1),
        (3, 10, 7, 2),
        (3, 10, 10, 3),
        (3, 10, 12, 3),
        (5, 6, 3, 0),
        (4, 4, 2, 0),
        (2, 4, 0, 0),
        (1, 256, 256, 127),
    ],
)
def test_so_many_may_be_away(needed: int, total: int, servers: int, away: int) -> None:
    assert tolerance(Shares(needed, total), servers) == away


SMALL = [
    grid(1, 1, 1),
    grid(1, 1, 2),
    grid(1, 2, 2),
    grid(1, 2, 3),
    grid(1, 3, 3),
    grid(1, 3, 5),
    grid(2, 3, 3),
    grid(2, 4, 2),
    grid(2, 4, 3),
    grid(2, 4, 4),
    grid(2, 4, 5),
    grid(2, 4, 6),
    grid(2, 5, 5),
    grid(2, 6, 3),
    grid(3, 5, 5),
    grid(3, 6, 5),
    grid(3, 10, 3),
    grid(3, 10, 4),
    grid(4, 10, 4),
]


@pytest.mark.parametrize(("shares", "servers"), SMALL)
def test_no_sequence_of_outages_has_two_changes_miss_each_other(
    shares: Shares, servers: int
) -> None:
    assert not loses(shares, servers, tolerance(shares, servers))


@pytest.mark.parametrize(
    ("shares", "servers"),
    [grid(1, 2, 2), grid(1, 3, 3), grid(2, 4, 2), grid(2, 4, 4), grid(3, 10, 4)],
)
def test_one_more_would_be_too_many(shares: Shares, servers: int) -> None:
    assert loses(shares, servers, tolerance(shares, servers) + 1)


@pytest.mark.parametrize(
    ("shares", "servers"),
    [grid(1, 3, 3), grid(1, 3, 4), grid(2, 4, 4), grid(2, 5, 4), grid(2, 4, 5)],
)
def test_it_rests_on_this_alone_that_servers_keep_the_numbers_they_were_given(
    shares: Shares, servers: int
) -> None:
    away = tolerance(shares, servers)
    # Wherever the gateway puts the numbers that nobody has.
    assert not loses(shares, servers, away, place=anywhere)
    assert loses(shares, servers, away, place=anywhere, then=give_up)


@pytest.mark.parametrize(("shares", "servers"), SMALL)
def test_where_one_may_be_away_one_may_be_at_a_birth_too(
    shares: Shares, servers: int
) -> None:
    if tolerance(shares, servers) == 1:
        assert birth_count(shares, servers, servers - 1) == servers
        assert not loses(shares, servers, 1, births=(0, 1))


def test_where_two_may_be_away_it_counts_on_how_many_a_directory_was_made() -> None:
    shares, servers = Shares(1, 5), 5
    assert tolerance(shares, servers) == 2
    assert birth_count(shares, servers, 4) == 4
    # So no more may be away from then on.
    assert tolerance(shares, 4) == 1
    assert not loses(shares, servers, 1, births=(1,))
    # With two away this is how a change would be missed.
    state, up = born(shares, (1, 2, 3, 4)), frozenset(range(servers))
    for away in ({0, 3}, {0, 2}, {0, 4}, {2, 4}):
        assert newest(state, up - away, shares.needed) == 0
        (state,) = changed(state, up - away, shares, fewest_first)
    assert newest(state, up - {1, 3}, shares.needed) == 1


def halved_up(shares: Shares, servers: int) -> int:
    return max(tolerance(shares, servers), (shares.total - shares.needed + 1) // 2)


def not_halved(shares: Shares, servers: int) -> int:
    return tolerance(shares, servers) * 2


def of_many_always(shares: Shares, servers: int) -> int:
    return (shares.total - shares.needed) // 2


def rounded_down(shares: Shares, servers: int) -> int:
    each = max(1, shares.total // servers)
    return max(0, (servers - shares.needed // each) // 2)


def one_number_is_enough(shares: Shares, servers: int) -> int:
    return (servers - 1) // 2


@pytest.mark.parametrize(
    "mutant",
    [halved_up, not_halved, of_many_always, rounded_down, one_number_is_enough],
)
def test_the_model_finds_what_is_wrong_with_other_formulas(
    mutant: Callable[[Shares, int], int],
) -> None:
    wrong = [
        (shares, servers)
        for shares, servers in SMALL
        if tolerance(shares, servers) < mutant(shares, servers) < servers
    ]
    assert any(
        loses(shares, servers, mutant(shares, servers)) for shares, servers in wrong
    )


class Node:
    """A server, as Tahoe's own code knows one."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get_serverid(self) -> bytes:
        return b"%d" % self.number

    def get_name(self) -> str:
        return str(self.number)

    def upload_permitted(self) -> bool:
        return True


@given(
    st.integers(1, 12),
    st.integers(1, 8),
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 11))),
)
def test_the_model_gives_numbers_to_servers_as_tahoe_does(
    total: int, servers: int, held: Placed
) -> None:
    known = {(s, x) for s, x in held if s < servers and x < total}
    nodes = [Node(number) for number in range(servers)]
    publish: Any = SimpleNamespace(
        goal={(nodes[server], number) for server, number in known},
        total_shares=total,
        bad_servers=set(),
        full_serverlist=nodes,
        log_goal=lambda *args: None,
    )
    Publish.update_goal(publish)
    there = {number for _, number in known}
    homeless = [number for number in range(total) if number not in there]
    (placed,) = fewest_first(known, homeless, range(servers))
    assert {(node.number, x) for node, x in publish.goal} == known | placed
