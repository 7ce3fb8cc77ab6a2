"""Share links: what one leads to, for how long, how often, and what it tells."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import requests
from django.core.files.storage import storages
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.settings import api_settings

from audit.models import Entry
from objects import grants
from objects.access import Access
from objects.models import StoredObject
from sharing.models import ShareLink
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    OTHER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)
from tests.application.callers import CONTENT as WHOLE
from tests.application.postgres import Postgres
from tests.application.site import bare_environment, manage, served

LIST = "/api/v1/shares/"


def share(callers: Callers, **given: Any) -> dict[str, Any]:
    """Make a link to the object, and return what the API said."""
    response = callers[ADMINISTRATOR].api.post(
        LIST, {"object": str(callers.object.pk), **given}, format="json"
    )
    assert response.status_code == 201, response.content
    made: dict[str, Any] = response.json()
    return made


def path(made: dict[str, Any]) -> str:
    return str(made["url"].removeprefix("http://testserver"))


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_whoever_has_a_link_downloads_the_object(callers: Callers) -> None:
    made = share(callers)

    response = Client().get(path(made))

    assert (response.status_code, content(response)) == (200, WHOLE)
    assert response["Content-Disposition"] == 'attachment; filename="plan.txt"'
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "paper.pdf"])
def test_what_is_shared_never_acts_as_the_site(callers: Callers, name: str) -> None:
    StoredObject.objects.filter(pk=callers.object.pk).update(name=name)

    response = Client().get(path(share(callers)))

    assert response["Content-Disposition"].startswith("attachment")
    assert "sandbox" in response["Content-Security-Policy"]
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("If-Match", '"another"', 412), ("Range", "bytes=1000-", 416)],
)
def test_what_a_link_refuses_is_a_problem_document(
    callers: Callers, header: str, value: str, status: int
) -> None:
    response = Client().get(path(share(callers)), headers={header: value})

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert json.loads(response.content)["status"] == status
    assert response["Cache-Control"] == "no-store"
    assert ShareLink.objects.get().downloads == 0


def test_only_a_hash_of_the_token_is_kept(callers: Callers) -> None:
    made = share(callers)
    token = path(made).rpartition("/")[2]

    assert token not in str(ShareLink.objects.values().get())
    assert token not in str(list(Entry.objects.values()))
    again = callers[ADMINISTRATOR].api.get(f"{LIST}{made['id']}/").json()
    assert "url" not in again
    assert token not in str(again)


def test_a_link_that_leads_nowhere_does_not_say_why(callers: Callers) -> None:
    links = {
        why: share(callers, max_downloads=1)
        for why in ("revoked", "expired", "used up", "inactive", "deleted")
    }
    ShareLink.objects.filter(pk=links["expired"]["id"]).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    callers[ADMINISTRATOR].api.delete(f"{LIST}{links['revoked']['id']}/")
    Client().get(path(links["used up"]))
    answers = {why: Client().get(path(links[why])) for why in ("revoked", "expired")}
    answers["used up"] = Client().get(path(links["used up"]))
    answers["unknown"] = Client().get("/s/" + "x" * 43)
    answers["strange"] = Client().get("/s/%00%ff")
    creator = callers[ADMINISTRATOR].user
    creator.is_active = False
    creator.save()
    answers["inactive"] = Client().get(path(links["inactive"]))
    creator.is_active = True
    creator.save()
    StoredObject.objects.filter(pk=callers.object.pk).update(deleted_at=timezone.now())
    answers["deleted"] = Client().get(path(links["deleted"]))

    told = {
        (answer.status_code, answer.content, str(sorted(answer.headers.items())))
        for answer in answers.values()
    }
    assert len(told) == 1
    assert answers["unknown"].status_code == 404


BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("accept", [BROWSER["Accept"], "text/html"])
def test_a_browser_downloads_all_the_same(callers: Callers, accept: str) -> None:
    response = Client().get(path(share(callers)), headers={"Accept": accept})

    assert (response.status_code, content(response)) == (200, WHOLE)


def test_a_browser_is_told_by_a_page_that_a_link_leads_nowhere(
    callers: Callers,
) -> None:
    links = [share(callers, max_downloads=1) for _ in range(3)]
    ShareLink.objects.filter(pk=links[0]["id"]).update(expires_at=timezone.now())
    callers[ADMINISTRATOR].api.delete(f"{LIST}{links[1]['id']}/")
    Client().get(path(links[2]))
    unknown = {"url": "/s/" + "x" * 43}

    pages = [Client().get(path(one), headers=BROWSER) for one in (*links, unknown)]

    for page in pages:
        assert page.status_code == 404
        assert page["Content-Type"].startswith("text/html")
        assert "This link leads nowhere any more; ask who sent it." in page.text
        assert page["Cache-Control"] == "no-store"
        assert page["Referrer-Policy"] == "no-referrer"
    # But for the token of forms, they are the same: none says why.
    assert len({re.sub(r'"X-CSRFToken": "\w+"', "", page.text) for page in pages}) == 1
    assert path(links[0]) not in pages[0].text


def test_a_browser_is_told_to_wait_while_the_store_is_away(callers: Callers) -> None:
    made, store = share(callers), type(storages["default"])
    with mock.patch.object(store, "_open", side_effect=OSError("away")):
        page = Client().get(path(made), headers=BROWSER)

    assert (page.status_code, page["Retry-After"]) == (503, "30")
    assert page["Content-Type"].startswith("text/html")
    assert "Please try again later" in page.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0.1,*/*"])
def test_a_program_is_told_by_a_problem(callers: Callers, accept: str) -> None:
    response = Client().get("/s/none", headers={"Accept": accept})

    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "no-referrer"


def test_a_link_ends_with_its_creator_s_permission(callers: Callers) -> None:
    made = share(callers)
    grants.grant(callers.object, callers[EDITOR].user, Access.ADMINISTER, actor=None)
    grants.grant(callers.object, callers[ADMINISTRATOR].user, Access.EDIT, actor=None)

    assert Client().get(path(made)).status_code == 404


def test_a_link_goes_with_its_creator(callers: Callers) -> None:
    share(callers)

    callers[ADMINISTRATOR].user.delete()

    assert not ShareLink.objects.exists()


def test_a_limit_counts_whole_downloads(callers: Callers) -> None:
    made, visitor = share(callers, max_downloads=2), Client()
    assert visitor.head(path(made)).status_code == 200

    first = visitor.get(path(made), headers={"Range": "bytes=5-"})
    assert (first.status_code, content(first)) == (200, WHOLE)
    assert first["Accept-Ranges"] == "none"
    etag = first.headers.get("ETag", '"x"')
    second = visitor.get(path(made), headers={"If-None-Match": etag})
    assert (second.status_code, content(second)) == (200, WHOLE)

    assert visitor.get(path(made)).status_code == 404
    assert visitor.head(path(made)).status_code == 404
    one = callers[ADMINISTRATOR].api.get(f"{LIST}{made['id']}/").json()
    assert (one["downloads"], one["state"]) == (2, "used_up")
    assert Entry.objects.filter(action="share.download").count() == 2


@pytest.mark.parametrize(
    ("asked", "counted"),
    [
        (None, 1),
        ("bytes=0-9", 1),
        ("bytes=-1000", 1),
        ("bytes=00-", 1),
        ("bytes=4-,0-3", 1),
        ("rows=1-", 1),
        ("bytes=2-1", 1),
        ("bytes=1-" + 26 * "9", 1),
        ("bytes=4-", 0),
        ("bytes=10-19", 0),
        ("bytes=-5", 0),
    ],
)
def test_without_a_limit_what_goes_on_later_is_no_download_of_its_own(
    callers: Callers, asked: str | None, counted: int
) -> None:
    response = Client().get(
        path(share(callers)), headers={"Range": asked} if asked else {}
    )

    assert response.status_code in {200, 206}
    assert ShareLink.objects.get().downloads == counted


def test_the_whole_counts_though_a_range_of_another_version_was_asked_for(
    callers: Callers,
) -> None:
    made = path(share(callers))
    etag = Client().head(made)["ETag"]

    for condition, status, counted in ((etag, 206, 0), ('"nope"', 200, 1)):
        asked = {"Range": "bytes=1-", "If-Range": condition}
        assert Client().get(made, headers=asked).status_code == status
        assert ShareLink.objects.get().downloads == counted
        entries = Entry.objects.filter(action="share.download")
        assert entries.count() == counted


def test_what_the_store_did_not_give_is_not_counted(callers: Callers) -> None:
    made = share(callers, max_downloads=1)
    store = type(storages["default"])
    with mock.patch.object(store, "_open", side_effect=OSError("away")):
        assert Client().get(path(made)).status_code == 503

    assert ShareLink.objects.get().downloads == 0
    assert Client().get(path(made)).status_code == 200


def test_the_logs_hold_no_token(
    callers: Callers, caplog: pytest.LogCaptureFixture
) -> None:
    made = share(callers, max_downloads=1)
    token = path(made).rpartition("/")[2]
    with caplog.at_level(logging.DEBUG):
        for _ in range(2):
            Client().get(path(made))
        Client().post(path(made))
        logging.getLogger("django.server").info('"GET %s HTTP/1.1"', path(made))

    assert "Not Found: /s/***" in caplog.text
    assert token not in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("/api/v1/uploads/5f0c9a3e-77aa-4a44-9ad0-5a30b6b0f0cf/", "5f0c9a3e"),
        ("/api/v1/links/eyJhIjoxfQ:1abc:sig/", "eyJhIjoxfQ"),
        ("/accounts/set/MQ/c1x2y3-0123456789abcdef/", "0123456789abcdef"),
    ],
)
def test_the_logs_hold_no_other_url_that_is_a_bearer(
    path: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        Client().patch(path)
        logging.getLogger("django.server").info('"GET %s HTTP/1.1"', path)

    assert "***" in caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize(
    "given",
    [
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2200-01-01T00:00:00Z"},
        {"expires_at": "0001-01-01T00:00:00+14:00"},
        {"expires_at": "soon"},
        {"max_downloads": 0},
        {"max_downloads": 10**12},
        {"object": "x"},
        {"object": None},
    ],
)
def test_what_no_link_can_be_is_a_400(callers: Callers, given: dict[str, Any]) -> None:
    response = callers[ADMINISTRATOR].api.post(
        LIST, {"object": str(callers.object.pk), **given}, format="json"
    )

    assert response.status_code == 400, response.content
    assert not ShareLink.objects.exists()


def test_links_are_seen_by_who_administers_the_object_or_the_tenant(
    callers: Callers,
) -> None:
    made = share(callers)
    one = f"{LIST}{made['id']}/"

    for kind, seen in (
        (ADMINISTRATOR, 1),
        (TENANT_ADMINISTRATOR, 1),
        (EDITOR, 0),
        (VIEWER, 0),
        (OTHER_TENANT, 0),
    ):
        api = callers[kind].api
        assert len(api.get(LIST).json()["results"]) == seen
        assert api.get(one).status_code == (200 if seen else 404)
    assert callers[EDITOR].api.delete(one).status_code == 404
    assert callers[TENANT_ADMINISTRATOR].api.delete(one).status_code == 204
    assert callers[TENANT_ADMINISTRATOR].api.delete(one).status_code == 204
    assert Entry.objects.filter(action="share.revoke").count() == 1
    assert reverse("share", args=["x"]) == "/s/x"


def test_guesses_are_counted_by_address(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = share(callers)
    rates = {"user": None, "tenant": None, "anonymous": "3/hour"}
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", rates)
    monkeypatch.setattr("time.time", lambda: 1_800_000_030.0)

    guesses = [Client().get(f"/s/{number}").status_code for number in range(4)]
    # A token of the API that comes along makes no difference.
    right = callers[ADMINISTRATOR].api.get(path(made))

    assert guesses == [404, 404, 404, 429]
    assert right.status_code == 429


MAKE = """
import io
from datetime import timedelta
from django.utils import timezone
from accounts.models import Tenant, User
from objects import storing
from objects.incoming import IncomingFile
from sharing import links
acme = Tenant.objects.create(name="Acme", slug="acme")
ann = User.objects.create_user("ann", tenant=acme)
file = IncomingFile(io.BytesIO(b"shared"), 6, "text/plain")
version = storing.store(file, tenant=acme, user=ann, folder="", name="a")
later = timezone.now() + timedelta(days=1)
print(links.create(version.object, ann, expires_at=later, max_downloads=5)[1])
"""


def test_of_many_downloads_at_once_as_many_come_through_as_there_are(
    postgres: Postgres, postgres_tables: Callable[[], str], tmp_path: Path
) -> None:
    url = postgres_tables()
    environment = bare_environment(tmp_path) | {
        "DATABASE_URL": url,
        "THROTTLE_ANONYMOUS": "off",
    }
    token = manage(environment, "shell", "--no-imports", "-c", MAKE).strip()

    with (
        served(environment, tmp_path / "site.log") as site,
        ThreadPoolExecutor(24) as pool,
    ):

        def get(_number: int) -> requests.Response:
            return requests.get(f"{site.address}/s/{token}", timeout=60)

        answers = list(pool.map(get, range(48)))

    assert sorted(one.status_code for one in answers) == [200] * 5 + [404] * 43
    assert {one.content for one in answers if one.ok} == {b"shared"}
    assert token not in site.log.read_text()
    with postgres.connect(url.rpartition("/")[2]) as connection:
        counted = connection.execute("SELECT downloads FROM sharing_sharelink")
        assert counted.fetchall() == [(5,)]
        entries = connection.execute(
            "SELECT count(*) FROM audit_entry WHERE action = 'share.download'"
        )
        assert entries.fetchall() == [(5,)]
