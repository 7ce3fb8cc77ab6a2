"""``manage.py storage_uploads``: list and abort unfinished uploads in parts on S3."""

from __future__ import annotations

import json
import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.moving.resolve import label, storage_of
from tahoestorage.moving.summary import reason, shown

USAGE = 2
INTERRUPTED = 130
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def age(text: str) -> timedelta:
    """Return the time span of a text such as 90m, 24h or 7d.

    Raises ArgumentTypeError.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None:
        raise ArgumentTypeError(
            f"{text!r} is no time span; give one such as 90m, 24h or 7d"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


class Command(BaseCommand):
    """List the unfinished multipart uploads of a storage on S3, or abort them."""

    help = (
        "Lists the multipart uploads to S3 that were begun and neither completed nor "
        "aborted, as when a process was killed: the store keeps their parts, and "
        "charges for them. --abort deletes them; completed files stay."
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
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON document on standard output, and nothing else there",
        )

    def handle(
        self,
        *,
        alias: str,
        older_than: timedelta,
        abort: bool,
        json: bool,
        **options: Any,
    ) -> None:
        try:
            storage = storage_of(alias)
        except ImproperlyConfigured as error:
            raise CommandError(
                f"{label(alias)}: {reason(error)}", returncode=USAGE
            ) from None
        if not isinstance(storage, ObjectStore) or not _is_on_s3(storage):
            raise CommandError(
                f"{label(alias)} is not on S3, and has no such uploads.",
                returncode=USAGE,
            )
        try:
            found = self._found(storage, older_than, abort=abort)
        except (TahoeStorageError, ImproperlyConfigured) as error:
            raise CommandError(f"{label(alias)}: {reason(error)}") from None
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
        if as_json:
            document = {"alias": alias, "aborted": abort, "uploads": found}
            self.stdout.write(json.dumps(document, indent=2))
            return
        for each in found:
            self.stdout.write(f"{each['begun']}  {shown(each['name'])}")
        count = f"{len(found)} unfinished upload{'' if len(found) == 1 else 's'}"
        ended = ", ended" if abort else ""
        self.stdout.write(f"{count}{ended}.")
        if found and not abort:
            self.stdout.write("Run it again with --abort to delete their parts.")


def _is_on_s3(storage: ObjectStore) -> bool:
    # Without importing boto3 where it is not installed.
    return any(kind.__name__ == "S3Storage" for kind in type(storage).mro())
