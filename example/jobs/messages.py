"""The messages of `sending`, as Celery's workers take them, and its beat's."""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_shutting_down

from config.celery import app
from jobs import running, sweeping

_ends = threading.Event()


@app.task(name="jobs.work")
def work(pk: str) -> None:
    """Do two of the jobs whose turn it is, whichever those are.

    The queue is in the order in which jobs were started, and jobs are done in turns.
    Two, because a job's message or its worker may have been lost: where the queue is
    long, it need not wait for beat's messages, which are behind all others.
    """
    sweeping.sweep_if_due()
    for _ in range(2):
        if _ends.is_set():
            return  # Others have what was given back.
        # Where others have just claimed all of those, the message's own may wait still.
        if claimed := running.claim() or running.claim(pk):
            running.run(claimed)


def publish(pk: str, options: dict[str, Any]) -> None:
    """Send the message of a job, with more options of the broker's transport.

    By a connection of its own: those that Celery keeps would retry for longer.
    """
    options = app.conf.broker_transport_options | options
    with app.connection_for_write(transport_options=options) as connection:
        work.apply_async((pk,), connection=connection, retry=False)


@app.task(name="jobs.sweep")
def sweep() -> None:
    """Find jobs whose message or whose worker was lost, and what is periodic."""
    sweeping.sweep_if_due()


@worker_shutting_down.connect
def give_back(**kwargs: Any) -> None:
    """Let other workers begin anew what is under way in threads of this process."""
    _ends.set()
    for one in list(running.active):
        one.is_to_be_given_back.set()
