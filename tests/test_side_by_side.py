"""The release before this one and this one, on one cache directory at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.old_release import Worker

Workers = Callable[..., Worker]


def test_the_release_before_this_one_is_what_runs_beside_it(
    workers: Workers, old_release: Path
) -> None:
    where = {old: workers(old, "import tahoestorage") for old in (True, False)}
    places = {
        old: Path(str(worker.ask("tahoestorage.__file__")))
        for old, worker in where.items()
    }
    assert places[True].is_relative_to(old_release)
    assert not places[False].is_relative_to(old_release)
