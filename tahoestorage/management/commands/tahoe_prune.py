"""``manage.py tahoe_prune``: unlink empty directories, while nobody writes."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tahoestorage.care.pruner import PruneCounts, Pruner, SomebodyWrites
from tahoestorage.display import reason, shown
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    USAGE,
    StoreCommand,
    add_alias,
    add_json,
    age,
    number_of,
    path_on_grid,
    storage_on_grid,
)

STOPPED = 1


class Command(StoreCommand):
    """Unlink the empty directories of a storage on a grid."""

    help = (
        "Unlinks the empty directories below PATH, while nobody writes to the storage: "
        "what is saved into one of them just then, or later by whoever knew it before, "
        "is lost. Stop the site's processes, its jobs, and all other tools that save, "
        "on all hosts; then say --no-writers. The command looks for itself as well. It "
        "watches the cache, by which the processes of this host, or of all that share "
        "a Redis, tell each other of changes; and it reads each directory right before "
        "and right after it is unlinked."
    )
    examples = (
        "manage.py tahoe_prune --dry-run     # what is empty; at any time",
        "manage.py tahoe_prune --no-writers  # when all is stopped",
    )
    statuses = (
        (0, "done"),
        (STOPPED, "stopped, for somebody writes; or it failed, or not all was listed"),
        (USAGE, "wrong arguments, or no storage whose directories can be unlinked"),
        CTRL_C,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path",
            nargs="?",
            default="",
            metavar="PATH",
            help="a directory of the storage (default: all of it)",
        )
        add_alias(parser, "--storage")
        parser.add_argument(
            "--no-writers",
            action="store_true",
            help="say that nobody writes to the storage; nothing is unlinked without",
        )
        parser.add_argument(
            "--watch",
            type=number_of("seconds", 0, 99_999),
            default=60,
            metavar="SECONDS",
            help="for how long to see whether anybody writes, before anything is "
            "unlinked (default: 60)",
        )
        parser.add_argument(
            "--older-than",
            type=age,
            default=timedelta(days=1),
            metavar="TIME",
            help="only directories that were linked longer ago than this, such as 90m "
            "or 7d (default: 1d)",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="name what is empty, and unlink nothing; at any time",
        )
        add_json(parser)

    def handle(
        self,
        *,
        path: str,
        storage: str,
        no_writers: bool,
        watch: int,
        older_than: timedelta,
        dry_run: bool,
        json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        if not (no_writers or dry_run):
            raise CommandError(
                "Stop whatever saves to this storage, on all hosts, and say "
                "--no-writers; or look first, by --dry-run.",
                returncode=USAGE,
            )
        found, below = storage_on_grid(storage, USAGE), path_on_grid(path, USAGE)
        if found.directories.root.write is None and not dry_run:
            raise CommandError(
                f"{storage}: its root cap is a read cap; nothing is unlinked by that.",
                returncode=USAGE,
            )
        with self.progress(verbosity) as progress:
            pruner = Pruner(
                found,
                before=time.time() - older_than.total_seconds(),
                dry_run=dry_run,
                looked=progress.looked,
            )
            document = {
                "storage": storage,
                "dry_run": dry_run,
                "sees_writers": pruner.sees_writers,
                "watched_seconds": 0 if dry_run else watch,
            }
            why, status = None, STOPPED
            try:
                with found.directories.gateways.first_alone():
                    if not dry_run:
                        pruner.watch(watch)
                    pruner.prune(below)
            except SomebodyWrites:
                why = (
                    "Somebody writes to the storage: stopped. Stop who it is, and run "
                    "it again."
                )
            except KeyboardInterrupt:
                why, status = "Interrupted.", INTERRUPTED
            except (TahoeStorageError, OSError) as error:
                why = reason(error)
        counts = pruner.counts
        document |= {**counts.as_dict(), "error": why}
        self._print(document, counts, as_json=json)
        if counts.failures:
            text = (
                "Not all directories could be listed, unlinked, or linked again: see "
                "above."
            )
            why = text if why is None else f"{why} {text}"
        if why is not None:
            raise CommandError(why, returncode=status)

    def _print(
        self, document: dict[str, Any], counts: PruneCounts, *, as_json: bool
    ) -> None:
        dry_run = document["dry_run"]
        word = "empty" if dry_run else "unlinked"
        lines = [f"{word}: {shown(path)}" for path in counts.pruned]
        lines += [
            f"linked again, for something was saved in it: {shown(path)}"
            for path in counts.linked_again
        ]
        lines += [f"failed: {shown(path)}: {why}" for path, why in counts.failures]
        text = f"{counts.directories:,} directories: {len(counts.pruned):,} {word}"
        for count, words in (
            (counts.young, "empty, and too young"),
            (counts.read_only, "empty, and read-only"),
            (counts.odd, "with names that can't be asked for"),
        ):
            text += f", {count:,} {words}" if count else ""
        lines.append(text)
        if not dry_run:
            lines.append(_how_it_is_known(document))
        self.put(document, *lines, as_json=as_json)


def _how_it_is_known(document: dict[str, Any]) -> str:
    """Return by what nobody wrote, as far as that is known."""
    told = "That nobody writes is known by your word (--no-writers)"
    if document["sees_writers"]:
        return (
            f"{told}, and by the cache, watched for {document['watched_seconds']} s "
            "and until the end. Writers that do not share it are not seen."
        )
    return f"{told} alone: there is no cache by which other processes could be seen."
