"""``manage.py jobs_worker``: does jobs, with nothing but the database."""

from __future__ import annotations

import contextlib
import signal
from argparse import ArgumentTypeError
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.checking import FOR_COMMANDS
from jobs import kinds
from jobs.worker import AWAY, Worker

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Command(BaseCommand):
    help = (
        "Do jobs as they come, and what is periodic, until SIGTERM or Ctrl-C: what is "
        "under way then gets done in --grace seconds, or is given back, so that "
        "another worker begins it anew at once. Any number of workers may run, on any "
        "number of hosts, beside those of Celery too."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--threads",
            type=_count,
            default=2,
            help="jobs at the same time (default: %(default)s)",
        )
        parser.add_argument(
            "--poll",
            type=_seconds,
            default=0.25,
            metavar="SECONDS",
            help="ask the database each so often (default: %(default)s)",
        )
        parser.add_argument(
            "--grace",
            type=_seconds,
            default=5.0,
            metavar="SECONDS",
            help="for what is under way at the end (default: %(default)s)",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="do what is due, and end; with status 1 where the database is away",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        worker = Worker(
            threads=options["threads"], poll=options["poll"], grace=options["grace"]
        )
        with _stopped_by_signals(worker):
            if not options["once"]:
                known = ", ".join(sorted(kinds.names())) or "none"
                self.stdout.write(
                    f"Waiting for jobs ({known}), {options['threads']} at a time. "
                    "Ctrl-C ends this."
                )
                self.stdout.flush()
            try:
                worker.run(once=options["once"])
            except AWAY as error:
                raise CommandError(
                    f"The database is away: {error}\nWhat is due stays due."
                ) from error


@contextlib.contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    before = {
        number: signal.signal(number, lambda *_: worker.stop()) for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _count(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= 256:
        return int(text)
    raise ArgumentTypeError("a whole number from 1 to 256")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.01 <= float(text) <= 3600:
            return float(text)
    raise ArgumentTypeError("seconds from 0.01 to 3600")
