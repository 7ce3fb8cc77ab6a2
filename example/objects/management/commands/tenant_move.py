"""``manage.py tenant_move TENANT ALIAS``: a tenant's bytes go to another store."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Sum

from accounts.models import Tenant
from accounts.stores import check_alias
from config.checking import FOR_COMMANDS
from objects.models import Version
from objects.moving import ChosenElse, choose, elsewhere, move

INTERRUPTED = 130  # what a shell says of Ctrl-C


class Command(BaseCommand):
    help = (
        "Moves a tenant's objects to the store of an alias in STORAGES, while the "
        "tenant is used. Stopped anywhere, it goes on when it is called again. The old "
        "bytes stay for readers until objects_sweep deletes them, a day later. It "
        "stops where the tenant gets another store meanwhile. Exit status: 0 if all "
        "was moved, 1 if something could not be."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="its short name")
        parser.add_argument("alias", help="the store's alias in STORAGES")
        parser.add_argument(
            "--jobs", type=int, default=4, help="versions at once (default: 4)"
        )
        parser.add_argument("--dry-run", action="store_true", help="change nothing")
        parser.add_argument("--json", action="store_true", help="print counts as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        alias, jobs = options["alias"], options["jobs"]
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        if jobs < 1:
            raise CommandError("--jobs must be 1 or more.")
        try:
            check_alias(alias)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        found = elsewhere(tenant, alias)
        told: dict[str, int] = {
            "versions": found.count(),
            "bytes": found.aggregate(sum=Sum("size"))["sum"] or 0,
        }
        done: Counter[str] = Counter()
        try:
            if not options["dry_run"]:
                choose(tenant, alias)
                for some in move(tenant, alias, jobs):
                    done += some
                    if not options["json"]:
                        self.stdout.write(f"{done['moved']} moved")
        except ChosenElse as error:
            self._tell(told | done, options)
            raise CommandError(
                f"{error} This move to {alias} has stopped.", returncode=1
            ) from None
        except KeyboardInterrupt:
            self._tell(told | done, options)
            raise CommandError(
                "Stopped; call it again to go on.", returncode=INTERRUPTED
            ) from None
        under_way = Version.objects.filter(
            object__tenant=tenant, state=Version.State.PENDING
        ).exclude(store=alias)
        told["under way"] = under_way.count()
        self._tell(told | done, options)
        if done["failed"]:
            raise CommandError("Not all was moved: see the log.", returncode=1)

    def _tell(self, told: dict[str, int], options: dict[str, Any]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(told))
            return
        for name, count in told.items():
            self.stdout.write(f"{name}: {count}")
        if told.get("under way"):
            self.stdout.write("Uploads go on in the old store: call it again later.")
