"""One event with speakers and slides, and who organises it, for a first look."""

from __future__ import annotations

import io
import os
from datetime import timedelta
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import demonstration as accounts_demonstration
from accounts.administrators import create_super
from accounts.models import Tenant, User
from config.checking import FOR_COMMANDS
from events import documents
from events.media import type_of
from events.models import Event
from events.pictures import portrait, presentation
from objects.incoming import IncomingFile

SLUG = "storage-day"
TENANT = "Demonstration"
OPERATOR = "Operator"
ORGANISER = "organiser"
SPEAKERS = [
    ("Ada Marlow", ((244, 201, 126), (38, 84, 124), (240, 200, 170), (70, 44, 34))),
    ("Jonas Okoro", ((142, 202, 190), (150, 62, 60), (120, 78, 54), (28, 24, 24))),
    ("Mei Tanaka", ((222, 170, 190), (60, 66, 90), (247, 212, 178), (34, 30, 38))),
]
SESSIONS = [
    ("Files that nobody else can read", ["Ada Marlow"], (10, 108, 99)),
    ("What a share is, and why three are enough", ["Jonas Okoro"], (38, 84, 124)),
    ("Questions, answers and cake", ["Ada Marlow", "Mei Tanaka"], (150, 62, 60)),
]
DESCRIPTION = """\
A day about keeping files on machines that need not be trusted: how a file is \
encrypted, cut into shares and put together again.

Everyone is welcome. The slides are below as soon as a talk has begun."""


class Command(BaseCommand):
    help = (
        "Make one event with speakers, photos and slides, unless it is there, and the "
        f"user {ORGANISER} whose it is, with DJANGO_SUPERUSER_PASSWORD if that is set."
    )
    requires_system_checks = FOR_COMMANDS

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--superuser",
            metavar="NAME",
            help="Make this user of the admin too, unless there is one of the name; "
            "the password is taken from DJANGO_SUPERUSER_PASSWORD.",
        )

        parser.add_argument(
            "--user",
            metavar="NAME",
            help="Make this user of the tenant that has the event too, unless there "
            "is one of the name; without a password, so for the API alone.",
        )

        parser.add_argument(
            "--objects",
            action="store_true",
            help="Make two tenants with users of each kind and some objects too, to "
            "try the API; their password is DJANGO_SUPERUSER_PASSWORD.",
        )

    def handle(
        self,
        *args: Any,
        superuser: str | None,
        user: str | None,
        objects: bool,
        **options: Any,
    ) -> None:
        password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if not password and (superuser or objects):
            raise CommandError("Set DJANGO_SUPERUSER_PASSWORD.")
        with transaction.atomic():
            self.make_users(superuser, user, password)
        tenant = Tenant.objects.get(name=TENANT)
        # From here on bytes go to the store.
        if objects and password:
            self.fill(tenant, password)
        if Event.objects.filter(slug=SLUG).exists():
            self.stdout.write("The event is there already; nothing was changed.")
        else:
            organiser = User.objects.get(username=ORGANISER, tenant=tenant)
            event = make_event(tenant, organiser)
            self.stdout.write(f"Made the event “{event}”.")

    def make_users(
        self, superuser: str | None, user: str | None, password: str | None
    ) -> None:
        if superuser and not User.objects.filter(username=superuser).exists():
            create_super(
                tenant=OPERATOR, username=superuser, email="", password=password or ""
            )
        tenant, _new = Tenant.objects.get_or_create(
            name=TENANT, defaults={"slug": "demonstration"}
        )
        for name, secret in ((user, None), (ORGANISER, password)):
            if name and not User.objects.filter(username=name).exists():
                User.objects.create_user(name, password=secret, tenant=tenant)

    def fill(self, tenant: Tenant, password: str) -> None:
        for name in accounts_demonstration.fill(tenant, password):
            self.stdout.write(f"Made {name}.")


def make_event(tenant: Tenant, organiser: User) -> Event:
    """Make the event, published, with its pictures drawn here."""
    start = timezone.now().replace(hour=9, minute=30, second=0, microsecond=0)
    files: dict[str, bytes] = {}
    speakers, sessions = [], []
    for name, colours in SPEAKERS:
        photo = f"photos/{slugify(name)}.jpg"
        files[photo] = portrait(*colours)
        speakers.append({"name": name, "photo": photo})
    names = [name for name, _colours in SPEAKERS]
    for title, people, colour in SESSIONS:
        pages = ["A file is encrypted here.", "Its shares are kept out there."]
        slides = f"slides/{slugify(title)}.pdf"
        files[slides] = presentation(title, pages, colour)
        places = [names.index(person) for person in people]
        sessions.append({"title": title, "speakers": places, "slides": slides})
    description = {
        "name": "Open Storage Day",
        "slug": SLUG,
        "starts_at": (start + timedelta(days=30)).isoformat(),
        "place": "Old Town Hall, second floor",
        "description": DESCRIPTION,
        "published": True,
        "speakers": speakers,
        "sessions": sessions,
    }
    openers = {path: partial(opened, path, data) for path, data in files.items()}
    return documents.create(tenant, organiser, description, openers)


def opened(path: str, data: bytes) -> IncomingFile:
    return IncomingFile(io.BytesIO(data), len(data), type_of(path))
