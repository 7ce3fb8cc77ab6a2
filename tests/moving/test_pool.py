"""Pools of tasks: what is done when their block ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tahoestorage.moving.pool import Pool, WorkerThreads, resting


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_a_block_ends_after_what_follows_from_its_tasks(is_interrupted: bool) -> None:
    counted = []

    def count(future: Future[int]) -> None:
        # Longer than it takes to see that the task itself is done.
        time.sleep(0.2)
        counted.append(future.result())

    def run() -> None:
        with Pool(ThreadPoolExecutor(2), 2, stop=lambda: None) as pool:
            futures = [pool.submit(int, digit, then=count) for digit in "12"]
            if is_interrupted:
                for future in futures:
                    future.result()
                raise KeyboardInterrupt

    if is_interrupted:
        with pytest.raises(KeyboardInterrupt):
            run()
    else:
        run()
    assert sorted(counted) == [1, 2]


def test_while_a_task_rests_another_works_and_no_more_than_that() -> None:
    working, most, rested = [], [], threading.Barrier(3)

    def task(number: int) -> None:
        working.append(number)
        most.append(len(working))
        working.remove(number)
        with resting():
            # All three rest at the same time.
            rested.wait(60)
        working.append(number)
        most.append(len(working))
        time.sleep(0.01)
        working.remove(number)

    with WorkerThreads(1, lambda: None, rest=2) as threads:
        for number in range(3):
            threads.do(task, number)
    assert most == [1] * 6


def test_a_task_that_is_not_taken_leaves_room_for_another() -> None:
    class Full(ThreadPoolExecutor):
        is_full = True

        def submit(self, *arguments: Any) -> Future[Any]:  # type: ignore[override]
            if self.is_full:
                raise RuntimeError("can't start new thread")
            return super().submit(*arguments)

    executor = Full(1)
    with Pool(executor, 1, stop=lambda: None) as pool:
        with pytest.raises(RuntimeError, match="new thread"):
            pool.submit(int, "1")
        executor.is_full = False
        assert pool.submit(int, "1").result() == 1
