"""Permissions on objects: who is let through, who grants, and what follows a change."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from guardian.shortcuts import assign_perm

from accounts import people
from accounts.erasure import erase
from accounts.models import TenantGroup, User
from audit.models import Entry
from objects import access, grants, storing
from objects.access import Access
from objects.incoming import IncomingFile
from objects.models import (
    DefaultPermission,
    GroupPermission,
    StoredObject,
    UserPermission,
)
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    INACTIVE,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
    client_of,
)
from tests.application.site import bare_environment, manage

ALL = {Access.VIEW, Access.EDIT, Access.ADMINISTER}


def held(user: User, found: StoredObject) -> set[Access]:
    return {one for one in Access if access.allows(user, found, one)}


def permissions(callers: Callers) -> str:
    return reverse("api:object-permissions", args=[callers.object.pk])


def new_object(callers: Callers, name: str) -> StoredObject:
    return storing.store(
        IncomingFile(io.BytesIO(b"new"), 3, "text/plain"),
        tenant=callers.tenant,
        user=callers[EDITOR].user,
        folder="",
        name=name,
    ).object


def group_of(callers: Callers, *kinds: str) -> TenantGroup:
    group = TenantGroup.objects.create(label="Writers", tenant=callers.tenant)
    group.user_set.add(*(callers[kind].user for kind in kinds))
    return group


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (INACTIVE, set()),
        (STRANGER, set()),
        (OTHER_TENANT, set()),
        (VIEWER, {Access.VIEW}),
        (EDITOR, {Access.VIEW, Access.EDIT}),
        (ADMINISTRATOR, ALL),
        (TENANT_ADMINISTRATOR, {Access.VIEW, Access.EDIT}),
        (SUPER_TENANT, ALL),
    ],
)
def test_each_caller_holds_what_the_docs_say(
    callers: Callers, kind: str, expected: set[Access]
) -> None:
    assert held(callers[kind].user, callers.object) == expected


def test_the_anonymous_and_the_inactive_are_refused_before_any_table_is_asked(
    callers: Callers,
) -> None:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        for user in (AnonymousUser(), callers[INACTIVE].user):
            assert not access.visible(user).exists()
            assert not access.allows(user, callers.object)

    assert len(asked) == 0


def test_permissions_of_all_objects_and_flags_say_nothing(callers: Callers) -> None:
    stranger = callers[STRANGER].user
    stranger.is_superuser = stranger.is_staff = True
    stranger.save()
    for one in Access:
        permission = Permission.objects.get(codename=one.value)
        stranger.user_permissions.add(permission)

    assert not access.visible(stranger).exists()
    assert held(stranger, callers.object) == set()


def test_a_group_s_grant_is_its_members_as_long_as_they_are_in_it(
    callers: Callers,
) -> None:
    stranger, group = callers[STRANGER].user, group_of(callers, STRANGER)
    grants.grant(callers.object, group, Access.EDIT, actor=None)
    assert held(stranger, callers.object) == {Access.VIEW, Access.EDIT}

    group.user_set.remove(stranger)

    assert held(stranger, callers.object) == set()


def test_a_member_from_another_tenant_gets_nothing_by_a_group(callers: Callers) -> None:
    group = group_of(callers)
    # Refused everywhere (accounts.membership): a row as by hand.
    outsider = callers[OTHER_TENANT].user
    User.groups.through.objects.create(user_id=outsider.pk, group_id=group.pk)
    grants.grant(callers.object, group, Access.EDIT, actor=None)

    assert held(callers[OTHER_TENANT].user, callers.object) == set()


def test_a_grant_to_another_tenant_s_group_does_not_count(callers: Callers) -> None:
    outside = callers[OTHER_TENANT].user.tenant
    group = TenantGroup.objects.create(label="Outside", tenant=outside)
    stranger = callers[STRANGER].user
    permission = Permission.objects.get(codename=Access.VIEW.value)
    # Both are refused everywhere: rows as by hand.
    User.groups.through.objects.create(user_id=stranger.pk, group_id=group.pk)
    row = GroupPermission(
        group=group, permission=permission, content_object=callers.object
    )
    GroupPermission.objects.bulk_create([row])

    assert held(stranger, callers.object) == set()
    assert "Outside" not in {one.name for one in grants.grants(callers.object)}


def test_who_moves_to_another_tenant_leaves_their_permissions_for_good(
    callers: Callers,
) -> None:
    viewer, home = callers[VIEWER].user, callers.tenant
    grants.grant_by_default(home.pk, viewer, Access.VIEW, actor=None)
    viewer.tenant = callers[OTHER_TENANT].user.tenant
    viewer.save()
    assert held(viewer, callers.object) == set()

    viewer.tenant = home
    viewer.save()

    assert held(viewer, callers.object) == set()
    assert not DefaultPermission.objects.exists()


def test_of_several_grants_the_widest_counts(callers: Callers) -> None:
    stranger, group = callers[STRANGER].user, group_of(callers, STRANGER)
    grants.grant(callers.object, group, Access.EDIT, actor=None)
    for one in (Access.VIEW, Access.ADMINISTER):
        assign_perm(one.value, stranger, callers.object)

    assert held(stranger, callers.object) == ALL
    assert access.visible(stranger).count() == 1
    listed = {one.name: one.access for one in grants.grants(callers.object)}
    assert (listed["stranger"], listed["Writers"]) == (Access.ADMINISTER, Access.EDIT)


def test_permissions_go_with_their_object(callers: Callers) -> None:
    grants.grant(callers.object, group_of(callers), Access.VIEW, actor=None)

    StoredObject.objects.filter(pk=callers.object.pk).update(current=None)
    callers.object.delete()

    assert not UserPermission.objects.exists()
    assert not GroupPermission.objects.exists()


@pytest.mark.parametrize("kind", ["user", "group"])
def test_no_way_leads_to_a_grant_across_tenants(callers: Callers, kind: str) -> None:
    other = callers[OTHER_TENANT].user
    outside = TenantGroup.objects.create(label="Outside", tenant=other.tenant)
    holder = other if kind == "user" else outside
    permission = Permission.objects.get(codename=Access.VIEW.value)
    administrator = callers[ADMINISTRATOR].api
    tenants = callers[TENANT_ADMINISTRATOR].api

    by_api = administrator.post(
        permissions(callers), {kind: holder.pk, "access": "view"}, format="json"
    )
    by_default = tenants.post(
        reverse("api:default-permission-list"),
        {kind: holder.pk, "access": "view"},
        format="json",
    )
    with pytest.raises(ValidationError):
        assign_perm(Access.VIEW.value, holder, callers.object)
    with pytest.raises(ValidationError):
        DefaultPermission.objects.create(
            tenant=callers.tenant, access="view", **{kind: holder}
        )
    site = Client()
    operator = callers[SUPER_TENANT].user
    operator.is_staff = operator.is_superuser = True
    operator.save()
    site.force_login(operator)
    by_admin = site.post(
        f"/admin/objects/{kind}permission/add/",
        {
            kind: holder.pk,
            "permission": permission.pk,
            "content_object": callers.object.pk,
        },
    )
    default_by_admin = site.post(
        "/admin/objects/defaultpermission/add/",
        {"tenant": callers.tenant.pk, kind: holder.pk, "access": "view"},
    )

    answers = (by_api, by_default, by_admin, default_by_admin)
    assert [one.status_code for one in answers] == [400] * 4
    assert not UserPermission.objects.filter(user=other).exists()
    assert not GroupPermission.objects.exists()
    assert not DefaultPermission.objects.exists()


def test_a_group_of_no_tenant_is_granted_nothing(callers: Callers) -> None:
    group = Group.objects.create(name="Everybody")

    with pytest.raises(ValidationError):
        assign_perm(Access.VIEW.value, group, callers.object)


def test_who_administers_grants_lists_and_takes_back(callers: Callers) -> None:
    api, stranger = callers[ADMINISTRATOR].api, callers[STRANGER]
    group = group_of(callers)
    url = permissions(callers)

    for given in (
        {"user": stranger.user.pk, "access": "view"},
        {"user": stranger.user.pk, "access": "edit"},
        {"group": group.pk, "access": "view"},
    ):
        assert api.post(url, given, format="json").status_code == 200

    listed = api.get(url).json()
    assert {"user": stranger.user.pk, "group": None, "name": "stranger"} | {
        "access": "edit"
    } in listed
    assert listed[-1]["group"] == group.pk
    detail = reverse("api:object-detail", args=[callers.object.pk])
    assert stranger.api.get(detail).status_code == 200
    one = reverse(
        "api:object-permission-user", args=[callers.object.pk, stranger.user.pk]
    )
    assert api.delete(one).status_code == 204
    assert api.delete(one).status_code == 404
    assert stranger.api.get(detail).status_code == 404
    actions = [
        (entry.action, entry.details.get("access"))
        for entry in Entry.objects.filter(
            actor_id=callers[ADMINISTRATOR].user.pk, action__startswith="permission"
        )
    ]
    assert actions == [
        ("permission.revoke", None),
        ("permission.grant", "view"),
        ("permission.grant", "edit"),
        ("permission.grant", "view"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"access": "view"},
        {"user": None, "access": "view"},
        {"user": 1, "group": 1, "access": "view"},
        {"user": 10**30, "access": "view"},
        {"user": -1, "access": "view"},
        {"user": "ann", "access": "view"},
        {"user": 1, "access": "own"},
        [],
        "text",
    ],
)
def test_what_names_nobody_is_a_400(callers: Callers, given: object) -> None:
    response = callers[ADMINISTRATOR].api.post(
        permissions(callers), given, format="json"
    )

    assert response.status_code == 400, response.content
    assert response.headers["Content-Type"] == "application/problem+json"


def test_somebody_has_to_administer_an_object(callers: Callers) -> None:
    creator = callers[ADMINISTRATOR]
    # One who is inactive does not count, nor a group with nobody else in it.
    group = group_of(callers, INACTIVE)
    grants.grant(callers.object, group, Access.ADMINISTER, actor=None)
    url = reverse(
        "api:object-permission-user", args=[callers.object.pk, creator.user.pk]
    )

    assert creator.api.delete(url).status_code == 409
    lower = {"user": creator.user.pk, "access": "view"}
    response = creator.api.post(permissions(callers), lower, format="json")
    assert response.status_code == 409
    assert held(creator.user, callers.object) == ALL

    group.user_set.add(callers[VIEWER].user)
    assert creator.api.delete(url).status_code == 204


def test_what_nobody_active_administers_can_be_granted_all_the_same(
    callers: Callers,
) -> None:
    people.deactivate(callers[ADMINISTRATOR].user, by=None)
    api, url = callers[SUPER_TENANT].api, permissions(callers)

    def grant(kind: str, access: str) -> int:
        given = {"user": callers[kind].user.pk, "access": access}
        return int(api.post(url, given, format="json").status_code)

    assert grant(STRANGER, "view") == 200
    assert grant(ADMINISTRATOR, "view") == 409
    assert grant(STRANGER, "administer") == 200
    assert grant(ADMINISTRATOR, "view") == 200


def test_defaults_apply_to_what_comes_later(callers: Callers) -> None:
    api, stranger = callers[TENANT_ADMINISTRATOR].api, callers[STRANGER].user
    group = group_of(callers, VIEWER)
    url = reverse("api:default-permission-list")
    for given in (
        {"user": stranger.pk, "access": "view"},
        {"user": stranger.pk, "access": "edit"},  # In the place of the first.
        {"group": group.pk, "access": "view"},
    ):
        assert api.post(url, given, format="json").status_code == 201

    later = new_object(callers, "later.txt")

    assert held(stranger, callers.object) == set()
    assert held(stranger, later) == {Access.VIEW, Access.EDIT}
    assert held(callers[VIEWER].user, later) == {Access.VIEW}
    first, second = api.get(url).json()["results"]
    assert (first["access"], second["group"]) == ("edit", group.pk)
    one = reverse("api:default-permission-detail", args=[first["id"]])
    assert api.delete(one).status_code == 204
    assert held(stranger, new_object(callers, "last.txt")) == set()
    assert held(stranger, later) == {Access.VIEW, Access.EDIT}


def test_a_tenant_s_defaults_are_its_own(callers: Callers) -> None:
    mine = grants.grant_by_default(
        callers.tenant.pk, callers[STRANGER].user, Access.VIEW, actor=None
    )
    url = reverse("api:default-permission-list")
    one = reverse("api:default-permission-detail", args=[mine.pk])
    other, operator = callers[OTHER_TENANT], callers[SUPER_TENANT]

    assert other.api.get(url).json()["results"] == []
    assert other.api.delete(one).status_code == 404
    given = {
        "tenant": callers.tenant.pk,
        "user": callers[VIEWER].user.pk,
        "access": "view",
    }
    assert other.api.post(url, given, format="json").status_code == 403
    assert operator.api.post(url, given, format="json").status_code == 201
    assert len(operator.api.get(url).json()["results"]) == 2


def test_a_list_is_as_many_queries_whatever_was_granted(callers: Callers) -> None:
    stranger = callers[STRANGER].user
    group = group_of(callers, STRANGER)
    api, url = client_of(stranger), reverse("api:object-list")

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            listed = api.get(url).json()["results"]
        assert len(listed) == StoredObject.objects.exclude(pk=callers.object.pk).count()
        return len(asked)

    few = queries()
    for number in range(30):
        made = new_object(callers, f"{number}.txt")
        holder = group if number % 2 else stranger
        grants.grant(made, holder, Access.VIEW, actor=None)

    assert queries() == few <= 5


def test_the_admin_grants_and_takes_back_and_the_audit_has_both(
    callers: Callers,
) -> None:
    operator, stranger = callers[SUPER_TENANT].user, callers[STRANGER].user
    site = operators_site(callers)

    grant_in(site, callers.object, stranger, Access.EDIT)
    granted = held(stranger, callers.object)
    row = UserPermission.objects.get(user=stranger)
    site.post(f"/admin/objects/userpermission/{row.pk}/delete/", {"post": "yes"})

    assert granted == {Access.VIEW, Access.EDIT}
    assert held(stranger, callers.object) == set()
    entries = Entry.objects.filter(actor_id=operator.pk).order_by("pk")
    assert [(one.action, one.details["user"]) for one in entries] == [
        ("permission.grant", stranger.pk),
        ("permission.revoke", stranger.pk),
    ]


def operators_site(callers: Callers) -> Client:
    """Return a browser of the operator's, for the admin."""
    operator = callers[SUPER_TENANT].user
    operator.is_staff = operator.is_superuser = True
    operator.save()
    site = Client()
    site.force_login(operator)
    return site


def grant_in(site: Client, found: StoredObject, user: User, access: Access) -> Any:
    permission = Permission.objects.get(codename=access.value)
    return site.post(
        "/admin/objects/userpermission/add/",
        {"user": user.pk, "permission": permission.pk, "content_object": found.pk},
        follow=True,
    )


def test_somebody_has_to_administer_an_object_whatever_the_admin_does(
    callers: Callers,
) -> None:
    site, creator = operators_site(callers), callers[ADMINISTRATOR].user
    UserPermission.objects.filter(user=callers[INACTIVE].user).delete()
    row = UserPermission.objects.get(user=creator)
    before = Entry.objects.count()

    refused = site.post(
        f"/admin/objects/userpermission/{row.pk}/delete/", {"post": "yes"}, follow=True
    )
    lowered = grant_in(site, callers.object, creator, Access.VIEW)

    for response in (refused, lowered):
        assert "Somebody has to administer it." in response.content.decode()
    assert held(creator, callers.object) == ALL
    assert Entry.objects.count() == before


def test_what_the_admin_grants_takes_the_place_of_what_was_there(
    callers: Callers,
) -> None:
    site, editor = operators_site(callers), callers[EDITOR].user

    grant_in(site, callers.object, editor, Access.VIEW)

    assert held(editor, callers.object) == {Access.VIEW}
    group = group_of(callers)
    for one in (Access.EDIT, Access.VIEW):
        site.post(
            "/admin/objects/grouppermission/add/",
            {
                "group": group.pk,
                "permission": Permission.objects.get(codename=one.value).pk,
                "content_object": callers.object.pk,
            },
        )
    (row,) = GroupPermission.objects.all()
    assert row.permission.codename == Access.VIEW.value
    site.post(f"/admin/objects/grouppermission/{row.pk}/delete/", {"post": "yes"})
    assert not GroupPermission.objects.exists()
    site.post(
        "/admin/objects/defaultpermission/add/",
        {"tenant": callers.tenant.pk, "user": editor.pk, "access": "view"},
    )
    default = DefaultPermission.objects.get()
    site.post(f"/admin/objects/defaultpermission/{default.pk}/delete/", {"post": "yes"})
    assert not DefaultPermission.objects.exists()
    told = [one.action for one in Entry.objects.order_by("-pk")[:6]]
    assert told == [
        "default.revoke",
        "default.grant",
        "permission.revoke",
        *["permission.grant"] * 3,
    ]


def test_the_admins_own_log_names_nobody_who_was_granted_something(
    callers: Callers,
) -> None:
    site, stranger = operators_site(callers), callers[STRANGER].user

    grant_in(site, callers.object, stranger, Access.EDIT)
    row = UserPermission.objects.get(user=stranger)
    site.post(f"/admin/objects/userpermission/{row.pk}/delete/", {"post": "yes"})
    # As a release before this one wrote it.
    LogEntry.objects.log_actions(1, [row], DELETION, single_object=True)
    erase(stranger)

    written = str(list(LogEntry.objects.values()))
    assert stranger.username not in written
    assert "plan.txt" not in written


def test_the_admin_shows_staff_their_own_tenant_s_permissions(
    callers: Callers,
) -> None:
    staff = callers[OTHER_TENANT].user
    staff.is_staff = True
    staff.save()
    for model in ("userpermission", "entry", "sharelink"):
        staff.user_permissions.add(Permission.objects.get(codename=f"view_{model}"))
    site = Client()
    site.force_login(staff)

    for path in ("objects/userpermission", "audit/entry", "sharing/sharelink"):
        page = site.get(f"/admin/{path}/")
        assert page.status_code == 200
        assert "plan.txt" not in page.content.decode()
    row = UserPermission.objects.filter(content_object=callers.object).first()
    assert row is not None
    one = f"/admin/objects/userpermission/{row.pk}/change/"
    assert site.get(one).status_code == 302  # As of what is not there.


EACH_OTHER = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from django.db import connection
from accounts.models import Tenant, User
from objects import grants
from objects.access import Access
from objects.models import StoredObject
acme = Tenant.objects.create(name="Acme", slug="acme")
users = [User.objects.create_user(name, tenant=acme) for name in ("ann", "bob")]
for number in range(10):
    found = StoredObject.objects.create(tenant=acme, name=f"{number}")
    for user in users:
        grants.grant(found, user, Access.ADMINISTER, actor=None)
    both = Barrier(2)

    def revoke(user):
        both.wait(60)
        try:
            return grants.revoke(found, user, actor=None)
        except grants.NobodyAdministers:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        results = set(threads.map(revoke, users))
    assert results == {True, None}, results
    assert len(grants.grants(found)) == 1
print("one is left each time")
"""


def test_of_two_who_take_back_each_other_s_permission_one_is_left(
    postgres_tables: Callable[[], str], tmp_path: Path
) -> None:
    environment = bare_environment(tmp_path) | {"DATABASE_URL": postgres_tables()}

    said = manage(environment, "shell", "--no-imports", "-c", EACH_OTHER)

    assert said.strip() == "one is left each time"


def test_an_object_made_meanwhile_gets_no_version_of_who_may_not_edit_it(
    callers: Callers,
) -> None:
    found = callers.object
    stranger = User.objects.get(username="stranger")

    with pytest.raises(storing.Refused):
        storing.store(
            IncomingFile(io.BytesIO(b"mine"), 4),
            tenant=found.tenant,
            user=stranger,
            folder=found.folder,
            name=found.name,
        )

    assert found.versions.count() == 1
