"""What `test_locks` runs on a real PostgreSQL, in a process of its own.

It prints what went wrong as a list in JSON: nothing, if all is right.
"""

from __future__ import annotations

import functools
import json
import logging
import random
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import django
from django.core.files.storage import InMemoryStorage

django.setup()

from django.conf import settings  # noqa: E402
from django.core.exceptions import ObjectDoesNotExist, ValidationError  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import Http404  # noqa: E402

from config.conflicts import is_conflict  # noqa: E402
from objects import storing  # noqa: E402
from objects.changing import ObjectGone, ObjectNameTaken  # noqa: E402
from tests.application import interleaved  # noqa: E402
from tests.application.contended import ACTS, REQUESTS, Contended  # noqa: E402
from uploads.leases import Busy  # noqa: E402

THREADS, ACTS_OF_EACH = 6, 6
TOO_LATE = (
    *(Http404, ObjectDoesNotExist, Busy, ObjectGone, ObjectNameTaken),
    *(storing.Deleted, storing.NotStored, storing.Refused, ValidationError),
)
"""What is told of what somebody else has changed by then."""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
seen: list[int] = []
in_transactions: list[str] = []
"""What asked a store while a transaction was open, and might have locked a row."""


class WatchedStorage(InMemoryStorage):
    """Takes note of who asks it in a transaction."""

    def __getattribute__(self, name: str) -> Any:
        asking = ("_open", "_save", "delete", "exists", "listdir", "size")
        if name in asking and connection.in_atomic_block:
            in_transactions.append("".join(traceback.format_stack(limit=8)))
        return super().__getattribute__(name)


def prepare() -> None:
    logging.disable(logging.CRITICAL)
    store = {"BACKEND": f"{WatchedStorage.__module__}.WatchedStorage"}
    static = settings.STORAGES["staticfiles"]
    settings.STORAGES = {"default": store, "cold": store, "staticfiles": static}
    settings.JOBS_KEEP_DAYS = 0
    is_deadlocked()


def is_deadlocked() -> bool:
    """Whether the database ended a transaction since this was asked the last time.

    Whoever was told so may have told nobody. Each connection counts when it ends.
    """
    with connection.cursor() as cursor:
        cursor.execute(DEADLOCKS)
        (count,) = cursor.fetchone()
    before, seen[:] = seen[:], [count]
    return bool(before) and count > before[0]


@functools.cache
def tables_of(act: str) -> list[str]:
    """Return where it locks rows, with nobody beside."""
    on = Contended()
    return interleaved.alone(lambda: ACTS[act](on)).tables


def run_pair(first: str, second: str) -> Iterator[str]:
    """Do the second beside the first, held at each table that it locks rows of."""
    tables, others = tables_of(first), tables_of(second)
    places = {tables.index(table): table for table in tables if table in others}
    places[len(tables) - 1] = "the end"
    for place, table in sorted(places.items()):
        on = Contended()
        runners = interleaved.beside(
            functools.partial(ACTS[first], on),
            functools.partial(ACTS[second], on),
            place + 1,
        )
        for error in filter(None, (runner.error for runner in runners)):
            if not (isinstance(error, TOO_LATE) or is_conflict(error)):
                yield f"{first} at {table}, {second}: {error!r}"
        if is_deadlocked():
            yield f"{first} at {table}, {second}: a deadlock"
        if wrong := on.wrong_counts():
            yield f"{first} at {table}, {second}: {wrong}"


def run_mix(seed: int) -> Iterator[str]:
    """Do many acts at once on the same few rows, in an order that the seed says."""
    chosen = random.Random(seed)
    on = Contended()
    wrong: list[str] = []

    def act(names: list[str]) -> None:
        for name in names:
            try:
                EVERYTHING[name](on)
            except TOO_LATE:
                continue
            except Exception as error:
                if not is_conflict(error):
                    wrong.append(f"mix {seed}, {name}: {error!r}")
        connection.close()

    lists = [chosen.choices(list(EVERYTHING), k=ACTS_OF_EACH) for _ in range(THREADS)]
    threads = [threading.Thread(target=act, args=(names,)) for names in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield from wrong
    if is_deadlocked():
        yield f"mix {seed}, {lists}: a deadlock"
    if counts := on.wrong_counts():
        yield f"mix {seed}, {lists}: {counts}"


EVERYTHING: dict[str, Callable[[Contended], object]] = {**ACTS, **REQUESTS}


def main(kind: str, *what: str) -> None:
    prepare()
    if kind == "pairs":
        found = [one for pair in what for one in run_pair(*pair.split(" + "))]
    else:
        found = [one for seed in range(*map(int, what)) for one in run_mix(seed)]
    print(json.dumps(found + in_transactions))


if __name__ == "__main__":
    main(*sys.argv[1:])
