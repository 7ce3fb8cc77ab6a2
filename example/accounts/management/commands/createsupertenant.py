"""The operator's tenant and its administrator, with or without questions."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.administrators import add_arguments, answers, create_super
from config.checking import FOR_COMMANDS


class Command(BaseCommand):
    help = (
        "Make the super-tenant and an administrator of it, who may enter the admin and "
        "reach every tenant. Where the tenant is there already, the administrator is "
        "made in it: so a lost one is made anew."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        user = create_super(**answers(**options))
        self.stdout.write(f"Made {user.username}, administrator of {user.tenant.name}.")
