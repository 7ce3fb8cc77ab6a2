"""The admin's forms: staff of a tenant neither see nor use what is another's."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from accounts.models import TenantGroup
from accounts.scoping import FilteredAdmin, OwnTenantAdmin
from events.models import Event, Session, Speaker
from objects import grants
from objects.access import Access
from objects.models import DefaultPermission, GroupPermission, UserPermission
from tests.application.callers import (
    OTHER_TENANT,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)

MODELS = (
    "objects/storedobject",
    "objects/userpermission",
    "objects/grouppermission",
    "objects/defaultpermission",
    "sharing/sharelink",
    "audit/entry",
    "events/event",
    "events/speaker",
    "events/session",
)
OURS = {"accounts", "audit", "events", "jobs", "objects", "sharing", "uploads"}
READ_ONLY = {"objects/storedobject", "sharing/sharelink", "audit/entry"}
FORMS = [model for model in MODELS if model not in READ_ONLY]
NAMES = ("Acme", "plan.txt", "viewer", "Readers", "Launch", "Dr. Who", "Opening")
"""What the tenant of the object's has, and others are not to read."""


@pytest.fixture
def acmes(callers: Callers) -> dict[str, Any]:
    """Ids of one of each thing of the tenant's, by the fields of the forms."""
    group = TenantGroup.objects.create(label="Readers", tenant=callers.tenant)
    grants.grant(callers.object, group, Access.VIEW, actor=None)
    grants.grant_by_default(callers.tenant.pk, group, Access.VIEW, actor=None)
    event = Event.objects.create(
        tenant=callers.tenant, name="Launch", slug="launch", starts_at=timezone.now()
    )
    speaker = Speaker.objects.create(event=event, name="Dr. Who")
    Session.objects.create(event=event, title="Opening")
    return {
        "tenant": callers.tenant.pk,
        "user": callers[VIEWER].user.pk,
        "group": group.pk,
        "content_object": callers.object.pk,
        "event": event.pk,
        "speakers": speaker.pk,
    }


def browser_of(callers: Callers, kind: str) -> Client:
    """Return the browser of an administrator who may use every page of the admin."""
    user = callers[kind].user
    user.is_staff, user.is_superuser = True, True
    user.save()
    browser = Client()
    browser.force_login(user)
    return browser


def shown(response: Any) -> set[str]:
    """Return which of the tenant's names a page shows."""
    page = response.content.decode()
    return {name for name in NAMES if name in page}


def test_no_page_shows_names_of_another_tenant(
    callers: Callers, acmes: dict[str, Any]
) -> None:
    browser = browser_of(callers, OTHER_TENANT)

    for model in MODELS:
        assert shown(browser.get(f"/admin/{model}/")) == set(), model
    for model in FORMS:
        # As the ids of a form that somebody links to, and as those of one sent.
        linked = browser.get(f"/admin/{model}/add/", acmes)
        sent = browser.post(f"/admin/{model}/add/", acmes)
        assert (linked.status_code, shown(linked)) == (200, set()), model
        assert "errors" in sent.context, model
        assert shown(sent) - {"Launch"} == set(), model


@pytest.mark.parametrize("holder", ["user", "group"])
def test_nothing_is_granted_within_another_tenant(
    callers: Callers, acmes: dict[str, Any], holder: str
) -> None:
    models = (UserPermission, GroupPermission, DefaultPermission)
    before = [model.objects.count() for model in models]
    edit = Permission.objects.get(codename=Access.EDIT.value).pk
    browser = browser_of(callers, OTHER_TENANT)

    granted = browser.post(
        f"/admin/objects/{holder}permission/add/",
        {
            holder: acmes[holder],
            "content_object": acmes["content_object"],
            "permission": edit,
        },
    )
    by_default = browser.post(
        "/admin/objects/defaultpermission/add/",
        {holder: acmes[holder], "tenant": acmes["tenant"], "access": "edit"},
    )

    assert (granted.status_code, by_default.status_code) == (400, 400)
    assert [model.objects.count() for model in models] == before


def test_the_operator_is_shown_every_tenants_names(
    callers: Callers, acmes: dict[str, Any]
) -> None:
    browser = browser_of(callers, SUPER_TENANT)

    page = browser.get("/admin/objects/userpermission/add/", acmes)
    assert {"plan.txt", "viewer"} <= shown(page)
    assert "Launch" in shown(browser.get("/admin/events/session/add/"))


@pytest.mark.parametrize("kind", [SUPER_TENANT, TENANT_ADMINISTRATOR, OTHER_TENANT])
def test_an_object_is_looked_up_where_a_permission_names_it(
    callers: Callers, kind: str
) -> None:
    user = callers[kind].user
    user.is_staff, user.is_superuser = True, kind == SUPER_TENANT
    user.save()
    browser = Client()
    browser.force_login(user)
    version = callers.object.current
    assert version is not None
    url = f"/admin/objects/storedobject/{callers.object.pk}/change/"

    listed = browser.get("/admin/objects/storedobject/?q=plan&_popup=1")
    shown_one = browser.get(url)
    changed = browser.post(url, {"name": "other.txt"})

    assert listed.status_code == 200
    is_own = kind != OTHER_TENANT
    assert ("plan.txt" in listed.content.decode()) is is_own
    assert (shown_one.status_code == 200) is is_own
    assert (version.sha256 in shown_one.content.decode()) is is_own
    # Neither where a content is, nor a way to it.
    assert version.key not in shown_one.content.decode()
    assert changed.status_code in {302, 403}
    callers.object.refresh_from_db()
    assert callers.object.name == "plan.txt"


@pytest.mark.parametrize("kind", [SUPER_TENANT, TENANT_ADMINISTRATOR])
def test_no_form_moves_an_event_or_a_part_of_it(
    callers: Callers, acmes: dict[str, Any], kind: str
) -> None:
    globex = callers[OTHER_TENANT].user.tenant
    other = Event.objects.create(
        tenant=globex, name="Theirs", slug="theirs", starts_at=timezone.now()
    )
    speaker, event = acmes["speakers"], Event.objects.get(pk=acmes["event"])
    browser = browser_of(callers, kind)

    sent = browser.post(
        f"/admin/events/event/{event.pk}/change/",
        {
            "tenant": globex.pk,
            "name": "Changed",
            "slug": event.slug,
            "starts_at": "2026-11-29T09:00",
            "place": "Hall 1",
        },
    )
    moved = browser.post(
        f"/admin/events/speaker/{speaker}/change/",
        {"event": other.pk, "name": "Dr. Changed"},
    )

    assert (sent.status_code, moved.status_code) == (302, 302)
    event.refresh_from_db()
    assert (event.name, event.tenant) == ("Changed", callers.tenant)
    row = Speaker.objects.get(pk=speaker)
    assert (row.name, row.event) == ("Dr. Changed", event)


def test_every_admin_of_the_application_is_limited_to_the_tenant() -> None:
    from accounts.admin import Scoped

    for model, page in admin.site._registry.items():
        if model._meta.app_label in OURS:
            assert isinstance(page, OwnTenantAdmin | Scoped), model


@pytest.mark.parametrize(
    "asked",
    [
        "password__regex=^md5",
        "password__startswith=md5",
        "password__gt=a",
        "token_version=0",
        "is_active__regex=1",
        "is_active__iregex=1",
        "username__startswith=a",
        "logentry__id__gt=0",
    ],
)
def test_no_list_tells_of_what_it_does_not_show(callers: Callers, asked: str) -> None:
    user = callers[TENANT_ADMINISTRATOR].user
    user.is_staff = True
    user.save()
    browser = Client()
    browser.force_login(user)

    def status(query: str) -> int:
        return browser.get(f"/admin/accounts/user/?{query}").status_code

    assert status(asked) == 400
    assert status("is_active__exact=1&is_administrator__exact=0&q=viewer&o=1") == 200


def test_nothing_tells_staff_where_the_page_of_another_tenant_is(
    callers: Callers, acmes: dict[str, Any]
) -> None:
    event = Event.objects.get(pk=acmes["event"])
    kind = ContentType.objects.get_for_model(Event)
    asked = f"/admin/r/{kind.pk}/{event.pk}/"

    for caller in (OTHER_TENANT, TENANT_ADMINISTRATOR, SUPER_TENANT):
        assert browser_of(callers, caller).get(asked).status_code == 404

    own = browser_of(callers, TENANT_ADMINISTRATOR)
    page = own.get(f"/admin/events/event/{event.pk}/change/").text
    assert f'href="{event.get_absolute_url()}" class="viewsitelink"' in page


def test_every_filter_of_the_admin_is_offered_by_its_list(
    callers: Callers, acmes: dict[str, Any]
) -> None:
    browser = browser_of(callers, SUPER_TENANT)
    followed = 0

    for model, page in admin.site._registry.items():
        if not isinstance(page, FilteredAdmin):
            continue
        meta = model._meta
        url = f"/admin/{meta.app_label}/{meta.model_name}/"
        for asked in re.findall(r'href="(\?[^"]*__[^"]*)"', browser.get(url).text):
            assert browser.get(url + html.unescape(asked)).status_code == 200, asked
            followed += 1
        for field in meta.concrete_fields:
            lookup = f"{field.name}__regex"
            assert not page.lookup_allowed(lookup, "a", HttpRequest()), field

    assert followed > 20
