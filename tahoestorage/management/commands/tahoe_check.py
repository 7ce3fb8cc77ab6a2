"""``manage.py tahoe_check``: check all files on a grid, renew leases, repair."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tahoestorage.care.checker import Checker
from tahoestorage.care.examiner import CheckPlan
from tahoestorage.care.record import CheckRecord, RecordBusy, default_record
from tahoestorage.care.verdicts import CheckSummary
from tahoestorage.display import reason
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    StoreCommand,
    add_alias,
    add_jobs,
    add_json,
    age,
    path_on_grid,
    storage_on_grid,
)
from tahoestorage.management.usage import unexpected_errors_end_with
from tahoestorage.progress import Progress

NOT_LOOKED = 4

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


class Command(StoreCommand):
    """Check everything below a directory of a storage on a grid."""

    help = (
        "Checks that the files and directories below PATH are whole on the grid's "
        "servers, through the gateway that the site saves by, while the site runs. It "
        "writes nothing unless it is told to (--add-lease, --repair). After a kill the "
        "next check of the same kind goes on from there. Leases end after 31 days: "
        "run it with --add-lease each week, by cron."
    )
    examples = (
        "manage.py tahoe_check --add-lease        # each week",
        "manage.py tahoe_check --verify --repair  # each month",
        "manage.py tahoe_check photos/2026        # one directory, now",
    )
    statuses = (
        (0, "all is whole"),
        (1, "what was hurt is repaired"),
        (2, "some is hurt, and can still be read: run it with --repair"),
        (3, "some can't be read now: are all storage servers connected?"),
        (NOT_LOOKED, "not all could be looked at: correct what is said, run it again"),
        (os.EX_USAGE, "wrong arguments"),
        CTRL_C,
    )
    usage_status = os.EX_USAGE

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path",
            nargs="?",
            default="",
            metavar="PATH",
            help="a directory or file of the storage (default: all of it)",
        )
        add_alias(parser, "--storage")
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
            type=age,
            metavar="AGE",
            help="do not look again at what was found whole within AGE, such as 12h or "
            "7d, by a check that did the same",
        )
        add_jobs(parser, "how many requests at a time", default=4, most=64)
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
        add_json(parser)

    @unexpected_errors_end_with(NOT_LOOKED)
    def handle(
        self,
        *,
        path: str,
        storage: str,
        add_lease: bool,
        verify: bool,
        repair: bool,
        since: timedelta | None,
        jobs: int,
        restart: bool,
        state: Path | None,
        json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        found = storage_on_grid(storage, NOT_LOOKED)
        root = found.directories.root
        if repair and root.write is None:
            raise CommandError(
                f"{storage}: its root cap is a read cap, and through that no directory "
                "is repaired. Run it where the root's write cap is set.",
                returncode=NOT_LOOKED,
            )
        plan = CheckPlan(
            path_on_grid(path, NOT_LOOKED),
            verify=verify,
            repair=repair,
            add_lease=add_lease,
            since=None if since is None else time.time() - since.total_seconds(),
            jobs=jobs,
        )
        record = _record(state, root.best.fingerprint, add_lease)
        try:
            begun = record.begin(
                "/".join(plan.path), plan.wanted, repair=repair, restart=restart
            )
            if begun is not None and verbosity:
                when = datetime.fromtimestamp(begun).astimezone()
                self.say(f"Going on with the check that began at {when:%F %T %Z}.")
            try:
                with self.progress(verbosity) as progress:
                    checker = Checker(
                        found, plan, record, progress.say, _teller(progress)
                    )
                    checker.carry_out()
            except (TahoeStorageError, OSError) as error:
                raise CommandError(reason(error), returncode=NOT_LOOKED) from None
            if record.error is not None:
                self.say(f"Not noted what was checked: {record.error}")
            self._print(checker.summary, storage, path, as_json=json)
            if checker.is_busy:
                self.exit_at_once()
        finally:
            record.close()
        self._end(checker.summary)

    def _print(
        self, summary: CheckSummary, storage: str, path: str, *, as_json: bool
    ) -> None:
        document = {"storage": storage, "path": path, **summary.as_dict()}
        self.put(document, summary.text(), as_json=as_json)

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


def _teller(progress: Progress) -> Callable[[CheckSummary], None]:
    def tell(summary: CheckSummary) -> None:
        rate = summary.checked / max(summary.seconds, 0.001)
        progress.tell(f"{summary.checked:,} checked, {rate:,.0f}/s")

    return tell


def _record(path: Path | None, root: str, leases: bool) -> CheckRecord:
    """Open the record at a path, or else that of a root, by its fingerprint."""
    try:
        path = path or default_record(root)
    except OSError as error:
        text = f"There is no place to note what was checked: {reason(error)}"
        raise CommandError(text, returncode=NOT_LOOKED) from None
    try:
        return CheckRecord(path, leases=leases)
    except RecordBusy:
        which = "that renews leases" if leases else "that renews no leases"
        raise CommandError(
            f"Another check of this storage {which} runs now; let it end, or stop it.",
            returncode=NOT_LOOKED,
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise CommandError(
            f"What was checked can't be noted in {path}: {reason(error)}. Delete that "
            "file if it is damaged, or name another one by --state.",
            returncode=NOT_LOOKED,
        ) from None
