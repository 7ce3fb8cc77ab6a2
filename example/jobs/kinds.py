"""Which kinds of jobs there are. Each app registers its own in its `tasks.py`::

    from jobs.kinds import Work, kind

    @kind("papers.count")
    def count(work: Work) -> dict[str, int]:
        papers = Paper.objects.filter(tenant=work.job.tenant)
        for done, paper in enumerate(papers):
            work.progress(done, len(papers))
            ...
        return {"papers": len(papers)}

A worker may be killed anywhere in it, and then the job is begun anew, by this or by
another worker: what it does must be right when it is done twice. Whatever it writes to
the database at its end it writes within a transaction that begins with `work.hold()`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from config.errors import ForPeople
from jobs.models import Job
from jobs.turns import Priority
from jobs.work import (
    Cancelled,
    Failed,
    GivenBack,
    Interrupted,
    LeaseLost,
    Work,
)

__all__ = [
    "Cancelled",
    "Failed",
    "ForPeople",
    "GivenBack",
    "Interrupted",
    "JobKind",
    "LeaseLost",
    "Priority",
    "Work",
    "kind",
    "periodic",
]
Run = Callable[[Work], "dict[str, Any] | None"]


@dataclass(frozen=True)
class JobKind:
    """A kind of jobs; `kind` and `periodic` say what its parts mean."""

    name: str
    run: Run
    retry_on: tuple[type[Exception], ...] = ()
    patience: timedelta = timedelta()
    ended: Callable[[Job], None] | None = None
    begun_again: Callable[[Job], None] | None = None
    every: timedelta | None = None
    priority: Priority = Priority.AWAITED


_kinds: dict[str, JobKind] = {}


def kind(
    name: str,
    *,
    retry_on: tuple[type[Exception], ...] = (),
    patience: timedelta = timedelta(),
    ended: Callable[[Job], None] | None = None,
    begun_again: Callable[[Job], None] | None = None,
    priority: Priority = Priority.AWAITED,
) -> Callable[[Run], Run]:
    """Register what does the jobs of that name; it returns the job's result, for JSON.

    ``retry_on``: errors after which it is worth to try again, later, beside those of a
    database that is away; after any other the job has failed. Such errors never use up
    the last attempt until the job is older than its ``patience``. ``ended`` is called
    once when the job has ended in whatever way, also where no worker had it, and within
    the transaction that ends it. ``begun_again`` is called when somebody has one tried
    again that has failed or was cancelled, within the transaction that does it.
    ``priority``: BACKGROUND for what nobody looks at while it is done.
    """
    return _register(
        name,
        retry_on=retry_on,
        patience=patience,
        ended=ended,
        begun_again=begun_again,
        priority=priority,
    )


def periodic(
    name: str, *, every: timedelta, retry_on: tuple[type[Exception], ...] = ()
) -> Callable[[Run], Run]:
    """Register what is to be done each so often, once however many workers there are.

    Its jobs have no owner, no tenant and no arguments.
    """
    background = Priority.BACKGROUND
    return _register(name, every=every, retry_on=retry_on, priority=background)


def _register(name: str, **more: Any) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        if name in _kinds and _kinds[name].run is not run:
            raise ValueError(f"There is a kind of the name already: {name}")
        _kinds[name] = JobKind(name, run, **more)
        return run

    return register


def find(name: str) -> JobKind:
    """Return a kind; raises LookupError where no app has it."""
    try:
        return _kinds[name]
    except KeyError:
        known = ", ".join(sorted(_kinds)) or "none"
        raise LookupError(
            f"No kind of jobs is called {name}; there are {known}."
        ) from None


def names() -> Collection[str]:
    """Return the names of all kinds."""
    return list(_kinds)


def periodics() -> list[JobKind]:
    """Return the kinds that are done each so often."""
    return [one for one in _kinds.values() if one.every is not None]
