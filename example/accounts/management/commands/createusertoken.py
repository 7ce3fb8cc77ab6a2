"""A user's tokens for the API, for scripts."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.finding import add_user, find_user
from accounts.tokens import describe
from config.checking import FOR_COMMANDS


class Command(BaseCommand):
    help = (
        'Print a user\'s new tokens as JSON: {"access": …, "refresh": …}. Whoever '
        "holds them is that user until they expire or are revoked."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        add_user(parser)

    def handle(self, *args: Any, user: str, **options: Any) -> None:
        found = find_user(user)
        if not found.is_active:
            raise CommandError(f"{found.username} is inactive and gets no tokens.")
        self.stdout.write(json.dumps(describe(found)))
