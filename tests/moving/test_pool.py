"""Pools of tasks: what is done when their block ends."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tahoestorage.moving.pool import Pool


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
