"""``manage.py storage_directories``: which directories have grown too large."""

from __future__ import annotations

from typing import Any

from django.core.files.storage import Storage
from django.core.management.base import CommandError, CommandParser

from tahoestorage.display import shown
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    USAGE,
    StoreCommand,
    add_alias,
    add_json,
    errors_of,
    number_of,
)
from tahoestorage.management.usage import unexpected_errors_end_with
from tahoestorage.moving.resolve import label, storage_of, store_of
from tahoestorage.progress import Progress

TOO_LARGE = 1
MANY = 2_000


class Command(StoreCommand):
    """List the directories that have more names than are good for them."""

    help = (
        "Lists the directories of a storage that have more names than are good for "
        "them. On a grid a directory is one file: each new name in it rewrites it, and "
        "a process that does not know it reads it whole. It changes nothing. "
        "upload_to=HashedPath(...), from tahoestorage.naming, spreads new files."
    )
    examples = (
        "manage.py storage_directories",
        "manage.py storage_directories new --more-than 10000",
    )
    statuses = (
        (0, "no directory is too large"),
        (TOO_LARGE, "some are; they are named"),
        (USAGE, "wrong arguments, or the store can't be listed"),
        CTRL_C,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_alias(parser, or_url=True)
        parser.add_argument(
            "--more-than",
            type=number_of("names", 0, 999_999_999),
            default=MANY,
            metavar="N",
            help=f"how many names a directory may have (default: {MANY:,})",
        )
        add_json(parser)

    @unexpected_errors_end_with(USAGE)
    def handle(
        self,
        *,
        alias: str,
        more_than: int,
        json: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        try:
            with errors_of(alias, USAGE), self.progress(verbosity) as progress:
                looked, found = _look(storage_of(alias), more_than, progress)
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

    def _print(
        self, looked: int, found: dict[str, int], more_than: int, *, as_json: bool
    ) -> None:
        largest = sorted(found.items(), key=lambda each: (-each[1], each[0]))
        rows = [{"directory": name, "names": count} for name, count in largest]
        document = {"looked_at": looked, "more_than": more_than, "large": rows}
        lines = [f"{count:>12,}  {shown(name or '/')}" for name, count in largest]
        none = f"None of {looked:,} directories has more than {more_than:,} names."
        self.put(document, *lines or [none], as_json=as_json)


def _look(
    storage: Storage, more_than: int, progress: Progress
) -> tuple[int, dict[str, int]]:
    """Return how many directories there are, and the names in the large ones."""
    looked, found = 0, {}
    for directory, count in store_of(storage).walk_directories():
        looked += 1
        if count > more_than:
            found[directory] = count
        progress.tell(f"{looked:,} directories so far")
    return looked, found
