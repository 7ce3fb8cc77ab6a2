"""Links that threads make at the same time are made by one change of a directory."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tahoestorage.exceptions import NameTaken
from tahoestorage.moving import linkqueue
from tahoestorage.moving.linkqueue import LinkQueue
from tahoestorage.tahoe.caps import Cap, literal_cap

CAP = literal_cap(b"content")


class Directories:
    """Notes the changes that are made, and holds the first until it is let go on."""

    def __init__(self) -> None:
        self.changes: list[list[str]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.error: BaseException | None = None
        self.queue = LinkQueue(self.link)

    def link(self, caps: Mapping[str, Cap]) -> Mapping[str, Exception]:
        self.changes.append(sorted(caps))
        if not self.begun.is_set():
            self.begun.set()
            assert self.go_on.wait(60)
            if self.error is not None:
                raise self.error
        return {name: NameTaken(f"{name}: taken") for name in caps if "taken" in name}


@pytest.fixture
def directories() -> Directories:
    return Directories()


def link_all(directories: Directories, names: list[str]) -> dict[str, Future[None]]:
    """Link the first name, and all others while its change is under way."""
    queue = directories.queue
    with ThreadPoolExecutor(len(names)) as threads:
        futures = {names[0]: threads.submit(queue.link, names[0], CAP)}
        assert directories.begun.wait(60)
        futures |= {name: threads.submit(queue.link, name, CAP) for name in names[1:]}
        waiting = queue._waiting
        while sum(map(len, waiting.values())) < len(names) - 1:
            if directories.changes[1:]:
                break
        directories.go_on.set()
    return futures


def test_who_waits_is_served_by_one_change(directories: Directories) -> None:
    futures = link_all(directories, ["a/1", "a/2", "a/3", "a/4"])
    assert directories.changes == [["a/1"], ["a/2", "a/3", "a/4"]]
    assert [future.result() for future in futures.values()] == [None] * 4


def test_another_directory_does_not_wait(directories: Directories) -> None:
    queue = directories.queue
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(queue.link, "a/1", CAP)
        assert directories.begun.wait(60)
        queue.link("b/1", CAP)
        assert not first.done()
        directories.go_on.set()
        first.result(60)
    assert directories.changes == [["a/1"], ["b/1"]]


def test_an_error_is_that_of_its_own_name(directories: Directories) -> None:
    futures = link_all(directories, ["a/1", "a/taken", "a/3"])
    assert isinstance(futures["a/taken"].exception(), NameTaken)
    assert futures["a/3"].exception() is None


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), KeyboardInterrupt()], ids=["bug", "interrupt"]
)
def test_whoever_waits_is_told_that_the_change_failed(
    directories: Directories, error: BaseException
) -> None:
    directories.error = error
    futures = link_all(directories, ["a/1", "a/2", "a/3"])
    assert {type(future.exception()) for future in futures.values()} == {type(error)}
    # The next one is served.
    directories.error = None
    directories.queue.link("a/4", CAP)
    assert directories.changes[-1] == ["a/4"]


def test_who_waits_waits_for_uploads_to_the_same_directory(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linkqueue, "LINGER_SECONDS", 60)
    directories.begun.set()
    queue = directories.queue
    with ThreadPoolExecutor(2) as threads:
        with queue.announced("a/2") as link, queue.announced("a/3"):
            first = threads.submit(queue.link, "a/1", CAP)
            queue.link("b/1", CAP)
            second = threads.submit(link, CAP)
            while len(queue._waiting["a"]) < 2:
                time.sleep(0.01)
            # The third is still on its way, and then it fails.
            assert directories.changes == [["b/1"]]
        for each in (first, second):
            each.result(60)
    assert directories.changes == [["b/1"], ["a/1", "a/2"]]


def test_a_long_upload_holds_nobody_up(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linkqueue, "LINGER_SECONDS", 0.01)
    directories.begun.set()
    with directories.queue.announced("a/long"):
        directories.queue.link("a/1", CAP)
    assert directories.changes == [["a/1"]]


def test_as_many_as_are_linked_at_once_wait_for_no_others(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linkqueue, "LINGER_SECONDS", 60)
    monkeypatch.setattr(linkqueue, "MOST", 2)
    directories.begun.set()
    with directories.queue.announced("a/long"), ThreadPoolExecutor(2) as threads:
        list(threads.map(directories.queue.link, ["a/1", "a/2"], [CAP, CAP]))
    assert directories.changes == [["a/1", "a/2"]]
