"""An administrator of a tenant, also where the last one was lost."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.administrators import add_arguments, answers, create
from accounts.models import Tenant
from config.checking import FOR_COMMANDS


class Command(BaseCommand):
    help = (
        "Make an administrator of a tenant that is there, who may enter the admin. So "
        "a lost one is made anew; `changepassword` is for who forgot the password."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        given = answers(**options)
        name = given.pop("tenant")
        tenant = Tenant.objects.filter(name=name).first()
        if tenant is None:
            raise CommandError(f"There is no tenant of the name {name}.")
        user = create(tenant, **given)
        self.stdout.write(f"Made {user.username}, administrator of {tenant.name}.")
