"""Django's command of the name, which could not say to whom the superuser belongs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Refuses: use createsupertenant, which makes a superuser with a tenant."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("rest", nargs="*", help="Ignored.")

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv[:2])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "A superuser belongs to a tenant here: use "
            "`manage.py createsupertenant`, which makes both."
        )
