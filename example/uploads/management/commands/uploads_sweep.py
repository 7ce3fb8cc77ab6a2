"""Ends what nobody goes on with; safe beside writers, and to be run every hour."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.checking import FOR_COMMANDS
from uploads.sweeping import sweep_all


class Command(BaseCommand):
    help = (
        "Give up resumable and direct uploads that have expired, with their parts and "
        "what they hold of the quota; finish those of which all has come. Run it each "
        "hour; it is safe beside uploads. Workers do the same: cron needs it where "
        "none runs all the time. Exit status: 0 if all is done or waits, 1 if "
        "something failed, which the next run tries again."
    )
    requires_system_checks = FOR_COMMANDS

    def handle(self, *args: Any, **options: Any) -> None:
        done = sweep_all()
        words = ("finished", "given up", "removed", "waiting", "busy", "failed")
        self.stdout.write(", ".join(f"{done[word]} {word}" for word in words) + ".")
        if done["failed"]:
            raise CommandError("Not all could be done: see above.", returncode=1)
