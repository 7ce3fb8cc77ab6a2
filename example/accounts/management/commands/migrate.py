"""Django's command, which adopts the users that installations had before tenants."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

FIRST = ("accounts", "0001_initial")


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        adopt_users(options["database"])
        super().handle(*args, **options)


def adopt_users(database: str) -> None:
    """Record the migration that makes the table of users where it is there already.

    Django would refuse a database whose admin came before it. The table is the same.
    """
    connection = connections[database]
    recorder = MigrationRecorder(connection)
    applied = recorder.applied_migrations()
    if ("auth", "0001_initial") in applied and FIRST not in applied:
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
        if "auth_user" in tables:
            recorder.record_applied(*FIRST)
