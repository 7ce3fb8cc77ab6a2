"""Filters of lists: what they find, and that they tell nothing of other tenants."""

from __future__ import annotations

import unicodedata
import uuid
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote

import pytest
from django.http import QueryDict
from django.urls import get_resolver, reverse
from django.utils import timezone
from django_filters import ModelChoiceFilter, ModelMultipleChoiceFilter
from rest_framework.filters import SearchFilter

from accounts.models import TenantGroup
from api.filters import Filters, NormalSearch
from pages.listing import ListedFolder, objects_in
from sharing import links
from tests.application.callers import (
    ADMINISTRATOR,
    OTHER_TENANT,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)

NOBODYS = 123_456_789
LISTS = (
    ("object-list", "owner"),
    ("user-list", "tenant"),
    ("user-list", "groups"),
    ("group-list", "tenant"),
    ("share-list", "created_by"),
    ("share-list", "object"),
)


def ids(callers: Callers, kind: str) -> dict[str, Any]:
    """Return the ids of what that caller's tenant has, by the names of filters."""
    user = callers[kind].user
    label = f"Friends of {kind}"
    group = TenantGroup.objects.create(label=label, tenant=user.tenant)
    user.groups.add(group)
    return {
        "owner": user.pk,
        "created_by": user.pk,
        "tenant": user.tenant_id,
        "groups": group.pk,
        "object": callers.object.pk,
    }


@pytest.mark.parametrize(("name", "field"), LISTS)
def test_ids_of_another_tenant_are_as_nobodys(
    callers: Callers, name: str, field: str
) -> None:
    there = ids(callers, ADMINISTRATOR)[field]
    nobodys = uuid.uuid4() if field == "object" else NOBODYS
    api, url = callers[OTHER_TENANT].api, reverse(f"api:{name}")

    answers = [api.get(url, {field: value}) for value in (there, nobodys)]

    assert [one.status_code for one in answers] == [200, 200]
    assert [one.json()["results"] for one in answers] == [[], []]
    assert api.get(url, {field: "x"}).status_code == 400


@pytest.mark.parametrize(("name", "field"), LISTS)
def test_ids_of_the_own_tenant_find_their_rows(
    callers: Callers, name: str, field: str
) -> None:
    links.create(
        callers.object,
        callers[ADMINISTRATOR].user,
        expires_at=timezone.now() + timedelta(days=1),
        max_downloads=None,
    )
    mine, url = ids(callers, ADMINISTRATOR), reverse(f"api:{name}")

    for kind in (TENANT_ADMINISTRATOR, SUPER_TENANT):
        found = callers[kind].api.get(url, {field: mine[field]}).json()["results"]
        everything = callers[kind].api.get(url).json()["results"]
        assert 0 < len(found) <= len(everything)
    if field in {"owner", "created_by", "groups"}:
        others = ids(callers, VIEWER)[field]
        found = callers[TENANT_ADMINISTRATOR].api.get(url, {field: others}).json()
        assert VIEWER in str(found) if field == "groups" else found["results"] == []


@pytest.mark.parametrize(
    "asked",
    ["folder=", "folder__startswith=", "search=", "name="],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_paths_are_found_in_either_form_of_their_letters(
    callers: Callers, asked: str, form: Literal["NFC", "NFD"]
) -> None:
    api, made = callers[ADMINISTRATOR].api, unicodedata.normalize("NFD", "Entwürfe")
    url = f"/api/v1/content/{quote(made)}/{quote(made)}"
    assert api.put(url, b"x", content_type="text/plain").status_code == 201

    sought = quote(unicodedata.normalize(form, "Entwürfe"))
    listed = api.get(f"{reverse('api:object-list')}?{asked}{sought}").json()

    (found,) = listed["results"]
    assert found["name"] == unicodedata.normalize("NFC", made)
    page = ListedFolder.of(QueryDict(f"q={sought}"))
    assert objects_in(callers[ADMINISTRATOR].user, page).get().name == found["name"]


def views(patterns: Any = None) -> list[Any]:
    """Return the API's views."""
    found = []
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if hasattr(pattern, "url_patterns"):
            found += views(pattern.url_patterns)
        elif view := getattr(pattern.callback, "cls", None):
            found.append(view)
    return found


@pytest.mark.django_db
def test_no_list_looks_rows_up_for_its_filters() -> None:
    seen = 0
    for view in views():
        if getattr(view, "queryset", None) is None:
            continue
        made = Filters().get_filterset_class(view, view.queryset)
        for one in made.base_filters.values() if made else ():
            seen += 1
            looks_up = ModelChoiceFilter | ModelMultipleChoiceFilter
            assert not isinstance(one, looks_up), (view, one.field_name)
    assert seen > 20


WORDS = ("+".join("a" * 1_500), "a,a " * 1_500, "+".join("a" * 21))
SEARCHED = ("object", "user", "tenant", "export", "group")


@pytest.mark.parametrize("words", WORDS, ids=["words", "commas", "21"])
@pytest.mark.parametrize("name", SEARCHED)
def test_a_search_of_too_many_words_is_refused(
    callers: Callers, name: str, words: str
) -> None:
    api, url = callers[SUPER_TENANT].api, reverse(f"api:{name}-list")

    refused = api.get(f"{url}?search={quote(words, safe='+')}")
    taken = api.get(f"{url}?search={'+'.join('a' * 20)}")

    assert refused.status_code == 400, refused.content
    assert "20 words" in str(refused.json()["errors"]["search"])
    assert taken.status_code == 200, taken.content


@pytest.mark.django_db
def test_every_list_that_is_searched_has_the_bound() -> None:
    searched = [view for view in views() if getattr(view, "search_fields", None)]

    assert len(searched) >= len(SEARCHED)
    for view in searched:
        assert NormalSearch in view.filter_backends
        assert SearchFilter not in view.filter_backends


def test_a_page_searches_for_the_first_words(callers: Callers) -> None:
    page = ListedFolder.of(QueryDict(f"q={'+'.join(['p'] * 100)}"))

    found = objects_in(callers[ADMINISTRATOR].user, page)

    assert str(found.query).count("LIKE") == 2 * 20
    assert callers.object in found
