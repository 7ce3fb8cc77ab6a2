"""``manage.py storage_orphans``: files that nothing names, and names without a file."""

from __future__ import annotations

import sqlite3
from argparse import ArgumentTypeError
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage
from django.core.management.base import CommandError, CommandParser

from tahoestorage.care import orphanreport
from tahoestorage.care.orphanreport import BadReport
from tahoestorage.care.orphans import (
    DAY,
    NamedElsewhere,
    NothingNamed,
    OrphanCounts,
    OrphanSearch,
    epoch_now,
)
from tahoestorage.care.orphantable import OrphanTable
from tahoestorage.config.settings import storage_of_alias
from tahoestorage.display import reason, shown, shown_bytes
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    USAGE,
    StoreCommand,
    add_alias,
    add_json,
    age,
    errors_of,
)
from tahoestorage.management.usage import unexpected_errors_end_with
from tahoestorage.moving.resolve import store_of
from tahoestorage.redaction import redact

DIFFERENT, FAILED = 1, 3
NAMED = 50
"""How many names of each kind are shown, unless -v 2 asks for all that are kept."""


def least_age(text: str) -> timedelta:
    """Return a time span of a day or more. Raises ArgumentTypeError."""
    found = age(text)
    if found.total_seconds() < DAY:
        raise ArgumentTypeError(
            f"{text} is less than a day: what is younger may be of a save whose row is "
            "not there yet"
        )
    return found


class Command(StoreCommand):
    """Compare a store with the database, and delete what nothing names if told so."""

    help = (
        "Compares a store with the database: finds orphans, which are files that "
        "nothing names, and names that no file has. What names files are all "
        "FileFields, and the functions that applications have registered for this "
        "(tahoestorage.filenames). Files younger than a day count as no orphans. "
        "Nothing is deleted without a report: let --report write the orphans' names "
        "to a file, read it, take out what is to stay, and give it to --delete within "
        "a day. That deletes what is in the report and still an orphan."
    )
    examples = (
        "manage.py storage_orphans",
        "manage.py storage_orphans --report orphans.txt",
        "manage.py storage_orphans --delete orphans.txt  # after reading it",
    )
    statuses = (
        (0, "store and database agree"),
        (DIFFERENT, "there are orphans, or names without a file"),
        (USAGE, "wrong arguments, or no such storage"),
        (FAILED, "not all could be looked at, written or deleted"),
        CTRL_C,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_alias(parser)
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--report",
            type=Path,
            metavar="FILE",
            help="write the names of all orphans to this file, for --delete",
        )
        action.add_argument(
            "--delete",
            type=Path,
            metavar="FILE",
            help="delete the orphans that are in this report of the same store, which "
            "is younger than a day",
        )
        parser.add_argument(
            "--older-than",
            type=least_age,
            default=timedelta(days=1),
            metavar="TIME",
            help="only files last changed longer ago than this, such as 36h or 30d; a "
            "day at least (default: 1d)",
        )
        add_json(parser)

    @unexpected_errors_end_with(FAILED)
    def handle(
        self,
        *,
        alias: str,
        report: Path | None,
        delete: Path | None,
        older_than: timedelta,
        json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        with errors_of(alias, USAGE):
            storage = storage_of_alias(alias)
        started = epoch_now()
        counts = OrphanCounts()
        document: dict[str, Any] = {"alias": alias, "status": "done"}
        why = None
        try:
            with OrphanTable() as table, self.progress(verbosity) as progress:
                search = OrphanSearch(
                    store_of(storage),
                    table,
                    before=started - older_than.total_seconds(),
                    looked=progress.looked,
                )
                counts = search.counts
                search.find()
                why = self._act(alias, storage, search, report, delete, started)
        except KeyboardInterrupt:
            document["status"] = "interrupted"
        except BadReport as error:
            why = f"Nothing is deleted by {delete}: {error}."
        except NothingNamed:
            why = (
                "Nothing is deleted: the database names no file of this store at all. "
                "Is it the right one?"
            )
        except NamedElsewhere as error:
            why = f"Nothing is deleted: {redact(str(error))}."
        except (ImproperlyConfigured, OSError, sqlite3.Error) as error:
            why = reason(error)
        except Exception as error:
            # Of the database, or of an application's function.
            why = f"What names files could not be read: {reason(error)}"
        if why is not None:
            document["status"] = "failed"
        document |= counts.as_dict() | {"error": why}
        document["report"] = str(report) if report else None
        document["seconds"] = round(epoch_now() - started, 3)
        self._print(document, counts, NAMED if verbosity < 2 else None, as_json=json)
        self._end(document, counts, why, is_deleted=delete is not None)

    def _act(
        self,
        alias: str,
        storage: Storage,
        search: OrphanSearch,
        report: Path | None,
        delete: Path | None,
        started: float,
    ) -> str | None:
        """Write a report, or delete by one; return why not, where that is so."""
        store = orphanreport.fingerprint(store_of(storage), alias)
        if search.counts.failed and (report or delete):
            return "Not all could be listed: no report is written, nothing deleted."
        if report is not None:
            orphanreport.write(report, search.old_orphans(), store, started)
        if delete is not None:
            search.delete(orphanreport.read(delete, store, started))
        return None

    def _print(
        self,
        document: dict[str, Any],
        counts: OrphanCounts,
        most: int | None,
        *,
        as_json: bool,
    ) -> None:
        lines = [
            *(f"orphan: {shown(name)}" for name in counts.orphan_names[:most]),
            *(
                f"orphan of unknown age, never deleted: {shown(name)}"
                for name in counts.ageless_names[:most]
            ),
            *(
                f"missing: {shown(name)}, named by {by}"
                for name, by in counts.missing_names[:most]
            ),
            *(
                f"failed: {shown(name) if name else 'the store'}: {why}"
                for name, why in counts.failures[:most]
            ),
        ]
        if most is not None and len(counts.orphan_names) > most:
            lines.append("There are more: see --report, --json, or -v 2.")
        self.put(document, *lines, _text(counts), as_json=as_json)

    def _end(
        self,
        document: dict[str, Any],
        counts: OrphanCounts,
        why: str | None,
        *,
        is_deleted: bool,
    ) -> None:
        """Raise CommandError with the exit status, unless all is well."""
        if document["status"] == "interrupted":
            raise CommandError(
                "Interrupted. What was deleted is gone; nothing else has changed.",
                returncode=INTERRUPTED,
            )
        if why is not None or counts.failed:
            raise CommandError(
                why or "Not all could be looked at or deleted: see above.",
                returncode=FAILED,
            )
        left = counts.orphans - counts.deleted
        if left or counts.ageless or counts.missing:
            raise CommandError(
                "Store and database do not agree"
                + (", even now." if is_deleted else "."),
                returncode=DIFFERENT,
            )


def _text(counts: OrphanCounts) -> str:
    parts = [
        f"{counts.orphans:,} orphans ({shown_bytes(counts.orphan_bytes)})",
        f"{counts.missing:,} names without a file",
    ]
    for count, words in (
        (counts.ageless, "orphans of unknown age"),
        (counts.young, "young files that nothing names yet"),
        (counts.odd, "names that can't be asked for"),
        (counts.foreign, "files of other storages or behind links"),
        (counts.deleted, "deleted"),
        (counts.kept, "kept, as not in the report, or named or changed by now"),
        (counts.failed, "failed"),
    ):
        if count:
            parts.append(f"{count:,} {words}")
    return f"{counts.files:,} files, {counts.named:,} names: {'; '.join(parts)}"
