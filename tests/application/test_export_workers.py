"""Exports by real workers in processes of their own, which are killed, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.application import exporting
from tests.application.workers import CELERY, DATABASE, Crew, crew
from tests.support import redis_server


@pytest.fixture(params=[DATABASE, CELERY])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Crew]:
    """The database alone, SQLite's; and Celery beside PostgreSQL."""
    more = {"TEST_LEASE": "3"}
    if request.param == DATABASE:
        with crew(request.param, tmp_path, **more) as found:
            yield found
        return
    make_database: Callable[[], str] = request.getfixturevalue("postgres_tables")
    more["DATABASE_URL"] = make_database()
    with redis_server.running(tmp_path) as broker:
        more["CELERY_BROKER_URL"] = broker.url
        with crew(request.param, tmp_path, **more) as found:
            yield found


def test_20_exports_at_once_by_2_workers_are_20_right_archives(made: Crew) -> None:
    exporting.fill(made, folders=20, files=12, size=200_000)
    exporting.start(made, 20, folders=20)
    for _ in range(2):
        made.hire()
    exporting.wait_for_ends(made)

    assert exporting.look(made) == {
        "exports": 20,
        "wrong": [],
        "left over": [],
        "attempts": 20,
        "quota": 0,
    }


def test_a_worker_that_is_killed_leaves_one_right_archive(made: Crew) -> None:
    exporting.fill(made, folders=1, files=40, size=4_000_000)
    exporting.start(made, 2, folders=1)

    result = exporting.run(made, kills=2, seed=1, longest=0.3)

    found = result.found
    assert (found["exports"], found["wrong"], found["quota"]) == (2, [], 0)
    assert found["left over"] == []
