"""Deletes for good what was deleted and can't be undone any more."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from objects.purging import purge


class Command(BaseCommand):
    help = (
        "Delete for good the objects whose time for undoing their deletion is over, "
        "and the versions that are beyond a limit for a day. Prints what it did as "
        "JSON. Run it each hour or day; it is safe beside writers."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(asdict(purge())))
