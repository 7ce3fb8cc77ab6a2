"""The event that tests of events share, and who may do what with it."""

from __future__ import annotations

from datetime import UTC, datetime

from django.test import Client

from events import organising
from events.access import EVENTS, Access
from events.models import Event
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    NOBODY,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)

URL = "/events/launch/"
MAY_VIEW = {VIEWER, EDITOR, ADMINISTRATOR, SUPER_TENANT, TENANT_ADMINISTRATOR}
MAY_EDIT = MAY_VIEW - {VIEWER}


def launch(callers: Callers) -> Event:
    """Make a draft of the administrator's, which VIEWER may see and EDITOR edit."""
    made = organising.create(
        Event(
            tenant=callers.tenant,
            name="Launch",
            starts_at=datetime(2026, 3, 1, tzinfo=UTC),
            place="Hall",
        ),
        callers[ADMINISTRATOR].user,
    )
    for kind, held in ((VIEWER, Access.VIEW), (EDITOR, Access.EDIT)):
        EVENTS.grant(made, callers[kind].user, held, actor=None)
    return made


def browser_of(callers: Callers, kind: str) -> Client:
    """Return a browser in which a caller has signed in, or nobody."""
    browser = Client()
    if kind != NOBODY:
        browser.force_login(callers[kind].user)
    return browser
