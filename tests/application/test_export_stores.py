"""Exports in a store that the operator does not set any more: said, and let go of."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import Tenant, User
from audit.models import Entry
from exports import importing, removing, starting
from exports.models import Export
from jobs.models import Job
from jobs.running import run_waiting
from tests.application.callers import client_of
from tests.application.stores import names_in, put

pytestmark = pytest.mark.django_db
GONE = "The store “cold” is not set any more."
MEMORY = {"BACKEND": "django.core.files.storage.InMemoryStorage"}


@pytest.fixture
def ready(user: User, settings: Any) -> Export:
    """An export in the store "cold"."""
    settings.STORAGES = {**settings.STORAGES, "cold": MEMORY}
    settings.JOBS_ATTEMPTS = 1
    Tenant.objects.update(export_store="cold")
    user.tenant.refresh_from_db()
    put(user, b"First the foundation.", "plan.txt", "papers")
    export = starting.start_folder(user, "papers")
    run_waiting()
    export.refresh_from_db()
    assert (export.state, export.store) == ("ready", "cold")
    return export


def unset(settings: Any, alias: str = "cold") -> None:
    settings.STORAGES = {
        name: entry for name, entry in settings.STORAGES.items() if name != alias
    }


def forget(*options: str) -> dict[str, int]:
    output = io.StringIO()
    command = ("delete_old_exports", "--forget-store", "cold", "--json")
    call_command(*command, *options, stdout=output)
    found: dict[str, int] = json.loads(output.getvalue())
    return found


def test_whoever_downloads_it_is_told(user: User, ready: Export, settings: Any) -> None:
    unset(settings)
    browser = Client()
    browser.force_login(user)

    page = browser.get(f"{ready.get_absolute_url()}download/", follow=True)
    problem = client_of(user).get(f"/api/v1/exports/{ready.pk}/content/")

    assert page.redirect_chain == [(ready.get_absolute_url(), 302)]
    assert GONE in page.text
    assert (problem.status_code, problem.json()["detail"]) == (503, GONE)
    assert not Entry.objects.filter(action="export.download").exists()


def test_whoever_makes_or_imports_one_is_told(
    user: User, ready: Export, settings: Any
) -> None:
    another = starting.start_folder(user, "papers")
    imported = importing.start_import(user, ready)
    unset(settings)

    run_waiting()

    another.refresh_from_db()
    imported.refresh_from_db()
    assert (another.state, another.error) == ("failed", GONE)
    assert (imported.state, imported.error) == ("failed", GONE)
    assert Tenant.objects.get().reserved_bytes == 0


def test_a_file_in_such_a_store_is_named(
    user: User, ready: Export, settings: Any
) -> None:
    settings.STORAGES = {**settings.STORAGES, "objects": MEMORY}
    Tenant.objects.update(store="objects")
    user.tenant.refresh_from_db()
    put(user, b"Then the roof.", "roof.txt", "roofs")
    export = starting.start_folder(user, "roofs")
    unset(settings, "objects")

    run_waiting()

    export.refresh_from_db()
    gone = GONE.replace("cold", "objects")
    assert export.error == f"files/roof.txt could not be read. {gone}"


def test_its_row_stays_until_the_operator_lets_go_of_the_store(
    user: User, ready: Export, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pinned = starting.start_folder(user, "papers")
    run_waiting()
    starting.pin(pinned, True, actor=user)
    pinned.refresh_from_db()
    used, store = Tenant.objects.get().used_bytes, storages["cold"]
    names = names_in(store, "exports")
    with pytest.raises(CommandError, match="The store cold is set"):
        forget()
    unset(settings)
    assert removing.delete(ready, actor=user)
    run_waiting()
    with pytest.raises(CommandError, match="1 are left"):
        call_command("delete_old_exports", stdout=io.StringIO())
    assert f"{GONE} Set it again" in caplog.text
    assert Tenant.objects.get().used_bytes == used

    size = ready.size + pinned.size
    told = {"exports": 2, "bytes": size, "tidied": 0, "left": 0}
    assert forget("--dry-run") == told
    assert Export.objects.count() == 2
    assert forget() == told
    assert forget() == told | {"exports": 0, "bytes": 0}

    assert not Export.objects.exists()
    assert Tenant.objects.get().used_bytes == used - size
    assert Entry.objects.filter(action="export.delete").count() == 2
    assert names_in(store, "exports") == names != []


def test_one_that_is_being_made_is_not_forgotten(
    user: User, ready: Export, settings: Any
) -> None:
    starting.start_folder(user, "papers")
    unset(settings)

    with pytest.raises(CommandError, match="cancel them"):
        forget()

    assert [one.state for one in Export.objects.all()] == ["pending"]
    assert Job.objects.filter(state="waiting").count() == 1
