"""``manage.py storage_directories``: which directories have grown too large."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.management.usage import unexpected_errors_end_with
from tahoestorage.moving.resolve import label, storage_of, store_of
from tahoestorage.moving.summary import reason, shown

TOO_LARGE = 1
USAGE = 2
INTERRUPTED = 130
MANY = 2_000
LINE_SECONDS = 5.0


class Command(BaseCommand):
    """List the directories that have more names than are good for them."""

    help = (
        "Lists the directories of a storage that have more names than are good for "
        "them. On a grid a directory is one file: each new name in it rewrites it, and "
        "a process that does not know it reads it whole. Exit status: 0 there is none, "
        "1 there are some, 2 the storage is wrong or away."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "alias",
            nargs="?",
            default="default",
            metavar="ALIAS",
            help="the storage, by its alias in STORAGES or a URL (default: default)",
        )
        parser.add_argument(
            "--more-than",
            type=int,
            default=MANY,
            metavar="N",
            help=f"how many names a directory may have (default: {MANY:,})",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document on standard output, and nothing else there",
        )

    @unexpected_errors_end_with(USAGE)
    def handle(self, *, alias: str, more_than: int, json: bool, **options: Any) -> None:
        try:
            storage = storage_of(alias)
            looked, found = self._look(storage, more_than)
        except (TahoeStorageError, ImproperlyConfigured, OSError) as error:
            raise CommandError(
                f"{label(alias)}: {reason(error)}", returncode=USAGE
            ) from None
        except NotImplementedError:
            raise CommandError(
                f"{label(alias)} has no directories that can be listed.",
                returncode=USAGE,
            ) from None
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. Nothing was changed.", returncode=INTERRUPTED
            ) from None
        self._print(looked, found, more_than, as_json=json)
        if found:
            raise CommandError(
                f"{len(found):,} of {looked:,} directories have more than "
                f"{more_than:,} names. upload_to=HashedPath(…) spreads new files; "
                "those that are there can be moved, their rows with them.",
                returncode=TOO_LARGE,
            )

    def _look(self, storage: Storage, more_than: int) -> tuple[int, dict[str, int]]:
        """Return how many directories there are, and the names in the large ones."""
        looked, found = 0, {}
        shown_at = time.monotonic()
        for directory, count in store_of(storage).walk_directories():
            looked += 1
            if count > more_than:
                found[directory] = count
            if time.monotonic() - shown_at >= LINE_SECONDS:
                shown_at = time.monotonic()
                self.stderr.write(f"{looked:,} directories so far", self.style.NOTICE)
        return looked, found

    def _print(
        self, looked: int, found: dict[str, int], more_than: int, *, as_json: bool
    ) -> None:
        largest = sorted(found.items(), key=lambda each: (-each[1], each[0]))
        if as_json:
            rows = [{"directory": name, "names": count} for name, count in largest]
            document = {"looked_at": looked, "more_than": more_than, "large": rows}
            self.stdout.write(json.dumps(document, indent=2))
            return
        for name, count in largest:
            self.stdout.write(f"{count:>12,}  {shown(name or '/')}")
        if not largest:
            self.stdout.write(
                f"None of {looked:,} directories has more than {more_than:,} names."
            )
