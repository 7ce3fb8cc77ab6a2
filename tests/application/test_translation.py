"""Texts go through gettext: with a translation that marks each, all are marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.utils import translation
from django.utils.translation import trans_real
from rest_framework.test import APIClient

from accounts.models import User
from events.models import Event
from tests.application.callers import ADMINISTRATOR, VIEWER, Callers

MARK = "⟦{}⟧"
OURS = (
    *("accounts", "objects", "api", "sharing", "audit", "uploads", "jobs"),
    "events",
)
# guardian names the fields of the first four, and the others are shown to nobody.
OTHERS = {
    *("objects.UserPermission", "objects.GroupPermission"),
    *("events.EventUserPermission", "events.EventGroupPermission"),
    *("objects.Copy", "uploads.UploadPart", "uploads.ObjectPart", "events.Arrival"),
}
NAMES_OF_THEIR_OWN = {"SHA-256", "ID"}


@pytest.fixture(autouse=True)
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pseudo-locale: every text that gettext is asked for comes back marked."""

    def mark(message: Any) -> str:
        return MARK.format(message)

    monkeypatch.setattr(trans_real, "gettext", mark)
    monkeypatch.setattr("django.utils.translation._trans.gettext", mark, raising=False)
    with translation.override("en-gb"):
        yield


def is_marked(text: Any) -> bool:
    return str(text).startswith("⟦") and str(text).endswith("⟧")


def test_models_and_their_fields_are_called_what_the_language_says() -> None:
    unmarked = []
    for model in apps.get_models():
        meta = model._meta
        if meta.app_label not in OURS or meta.label in OTHERS:
            continue
        labels = [meta.verbose_name, meta.verbose_name_plural]
        labels += [
            field.verbose_name
            for field in meta.local_fields
            if field.editable and not field.primary_key and not field.auto_created
        ]
        unmarked += [
            f"{meta.label}: {label}"
            for label in labels
            if not is_marked(label) and str(label) not in NAMES_OF_THEIR_OWN
        ]
    assert not unmarked, "\n".join(unmarked)


@pytest.mark.parametrize("path", ["/events/day/add-photo/", "/events/day/", "/files/"])
def test_what_scripts_say_is_told_in_the_language(user: User, path: str) -> None:
    Event.objects.create(
        tenant=user.tenant,
        owner=user,
        name="Day",
        slug="day",
        starts_at="2026-05-01T10:00Z",
    )
    user.is_administrator = True
    user.save()
    browser = Client()
    browser.force_login(user)

    page = browser.get(path).text

    form = re.search(r'<form[^>]*class="(?:upload|drop)[^>]*>', page)
    assert form
    said = dict(re.findall(r'data-([\w-]+)="([^"]*)"', form[0]))
    script = "events/upload.js" if "photo" in path else "pages/files.js"
    source = ""
    for one in (script, "pages/resumable.js"):
        found = finders.find(one)
        assert isinstance(found, str)
        source += Path(found).read_text()
    names = set(re.findall(r"\bwords\.(\w+)|form\.dataset\.(\w+)", source))
    wanted = {
        re.sub("[A-Z]", lambda big: f"-{big[0].lower()}", one or other)
        for one, other in names
    } - {"endpoint", "jobs", "user"}
    assert len(wanted) >= 9
    assert wanted <= set(said)
    assert [name for name in wanted if not is_marked(said[name])] == []
    # And no sentence of its own, beside what is for whoever reads it.
    code = re.sub(r"//.*", "", source).replace("use strict", "")
    assert re.findall(r"""["'`][A-Z][a-z]+ [^"'`\n]*["'`]""", code) == []


@pytest.mark.parametrize(
    "template",
    [
        *("400.html", "403.html", "403_csrf.html", "404.html", "500.html"),
        *("events/store_away.html", "events/store_gone.html", "sharing/failed.html"),
        "pages/conflict.html",
    ],
)
def test_pages_of_errors_are_in_the_language(rf: RequestFactory, template: str) -> None:
    request = rf.get("/files/?folder=papers")
    request.user = AnonymousUser()

    page = render_to_string(template, request=request)

    main = page.partition("<main")[2].partition("</main>")[0]
    said = re.findall(r"<(?:h1|p|a [^>]*)>([^<\s][^<]*)<", main)
    assert len(said) == 3
    assert all(is_marked(text) for text in said)


def test_the_page_of_a_store_that_is_away_leads_to_what_was_asked_for(
    rf: RequestFactory,
) -> None:
    sent = rf.post("/files/upload/")
    sent.META["HTTP_REFERER"] = "http://testserver/files/?folder=papers"
    for request in (rf.get("/files/?folder=papers"), sent):
        request.user = AnonymousUser()
        page = render_to_string("events/store_away.html", request=request)
        assert re.search(r'class="button" href="[^"]*/files/\?folder=papers"', page)


def test_problems_are_told_in_the_language(callers: Callers) -> None:
    api, viewer = callers[ADMINISTRATOR].api, callers[VIEWER].api
    url = f"/api/v1/objects/{callers.object.pk}/"
    text = {"content_type": "text/plain"}
    answers = [
        APIClient().get(url),
        APIClient().get("/api/v1/nothing/"),
        viewer.delete(url),
        api.get("/api/v1/objects/", {"limit": "x"}),
        api.get("/api/v1/objects/", {"cursor": "x"}),
        api.patch(url, {"name": ""}, "json"),
        api.patch(url, {"name": "a/b"}, "json"),
        api.patch(url, "<a/>", content_type="text/xml"),
        api.post(url),
        api.get(url, headers={"If-Match": '"x"'}),
        api.get(f"{url}content/", headers={"If-Match": '"x"'}),
        api.get(f"{url}content/", headers={"Range": "bytes=1000000-"}),
        api.put(f"{url}content/", b"x", headers={"Idempotency-Key": ""}, **text),
        api.put("/api/v1/content/a\\b", b"x", **text),
    ]
    for answer in answers:
        assert answer.status_code >= 400
        assert "⟦" in answer.json()["detail"], answer.json()
        for errors in answer.json().get("errors", {}).values():
            assert all("⟦" in error for error in errors), answer.json()


@pytest.mark.django_db
def test_that_nobody_can_sign_in_now_is_told_in_the_language(settings: Any) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1",
        }
    }

    told = {"username": "a", "password": "b"}
    answer = APIClient().post("/api/v1/tokens/", told, "json")

    assert answer.status_code == 503
    assert "⟦" in answer.json()["detail"]
