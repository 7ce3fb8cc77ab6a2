"""Two administrators who change one user, or one tenant, at the same time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from accounts.models import Tenant, TenantGroup, User
from tests.application.callers import (
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)
from tests.application.site import Environment, bare_environment, manage, served
from tests.application.test_two_writers import WRITERS, ask, together

CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "user": ({"first_name": "Zoë"}, {"is_administrator": True}),
    "tenant": ({"undo_days": 3}, {"name": "Acme & Co"}),
    "group": ({"name": "Editors"}, {"members": []}),
}


def url_of(callers: Callers, thing: str) -> str:
    if thing == "group":
        group = TenantGroup.objects.create(label="Readers", tenant=callers.tenant)
        group.user_set.add(callers[VIEWER].user)
        return reverse("api:group-detail", args=[group.pk])
    pk = callers[VIEWER].user.pk if thing == "user" else callers.tenant.pk
    return reverse(f"api:{thing}-detail", args=[pk])


@pytest.mark.parametrize("thing", CHANGES)
def test_the_second_of_two_who_saw_the_same_is_told(
    callers: Callers, thing: str
) -> None:
    url, (mine, theirs) = url_of(callers, thing), CHANGES[thing]
    me, other = callers[TENANT_ADMINISTRATOR].api, callers[SUPER_TENANT].api
    seen, also = me.get(url).headers["ETag"], other.get(url).headers["ETag"]

    first = other.patch(url, theirs, format="json", headers={"If-Match": also})
    second = me.patch(url, mine, format="json", headers={"If-Match": seen})

    assert (first.status_code, second.status_code) == (200, 412)
    now = me.get(url)
    assert now.json().items() >= theirs.items()
    assert now.headers["ETag"] == first.headers["ETag"] != seen
    # Whoever has looked again may, and whoever says nothing.
    headers = {"If-Match": now.headers["ETag"]}
    assert me.patch(url, mine, format="json", headers=headers).status_code == 200
    assert me.patch(url, theirs, format="json").status_code == 200
    assert me.get(url).json().items() >= (mine | theirs).items()


@pytest.mark.parametrize("thing", CHANGES)
def test_nobody_removes_what_another_has_changed(callers: Callers, thing: str) -> None:
    url, operator = url_of(callers, thing), callers[SUPER_TENANT].api
    seen = {"If-Match": operator.get(url).headers["ETag"]}
    operator.patch(url, CHANGES[thing][0], format="json")

    assert operator.delete(url, headers=seen).status_code == 412
    assert User.objects.get(pk=callers[VIEWER].user.pk).is_active


def test_membership_counts_and_what_changes_by_itself_does_not(
    callers: Callers,
) -> None:
    user, tenant = url_of(callers, "user"), url_of(callers, "tenant")
    api = callers[SUPER_TENANT].api
    seen = [api.get(url).headers["ETag"] for url in (user, tenant)]

    User.objects.update(last_login=timezone.now())
    Tenant.objects.update(used_bytes=F("used_bytes") + 1)
    assert [api.get(url).headers["ETag"] for url in (user, tenant)] == seen
    group = TenantGroup.objects.create(label="Writers", tenant=callers.tenant)
    group.user_set.add(callers[VIEWER].user)
    assert api.get(user).headers["ETag"] != seen[0]


def test_of_many_at_once_one_changes_it(
    postgres_tables: Callable[[], str], tmp_path: Path
) -> None:
    """On PostgreSQL, where requests do run at the same time."""
    environment: Environment = bare_environment(tmp_path) | {
        "DATABASE_URL": postgres_tables(),
        "GUNICORN_CMD_ARGS": "--workers=1 --threads=8",
    }
    manage(
        environment,
        *("createsupertenant", "--no-input", "--tenant=Acme"),
        *("--username=ann", "--email=ann@example.org"),
    )
    with served(environment, tmp_path / "site.log") as site:
        send: Any = ask(site, environment)
        for path, field in (("users/me/", "first_name"), ("tenants/1/", "name")):
            sent = field, {"If-Match": send("GET", path).headers["ETag"]}

            def write(number: int, path: str = path, sent: Any = sent) -> Any:
                data = {sent[0]: f"Number {number}"}
                return send("PATCH", path, json=data, headers=sent[1])

            answers = together(write)
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses == [200] + [412] * (WRITERS - 1)
