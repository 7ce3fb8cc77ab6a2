"""Administrators made by command: of the super-tenant, or of one tenant."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils.text import slugify

from accounts.models import Tenant, User
from config.secrets import secret


def add_arguments(parser: CommandParser) -> None:
    """Add what both commands take."""
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


def answers(*, interactive: bool, **options: Any) -> dict[str, str]:
    """Return tenant, username, email and password, asked for where not given.

    Raises CommandError where one is missing and nobody can be asked.
    """
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
    password = secret("DJANGO_SUPERUSER_PASSWORD")
    if interactive and not password:
        password = ask_password()
    if not password:
        raise CommandError("Set DJANGO_SUPERUSER_PASSWORD.")
    return given | {"password": password}


@transaction.atomic
def create_super(*, tenant: str, username: str, email: str, password: str) -> User:
    """Make an administrator of the super-tenant, and the tenant unless it is there.

    Raises CommandError where the name is taken, or the tenant is not a super-tenant.
    """
    home = Tenant.objects.filter(name=tenant).first()
    if home is None:
        home = Tenant(name=tenant, slug=slug_for(tenant), is_super=True)
        try:
            home.full_clean()
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        home.save()
    elif not home.is_super:
        raise CommandError(f"{tenant} is a tenant already, and no super-tenant.")
    return create(home, username=username, email=email, password=password)


def create(tenant: Tenant, *, username: str, email: str, password: str) -> User:
    """Make an administrator of the tenant, who may enter the admin.

    Raises CommandError where the name is taken or the password too weak.
    """
    user = User(
        tenant=tenant,
        username=username,
        email=User.objects.normalize_email(email),
        is_administrator=True,
        is_staff=True,
        is_superuser=tenant.is_super,
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
