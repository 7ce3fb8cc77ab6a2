"""Days of the application: its web process and its workers are killed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Stage

KILLS = 10


def web_killed(stage: Stage) -> None:
    """Kill the web process at random moments of uploads and deletes to the grid."""
    # The application's libraries are not wherever the package's own are.
    from tests.application import kills
    from tests.application.site import bare_environment

    folder = stage.folder / "site"
    folder.mkdir()
    cap = folder / "root.cap"
    cap.write_text(str(stage.options()["base_cap"]))
    environment = bare_environment(folder) | {
        "TAHOE_STORAGE_BASE_URL": stage.grid.base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(cap),
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(folder / "cache"),
    }
    found = kills.run(environment, folder, KILLS, seed=1)
    outcome = stage.outcome
    outcome.acknowledged = found.acknowledged + found.deleted
    outcome.lost = len(found.lost)
    outcome.strange = sum(
        len(when["broken"]) for when in (found.before, found.after)
    ) + len(found.after["without a row"])
    outcome.back = max(found.seconds)
    outcome.is_read = False
    stage.leave()


def jobs_killed(runner: str) -> Callable[[Stage], None]:
    """Kill the worker of each of some jobs; another does it, once and right."""

    def act(stage: Stage) -> None:
        from benchmarks.application.jobs import prepared
        from tests.application import job_kills

        with ExitStack() as stack:
            made, _ = stack.enter_context(prepared(runner))
            found = job_kills.run(made, KILLS, seed=1)
        stage.outcome.acknowledged = KILLS
        stage.outcome.lost = len(found.wrong)
        stage.outcome.back = max(found.seconds)
        stage.outcome.is_read = False
        stage.leave()

    return act


DAYS = (
    Day("web-killed", "The site's web process is killed in uploads", web_killed),
    Day(
        "jobs-database",
        "The database's workers are killed",
        jobs_killed("postgresql"),
    ),
    Day("jobs-celery", "Celery's workers are killed", jobs_killed("celery")),
)
