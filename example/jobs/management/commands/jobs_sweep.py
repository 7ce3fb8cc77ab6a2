"""``manage.py jobs_sweep``: finds jobs that nobody works on, for cron."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config.checking import FOR_COMMANDS
from jobs.sweeping import sweep


class Command(BaseCommand):
    help = (
        "Put back jobs whose worker was killed, fail those that were begun too often, "
        "end those that were cancelled, start what is periodic, and send lost messages "
        "again. Workers and beat do the same each 15 seconds: cron needs it where "
        "neither runs all the time. Safe beside all of them."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        swept = vars(sweep())
        if options["json"]:
            self.stdout.write(json.dumps(swept))
        else:
            words = (f"{many} {word}" for word, many in swept.items())
            self.stdout.write(", ".join(words).replace("_", " ") + ".")
