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
from objects.backuplock import UnderWay, backing_up
from objects.backups import Unable, dump
from objects.models import Version
from tahoestorage.exceptions import TahoeStorageError

INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Copies the database as it is at this moment, and then each store, into a "
        "directory for its owner alone, which has them unencrypted. What is uploaded "
        "or deleted meanwhile does no harm: bytes never change, and are kept for the "
        "time of undoing. Again into the same directory, only what is new is copied; "
        "killed anywhere, the directory has a whole backup, the older or the new one. "
        "While it is made, `objects_purge`, `erase_user` and other backups refuse. "
        "Exit status: 0 if all is copied, 1 if the database is, but not all files."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["directory"].absolute()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with backing_up():
                self._back_up(directory)
        except UnderWay as error:
            raise CommandError(str(error)) from None

    def _back_up(self, directory: Path) -> None:
        begun = directory / "database.begun"
        # First: so no row names bytes that are copied before they are there.
        try:
            dump(begun)
        except Unable as error:
            raise CommandError(str(error)) from None
        aliases = stores.aliases()
        failed = self._copy_stores(directory, aliases)
        about = {
            "database": connection.vendor,
            "stores": aliases,
            "incomplete": failed,
            "ended": timezone.now().isoformat(),
        }
        told = directory / "about.begun"
        told.write_text(json.dumps(about, indent=2))
        # Also where files are not there: what the older one names still is, and without
        # the newer one all that has come since would be lost.
        begun.replace(directory / "database")
        told.replace(directory / "backup.json")
        # What was deleted for good must not come back. Only now: until here the
        # directory's database was an older one, which may name it.
        whole = [alias for alias in aliases if alias not in failed]
        unclean = self._copy_stores(directory, whole, "--delete-extra")
        if failed:
            raise CommandError(
                "The database is backed up as it is now. But not all files could be "
                f"copied of these stores: {', '.join(failed)}; see above. What was "
                "copied of them before is still there, and so is what was deleted or "
                "erased since. Mend it, and run this again.",
                returncode=1,
            )
        if unclean:
            raise CommandError(
                "The backup is whole. But a store has lost what the database names, or "
                "not all that was deleted could go: see above. The last copies stay in "
                f"{directory / 'stores'}.",
                returncode=1,
            )
        self.stdout.write(f"All is in {directory}.")

    def _copy_stores(
        self, directory: Path, aliases: list[str], *options: str
    ) -> list[str]:
        """Copy what is new of each store; return those of which something failed.

        The others are copied all the same. Raises CommandError after a Ctrl-C.
        """
        failed = []
        for alias in aliases:
            folder = directory / "stores" / alias
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            needed = partial(_is_stored, alias)
            try:
                if not _has_any(alias):
                    continue
                call_command(
                    "storage_copy", alias, folder.as_uri(), *options, is_needed=needed
                )
            except (CommandError, OSError, TahoeStorageError) as error:
                if getattr(error, "returncode", None) == INTERRUPTED:
                    raise
                failed.append(alias)
                self.stderr.write(f"{alias}: {error}")
        return failed


def _has_any(alias: str) -> bool:
    """Whether anything was ever stored there."""
    try:
        storages[alias].listdir("")
    except FileNotFoundError:
        return False
    return True


def _is_stored(alias: str, key: str) -> bool:
    """Whether the database says that the store has these bytes."""
    rows = Version.objects.filter(store=alias, key=key)
    return rows.filter(state=Version.State.STORED).exists()
