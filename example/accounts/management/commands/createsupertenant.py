"""The operator's tenant and its administrator, with or without questions."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts.models import Tenant, User


class Command(BaseCommand):
    help = (
        "Make the super-tenant and an administrator of it, who may enter the admin and "
        "reach every tenant. Where the tenant is there already, the administrator is "
        "made in it: so a lost one is made anew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", metavar="NAME", help="The tenant's name.")
        parser.add_argument("--username", metavar="NAME", help="The administrator's.")
        parser.add_argument("--email", metavar="ADDRESS", help="The administrator's.")
        parser.add_argument(
            "--no-input",
            "--noinput",
            action="store_false",
            dest="interactive",
            help="Ask nothing: the password is taken from DJANGO_SUPERUSER_PASSWORD.",
        )

    def handle(self, *args: Any, interactive: bool, **options: Any) -> None:
        if interactive and not sys.stdin.isatty():
            raise CommandError("There is no terminal to ask at: use --no-input.")
        given = {
            name: options[name] or (ask(label) if interactive else "")
            for name, label in (
                ("tenant", "Name of the tenant"),
                ("username", "Name of the administrator"),
                ("email", "E-mail address"),
            )
        }
        for name in ("tenant", "username"):
            if not given[name]:
                raise CommandError(f"--{name} is needed.")
        password = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
        if interactive and not password:
            password = ask_password()
        if not password:
            raise CommandError("Set DJANGO_SUPERUSER_PASSWORD.")
        user = create(password=password, **given)
        self.stdout.write(f"Made {user.username}, administrator of {user.tenant.name}.")


@transaction.atomic
def create(*, tenant: str, username: str, email: str, password: str) -> User:
    """Make the administrator, and the super-tenant unless it is there.

    Raises CommandError where the name is taken, or the tenant is not a super-tenant.
    """
    home = Tenant.objects.filter(name=tenant).first()
    if home is None:
        home = Tenant(name=tenant, slug=slug_for(tenant), is_super=True)
        home.save()
    elif not home.is_super:
        raise CommandError(f"{tenant} is a tenant already, and no super-tenant.")
    user = User(
        tenant=home,
        username=username,
        email=User.objects.normalize_email(email),
        is_administrator=True,
        is_staff=True,
        is_superuser=True,
    )
    try:
        validate_password(password, user)
        user.set_password(password)
        user.full_clean()
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
    user.save()
    return user


def slug_for(name: str) -> str:
    """Return a free short name for a tenant of the name."""
    from django.utils.text import slugify

    wanted = slugify(name)[:40] or "tenant"
    slug, number = wanted, 1
    while Tenant.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{wanted}-{number}"
    return slug


def ask(label: str) -> str:
    return input(f"{label}: ").strip()


def ask_password() -> str:
    password = getpass.getpass("Password: ")
    if getpass.getpass("Password, once more: ") != password:
        raise CommandError("The two passwords differ.")
    return password
