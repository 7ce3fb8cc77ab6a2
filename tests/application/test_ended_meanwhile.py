"""Whoever is refused while their content is on the way stores nothing any more."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.core.files.base import ContentFile
from django.test import Client

from accounts import passwords, people
from accounts.models import Tenant, User
from accounts.tokens import revoke_tokens
from events import media
from exports import importing, starting
from jobs.running import run_waiting
from objects import storing
from objects.incoming import IncomingFile
from objects.models import StoredObject
from tests.application.callers import EDITOR, Callers
from tests.application.stores import put

pytestmark = pytest.mark.django_db
ENDS: dict[str, Callable[[User], None]] = {
    "deactivated": lambda user: people.deactivate(user, by=None),
    "tokens revoked": lambda user: revoke_tokens(user, by=None),
    "another password": lambda user: passwords.set_password(
        user, "correct horse battery", by=None
    ),
}


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, User], None]:
    """Lets the next content be stored, and its user end then, before a row says so."""

    def prepare(how: str, user: User) -> None:
        save = storing.save

        def save_and_end(*args: Any) -> None:
            save(*args)
            monkeypatch.setattr(storing, "save", save)
            ENDS[how](User.objects.get(pk=user.pk))

        monkeypatch.setattr(storing, "save", save_and_end)

    return prepare


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("path", ["papers/new.txt", "papers/plan.txt"])
def test_an_upload_is_refused_at_its_end(
    callers: Callers, end: Callable[[str, User], None], how: str, path: str
) -> None:
    before = StoredObject.objects.values().get()
    used = Tenant.objects.values().get(pk=callers.tenant.pk)
    end(how, callers[EDITOR].user)

    response = callers[EDITOR].api.put(
        f"/api/v1/content/{path}", b"too late", content_type="text/plain"
    )

    assert response.status_code == 403
    assert StoredObject.objects.values().get() == before
    assert callers.object.versions.count() == 1
    assert Tenant.objects.values().get(pk=callers.tenant.pk) == used


@pytest.mark.parametrize("how", ENDS)
def test_a_form_is_refused_likewise(
    callers: Callers, end: Callable[[str, User], None], how: str
) -> None:
    browser, user = Client(), callers[EDITOR].user
    browser.force_login(user)
    end(how, user)

    response = browser.post(
        "/files/upload/", {"folder": "", "files": ContentFile(b"late", "late.txt")}
    )

    [told] = [str(one) for one in get_messages(response.wsgi_request)]
    assert "was not uploaded" in told
    assert StoredObject.objects.get() == callers.object


def test_of_an_event_no_other_name_is_tried(
    callers: Callers, end: Callable[[str, User], None]
) -> None:
    user, sent = callers[EDITOR].user, list[int]()
    end("deactivated", user)

    def content() -> IncomingFile:
        sent.append(1)
        return IncomingFile(io.BytesIO(b"photo"), 5)

    with pytest.raises(storing.Revoked):
        media.store(
            content, tenant=user.tenant, user=user, folder="events/a/photos", name="a"
        )

    assert len(sent) == 1


@pytest.mark.parametrize(
    ("how", "state", "said"),
    [
        ("deactivated", "failed", "Who started the import may do so no more."),
        ("another password", "done", ""),
    ],
)
def test_an_import_outlives_its_users_tokens_alone(
    user: User, end: Callable[[str, User], None], how: str, state: str, said: str
) -> None:
    put(user, b"content", "a.txt", "papers")
    export = starting.start_folder(user, "papers")
    run_waiting()
    export.refresh_from_db()
    job = importing.start_import(user, export)
    end(how, user)

    run_waiting()

    job.refresh_from_db()
    assert (job.state, job.error) == (state, said)
    assert StoredObject.objects.count() == (2 if state == "done" else 1)
