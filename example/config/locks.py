"""In which order rows are locked, so that no two transactions wait for each other.

A transaction locks rows in this order, and leaves out what it does not need:

1. the mark of a request that is done once, or a job;
2. an event;
3. objects, several by their keys;
4. an upload, and then versions;
5. what else is an object's or an event's: parts, files that arrive, exports,
   permissions, share links, thumbnails, copies;
6. the tenant.

What it changes at its end it has locked in its turn. A user is locked by who changes
that row, before groups. Groups, by their keys, come after objects and events, and
before permissions: by who changes their members, and who revokes what they have.

PostgreSQL looks at foreign keys at the end of a transaction, and locks then what new
rows refer to, wherever that stands. So rows are locked by `locked`, which lets others
refer to them, and by `locked_to_delete` where they may be deleted. A user is erased
once no row refers to them any more.

A unique index is waited for, too. So a path is taken while the tenant is locked, and
looked for before: nobody waits then for an object whose holder waits for the tenant.

A statement that changes several rows locks them in no order. It is for rows of an
object, an event or an upload that is locked. Others are changed by `one_by_one`, or are
locked by their keys before.

No store is asked in a transaction. ``tests/application/test_locks.py`` tries all this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model)


def locked(rows: models.QuerySet[Row]) -> models.QuerySet[Row]:
    """Return the rows, each locked until the transaction ends.

    Others may make rows that refer to them, and none may change or delete them.
    """
    return rows.select_for_update(no_key=True, of=("self",))


def locked_to_delete(rows: models.QuerySet[Row]) -> models.QuerySet[Row]:
    """Return the rows, each locked for the caller to delete it, if at all.

    Who makes a row that refers to one waits, and fails where it was deleted.
    """
    return rows.select_for_update(of=("self",))


def one_by_one(rows: models.QuerySet[Row]) -> Iterator[models.QuerySet[Row]]:
    """Yield each row as a query of its own, which no longer has it where it changed."""
    for pk in list(rows.order_by().values_list("pk", flat=True)):
        yield rows.filter(pk=pk)
