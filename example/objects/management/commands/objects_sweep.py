"""``manage.py objects_sweep``: bytes without rows and rows without bytes, mended."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import stores
from config.checking import FOR_COMMANDS
from objects import quarantine
from objects.defects import Defect, SweepResult
from objects.storeuse import in_unset_stores
from objects.sweeping import find, sweep
from tahoestorage.exceptions import TahoeStorageError

HOURS = 24
INTERRUPTED = 130  # what a shell says of Ctrl-C


class Command(BaseCommand):
    help = (
        "Compares rows and stores. Bytes without a row become rows again where their "
        "names say whose they are, and go to quarantine for 30 days where not; rows "
        "without bytes are marked and told, and never deleted; what lies in a store "
        "that no tenant uses and no row names is told, and left alone; uploads of dead "
        "processes are settled or given up. Safe beside writers. Exit status: 0 if "
        "all is well or mended, 1 if bytes are missing, a store is away or not set any "
        "more, something could not be done, or too much is wrong to go on without "
        "--force; a dry run says so too."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument("--json", action="store_true", help="print counts as JSON")
        parser.add_argument(
            "--force", action="store_true", help="go on where over 1 %% is wrong"
        )
        parser.add_argument(
            "--older-than",
            type=float,
            default=HOURS,
            metavar="HOURS",
            help="leave alone what is younger; longer than any upload takes "
            "(default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        before = timezone.now() - timedelta(hours=options["older_than"])
        told: dict[str, dict[str, Any]] = {}
        wrong = False
        try:
            for alias in stores.aliases():
                result = SweepResult()
                told[alias] = {"stopped": False, "expired": 0}
                try:
                    wrong |= self._store(alias, before, result, told[alias], options)
                except (OSError, TahoeStorageError, ImproperlyConfigured) as error:
                    # The other stores are swept all the same.
                    told[alias]["error"] = f"{type(error).__name__}: {error}"
                    wrong = True
                finally:
                    told[alias] |= {
                        "names": result.names,
                        "used": result.is_used,
                        "found": dict(result.found),
                        "done": dict(result.done),
                        "missing": result.missing,
                    }
            for alias, count in in_unset_stores().items():
                why = f"it is not set any more, and {count} versions are in it"
                told[alias] = {"stopped": False, "expired": 0, "error": why}
                wrong = True
        except KeyboardInterrupt:
            self._tell(told, options)
            raise CommandError(
                "Stopped; the next sweep goes on.", returncode=INTERRUPTED
            ) from None
        self._tell(told, options)
        if wrong:
            raise CommandError("Not all is well: see above.", returncode=1)

    def _store(
        self,
        alias: str,
        before: Any,
        result: SweepResult,
        told: dict[str, Any],
        options: dict[str, Any],
    ) -> bool:
        """Sweep one store; return whether something is wrong with it afterwards."""
        if options["dry_run"]:
            for found in find(alias, before, result):
                result.note(found)
            told["stopped"] = result.is_suspicious and not options["force"]
        elif not sweep(alias, before, result, force=options["force"]):
            told["stopped"] = True
        storage = storages[alias]
        told["expired"] = quarantine.expire(storage, dry_run=options["dry_run"])
        bad = result.found[Defect.MISSING] or result.done["failed"]
        twice = result.is_used and result.found[Defect.NAMESAKE]
        return bool(bad or twice or told["stopped"])

    def _tell(self, told: dict[str, dict[str, Any]], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2))
            return
        for alias, one in told.items():
            self.stdout.write(f"{alias}: {one.get('names', 0)} names")
            for name, count in (one.get("found", {}) | one.get("done", {})).items():
                self.stdout.write(f"  {name}: {count}")
            if not one.get("used", True):
                self.stdout.write(
                    "  no tenant uses it, and no row names it: what is in it was left "
                    "alone"
                )
            if one["expired"]:
                self.stdout.write(f"  out of quarantine: {one['expired']}")
            for key in one.get("missing", ()):
                self.stdout.write(f"  missing: {key}")
            if "error" in one:
                self.stdout.write(f"  could not be swept: {one['error']}")
            if one["stopped"]:
                self.stdout.write("  over 1 % is wrong: nothing was changed (--force)")
