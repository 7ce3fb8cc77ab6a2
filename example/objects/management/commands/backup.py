"""``manage.py backup DIRECTORY``: the database, and then the bytes that it names."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.storage import storages
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone

from accounts import stores
from config.checking import FOR_COMMANDS
from objects.backups import Unable, dump
from objects.models import Version

INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Copies the database as it is at this moment, and then each store, into a "
        "directory for its owner alone, which has them unencrypted. What is uploaded "
        "or deleted meanwhile does no harm: bytes never change, and are kept for the "
        "time of undoing. Again into the same directory, only what is new is copied; "
        "killed anywhere, the directory has a whole backup, the older or the new one."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["directory"].absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        begun = directory / "database.begun"
        # First: so no row names bytes that are copied before they are there.
        try:
            dump(begun)
        except Unable as error:
            raise CommandError(str(error)) from None
        self._copy_stores(directory)
        about = {
            "database": connection.vendor,
            "stores": stores.aliases(),
            "ended": timezone.now().isoformat(),
        }
        told = directory / "about.begun"
        told.write_text(json.dumps(about, indent=2))
        begun.replace(directory / "database")
        told.replace(directory / "backup.json")
        # What was deleted for good must not come back. Only now: until here the
        # directory's database was an older one, which may name it.
        if self._copy_stores(directory, "--delete-extra"):
            raise CommandError(
                "The backup is whole. But a store has lost what the database names, or "
                "not all that was deleted could go: see above. The last copies stay in "
                f"{directory / 'stores'}.",
                returncode=1,
            )
        self.stdout.write(f"All is in {directory}.")

    def _copy_stores(self, directory: Path, *options: str) -> bool:
        """Copy what is new of each store; return whether a deletion failed in one.

        Raises CommandError where something could not be copied.
        """
        has_failed = False
        for alias in stores.aliases():
            folder = directory / "stores" / alias
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                storages[alias].listdir("")
            except FileNotFoundError:
                continue  # Nothing was ever stored there.
            needed = partial(_is_stored, alias)
            try:
                call_command(
                    "storage_copy", alias, folder.as_uri(), *options, is_needed=needed
                )
            except CommandError as error:
                if not options or error.returncode == INTERRUPTED:
                    raise
                # The other stores are looked at all the same.
                has_failed = True
                self.stderr.write(f"{alias}: {error}")
        return has_failed


def _is_stored(alias: str, key: str) -> bool:
    """Whether the database says that the store has these bytes."""
    rows = Version.objects.filter(store=alias, key=key)
    return rows.filter(state=Version.State.STORED).exists()
