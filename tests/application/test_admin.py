"""The admin: each administrator manages the own tenant there, the operator all."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import people
from accounts.models import Tenant, TenantGroup, User
from audit.models import Entry
from tests.application.callers import (
    EDITOR,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)
from tests.application.mails import sent

ADMINISTRATORS = (TENANT_ADMINISTRATOR, SUPER_TENANT)


def page(model: str, view: str, *rows: Any) -> str:
    return reverse(f"admin:accounts_{model}_{view}", args=[row.pk for row in rows])


@pytest.fixture
def browsers(callers: Callers) -> dict[str, Client]:
    """A browser of each administrator, and of somebody of the staff who is none."""
    found = {}
    for kind in (*ADMINISTRATORS, OTHER_TENANT, STRANGER):
        user = callers[kind].user
        user.is_staff, user.is_superuser = True, kind == SUPER_TENANT
        user.save()
        found[kind] = Client()
        found[kind].force_login(user)
    return found


def form_of(browser: Client, url: str, **changed: Any) -> dict[str, Any]:
    """Return what a page's form sends when only that is changed."""
    form = browser.get(url).context["adminform"].form
    values = {
        name: field.value()
        for name in form.fields
        if (field := form[name]).value() is not None and field.value() is not False
    }
    given = values | changed
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("kind", "tenants", "users"),
    [
        (TENANT_ADMINISTRATOR, {"Acme"}, {VIEWER}),
        (OTHER_TENANT, {"Globex"}, set()),
        (SUPER_TENANT, {"Acme", "Globex", "Operator"}, {VIEWER}),
    ],
)
def test_each_administrator_sees_the_own_tenant(
    callers: Callers,
    browsers: dict[str, Client],
    kind: str,
    tenants: set[str],
    users: set[str],
) -> None:
    for label, name in (("Readers", "acme"), ("Owners", "globex")):
        TenantGroup.objects.create(label=label, tenant=Tenant.objects.get(slug=name))
    browser = browsers[kind]

    listed = browser.get(page("tenant", "changelist")).context["cl"].queryset
    assert {tenant.name for tenant in listed} == tenants
    people = browser.get(page("user", "changelist")).context["cl"].queryset
    assert {user.username for user in people} & {VIEWER} == users
    groups = browser.get(page("tenantgroup", "changelist")).context["cl"].queryset
    assert {group.tenant.name for group in groups} == tenants - {"Operator"}
    shown = browser.get(page("user", "change", callers[VIEWER].user))
    assert shown.status_code == (200 if users else 302)


def test_the_staff_who_are_no_administrators_see_nothing(
    callers: Callers, browsers: dict[str, Client]
) -> None:
    for model in ("tenant", "user", "tenantgroup"):
        assert browsers[STRANGER].get(page(model, "changelist")).status_code == 403
        assert browsers[STRANGER].get(page(model, "add")).status_code == 403
    assert browsers[STRANGER].get("/admin/audit/entry/").status_code == 403


def test_a_tenants_administrator_reads_its_audit(browsers: dict[str, Client]) -> None:
    assert browsers[TENANT_ADMINISTRATOR].get("/admin/audit/entry/").status_code == 200


SEARCHED = [
    model._meta.label_lower
    for model, found in admin.site._registry.items()
    if found.search_fields
]


@pytest.mark.parametrize("label", SEARCHED)
def test_a_search_of_many_words_is_of_the_first_20(
    browsers: dict[str, Client], label: str
) -> None:
    url = reverse(f"admin:{label.replace('.', '_')}_changelist")
    model = apps.get_model(label)
    words = " ".join(f"word{number}" for number in range(1500))

    with CaptureQueriesContext(connection) as asked:
        response = browsers[SUPER_TENANT].get(url, {"q": words})

    assert response.status_code == 200
    (found,) = {
        each["sql"]
        for each in asked
        if "word0" in each["sql"] and "COUNT" in each["sql"]
    }
    assert "word19" in found
    assert "word20" not in found
    assert model._meta.db_table in found


def test_a_search_takes_what_is_in_quotes_for_one_word(
    browsers: dict[str, Client], callers: Callers
) -> None:
    TenantGroup.objects.create(label="The writers", tenant=callers.tenant)
    TenantGroup.objects.create(label="writers, The", tenant=callers.tenant)
    url = page("tenantgroup", "changelist")

    response = browsers[SUPER_TENANT].get(url, {"q": '"the   writers" "The writers"'})
    assert response.context["cl"].result_count == 0
    response = browsers[SUPER_TENANT].get(url, {"q": '  "The writers"  wri '})

    assert [row.label for row in response.context["cl"].result_list] == ["The writers"]


@pytest.mark.parametrize("kind", ADMINISTRATORS)
def test_quotas_are_the_operators_to_set(
    callers: Callers, browsers: dict[str, Client], kind: str
) -> None:
    url = page("tenant", "change", callers.tenant)
    used = Tenant.objects.get(pk=callers.tenant.pk).used_bytes

    sent = form_of(browsers[kind], url) | {"undo_days": 30, "max_bytes": 1000}
    response = browsers[kind].post(url, sent)

    assert response.status_code == 302
    tenant = Tenant.objects.get(pk=callers.tenant.pk)
    assert tenant.undo_days == 30
    assert tenant.max_bytes == (1000 if kind == SUPER_TENANT else None)
    assert tenant.used_bytes == used
    assert Entry.objects.filter(action="tenant.change").count() == 1


@pytest.mark.parametrize("kind", ADMINISTRATORS)
def test_the_store_of_exports_is_one_that_is_allowed(
    callers: Callers, browsers: dict[str, Client], three_stores: None, kind: str
) -> None:
    # What was allowed once is shown as no choice, and keeps nobody from saving.
    Tenant.objects.filter(pk=callers.tenant.pk).update(export_store="gone")
    url = page("tenant", "change", callers.tenant)
    sent = form_of(browsers[kind], url)
    shown = browsers[kind].get(url).context["adminform"].form["export_store"]

    refused = browsers[kind].post(url, sent | {"export_store": "own"})
    chosen = browsers[kind].post(url, sent | {"export_store": "cold"})

    assert [str(label) for _alias, label in shown.field.choices] == [
        "The site's: default",
        "default",
        "cold",
    ]
    assert (refused.status_code, chosen.status_code) == (200, 302)
    callers.tenant.refresh_from_db()
    assert callers.tenant.export_store == "cold"


@pytest.mark.parametrize("kind", ADMINISTRATORS)
@pytest.mark.django_db(transaction=True)
def test_an_administrator_invites(kind: str) -> None:
    from tests.application.callers import make_callers

    callers = make_callers()
    user = callers[kind].user
    user.is_staff = True
    user.save()
    browser, url = Client(), page("user", "add")
    browser.force_login(user)
    group = TenantGroup.objects.create(label="Readers", tenant=user.tenant)

    given = form_of(
        browser, url, username="new", email="new@example.org", groups=[group.pk]
    )
    response = browser.post(url, given)

    assert response.status_code == 302, response.context["errors"]
    new = User.objects.get(username="new")
    assert (new.tenant, list(TenantGroup.objects.filter(user=new))) == (
        user.tenant,
        [group],
    )
    assert (new.is_staff, new.has_usable_password()) == (False, False)
    assert [one.to for one in sent()] == [["new@example.org"]]


def test_nobody_is_invited_to_a_tenant_out_of_reach(
    callers: Callers, browsers: dict[str, Client]
) -> None:
    elsewhere, url = callers[OTHER_TENANT].user.tenant_id, page("user", "add")
    browser = browsers[TENANT_ADMINISTRATOR]
    sent = form_of(browser, url, username="new", email="n@b.c", tenant=elsewhere)

    assert "tenant" in browser.post(url, sent).context["adminform"].form.errors
    assert not User.objects.filter(username="new").exists()


@pytest.mark.parametrize("kind", ADMINISTRATORS)
def test_an_administrator_changes_a_user_and_makes_nobody_mighty(
    callers: Callers, browsers: dict[str, Client], kind: str
) -> None:
    user = callers[EDITOR].user
    url = page("user", "change", user)
    password = user.password

    sent = form_of(browsers[kind], url, is_active=None, first_name="Ed")
    sent |= {
        "is_superuser": "on",
        "user_permissions": [1],
        "tenant": 1,
        "password": "x",
    }
    response = browsers[kind].post(url, sent)

    assert response.status_code == 302, response.context["errors"]
    user.refresh_from_db()
    assert (user.first_name, user.is_active, user.is_superuser) == ("Ed", False, False)
    assert (user.tenant, user.password) == (callers.tenant, password)
    assert not user.user_permissions.exists()
    assert Entry.objects.filter(action="user.change", target_id=user.pk).exists()


def test_a_group_of_another_tenant_is_refused(
    callers: Callers, browsers: dict[str, Client]
) -> None:
    group = TenantGroup.objects.create(
        label="Owners", tenant=callers[OTHER_TENANT].user.tenant
    )
    url = page("user", "change", callers[EDITOR].user)
    for kind in ADMINISTRATORS:
        sent = form_of(browsers[kind], url, groups=[group.pk])
        response = browsers[kind].post(url, sent)
        assert "groups" in response.context["adminform"].form.errors, kind

    assert not callers[EDITOR].user.groups.exists()


@pytest.mark.parametrize("kind", ADMINISTRATORS)
@pytest.mark.parametrize("lost", ["is_administrator", "is_active"])
@pytest.mark.parametrize("whom", [EDITOR, "oneself"])
def test_who_is_no_administrator_any_more_changes_nobody(
    callers: Callers,
    browsers: dict[str, Client],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    lost: str,
    whom: str,
) -> None:
    """Where they lost it after their request was let in."""
    user = callers[kind if whom == "oneself" else whom].user
    url = page("user", "change", user)
    sent = form_of(browsers[kind], url, first_name="Ed")
    lock = people.lock

    def end_before(*args: Any, **kwargs: Any) -> User:
        User.objects.filter(pk=callers[kind].user.pk).update(**{lost: False})
        return lock(*args, **kwargs)

    monkeypatch.setattr(people, "lock", end_before)

    assert browsers[kind].post(url, sent).status_code == 403

    user.refresh_from_db()
    assert user.first_name == ""


@pytest.mark.parametrize("kind", ADMINISTRATORS)
def test_nobody_locks_themselves_out(
    callers: Callers, browsers: dict[str, Client], kind: str
) -> None:
    user = callers[kind].user
    url = page("user", "change", user)

    sent = form_of(browsers[kind], url, first_name="Me")
    assert {"is_active", "is_administrator"} & set(sent) == set()
    assert browsers[kind].post(url, sent).status_code == 302

    user.refresh_from_db()
    assert (user.first_name, user.is_active, user.is_administrator) == (
        "Me",
        True,
        True,
    )


def test_a_name_of_a_group_is_taken_in_its_tenant_alone(
    callers: Callers, browsers: dict[str, Client]
) -> None:
    url = page("tenantgroup", "add")
    for kind in (TENANT_ADMINISTRATOR, OTHER_TENANT):
        sent = form_of(browsers[kind], url, label="Staff")
        assert browsers[kind].post(url, sent).status_code == 302
        again = browsers[kind].post(url, sent)
        assert "label" in again.context["adminform"].form.errors
    assert TenantGroup.objects.count() == 2


def test_links_are_sent_again(callers: Callers, browsers: dict[str, Client]) -> None:
    everybody = [callers[VIEWER].user.pk, callers[OTHER_TENANT].user.pk]
    chosen = {"action": "send_links", "_selected_action": everybody}

    url = page("user", "changelist")
    shown = browsers[TENANT_ADMINISTRATOR].post(url, chosen, follow=True)

    assert "A link will be sent to viewer@example.org." in shown.text
    assert [one.to for one in sent()] == [["viewer@example.org"]]


def test_users_are_not_deleted_here(
    callers: Callers, browsers: dict[str, Client]
) -> None:
    url = page("user", "delete", callers[VIEWER].user)

    assert browsers[SUPER_TENANT].post(url, {"post": "yes"}).status_code == 403
