"""Workers killed while they do jobs, and what becomes of the jobs.

The fault run of ``benchmarks/application/jobs.py``, and a small one in the tests.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.application.workers import Crew, wait_for

WORKERS, AT_ONCE = 4, 3


@dataclass
class Killed:
    """What a run found of its jobs, each of which was killed once."""

    seconds: list[float] = field(default_factory=list)
    """From the kill of each to its end."""
    wrong: list[str] = field(default_factory=list)
    """Jobs with another end than one, state than done, or result than the right."""


def run(
    crew: Crew,
    kills: int,
    seed: int,
    *,
    steps: int = 40,
    pause: float = 0.1,
    between: Callable[[int], None] = lambda number: None,
) -> Killed:
    """Kill the worker of each of so many jobs once, at a random moment of the job.

    ``between`` is called after each kill, with its number.
    """
    chance = random.Random(seed)
    for _ in range(WORKERS):
        crew.hire()
    jobs: dict[str, float] = {}

    def start() -> None:
        jobs[crew.start(steps, seconds=pause)] = chance.uniform(0, 0.9 * steps * pause)

    # A worker has one job at a time, so no kill is another job's; and some are idle, so
    # that no job waits for others.
    seen: dict[str, float] = {}
    killed: dict[str, float] = {}
    ended: dict[str, float] = {}

    def step() -> bool:
        now = time.monotonic()
        for job in crew.ends():
            ended.setdefault(job, now)
        for job in {job for job, _ in crew.lines("begun")}:
            seen.setdefault(job, now)
        for job, after in list(jobs.items()):
            if job in ended and job not in killed:
                # The machine was busy, and its moment went by: another instead.
                del jobs[job]
                continue
            if job in killed or job in ended or job not in seen:
                continue
            if now >= seen[job] + after:
                worker = crew.worker_of(crew.begun(job)[0])
                if job in crew.ends():
                    continue
                crew.kill(worker)
                killed[job] = time.monotonic()
                crew.hire()
                between(len(killed))
        if len(jobs) < kills and len(set(jobs) - set(ended)) < AT_ONCE:
            start()
        return len(jobs) == kills and set(jobs) <= set(ended)

    wait_for(step, patience=60 + 30 * kills)
    # A mark is made in the transaction that ends a job, and so before the row says it.
    going = {"waiting", "running"}
    wait_for(lambda: not going & {crew.rows()[job]["state"] for job in jobs}, 60)
    rows, ends = crew.rows(), crew.ends()
    right = ("done", {"sum": sum(range(steps))}, 1)
    wrong = [
        job
        for job in jobs
        if (rows[job]["state"], rows[job]["result"], ends[job]) != right
    ]
    seconds = [ended[job] - killed[job] for job in jobs if rows[job]["attempts"] > 1]
    return Killed(seconds, wrong)
