"""Every order in which the readers and writers of one directory can meet.

A small model. *Processes* are caches of their own over one directory on disk. In them
*actors* do what `tahoestorage.tahoe` does: a reader takes a ticket, has the store read
a listing, and fills; a writer notes a change, has the store do it, and is done. Each
actor is a greenlet, and pauses before each step that others could notice; a
schedule says who goes on. `explore` plays all schedules there are, and after each step
every process is asked for every name.

A response may be "not known", always. Otherwise it must be a value that the name has
had, and that was not replaced by a write whose response is in.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any

import greenlet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tahoestorage.cache import (
    MISSING,
    Absent,
    EntryCache,
    Listing,
    ManyChanges,
    Namespace,
    changes,
)
from tahoestorage.cache.disk import DiskTier
from tahoestorage.cache.diskaccess import DiskAccess
from tahoestorage.cache.generations import Generations, Snapshot
from tahoestorage.cache.localtiers import LocalTiers
from tahoestorage.cache.memory import CachedPage, MemoryTier
from tahoestorage.cache.pages import Page
from tahoestorage.cache.revalidation import Places, Resolved, Revalidation
from tahoestorage.entries import Entry, EntryKind

PROCESSES = 4
Known = Entry | Absent
Script = Callable[[], None]
Ask = Callable[[EntryCache, Namespace, str], Known | None]


class WrongResult(AssertionError):
    """A process said of a name what it must not say."""


class Abandoned(BaseException):
    """This schedule is not played to its end."""


class Kind(Enum):
    """What an actor that pauses is about to do."""

    CACHE = "touch what the processes share"
    LOCK = "begin a transaction, for which it must be alone"
    STORE = "touch the store"


class Actor:
    """A greenlet that runs a script, from pause to pause.

    It costs a hundredth of what the switch to another thread does, and runs in the
    thread of who plays it.
    """

    def __init__(self) -> None:
        self.next: Kind | None = None
        self.fine = self.header = False
        self.abandoned = False
        self.in_transaction = False
        self.bumps = 0
        self._playing: Any = None

    def start(self, script: Script, *, fine: bool, header: bool = False) -> None:
        self.abandoned = False
        self.fine, self.header = fine, header
        self._playing = greenlet.greenlet(partial(self._play, script))
        self.go_on()

    def go_on(self) -> None:
        """Return at the next pause, or raise what the script has raised."""
        _here.actor = self
        try:
            self._playing.switch()
        finally:
            _here.actor = None

    def pause(self, kind: Kind) -> None:
        if not self.abandoned:
            self.next = kind
            self._playing.parent.switch()
            if self.abandoned:
                raise Abandoned

    def _play(self, script: Script) -> None:
        try:
            script()
        except Abandoned:
            pass
        finally:
            self.next = None


class _Here(threading.local):
    actor: Actor | None = None


_here = _Here()


def pause(kind: Kind = Kind.CACHE, *, fine: bool = True, header: bool = False) -> None:
    """Let others go on, where an actor runs here (and plays fine steps).

    Steps at the header are played by those alone that play them and no other fine ones.
    """
    actor = _here.actor
    if actor is not None and (not fine or (actor.header if header else actor.fine)):
        actor.pause(kind)


def pause_at_commit() -> None:
    """Let others go on, before pages are changed or after it."""
    pause()
    pause(header=True)


# What actors do inside of the cache, with a pause before whatever others can notice.


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Pause before a transaction begins, and before what it did is seen."""
    actor = _here.actor
    pause(Kind.LOCK)
    if actor is not None:
        actor.in_transaction = True
    try:
        yield
        pause_at_commit()
    finally:
        if actor is not None:
            actor.in_transaction = False


class Shelf:
    """Stands for the database, quickly: rows that all see once they are committed."""

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._draft: dict[bytes, bytes] | None = None
        self._owner: Actor | None = None

    def get(self, key: bytes) -> bytes | None:
        if self._draft is not None and self._owner is _here.actor:
            return self._draft.get(key, self._rows.get(key))
        pause()
        value = self._rows.get(key)
        pause()
        return value

    def set(self, key: bytes, value: bytes) -> None:
        assert self._draft is not None
        assert self._owner is _here.actor
        self._draft[key] = value

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with alone():
            assert self._draft is None
            self._draft, self._owner = {}, _here.actor
            try:
                yield
                pause_at_commit()
                self._rows.update(self._draft)
            finally:
                self._draft = self._owner = None


patch_tiers = LocalTiers.patch
revalidate = LocalTiers.revalidate


def change_with_pause(self: Generations, slot: int) -> None:
    actor = _here.actor
    if actor is not None:
        # There was a pause just before the first one.
        if actor.bumps and not actor.in_transaction:
            pause()
        actor.bumps += 1
    # The directory's number first, and the one of all of them last.
    self._set(slot)
    pause(header=True)
    self._tell()


def revalidate_with_pause(self: LocalTiers) -> Revalidation:
    """Let others go on after the header was read, and before any number is."""
    revalidation = revalidate(self)
    pause(header=True)
    return revalidation


def patch_and_count(
    self: LocalTiers, namespace: Namespace, change: Any, forgotten: Any = ()
) -> None:
    actor = _here.actor
    assert actor is not None
    actor.bumps = 0
    patch_tiers(self, namespace, change, forgotten)


# The store, and the world.


def by_place(cache: EntryCache, namespace: Namespace, text: str) -> Known | None:
    """Ask as a path is resolved: what was found once is found until it changes."""
    revalidation, place = cache.revalidate(), (namespace.root, text)
    found = cache.resolved(place, revalidation)
    if found is None:
        found = cache.entry(namespace, text, revalidation)
        if found is not None:
            cache.keep_resolved(place, found, revalidation)
    assert found is None or isinstance(found, Entry | Absent)
    return found


@dataclass(eq=False)
class Version:
    """A value that a name has had. ``acknowledged``: whoever wrote it knows it."""

    value: Known
    acknowledged: bool = False


@dataclass
class Name:
    """What the store has done with a name, and what is being done."""

    versions: list[Version]
    writers: int = 0
    changed: bool = False
    """Its only writer has noted a change, and has not come to its end."""
    asked_since: bool = False
    """And somebody has asked since."""

    def allowed(self, acknowledged: Sequence[Version]) -> list[Known]:
        """Return what may be said of it while these writes are acknowledged."""
        last = max(i for i, v in enumerate(self.versions) if v in acknowledged)
        return [version.value for version in self.versions[last:]]

    @property
    def acknowledged(self) -> list[Version]:
        return [version for version in self.versions if version.acknowledged]


def entry(reference: str) -> Entry:
    return Entry(EntryKind.FILE, reference)


@dataclass
class World:
    """Processes and actors; and, for one schedule, a directory in the store."""

    caches: list[EntryCache]
    actors: list[Actor] = field(default_factory=lambda: [Actor() for _ in range(4)])
    numbers: Iterator[int] = field(default_factory=itertools.count)
    namespace: Namespace = field(default_factory=lambda: Namespace(b"", b""))
    names: dict[str, Name] = field(default_factory=dict)
    acting: set[int] = field(default_factory=set)
    unwatched: set[int] = field(default_factory=set)
    last: Actor | None = None
    was_store: bool = False

    def begin(self, before: dict[str, Known], *, filled: bool, others: int) -> None:
        """Have a new directory, which all processes know if it is ``filled``."""
        number = b"%d" % next(self.numbers)
        self.namespace = Namespace(number, b"read %b" % number, b"write %b" % number)
        before = {**before, **{f"other {i}": entry("other") for i in range(others)}}
        self.names = {
            name: Name([Version(value, True)]) for name, value in before.items()
        }
        self.unwatched = set()
        self.last, self.was_store = None, False
        if filled:
            cache = self.caches[0]
            cache.fill(cache.ticket(), self.namespace, self.listing())
        self.acting = {*range(len(self.caches))}
        self.check()
        self.acting = {0} if filled else set()

    def listing(self) -> Listing:
        listing = Listing()
        for text, name in self.names.items():
            value = name.versions[-1].value
            if isinstance(value, Entry):
                listing.add(text, value)
        return listing

    def check(self) -> None:
        """Ask each process for each name.

        Those in which nobody has acted are as each other: one of them is asked.
        """
        idle = (each for each in range(len(self.caches)) if each not in self.acting)
        for number in {*self.acting, *itertools.islice(idle, 1)}:
            if number not in self.unwatched:
                cache = self.caches[number]
                for text, name in self.names.items():
                    if not text.startswith("other"):
                        for ask in (cache.entry, partial(by_place, cache)):
                            response = ask(self.namespace, text)
                            self.judge(response, text, name.acknowledged, name.changed)

    def judge(
        self,
        response: Known | None,
        text: str,
        acknowledged: Sequence[Version],
        was_changed: bool,
    ) -> None:
        """Complain about a response, given how things were when it was asked for."""
        name = self.names[text]
        if response is None:
            return
        if response not in name.allowed(acknowledged):
            raise WrongResult(f"{response} of {text!r}")
        if was_changed and name.changed and not name.asked_since:
            raise WrongResult(f"{response} of {text!r}, which is just being changed")

    def ready(self) -> list[Actor]:
        """Return who can go on.

        What the store does is done as late as can be: before the same actor's next
        step, that is. To do it earlier would not be noticed by anybody.
        """
        locked = any(actor.in_transaction for actor in self.actors)
        return [
            actor
            for actor in self.actors
            if actor.next is not None
            and not (actor.next is Kind.LOCK and locked)
            and not (
                self.was_store
                and actor is not self.last
                and actor.next is not Kind.STORE
            )
        ]

    def go_on(self, actor: Actor) -> None:
        was_store = actor.next is Kind.STORE
        actor.go_on()
        self.last, self.was_store = actor, was_store and actor.next is not None
        self.check()

    def abandon(self) -> None:
        for actor in self.actors:
            if actor.next is not None:
                actor.abandoned = True
                actor.go_on()

    # Scripts

    def cache_of(self, process: int) -> EntryCache:
        """Return the cache of a process in which somebody acts."""
        self.acting.add(process)
        return self.caches[process]

    def reader(self, process: int) -> Script:
        """Ask for the listing, and keep it."""
        cache = self.cache_of(process)

        def script() -> None:
            pause(fine=False)
            self.read(cache)

        return script

    def read(self, cache: EntryCache) -> None:
        for name in self.names.values():
            name.asked_since = True
        ticket = cache.ticket()
        pause(Kind.STORE, fine=False)
        listing = self.listing()
        pause(fine=False)
        cache.fill(ticket, self.namespace, listing)

    def writer(
        self, process: int, text: str, action: str, *, ends: str = "answered"
    ) -> Script:
        """Write a name; it ends "answered", "killed" or with "no response"."""
        cache = self.cache_of(process)
        value = MISSING if action == "delete" else entry(f"by process {process}")
        self.names[text].writers += 1

        def script() -> None:
            name = self.names[text]
            pause(fine=False)
            name.asked_since = False
            change = cache.change(self.namespace, text)
            name.changed = name.writers == 1
            pause(Kind.STORE, fine=False)
            there = name.versions[-1].value is not MISSING
            refused = there if action == "create" else action == "delete" and not there
            written = Version(value)
            if not refused:
                name.versions.append(written)
            if ends == "killed":
                return
            pause(fine=False)
            name.changed = False
            if refused:
                change.done(None)
                return
            change.done(None if ends == "no answer" else value)
            if ends == "no answer":
                pause(fine=False)
                self.read(cache)
            written.acknowledged = True

        return script

    def writer_of_all(
        self, process: int, value: Known, *, ends: str = "answered"
    ) -> Script:
        """Write all the names by one change."""
        cache = self.cache_of(process)
        texts = [text for text in self.names if not text.startswith("other")]

        def script() -> None:
            names = [self.names[text] for text in texts]
            pause(fine=False)
            for name in names:
                name.asked_since = False
            change = cache.change_many(self.namespace, texts)
            for name in names:
                name.changed = True
            pause(Kind.STORE, fine=False)
            written = [Version(value) for _ in names]
            for name, version in zip(names, written, strict=True):
                name.versions.append(version)
            if ends == "killed":
                return
            pause(fine=False)
            for name in names:
                name.changed = False
            change.done({} if ends == "no answer" else dict.fromkeys(texts, value))
            for version in written:
                version.acknowledged = True

        return script

    def looker(self, process: int, text: str) -> Script:
        """Look a name up, in a process where nobody else does."""
        self.acting.add(process)
        self.unwatched.add(process)

        def script() -> None:
            self.look(process, text, EntryCache.entry)
            self.unwatched.discard(process)

        return script

    def looker_thrice(self, process: int, text: str, ask: Ask) -> Script:
        """Look a name up three times; of the second look, play every step."""
        self.acting.add(process)
        self.unwatched.add(process)

        def script() -> None:
            actor = _here.actor
            assert actor is not None
            for header in (False, True, False):
                actor.header = header
                self.look(process, text, ask)
            self.unwatched.discard(process)

        return script

    def look(self, process: int, text: str, ask: Ask) -> None:
        pause(fine=False)
        name = self.names[text]
        acknowledged, was_changed = name.acknowledged, name.changed
        response = ask(self.caches[process], self.namespace, text)
        self.judge(response, text, acknowledged, was_changed)


Scene = Callable[[World], Sequence[Script]]


@dataclass(frozen=True)
class Play:
    """Who does what, and how it was before."""

    scene: Scene
    before: dict[str, Known]
    filled: bool = True
    fine: bool = False
    header: bool = False
    others: int = 0

    def begin(self, world: World) -> None:
        world.begin(self.before, filled=self.filled, others=self.others)
        for actor, script in zip(world.actors, self.scene(world), strict=False):
            actor.start(script, fine=self.fine, header=self.header)


def explore(world: World, play: Play) -> int:
    """Play every schedule, and return how many there are."""
    choices: list[int] = []
    for number in itertools.count(1):
        made: list[tuple[int, int]] = []
        play.begin(world)
        try:
            while ready := world.ready():
                choice = choices[len(made)] if len(made) < len(choices) else 0
                made.append((choice, len(ready)))
                world.go_on(ready[choice])
        finally:
            world.abandon()
        while made and made[-1][0] + 1 == made[-1][1]:
            made.pop()
        if not made:
            return number
        choices = [choice for choice, _ in made]
        choices[-1] += 1
    raise AssertionError


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> list[EntryCache]:
    directory = tmp_path_factory.mktemp("interleavings") / "cache"
    return [EntryCache(directory, lifetime=3600.0) for _ in range(PROCESSES)]


@pytest.fixture(scope="module")
def world(caches: list[EntryCache]) -> World:
    return World(caches)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a shelf for a disk, and pause where actors play fine steps."""
    shelf = Shelf()

    def tier(self: DiskAccess) -> Shelf:
        return shelf

    monkeypatch.setattr(DiskAccess, "tier", tier)
    monkeypatch.setattr(Generations, "change", change_with_pause)
    monkeypatch.setattr(LocalTiers, "revalidate", revalidate_with_pause)
    monkeypatch.setattr(LocalTiers, "patch", patch_and_count)


@pytest.fixture
def diskless(shelf: None, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """Process 1 can't use its disk."""
    usual = DiskAccess.tier
    broken = world.caches[1]._tiers._access  # type: ignore[attr-defined]

    def tier(self: DiskAccess) -> Any:
        return None if self is broken else usual(self)

    monkeypatch.setattr(DiskAccess, "tier", tier)


# On two pages, where there are 40 others.
DISTANT = ("a", "f")
OLD: dict[str, Known] = {"a": entry("old")}
NONE: dict[str, Known] = {"a": MISSING}
BOTH: dict[str, Known] = {"a": entry("old"), "b": MISSING}


def reader_and_writer(action: str, ends: str = "answered") -> Scene:
    return lambda world: [world.reader(0), world.writer(1, "a", action, ends=ends)]


def looker_and_writer(action: str) -> Scene:
    return lambda world: [world.looker(3, "a"), world.writer(1, "a", action)]


def looks_and_writer(action: str, ask: Ask) -> Scene:
    return lambda world: [
        world.looker_thrice(3, "a", ask),
        world.writer(1, "a", action, ends="killed"),
    ]


def two_writers(first: str, second: str, name: str = "a") -> Scene:
    return lambda world: [world.writer(1, "a", first), world.writer(2, name, second)]


def reader_and_two_writers(first: str, second: str, name: str = "a") -> Scene:
    return lambda world: [
        world.reader(0),
        *two_writers(first, second, name)(world),
    ]


def two_readers_and_writer(action: str, ends: str) -> Scene:
    return lambda world: [
        world.reader(0),
        world.reader(2),
        world.writer(1, "a", action, ends=ends),
    ]


def everybody(world: World) -> Sequence[Script]:
    return [
        world.reader(0),
        world.writer(1, "a", "replace"),
        world.writer(2, "a", "delete"),
        world.looker(3, "a"),
    ]


READER_AND_WRITER = {
    "create": Play(reader_and_writer("create"), NONE),
    "delete": Play(reader_and_writer("delete"), OLD),
    "replace": Play(reader_and_writer("replace"), OLD),
    "refused": Play(reader_and_writer("create"), OLD),
    "create, nothing known": Play(reader_and_writer("create"), NONE, filled=False),
    "delete, nothing known": Play(reader_and_writer("delete"), OLD, filled=False),
    "create, many names": Play(reader_and_writer("create"), NONE, others=20),
    "create, then killed": Play(reader_and_writer("create", "killed"), NONE),
    "delete, then killed": Play(reader_and_writer("delete", "killed"), OLD),
    "create, no answer": Play(reader_and_writer("create", "no answer"), NONE),
}
THREE_ACTORS = {
    "creates two names": Play(
        reader_and_two_writers("create", "create", "b"), {"a": MISSING, "b": MISSING}
    ),
    "deletes one, creates another": Play(
        reader_and_two_writers("delete", "create", "b"), BOTH
    ),
    "creates and deletes one": Play(reader_and_two_writers("create", "delete"), NONE),
    "replaces and deletes one": Play(reader_and_two_writers("replace", "delete"), OLD),
    "replaces one twice": Play(
        reader_and_two_writers("replace", "replace"), OLD, filled=False
    ),
    "creates one twice": Play(
        reader_and_two_writers("create", "create"), NONE, filled=False
    ),
    "a second reader": Play(two_readers_and_writer("create", "answered"), NONE),
    "a second reader, writer killed": Play(
        two_readers_and_writer("delete", "killed"), OLD
    ),
}
FINE = {
    "reader and creator": Play(reader_and_writer("create"), NONE, fine=True),
    "reader and deleter": Play(reader_and_writer("delete"), OLD, fine=True),
    "looker and creator": Play(looker_and_writer("create"), NONE, fine=True),
    "looker and deleter": Play(looker_and_writer("delete"), OLD, fine=True),
}
HEADER = {
    f"{where}, {action}": Play(looks_and_writer(action, ask), before, header=True)
    for where, ask in (("name", EntryCache.entry), ("place", by_place))
    for action, before in (("create", NONE), ("delete", OLD), ("replace", OLD))
}


# Thousands of orders of the same lines, which other tests reach too. To measure what
# they reach takes longer than they do.
not_measured = pytest.mark.no_cover


@not_measured
@pytest.mark.parametrize("play", READER_AND_WRITER.values(), ids=READER_AND_WRITER)
def test_a_listing_and_a_write_in_every_order(world: World, play: Play) -> None:
    assert explore(world, play) > 5


@not_measured
@pytest.mark.parametrize("play", THREE_ACTORS.values(), ids=THREE_ACTORS)
@pytest.mark.usefixtures("shelf")
def test_three_actors_in_every_order(world: World, play: Play) -> None:
    assert explore(world, play) > 100


@pytest.mark.parametrize("play", FINE.values(), ids=FINE)
@pytest.mark.usefixtures("shelf")
def test_every_step_inside_of_the_cache_in_every_order(
    world: World, play: Play
) -> None:
    assert explore(world, play) > 100


@not_measured
@pytest.mark.parametrize("play", HEADER.values(), ids=HEADER)
@pytest.mark.usefixtures("shelf")
def test_the_header_and_the_numbers_in_every_order(world: World, play: Play) -> None:
    assert explore(world, play) > 100


@not_measured
@pytest.mark.parametrize("ends", ["answered", "killed", "no answer"])
@pytest.mark.usefixtures("shelf")
def test_one_change_of_several_pages_in_every_order(
    world: World, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    def patch(
        self: LocalTiers, namespace: Namespace, change: Any, forgotten: Any = ()
    ) -> None:
        pause(fine=False)
        patch_and_count(self, namespace, change, forgotten)

    monkeypatch.setattr(changes, "BATCH", 1)
    monkeypatch.setattr(LocalTiers, "patch", patch)
    for value, before in ((entry("new"), MISSING), (MISSING, entry("old"))):

        def scene(world: World, value: Known = value) -> Sequence[Script]:
            return [world.writer_of_all(1, value, ends=ends), world.reader(0)]

        names = dict.fromkeys(DISTANT, before)
        assert explore(world, Play(scene, names, others=40)) > 15


@not_measured
@pytest.mark.parametrize("action", ["create", "delete"])
@pytest.mark.usefixtures("diskless")
def test_a_writer_whose_disk_fails_in_every_order(world: World, action: str) -> None:
    before = NONE if action == "create" else OLD
    play = Play(reader_and_writer(action), before, fine=True)
    assert explore(world, play) > 100


def play_at_random(world: World, data: st.DataObject) -> None:
    """Play all actors together, in an order that hypothesis chooses."""
    Play(everybody, OLD, fine=True).begin(world)
    try:
        while ready := world.ready():
            world.go_on(data.draw(st.sampled_from(ready)))
    finally:
        world.abandon()


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.usefixtures("shelf")
def test_more_actors_than_can_be_played_in_every_order(
    world: World, data: st.DataObject
) -> None:
    play_at_random(world, data)


@pytest.mark.parametrize("play", READER_AND_WRITER.values(), ids=READER_AND_WRITER)
def test_a_reader_that_comes_last_knows_all(world: World, play: Play) -> None:
    play.begin(world)
    while ready := world.ready():
        world.go_on(ready[-1])  # The writer first, and then the reader.
    value = world.names["a"].versions[-1].value
    assert world.caches[0].entry(world.namespace, "a") == value


# The same with one line less: each of them must be noticed.


class _Same(str):
    """Not other than anything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


def fill_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = LocalTiers.fill

    def mutant(
        self: LocalTiers, namespace: Namespace, since: Snapshot, *rest: Any, **kw: Any
    ) -> None:
        fill(self, namespace, self.snapshot(), *rest, **kw)

    monkeypatch.setattr(LocalTiers, "fill", mutant)


def no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ManyChanges, "_marked", lambda self, page, names: page)


def mark_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Page, "marked", lambda self, mark: {"a", "b"})


def no_bump(monkeypatch: pytest.MonkeyPatch, which: Callable[[str, int], bool]) -> None:
    """Leave bumps out: which, is said by the change and the bump's number in it."""
    doing: dict[Actor, str] = {}
    edit = ManyChanges._edit

    def mutant(self: ManyChanges, edit_page: Any) -> None:
        assert _here.actor is not None
        doing[_here.actor] = edit_page.__name__
        edit(self, edit_page)

    def bump(self: Generations, slot: int) -> None:
        actor = _here.actor
        if actor is not None and which(doing[actor], actor.bumps):
            actor.bumps += 1
        else:
            change_with_pause(self, slot)

    monkeypatch.setattr(ManyChanges, "_edit", mutant)
    monkeypatch.setattr(Generations, "change", bump)


def no_bump_before_the_send(monkeypatch: pytest.MonkeyPatch) -> None:
    no_bump(monkeypatch, lambda change, number: change == "_marked")


def no_bump_after_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    no_bump(monkeypatch, lambda change, number: change == "settle")


def no_bump_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    no_bump(monkeypatch, lambda change, number: number == 2)


def memory_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    get = MemoryTier.get

    def mutant(self: MemoryTier, key: bytes) -> CachedPage | None:
        held = get(self, key)
        same: Any = _Same()
        return None if held is None else replace(held, generation=same)

    monkeypatch.setattr(MemoryTier, "get", mutant)


def generation_read_after_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from_disk = LocalTiers._from_disk

    def mutant(
        self: LocalTiers, namespace: Namespace, key: bytes, revalidation: Revalidation
    ) -> CachedPage | None:
        held = from_disk(self, namespace, key, revalidation)
        now = self.generations.generation(namespace.slot)
        return None if held is None else replace(held, generation=now)

    monkeypatch.setattr(LocalTiers, "_from_disk", mutant)


def header_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def mutant(self: Generations, slot: int) -> None:
        self._tell()
        pause(header=True)
        self._set(slot)

    monkeypatch.setattr(Generations, "change", mutant)


def header_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generations, "_tell", lambda self: None)


def header_not_told_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Generations._tell

    def mutant(self: Generations) -> None:
        actor = _here.actor
        if actor is None or actor.bumps < 3:
            tell(self)

    monkeypatch.setattr(Generations, "_tell", mutant)


def header_read_after_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    holds = Revalidation.holds

    def mutant(self: Revalidation, slot: int, held: CachedPage) -> bool:
        held_before = held.header
        valid = holds(self, slot, held)
        if valid and held.header != held_before:
            pause(header=True)
            held.header = self.generations.header()
        return valid

    monkeypatch.setattr(Revalidation, "holds", mutant)


def place_s_header_read_after_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    holds = Resolved.holds

    def mutant(self: Resolved, revalidation: Revalidation) -> bool:
        before = self.header
        valid = holds(self, revalidation)
        if valid and self.header != before:
            pause(header=True)
            self.header = revalidation.generations.header()
        return valid

    monkeypatch.setattr(Resolved, "holds", mutant)


def place_without_its_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Revalidation, "note", lambda self, slot, held: None)
    monkeypatch.setattr(Places, "get", places_get_whenever)


def places_get_whenever(
    self: Places, place: Any, revalidation: Revalidation, longest: float
) -> object | None:
    found = self._resolved.get(place)
    return found.value if found is not None and found.holds(revalidation) else None


def disk_still_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generations, "invalidate", Generations.change)


MUTANTS: dict[Callable[[pytest.MonkeyPatch], None], Play] = {
    fill_unchecked: READER_AND_WRITER["create"],
    no_mark: READER_AND_WRITER["create, then killed"],
    mark_not_looked_at: Play(two_writers("replace", "delete"), OLD),
    no_bump_before_the_send: READER_AND_WRITER["delete, then killed"],
    no_bump_after_the_answer: READER_AND_WRITER["create"],
    no_bump_after_the_commit: FINE["looker and creator"],
    memory_unchecked: READER_AND_WRITER["delete"],
    generation_read_after_the_page: FINE["looker and deleter"],
    header_told_first: HEADER["name, delete"],
    header_not_told: READER_AND_WRITER["delete"],
    header_not_told_after_the_commit: HEADER["name, delete"],
    header_read_after_the_number: HEADER["name, delete"],
    place_s_header_read_after_the_numbers: HEADER["place, delete"],
    place_without_its_trail: READER_AND_WRITER["delete"],
}


@not_measured
@pytest.mark.parametrize(
    ("mutate", "play"), MUTANTS.items(), ids=[mutant.__name__ for mutant in MUTANTS]
)
@pytest.mark.usefixtures("shelf")
def test_a_cache_with_one_line_less_is_caught(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    mutate: Callable[[pytest.MonkeyPatch], None],
    play: Play,
) -> None:
    explore(world, play)
    mutate(monkeypatch)
    with pytest.raises(WrongResult):
        explore(world, play)


@pytest.mark.usefixtures("diskless")
def test_a_writer_that_lets_the_disk_be_believed_is_caught(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_still_believed(monkeypatch)
    with pytest.raises(WrongResult):
        explore(world, READER_AND_WRITER["delete"])


def test_the_shelf_and_the_disk_have_the_same_methods() -> None:
    public = {name for name in vars(Shelf) if not name.startswith("_")}
    assert public <= set(vars(DiskTier))
