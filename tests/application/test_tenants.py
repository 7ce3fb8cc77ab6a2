"""Tenants and groups by API: who may see and change which."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework import serializers
from rest_framework.response import Response
from rest_framework.validators import UniqueValidator

from accounts.models import Tenant, TenantGroup, User
from api.users import MOST_ROWS, VisibleRows
from audit.models import Entry
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    INACTIVE,
    KINDS,
    NOBODY,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)

REFUSED = (NOBODY, INACTIVE)
PLAIN = (STRANGER, VIEWER, EDITOR, ADMINISTRATOR)
TENANTS, GROUPS = reverse("api:tenant-list"), reverse("api:group-list")


def send(callers: Callers, kind: str, method: str, url: str, **data: Any) -> Response:
    return getattr(callers[kind].api, method)(url, data, format="json")


def tenant_url(tenant: Tenant) -> str:
    return reverse("api:tenant-detail", args=[tenant.pk])


def group_url(group: TenantGroup) -> str:
    return reverse("api:group-detail", args=[group.pk])


def group_of(callers: Callers) -> TenantGroup:
    group = TenantGroup.objects.create(label="Writers", tenant=callers.tenant)
    group.user_set.add(callers[EDITOR].user)
    return group


@pytest.mark.parametrize("kind", KINDS)
def test_each_sees_the_same_tenants_by_list_and_by_id(
    callers: Callers, kind: str
) -> None:
    sees = {
        TENANT_ADMINISTRATOR: {"Acme"},
        OTHER_TENANT: {"Globex"},
        SUPER_TENANT: {"Acme", "Globex", "Operator"},
    }.get(kind, set())
    listed = callers[kind].api.get(TENANTS)

    if kind in REFUSED:
        assert listed.status_code == 401
    else:
        assert {one["name"] for one in listed.json()["results"]} == sees
    for tenant in Tenant.objects.all():
        status = callers[kind].api.get(tenant_url(tenant)).status_code
        absent = 401 if kind in REFUSED else 404
        assert status == (200 if tenant.name in sees else absent)


@pytest.mark.parametrize("kind", KINDS)
def test_the_operator_makes_tenants(callers: Callers, kind: str) -> None:
    response = send(callers, kind, "post", TENANTS, name="Initech", max_objects=5)

    if kind == SUPER_TENANT:
        assert response.status_code == 201, response.content
        made = Tenant.objects.get(name="Initech")
        assert (made.slug, made.max_objects, made.is_super) == ("initech", 5, False)
        assert Entry.objects.filter(action="tenant.create").count() == 1
    else:
        assert response.status_code == (401 if kind in REFUSED else 403)
        assert not Tenant.objects.filter(name="Initech").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_tenants_administrator_sets_what_is_the_tenants(
    callers: Callers, kind: str
) -> None:
    settings = send(
        callers, kind, "patch", tenant_url(callers.tenant), undo_days=3, max_versions=2
    )
    quotas = send(
        callers, kind, "patch", tenant_url(callers.tenant), undo_days=9, max_bytes=None
    )

    callers.tenant.refresh_from_db()
    absent = 401 if kind in REFUSED else 404
    if kind == TENANT_ADMINISTRATOR:
        assert (settings.status_code, quotas.status_code) == (200, 403)
        assert (callers.tenant.undo_days, callers.tenant.max_versions) == (3, 2)
    elif kind == SUPER_TENANT:
        assert (settings.status_code, quotas.status_code) == (200, 200)
        assert callers.tenant.undo_days == 9
    else:
        assert (settings.status_code, quotas.status_code) == (absent, absent)
        assert callers.tenant.undo_days == 7


def test_a_tenants_administrator_chooses_a_store_of_exports_that_is_allowed(
    callers: Callers, three_stores: None
) -> None:
    url = tenant_url(callers.tenant)

    chosen = send(callers, TENANT_ADMINISTRATOR, "patch", url, export_store="cold")
    refused = send(callers, TENANT_ADMINISTRATOR, "patch", url, export_store="own")
    callers.tenant.refresh_from_db()

    assert chosen.json()["export_store"] == callers.tenant.export_store == "cold"
    assert refused.status_code == 400
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["errors"] == {
        "export_store": ["There is no store own. There are: default, cold."]
    }
    [entry] = Entry.objects.filter(action="tenant.change")
    assert entry.details == {"fields": "export_store"}


@pytest.mark.parametrize(
    ("field", "there", "absent"),
    [("slug", "globex", "nobody"), ("store", "default", "nowhere")],
)
def test_a_tenants_administrator_learns_of_nothing_that_is_the_operators(
    callers: Callers, field: str, there: str, absent: str
) -> None:
    url = tenant_url(callers.tenant)

    answers = [
        send(callers, TENANT_ADMINISTRATOR, "patch", url, **{field: value})
        for value in (there, absent, "Not a slug")
    ]

    assert {one.status_code for one in answers} == {403}
    assert len({one.content for one in answers}) == 1


def test_a_change_that_is_no_object_is_not_valid(callers: Callers) -> None:
    for given in (["slug"], "slug", None, 1):
        api = callers[TENANT_ADMINISTRATOR].api
        response = api.patch(tenant_url(callers.tenant), given, format="json")
        assert response.status_code in {200, 400}, given


def test_a_change_of_settings_leaves_the_counts_alone(callers: Callers) -> None:
    used = Tenant.objects.get(pk=callers.tenant.pk).used_bytes
    assert used > 0

    send(callers, SUPER_TENANT, "patch", tenant_url(callers.tenant), used_bytes=0)

    assert Tenant.objects.get(pk=callers.tenant.pk).used_bytes == used


@pytest.mark.parametrize("kind", KINDS)
def test_only_an_empty_tenant_goes_and_by_the_operator(
    callers: Callers, kind: str
) -> None:
    empty = Tenant.objects.create(name="Empty", slug="empty")

    went = callers[kind].api.delete(tenant_url(empty))
    stays = callers[kind].api.delete(tenant_url(callers.tenant))

    absent = 401 if kind in REFUSED else 404
    expected = {SUPER_TENANT: (204, 409), TENANT_ADMINISTRATOR: (404, 403)}
    assert (went.status_code, stays.status_code) == expected.get(kind, (absent, absent))
    assert Tenant.objects.filter(name="Acme").exists()
    assert Tenant.objects.filter(name="Empty").exists() == (kind != SUPER_TENANT)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "Globex"},
        {"slug": "globex"},
        {"slug": "Not a slug"},
        {"store": "nowhere"},
        {"store": "staticfiles"},
        {"export_store": "nowhere"},
        {"export_store": "staticfiles"},
        {"max_bytes": -1},
        {"undo_days": 10**30},
        {"undo_days": 1_000_000},
        {"max_versions": 0},
        {"max_versions": 2**31 - 1},
    ],
)
def test_what_is_not_valid_is_told_by_field(
    callers: Callers, changed: dict[str, Any]
) -> None:
    for method, where in (("post", TENANTS), ("patch", tenant_url(callers.tenant))):
        given = changed if method == "patch" else {"name": "Initech"} | changed
        response = send(callers, SUPER_TENANT, method, where, **given)
        assert response.status_code == 400, method
        assert list(response.json()["errors"]) == list(changed)


@pytest.mark.parametrize("kind", KINDS)
def test_who_sees_and_changes_groups(callers: Callers, kind: str) -> None:
    group, viewer = group_of(callers), callers[VIEWER].user
    administers = kind in (TENANT_ADMINISTRATOR, SUPER_TENANT)
    absent = 401 if kind in REFUSED else 404

    listed = callers[kind].api.get(GROUPS)
    shown = callers[kind].api.get(group_url(group))
    changed = send(
        callers, kind, "patch", group_url(group), name="Staff", members=[viewer.pk]
    )

    group.refresh_from_db()
    assert shown.status_code == changed.status_code == (200 if administers else absent)
    if kind not in REFUSED:
        assert len(listed.json()["results"]) == administers
    expected = (
        ("Staff", [viewer]) if administers else ("Writers", [callers[EDITOR].user])
    )
    assert (group.label, list(group.user_set.all())) == expected
    gone = callers[kind].api.delete(group_url(group)).status_code
    assert gone == (204 if administers else absent)
    assert TenantGroup.objects.exists() != administers


@pytest.mark.parametrize("kind", KINDS)
def test_administrators_make_groups(callers: Callers, kind: str) -> None:
    member = callers[STRANGER if kind == TENANT_ADMINISTRATOR else kind]
    members = [] if member.account is None else [member.user.pk]

    response = send(callers, kind, "post", GROUPS, name="New", members=members)

    if kind in (TENANT_ADMINISTRATOR, OTHER_TENANT, SUPER_TENANT):
        assert response.status_code == 201, response.content
        group = TenantGroup.objects.get(pk=response.json()["id"])
        assert group.tenant == callers[kind].user.tenant
        assert response.json()["members"] == members
    else:
        assert response.status_code == (401 if kind in REFUSED else 403)
        assert not TenantGroup.objects.exists()


def test_each_tenant_has_names_of_its_own(callers: Callers) -> None:
    for kind in (TENANT_ADMINISTRATOR, OTHER_TENANT):
        assert send(callers, kind, "post", GROUPS, name="Staff").status_code == 201

    again = send(callers, TENANT_ADMINISTRATOR, "post", GROUPS, name="Staff")

    assert again.status_code == 400
    assert TenantGroup.objects.filter(label="Staff").count() == 2


@pytest.mark.parametrize("kind", [TENANT_ADMINISTRATOR, SUPER_TENANT])
def test_a_group_has_no_members_of_another_tenant(callers: Callers, kind: str) -> None:
    group, outsider = group_of(callers), callers[OTHER_TENANT].user

    response = send(
        callers, kind, "patch", group_url(group), name="Mixed", members=[outsider.pk]
    )

    assert response.status_code == 400
    group.refresh_from_db()
    assert (group.label, outsider in group.user_set.all()) == ("Writers", False)
    with pytest.raises(ValidationError), transaction.atomic():
        group.user_set.add(outsider)
    with pytest.raises(ValidationError), transaction.atomic():
        outsider.groups.add(group)


def test_a_group_stays_with_its_tenant(callers: Callers) -> None:
    group = group_of(callers)
    other: Any = callers[OTHER_TENANT].user.tenant_id

    response = send(callers, SUPER_TENANT, "patch", group_url(group), tenant=other)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["tenant"]


def test_a_group_that_goes_takes_no_user_along(callers: Callers) -> None:
    group = group_of(callers)

    callers[TENANT_ADMINISTRATOR].api.delete(group_url(group))

    assert User.objects.filter(username=EDITOR).exists()


def test_a_name_taken_at_the_same_moment_is_told(callers: Callers) -> None:
    group_of(callers)
    acme = tenant_url(callers.tenant)
    # As if the other request had not been there yet when the name was looked for.
    with (
        mock.patch.object(TenantGroup, "validate_constraints"),
        mock.patch.object(UniqueValidator, "__call__"),
    ):
        answers = [
            send(callers, SUPER_TENANT, "post", TENANTS, name="Acme", slug="new"),
            send(callers, SUPER_TENANT, "patch", acme, name="Globex"),
            send(callers, TENANT_ADMINISTRATOR, "post", GROUPS, name="Writers"),
        ]

    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["errors"] == {"name": ["The name is taken."]}


def test_a_change_of_nothing_is_written_down_nowhere(callers: Callers) -> None:
    answer = send(callers, SUPER_TENANT, "patch", tenant_url(callers.tenant))

    assert answer.status_code == 200
    assert not Entry.objects.filter(action="tenant.change").exists()


def test_a_list_of_members_is_bounded_and_looked_up_at_once(callers: Callers) -> None:
    group, viewer = group_of(callers), callers[VIEWER].user
    api = callers[SUPER_TENANT].api

    def change(members: list[Any]) -> Any:
        return api.patch(group_url(group), {"members": members}, format="json")

    with CaptureQueriesContext(connection) as few:
        assert change([viewer.pk]).json()["members"] == [viewer.pk]
    with CaptureQueriesContext(connection) as many:
        assert change([viewer.pk] * MOST_ROWS).json()["members"] == [viewer.pk]
    with CaptureQueriesContext(connection) as refused:
        response = change([viewer.pk] * (MOST_ROWS + 1))

    assert response.status_code == 400
    assert "1000" in str(response.json()["errors"]["members"])
    assert len(many) <= len(few)
    assert len(refused) < len(few)


@pytest.mark.parametrize(
    "wrong", [True, None, "x", [], {}, 0, -1, 1 << 63, "9" * 5000, 1.5]
)
@pytest.mark.parametrize("field", ["members", "groups"])
def test_what_is_no_row_is_refused(callers: Callers, field: str, wrong: Any) -> None:
    api, mine = callers[TENANT_ADMINISTRATOR].api, callers[VIEWER].user
    url = (
        group_url(group_of(callers))
        if field == "members"
        else reverse("api:user-detail", args=[mine.pk])
    )

    response = api.patch(url, {field: [wrong]}, format="json")

    assert response.status_code == 400
    assert response.json()["errors"][field]


def test_every_list_of_rows_is_bounded() -> None:
    for serializer in serializers.ModelSerializer.__subclasses__():
        if serializer.__module__.startswith("api."):
            for field in serializer().fields.values():
                assert not isinstance(field, serializers.ListSerializer), field
                if isinstance(field, serializers.ManyRelatedField):
                    assert isinstance(field, VisibleRows), field
