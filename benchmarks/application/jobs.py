"""Workers killed at random moments, and how soon an idle one begins: for both kinds.

Each job must end once and right within 90 s of the kill of its worker, also where the
broker comes back empty; and one that is started must be running within a second.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from tests.application import exporting, job_kills, postgres
from tests.application.site import manage, served
from tests.application.workers import CELERY, DATABASE, Crew, crew
from tests.support import redis_server

MOST, SOON = 90.0, 1.0  # seconds


def main(arguments: Sequence[str]) -> int:
    """Print the figures of each runner; 0 if all are met."""
    parser = argparse.ArgumentParser(prog="jobs", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="%(default)s")
    parser.add_argument("--starts", type=int, default=50, help="%(default)s")
    parser.add_argument("--seed", type=int, default=1, help="%(default)s")
    parser.add_argument(
        "--only", choices=("sqlite", "postgresql", "celery"), help="one of the runners"
    )
    given = parser.parse_args(arguments)
    is_met = True
    for name in ("sqlite", "postgresql", "celery"):
        if given.only in (None, name):
            is_met &= killed(name, given.kills, given.seed)
            is_met &= started(name, given.starts, given.seed)
    return 0 if is_met else 1


@contextmanager
def prepared(name: str) -> Iterator[tuple[Crew, Callable[[], None]]]:
    """Yield a crew without workers yet, and what empties its broker, if it has one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment, empty = {}, lambda: None
        if name != "sqlite":
            server = stack.enter_context(postgres.running())
            environment["DATABASE_URL"] = server.make_database(postgres.TABLES)
        if name == "celery":
            broker = stack.enter_context(redis_server.running(folder))
            environment["CELERY_BROKER_URL"] = broker.url

            def empty() -> None:
                broker.stop()
                broker.start()

        runner = CELERY if name == "celery" else DATABASE
        yield stack.enter_context(crew(runner, folder, **environment)), empty


def killed(name: str, kills: int, seed: int) -> bool:
    """Kill the worker of each job, and every fifth time empty the broker as well."""
    with prepared(name) as (made, empty):
        found = job_kills.run(
            made,
            kills,
            seed,
            between=lambda number: empty() if number % 5 == 0 else None,
        )
    longest = max(found.seconds)
    print(
        f"{name}: {len(found.seconds)} jobs killed; {len(found.wrong)} did not end "
        f"once and right; at most {longest:.1f} s from kill to end (<= {MOST:.0f})",
        flush=True,
    )
    return not found.wrong and len(found.seconds) == kills and longest <= MOST


def started(name: str, starts: int, seed: int) -> bool:
    """Start exports by requests at random moments, where two workers are idle."""
    chance = random.Random(seed)
    with prepared(name) as (made, _), ExitStack() as stack:
        exporting.fill(made, folders=1, files=1, size=1000)
        site = stack.enter_context(served(made.environment, made.folder / "site.log"))
        user = stack.enter_context(requests.Session())
        tokens = json.loads(manage(made.environment, "createusertoken", "ann"))
        user.headers["Authorization"] = f"Bearer {tokens['access']}"
        for _ in range(2):
            made.hire()
        made.wait_for_all([made.start(0) for _ in range(4)])
        seconds = []
        for _ in range(starts):
            before = set(exporting.rows(made))
            time.sleep(chance.uniform(0.2, 0.8))
            clicked = time.time()
            url = f"{site.address}/api/v1/exports/"
            user.post(url, json={"folder": "f0"}, timeout=60).raise_for_status()
            (job,) = set(exporting.rows(made)) - before
            exporting.wait_for_ends(made)
            seconds.append(exporting.rows(made)[job]["began"] - clicked)
    seconds.sort()
    middle, longest = seconds[len(seconds) // 2], seconds[-1]
    print(
        f"{name}: from click to running {middle:.2f} s, at most {longest:.2f} s "
        f"of {starts} (< {SOON:.0f})",
        flush=True,
    )
    return bool(longest < SOON)
