"""``manage.py restore DIRECTORY``: what ``backup`` left, into an empty installation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from accounts import stores
from objects.backups import Unable, load


class Command(BaseCommand):
    help = (
        "Restores what `backup` left into an empty database, and into the stores of "
        "the same aliases: bytes first, and then the rows that name them. Bytes that "
        "are there already stay. Killed, it goes on when it is called again. "
        "`objects_sweep` finds what came after the backup."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("directory", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        directory: Path = options["directory"].absolute()
        try:
            about = json.loads((directory / "backup.json").read_text())
        except (OSError, ValueError):
            raise CommandError(f"There is no whole backup in {directory}.") from None
        if about["database"] != connection.vendor:
            raise CommandError(
                f"It is a backup of {about['database']}: set DATABASE_URL to one."
            )
        unknown = [name for name in about["stores"] if name not in stores.aliases()]
        if unknown:
            raise CommandError(
                f"It has stores that are not set here: {', '.join(unknown)}."
            )
        if connection.introspection.table_names():
            raise CommandError("The database is not empty: make a new one.")
        for alias in about["stores"]:
            folder = directory / "stores" / alias
            call_command("storage_copy", folder.as_uri(), alias, "--verify")
        try:
            load(directory / "database")
        except Unable as error:
            raise CommandError(str(error)) from None
        if incomplete := about.get("incomplete"):
            self.stdout.write(
                "All is restored that the backup has. Not all files of these stores "
                f"were in it: {', '.join(incomplete)}. `objects_sweep` names them."
            )
            return
        self.stdout.write("All is restored.")
