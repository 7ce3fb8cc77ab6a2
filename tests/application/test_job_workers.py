"""Real workers on real servers: the same tests for the database's and for Celery's."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.application import job_kills
from tests.application.workers import CELERY, DATABASE, Crew, crew, wait_for
from tests.support import redis_server
from tests.support.redis_server import RedisServer

LEASE = "3"  # seconds
PATIENCE = 60


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server.running(tmp_path) as server:
        yield server


@pytest.fixture(
    params=["database-sqlite", "database-postgres", "celery-sqlite", "celery-postgres"]
)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Crew]:
    runner, _, database = request.param.partition("-")
    more = {"TEST_LEASE": LEASE}
    if database == "postgres":
        tables: Callable[[], str] = request.getfixturevalue("postgres_tables")
        more["DATABASE_URL"] = tables()
    if runner == CELERY:
        more["CELERY_BROKER_URL"] = request.getfixturevalue("broker").url
    with crew(runner, tmp_path, **more) as found:
        yield found


def right(steps: int) -> dict[str, int]:
    return {"sum": sum(range(steps))}


def test_two_workers_do_each_job_once(made: Crew) -> None:
    for _ in range(2):
        made.hire()
    jobs = {made.start(steps): steps for steps in range(20)}

    made.wait_for_all(list(jobs))

    assert made.ends() == Counter(list(jobs))
    rows = made.rows()
    for job, steps in jobs.items():
        assert (rows[job]["state"], rows[job]["attempts"]) == ("done", 1)
        assert rows[job]["result"] == right(steps)
    # What is periodic, both have looked for.
    assert made.ask("count", "jobs.delete_old") == 1


@pytest.mark.parametrize("made", ["database-sqlite", "celery-postgres"], indirect=True)
def test_one_tenants_many_jobs_delay_no_others(made: Crew) -> None:
    thumbnails = {"kind": "tests.background", "tenant": "many"}
    many = [made.start(1, **thumbnails) for _ in range(30)]
    few = [made.start(1, **thumbnails | {"tenant": "few"}) for _ in range(3)]
    export = made.start(1, tenant="few")

    made.hire()
    made.wait_for_all([*many, *few, export])

    order = [pk for pk, _ in made.lines("begun")]
    # What is periodic has turns, too, and leaves no marks.
    assert order[0] == export
    assert {pk for pk in order[:7] if pk not in many} == {export, *few}


def test_the_job_of_a_killed_worker_is_done_by_another(
    made: Crew, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    for _ in range(2):
        made.hire()
    job = made.start(3, gate=str(gate))
    first = wait_for(lambda: made.begun(job))[0]

    made.kill(made.worker_of(first))
    wait_for(lambda: len(made.begun(job)) == 2)
    gate.touch()
    made.wait_for_all([job])

    assert made.ends() == Counter([job])
    row = made.rows()[job]
    assert (row["state"], row["result"], row["attempts"]) == ("done", right(3), 2)


def test_a_running_job_is_cancelled(made: Crew, tmp_path: Path) -> None:
    made.hire()
    job = made.start(1, gate=str(tmp_path / "never"))
    wait_for(lambda: made.begun(job))

    assert made.ask("cancel", job)
    made.wait_for_all([job])

    assert made.state(job) == "cancelled"
    # And the worker takes the next.
    other = made.start(2)
    made.wait_for_all([other])
    assert made.rows()[other]["result"] == right(2)


@pytest.mark.parametrize(
    "made", ["database-sqlite", "database-postgres"], indirect=True
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_ends_gives_back_its_job(
    made: Crew, tmp_path: Path, number: int
) -> None:
    gate = tmp_path / "gate"
    first = made.hire("--grace=0.1")
    job = made.start(1, gate=str(gate))
    wait_for(lambda: made.begun(job))

    first.send_signal(number)

    assert first.wait(PATIENCE) == 0
    assert (made.state(job), made.rows()[job]["attempts"]) == ("waiting", 0)
    gate.touch()
    made.hire()
    made.wait_for_all([job])
    assert made.ends() == Counter([job])
    assert made.rows()[job]["attempts"] == 1
    assert "Traceback" not in made.log.read_text()


@pytest.mark.parametrize("made", ["database-sqlite"], indirect=True)
def test_jobs_killed_at_random_moments_end_once_and_right(made: Crew) -> None:
    found = job_kills.run(made, kills=3, seed=1, steps=20)

    assert found.wrong == []


@pytest.mark.parametrize("made", ["celery-sqlite"], indirect=True)
def test_celerys_threads_give_back_their_jobs(made: Crew, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = made.hire("--pool=threads")
    job = made.start(1, gate=str(gate))
    wait_for(lambda: made.begun(job))

    first.send_signal(signal.SIGTERM)

    assert first.wait(PATIENCE) == 0
    assert (made.state(job), made.rows()[job]["attempts"]) == ("waiting", 0)


@pytest.mark.parametrize("made", ["celery-sqlite"], indirect=True)
def test_a_broker_that_comes_back_empty_loses_no_job(
    made: Crew, broker: RedisServer, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    made.hire()
    jobs = [made.start(2, gate=str(gate)) for _ in range(3)]
    wait_for(lambda: made.lines("begun"))

    broker.stop()
    jobs.append(made.start(2))  # The request does not mind.
    broker.start()
    gate.touch()
    made.wait_for_all(jobs)

    assert made.ends() == Counter(jobs)
    assert {row["state"] for row in made.rows().values()} == {"done"}


def test_a_message_carries_the_jobs_id_only(
    broker: RedisServer, tmp_path: Path
) -> None:
    with crew(CELERY, tmp_path, CELERY_BROKER_URL=broker.url) as made:
        job = made.start(1, secret="s3cret")
        with broker.client() as client:
            messages: Any = client.lrange("celery", 0, -1)

    assert any(job.encode() in message for message in messages)
    assert not any(b"s3cret" in message for message in messages)


def test_a_worker_with_once_does_what_is_due_and_ends(tmp_path: Path) -> None:
    with crew(DATABASE, tmp_path) as made:
        jobs = [made.start(2) for _ in range(3)]

        assert made.hire("--once", "--threads=2").wait(PATIENCE) == 0

        assert made.ends() == Counter(jobs)
