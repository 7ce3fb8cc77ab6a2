"""One event with speakers and slides, for a first look."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import demonstration as accounts_demonstration
from accounts.administrators import create_super
from accounts.models import Tenant, User
from events.models import Event, Session, Speaker
from events.pictures import portrait, presentation

SLUG = "storage-day"
TENANT = "Demonstration"
OPERATOR = "Operator"
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
    help = "Make one event with speakers, photos and slides, unless it is there."

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

    @transaction.atomic
    def handle(
        self,
        *args: Any,
        superuser: str | None,
        user: str | None,
        objects: bool,
        **options: Any,
    ) -> None:
        if superuser and not User.objects.filter(username=superuser).exists():
            password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
            if not password:
                raise CommandError("Set DJANGO_SUPERUSER_PASSWORD.")
            create_super(
                tenant=OPERATOR, username=superuser, email="", password=password
            )
        tenant, _new = Tenant.objects.get_or_create(
            name=TENANT, defaults={"slug": "demonstration"}
        )
        if user and not User.objects.filter(username=user).exists():
            User.objects.create_user(user, tenant=tenant)
        if objects:
            password = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
            if not password:
                raise CommandError("Set DJANGO_SUPERUSER_PASSWORD.")
            transaction.on_commit(lambda: self.fill(tenant, password))
        if Event.objects.filter(slug=SLUG).exists():
            self.stdout.write("The event is there already; nothing was changed.")
        else:
            self.stdout.write(f"Made the event “{make_event(tenant)}”.")

    def fill(self, tenant: Tenant, password: str) -> None:
        """Make the rest; in no transaction, since bytes go to the store."""
        for name in accounts_demonstration.fill(tenant, password):
            self.stdout.write(f"Made {name}.")


def make_event(tenant: Tenant) -> Event:
    start = timezone.now().replace(hour=9, minute=30, second=0, microsecond=0)
    event = Event.objects.create(
        tenant=tenant,
        slug=SLUG,
        name="Open Storage Day",
        starts_at=start + timedelta(days=30),
        place="Old Town Hall, second floor",
        description=DESCRIPTION,
    )
    speakers = {}
    for name, colours in SPEAKERS:
        photo = ContentFile(portrait(*colours), f"{slugify(name)}.jpg")
        speakers[name] = Speaker.objects.create(event=event, name=name, photo=photo)
    for title, names, colour in SESSIONS:
        pages = ["A file is encrypted here.", "Its shares are kept out there."]
        pdf = presentation(title, pages, colour)
        slides = ContentFile(pdf, f"{slugify(title)}.pdf")
        session = Session.objects.create(event=event, title=title, slides=slides)
        session.speakers.set(speakers[name] for name in names)
    return event
