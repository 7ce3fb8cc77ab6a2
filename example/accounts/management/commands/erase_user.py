"""A person's data go, on request."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.erasure import erase
from accounts.finding import add_user, find_user
from config.checking import FOR_COMMANDS
from objects.backuplock import UnderWay, deleting


class Command(BaseCommand):
    help = (
        "Erase a user for good: the objects they own with all versions, uploads, share "
        "links, permissions and tokens. The audit keeps their number. What others have "
        "of it, and shares on a grid until they are collected, can't be taken back; "
        "exports that others made, in which their files may lie, are named."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        add_user(parser)
        parser.add_argument(
            "--no-input",
            "--noinput",
            action="store_false",
            dest="interactive",
            help="Do not ask whether it is meant.",
        )

    def handle(self, *args: Any, user: str, interactive: bool, **options: Any) -> None:
        found = find_user(user)
        name, number = found.username, found.pk
        if interactive and input(f"Type {name} to erase them for good: ") != name:
            raise CommandError("Nothing was erased.")
        try:
            with deleting():
                erased = erase(found)
        except UnderWay as error:
            raise CommandError(f"Nothing was erased. {error}") from None
        for export in erased.archives:
            self.stdout.write(
                f"Stays, and may hold their files: export {export.pk}, {export.label}, "
                f"ready since {export.ready_at:%Y-%m-%d}."
            )
        for one in erased.left:
            self.stderr.write(f"Left: {one}")
        if erased.left:
            raise CommandError("Something is left, as named above: run it again later.")
        self.stdout.write(
            f"Erased user {number}, {erased.objects} objects, {erased.versions} "
            f"versions and {erased.bytes} bytes."
        )
