"""Deletes for good what was deleted and can't be undone any more."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from api.idempotency import forget_old
from config.checking import FOR_COMMANDS
from objects.backuplock import UnderWay, deleting
from objects.purging import purge
from sharing import links


class Command(BaseCommand):
    help = (
        "Delete for good the objects whose time for undoing their deletion is over, "
        "the versions that are beyond a limit for a day, and the results that are kept "
        "for an Idempotency-Key, after a day, and hashes of share links that are gone, "
        "after a year. Prints what it did as JSON. Run it each day, before the backup; "
        "it is safe beside writers, and refuses while a backup is made. Exit status: 0 "
        "if all is done, 1 if something failed, which the next run tries again."
    )
    requires_system_checks = FOR_COMMANDS

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with deleting():
                purged = purge()
        except UnderWay as error:
            raise CommandError(str(error)) from None
        forget_old()
        links.forget_old()
        self.stdout.write(json.dumps(asdict(purged)))
        if purged.failed:
            raise CommandError("Not all could be deleted: see above.", returncode=1)
