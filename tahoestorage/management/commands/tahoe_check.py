"""``manage.py tahoe_check``: check all files on a grid, renew leases, repair."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tahoestorage.backends.reservednames import grid_path
from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.care.checker import Checker
from tahoestorage.care.examiner import CheckPlan
from tahoestorage.care.record import CheckRecord, RecordBusy, default_record
from tahoestorage.care.verdicts import CheckSummary
from tahoestorage.config.settings import storage_of_alias
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.management.usage import (
    unexpected_errors_end_with,
    with_usage_status,
)
from tahoestorage.moving.summary import reason

NOT_LOOKED = 4
INTERRUPTED = 130
LINE_SECONDS = 5.0
_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

ADVICE = {
    1: "Some were hurt, and are repaired now.",
    2: "Some are readable, and to be repaired: start the servers that are away, and "
    "run it with --repair.",
    3: "Some can't be read now. Are all storage servers connected? If they are, and "
    "those that are not will never come back, what is named above is lost: delete it "
    "from the site, or save it again from a backup.",
    NOT_LOOKED: "Not all could be looked at. Correct what is said above, and run it "
    "again: it goes on from here.",
}


class Command(BaseCommand):
    """Check everything below a directory of a storage on a grid."""

    help = (
        "Checks that the files and directories below PATH are whole on the grid's "
        "servers, through the gateway that the site saves by. It writes nothing "
        "unless asked to, and may run while the site does. A check that was killed is "
        "gone on with by the next one of the same kind. Exit status: 0 all is whole, "
        "1 all that was hurt is repaired, 2 some is readable and to be repaired, 3 "
        "some is not readable, 4 not all could be looked at, 64 wrong arguments."
    )
    # Their status would be that of something repaired.
    requires_system_checks = ()

    def create_parser(self, *arguments: Any, **options: Any) -> CommandParser:
        parser = super().create_parser(*arguments, **options)
        return with_usage_status(parser, os.EX_USAGE)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path",
            nargs="?",
            default="",
            metavar="PATH",
            help="a directory or file of the storage (default: all of it)",
        )
        parser.add_argument(
            "--storage",
            default="default",
            metavar="ALIAS",
            help="the storage, by its alias in STORAGES (default: default)",
        )
        parser.add_argument(
            "--add-lease",
            action="store_true",
            help="renew all leases, which end after 31 days; to be done each week",
        )
        parser.add_argument(
            "--verify",
            action="store_true",
            help="read every share, and do not take the servers' word for it; takes as "
            "long as to download all files a few times",
        )
        parser.add_argument(
            "--repair",
            action="store_true",
            help="make new shares where some are missing, damaged or old; needs the "
            "root's write cap",
        )
        parser.add_argument(
            "--since",
            type=_age,
            metavar="AGE",
            help="do not look again at what was found whole within AGE, such as 12h or "
            "7d, by a check that did the same",
        )
        parser.add_argument(
            "--jobs",
            type=_jobs,
            default=4,
            metavar="N",
            help="how many requests at a time, 1 to 64 (default: 4)",
        )
        parser.add_argument(
            "--restart",
            action="store_true",
            help="begin anew, and do not go on with a check that was killed",
        )
        parser.add_argument(
            "--state",
            type=Path,
            metavar="FILE",
            help="where to note what was checked (default: a file in "
            "$XDG_STATE_HOME/tahoestorage, or ~/.local/state/tahoestorage)",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document on standard output, and nothing else there",
        )

    @unexpected_errors_end_with(NOT_LOOKED)
    def handle(
        self,
        *,
        path: str,
        storage: str,
        add_lease: bool,
        verify: bool,
        repair: bool,
        since: float | None,
        jobs: int,
        restart: bool,
        state: Path | None,
        json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        found = _storage(storage)
        root = found.directories.root
        if repair and root.write is None:
            raise CommandError(
                f"{storage}: its root cap is a read cap, and through that no directory "
                "is repaired. Run it where the root's write cap is set.",
                returncode=NOT_LOOKED,
            )
        plan = CheckPlan(
            _path(path),
            verify=verify,
            repair=repair,
            add_lease=add_lease,
            since=None if since is None else time.time() - since,
            jobs=jobs,
        )
        record = _record(state or default_record(root.best.fingerprint))
        try:
            begun = record.begin(
                "/".join(plan.path), plan.wanted, repair=repair, restart=restart
            )
            if begun is not None and verbosity:
                when = datetime.fromtimestamp(begun).astimezone()
                self._say(f"Going on with the check that began at {when:%F %T %Z}.")
            checker = Checker(found, plan, record, self._say, self._tick(verbosity))
            try:
                checker.carry_out()
            except (TahoeStorageError, OSError) as error:
                raise CommandError(reason(error), returncode=NOT_LOOKED) from None
            if record.error is not None:
                self._say(f"Not noted what was checked: {record.error}")
            self._print(checker.summary, storage, path, as_json=json)
            if checker.is_busy:
                # Python itself would wait for what does not end.
                self.stdout.flush()
                self.stderr.flush()
                os._exit(INTERRUPTED)
        finally:
            record.close()
        self._end(checker.summary)

    def _tick(self, verbosity: int) -> Callable[[CheckSummary], None]:
        """Return what shows the progress, one line every few seconds."""
        shown = time.monotonic()

        def tick(summary: CheckSummary) -> None:
            nonlocal shown
            now = time.monotonic()
            if verbosity and now - shown >= LINE_SECONDS:
                shown = now
                rate = summary.checked / max(summary.seconds, 0.001)
                self._say(f"{summary.checked:,} checked, {rate:,.0f}/s")

        return tick

    def _say(self, text: str) -> None:
        # Leases matter more than what is told on the way: the end tells it once more.
        with contextlib.suppress(OSError):
            # The style of errors is for errors only.
            self.stderr.write(text, str)
            self.stderr.flush()

    def _print(
        self, summary: CheckSummary, storage: str, path: str, *, as_json: bool
    ) -> None:
        text = summary.text()
        if as_json:
            document = {"storage": storage, "path": path, **summary.as_dict()}
            text = json.dumps(document, indent=2)
        self.stdout.write(text)

    def _end(self, summary: CheckSummary) -> None:
        if summary.interrupted:
            raise CommandError(
                "Interrupted. The next check goes on from here.", returncode=INTERRUPTED
            )
        status = summary.exit_status
        if summary.outage is not None:
            text = f"The check ended early: {summary.outage}. The next one goes on."
            raise CommandError(text, returncode=status)
        if status:
            raise CommandError(ADVICE[status], returncode=status)


def _storage(alias: str) -> TahoeStorage:
    try:
        storage = storage_of_alias(alias)
        if not isinstance(storage, TahoeStorage):
            raise ImproperlyConfigured("it is not on a grid")
        storage.options.root  # noqa: B018 - read now, for its errors
    except (ImproperlyConfigured, TahoeStorageError, OSError) as error:
        raise CommandError(f"{alias}: {reason(error)}", returncode=NOT_LOOKED) from None
    return storage


def _path(text: str) -> tuple[str, ...]:
    try:
        return grid_path(text.rstrip("/"))
    except (SuspiciousFileOperation, ValueError, TahoeStorageError) as error:
        raise CommandError(reason(error), returncode=NOT_LOOKED) from None


def _record(path: Path) -> CheckRecord:
    try:
        return CheckRecord(path)
    except RecordBusy:
        raise CommandError(
            "Another check of this storage runs now; let it end, or stop it.",
            returncode=NOT_LOOKED,
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise CommandError(
            f"What was checked can't be noted in {path}: {reason(error)}. Delete that "
            "file if it is damaged, or name another one by --state.",
            returncode=NOT_LOOKED,
        ) from None


def _age(text: str) -> float:
    found = _AGE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no age; give a number with s, m, h or d, such as 12h"
        )
    return float(int(found[1]) * _UNITS[found[2]])


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 64")
    return int(text)
