"""What is shut before a fork, and made anew in the child."""

import os
import threading
import time
from collections.abc import Callable

import pytest

from tahoestorage import forks
from tahoestorage.forks import Gate


def in_child(say: Callable[[], str]) -> str:
    """Return what a function says in a child that is forked for it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, say().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


class Thing:
    """Notes in a list that it was called after a fork."""

    def __init__(self, name: str, called: list[str]) -> None:
        self.name = name
        self.called = called
        forks.register(self)

    def after_fork(self) -> None:
        self.called.append(self.name)


def test_what_was_made_first_is_made_anew_first() -> None:
    called: list[str] = []
    things = [Thing(name, called) for name in "abcde"]
    del things[1]
    assert in_child(lambda: "".join(called)) == "acde"
    assert called == []


class Failing:
    def __init__(self) -> None:
        forks.register(self)

    def after_fork(self) -> None:
        raise ValueError("not this one")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_that_fails_keeps_no_other_from_being_made_anew() -> None:
    called: list[str] = []
    things = [Thing("a", called), Failing(), Thing("b", called)]
    assert in_child(lambda: "".join(called)) == "ab"
    del things


def test_a_lock_that_another_thread_holds_is_free_in_a_child() -> None:
    lock = forks.Lock()
    held, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()

    def say() -> str:
        with lock:
            return "free"

    assert in_child(say) == "free"
    leave.set()
    thread.join()


def test_who_forks_while_he_holds_a_lock_leaves_it_in_both_processes() -> None:
    lock = forks.Lock()

    def say() -> str:
        lock.__exit__()
        with lock:
            return "left"

    with lock:
        assert in_child(say) == "left"
    with lock:
        pass


def test_a_gate_that_is_made_while_somebody_forks_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Gate] = []
    monkeypatch.setattr(forks, "_before", [lambda: made.append(Gate())])
    in_child(str)
    with made[0]:
        pass


def test_a_fork_waits_for_those_inside_and_lets_nobody_in() -> None:
    gate, seen = Gate(), list[str]()
    inside, leave, shut = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with gate:
            inside.set()
            leave.wait()
            seen.append("out")

    def forking() -> None:
        gate.shut()
        seen.append("shut")
        shut.set()

    def second() -> None:
        with gate:
            seen.append("in")

    threads = [threading.Thread(target=target) for target in (first, forking, second)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    while not gate._forking:
        time.sleep(0.001)
    threads[2].start()
    leave.set()
    shut.wait()
    assert seen == ["out", "shut"]
    gate.open()
    for thread in threads:
        thread.join()
    assert seen == ["out", "shut", "in"]


def test_a_fork_does_not_wait_for_ever_for_whoever_is_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tahoestorage.forks.WAIT_SECONDS", 0.01)
    gate = Gate()
    with gate:
        gate.shut()
        gate.open()
    with gate:
        pass
