"""``manage.py tahoe_prune``: unlink empty directories, while nobody writes."""

from __future__ import annotations

import argparse
import json
import time
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tahoestorage.backends.reservednames import grid_path
from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.care.pruner import PruneCounts, Pruner, SomebodyWrites
from tahoestorage.config.settings import storage_of_alias
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.management.commands.storage_uploads import age
from tahoestorage.moving.progress import shown_on
from tahoestorage.moving.summary import reason, shown

STOPPED, USAGE, INTERRUPTED = 1, 2, 130


class Command(BaseCommand):
    """Unlink the empty directories of a storage on a grid."""

    help = (
        "Unlinks the empty directories below PATH, for times when nobody writes to the "
        "storage. What is saved into one of them just then, or later by whoever knew "
        "it before, is lost: so stop the site's processes, its jobs, and all other "
        "tools that save, on all hosts; then say --no-writers. It looks too: it "
        "watches the cache, by which the processes of this host, or of all that share "
        "a Redis, tell each other of changes; and at each directory right before and "
        "right after it is unlinked. Exit status: 0 done, 1 stopped or not all done, 2 "
        "wrong arguments."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "path",
            nargs="?",
            default="",
            metavar="PATH",
            help="a directory of the storage (default: all of it)",
        )
        parser.add_argument(
            "--storage",
            default="default",
            metavar="ALIAS",
            help="the storage, by its alias in STORAGES (default: default)",
        )
        parser.add_argument(
            "--no-writers",
            action="store_true",
            help="say that nobody writes to the storage; nothing is unlinked without",
        )
        parser.add_argument(
            "--watch",
            type=_seconds,
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
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document on standard output, and nothing else there",
        )

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
        **options: Any,
    ) -> None:
        if not (no_writers or dry_run):
            raise CommandError(
                "Stop whatever saves to this storage, on all hosts, and say "
                "--no-writers; or look first, by --dry-run.",
                returncode=USAGE,
            )
        found, below = _storage(storage), _path(path)
        if found.directories.root.write is None and not dry_run:
            raise CommandError(
                f"{storage}: its root cap is a read cap; nothing is unlinked by that.",
                returncode=USAGE,
            )
        with shown_on(self.stderr._out, self._say) as progress:
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
            text = "Not all directories could be listed, or linked again: see above."
            why = text if why is None else f"{why} {text}"
        if why is not None:
            raise CommandError(why, returncode=status)

    def _say(self, text: str) -> None:
        # The style of errors is for errors only.
        self.stderr.write(text, str)
        self.stderr.flush()

    def _print(
        self, document: dict[str, Any], counts: PruneCounts, *, as_json: bool
    ) -> None:
        if as_json:
            self.stdout.write(json.dumps(document, indent=2))
            return
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
        self.stdout.write("\n".join(lines))


def _how_it_is_known(document: dict[str, Any]) -> str:
    """Return by what nobody wrote, as far as that is known."""
    told = "That nobody writes is known by your word (--no-writers)"
    if document["sees_writers"]:
        return (
            f"{told}, and by the cache, watched for {document['watched_seconds']} s "
            "and until the end. Writers that do not share it are not seen."
        )
    return f"{told} alone: there is no cache by which other processes could be seen."


def _storage(alias: str) -> TahoeStorage:
    try:
        storage = storage_of_alias(alias)
        if not isinstance(storage, TahoeStorage):
            raise ImproperlyConfigured("it is not on a grid")
        storage.options.root  # noqa: B018 - read now, for its errors
    except (ImproperlyConfigured, TahoeStorageError, OSError) as error:
        raise CommandError(f"{alias}: {reason(error)}", returncode=USAGE) from None
    return storage


def _path(text: str) -> tuple[str, ...]:
    try:
        return grid_path(text.rstrip("/"))
    except (SuspiciousFileOperation, ValueError, TahoeStorageError) as error:
        raise CommandError(reason(error), returncode=USAGE) from None


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return int(text)
