"""``manage.py storage_uploads``: list and abort unfinished uploads in parts on S3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.display import shown
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
from tahoestorage.moving.resolve import label, storage_of

FAILED = 1


class Command(StoreCommand):
    """List the unfinished multipart uploads of a storage on S3, or abort them."""

    help = (
        "Lists the multipart uploads to S3 that were begun and neither completed nor "
        "aborted, as when a process was killed: the store keeps their parts, and "
        "charges for them. --abort deletes them; completed files stay."
    )
    examples = (
        "manage.py storage_uploads",
        "manage.py storage_uploads --older-than 7d --abort",
    )
    statuses = (
        (0, "done, whether there are any or not"),
        (FAILED, "the store could not be asked, or one could not be aborted"),
        (USAGE, "wrong arguments, or no storage on S3"),
        CTRL_C,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_alias(parser, or_url=True)
        parser.add_argument(
            "--older-than",
            type=age,
            default=age("24h"),
            metavar="TIME",
            help="only uploads begun longer ago than this, such as 90m, 24h or 7d "
            "(default: 24h); younger ones may still be under way",
        )
        parser.add_argument(
            "--abort",
            action="store_true",
            help="abort the uploads, and delete their parts",
        )
        add_json(parser)

    def handle(
        self,
        *,
        alias: str,
        older_than: timedelta,
        abort: bool,
        json: bool,
        **options: Any,
    ) -> None:
        with errors_of(alias, USAGE):
            storage = storage_of(alias)
        if not isinstance(storage, ObjectStore) or not _is_on_s3(storage):
            raise CommandError(
                f"{label(alias)} is not on S3, and has no such uploads.",
                returncode=USAGE,
            )
        try:
            with errors_of(alias, FAILED):
                found = self._found(storage, older_than, abort=abort)
        except KeyboardInterrupt:
            raise CommandError(
                "Interrupted. What was aborted so far stays so; run it again for the "
                "rest.",
                returncode=INTERRUPTED,
            ) from None
        self._print(label(alias), found, abort=abort, as_json=json)

    def _found(
        self, storage: Any, older_than: timedelta, *, abort: bool
    ) -> list[dict[str, Any]]:
        from tahoestorage.backends.s3 import unfinished

        before = datetime.now(UTC) - older_than
        found = []
        for upload in unfinished.unfinished(storage):
            if upload.begun <= before:
                if abort:
                    unfinished.abort(storage, upload)
                found.append({"name": upload.name, "begun": upload.begun.isoformat()})
        return found

    def _print(
        self, alias: str, found: list[dict[str, Any]], *, abort: bool, as_json: bool
    ) -> None:
        document = {"alias": alias, "aborted": abort, "uploads": found}
        lines = [f"{each['begun']}  {shown(each['name'])}" for each in found]
        count = f"{len(found)} unfinished upload{'' if len(found) == 1 else 's'}"
        ended = ", ended" if abort else ""
        lines.append(f"{count}{ended}.")
        if found and not abort:
            lines.append("Run it again with --abort to delete their parts.")
        self.put(document, *lines, as_json=as_json)


def _is_on_s3(storage: ObjectStore) -> bool:
    # Without importing boto3 where it is not installed.
    return any(kind.__name__ == "S3Storage" for kind in type(storage).mro())
