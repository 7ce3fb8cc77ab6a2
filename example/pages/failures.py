"""The site's last failures, kept for its status page: when, of what part, in words.

A handler of the log takes note of what our own loggers warn of, and writes it down once
the request or the job has ended: a row that a failing transaction takes back tells
nothing, and no lock of the database is waited for while a store is. What commands say,
they say to who runs them.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, deque
from datetime import timedelta
from typing import Any

from tahoestorage.exceptions import TahoeStorageError, printable
from tahoestorage.redaction import redact_quoted

OURS = (
    *("accounts", "api", "events", "exports", "jobs", "objects", "pages", "sharing"),
    *("tahoestorage", "uploads"),
)
KEPT, DAYS, LONGEST = 200, 30, 300  # rows, days, characters
_noted: deque[tuple[str, str]] = deque(maxlen=KEPT)
"""What this process has not written yet."""


class NoteFailures(logging.Handler):
    """Takes note of what is of ours; secrets are taken out, and what others said."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.partition(".")[0] not in OURS:
            return
        if record.name == "jobs.running" and not record.exc_info:
            return  # The page has the jobs that failed as they should.
        try:
            _noted.append((record.name, _told(record)))
        except Exception:
            self.handleError(record)


def _told(record: logging.LogRecord) -> str:
    """Return what a record says, of errors that are not ours only the kind."""
    args = record.args
    if isinstance(args, tuple):
        args = tuple(_safe(one) for one in args)
    text = str(record.msg) % args if args else str(record.msg)
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text} ({_safe(record.exc_info[1])})"
    return printable(redact_quoted(text.partition("\n")[0]))[:LONGEST]


def _safe(arg: Any) -> Any:
    if isinstance(arg, BaseException) and not isinstance(arg, TahoeStorageError):
        return type(arg).__name__
    return arg


def write(**kwargs: Any) -> None:
    """Write down what was noted, and delete what is old; a failure is no failure."""
    if not _noted:
        return
    from django.core.exceptions import ImproperlyConfigured
    from django.db import Error, transaction
    from django.db.models import F, Q
    from django.utils import timezone

    from config import locks
    from pages.models import Failure

    noted: Counter[tuple[str, str]] = Counter()
    # Another thread may take the last one.
    with contextlib.suppress(IndexError):
        while True:
            noted[_noted.popleft()] += 1
    now = timezone.now()
    try:
        with transaction.atomic():
            # Others write down the same: in one order.
            for (source, text), count in sorted(noted.items()):
                same = Failure.objects.filter(source=source, text=text)
                if not same.update(at=now, count=F("count") + count):
                    Failure.objects.create(
                        source=source, text=text, at=now, count=count
                    )
        newest = Failure.objects.order_by("-at", "-pk")
        beyond = list(newest.values_list("pk", flat=True)[KEPT : 2 * KEPT])
        old = Q(pk__in=beyond) | Q(at__lt=now - timedelta(days=DAYS))
        for one in locks.one_by_one(Failure.objects.filter(old)):
            one.delete()
    except (Error, ImproperlyConfigured):
        # A connection that is gone, or a password that can't be had. Whose request it
        # was has its response; and the log has what was noted.
        pass
