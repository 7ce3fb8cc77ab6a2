"""``manage.py delete_old_exports``: what is too old goes, as the settings say."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from config.checking import FOR_COMMANDS
from exports import retention
from exports.models import Export
from exports.retention import DeletedExports


class Command(BaseCommand):
    help = (
        "Delete exports that are older than EXPORT_KEEP_DAYS, but for the latest of "
        "each event and folder (EXPORT_KEEP_LATEST) and those that are pinned; and "
        "what killed workers left of others. Workers do the same each hour. Safe "
        "beside them and beside another one. Exit status: 0 if all is done, 1 if a "
        "store could not delete, which the next run tries again."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="delete nothing")
        parser.add_argument("--json", action="store_true", help="print counts as JSON")
        parser.add_argument(
            "--forget-store",
            metavar="ALIAS",
            help="instead, let go of all exports in a store that is not set any more, "
            "old or not: their rows go, and the quota counts them no more. What the "
            "store has stays there",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alias, found = options["forget_store"], list[Export]()
        if alias in settings.STORAGES:
            raise CommandError(f"The store {alias} is set: it can be asked to delete.")
        if options["dry_run"]:
            rows: QuerySet[Export] = (
                retention.old() if alias is None else retention.kept_in(alias)
            )
            found = list(rows)
            sizes = [export.size for export in found if export.ready_at]
            deleted = DeletedExports(len(found), sum(sizes))
        elif alias is None:
            deleted = retention.delete_old(found.append)
        else:
            deleted = retention.forget_store(alias, found.append)
        self._tell(deleted, found, **options)
        if deleted.left:
            raise CommandError(
                f"The bytes of {deleted.left} are left: see above.", returncode=1
            )
        if alias is not None and retention.being_made_in(alias).exists():
            raise CommandError("Some are being made there: cancel them, and run again.")

    def _tell(
        self, deleted: DeletedExports, found: list[Export], **options: Any
    ) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(asdict(deleted)))
            return
        for export in found:
            self.stdout.write(f"{export.created_at:%Y-%m-%d} {export.label}")
        would = "would go" if options["dry_run"] else "are deleted"
        self.stdout.write(f"{deleted.exports} exports {would}, {deleted.bytes} bytes.")
