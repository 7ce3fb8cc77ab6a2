"""A path is a file's or a folder's, however it comes to be."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Tenant, User
from objects.models import StoredObject
from tests.application.callers import client_of
from tests.application.test_tus import CREATE, metadata, tus

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


def put(api: APIClient, path: str) -> Any:
    return api.put(f"/api/v1/content/{path}", b"x", content_type="text/plain")


def change(api: APIClient, made: Any, **names: str) -> Any:
    return api.patch(f"/api/v1/objects/{made.json()['id']}/", names, format="json")


def paths() -> set[str]:
    found = StoredObject.objects.filter(deleted_at=None)
    return {one.path for one in found}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "a/b"),
        ("a", "a/b/c"),
        ("a/b", "a/b/c/d"),
        ("a/b", "a"),
        ("a/b/c", "a"),
        ("a/b/c/d", "a/b"),
    ],
)
def test_no_file_is_where_a_folder_is(
    api: APIClient, user: User, first: str, second: str
) -> None:
    assert put(api, first).status_code == 201
    folder, _, name = second.rpartition("/")

    refused = put(api, second)
    begun: Any = tus(
        api,
        "POST",
        CREATE,
        upload_length=5,
        upload_metadata=metadata(filename=name, folder=folder),
    )
    other = put(api, "other")
    renamed = change(api, other, folder=folder, name=name)

    for answer in (refused, begun, renamed):
        assert answer.status_code == 409, answer.content
        assert "folder" in answer.json()["detail"]
    assert paths() == {first, "other"}
    tenant = Tenant.objects.get(pk=user.tenant_id)
    assert (tenant.used_objects, tenant.reserved_objects) == (2, 0)


@pytest.mark.parametrize("second", ["ab/c", "a b", "A/b", "b", "b_", "a%/b", "a_/b"])
def test_what_only_looks_like_it_is_no_folder(api: APIClient, second: str) -> None:
    for path in ("a", "a.txt", "aX", "B/x", "b%/x"):
        assert put(api, path).status_code == 201

    quoted = second.replace("%", "%25")

    assert put(api, quoted).status_code == 201


def test_another_version_and_another_tenant_are_not_in_the_way(
    api: APIClient,
) -> None:
    assert put(api, "a").status_code == 201
    other = User.objects.create_user(
        "bob", tenant=Tenant.objects.create(name="B", slug="b")
    )

    assert put(client_of(other), "a/b").status_code == 201
    assert put(api, "a").status_code == 200


def test_a_deletion_is_not_undone_where_a_folder_is_by_now(api: APIClient) -> None:
    made = put(api, "a")
    url = f"/api/v1/objects/{made.json()['id']}/"
    assert api.delete(url).status_code == 204
    assert put(api, "a/b").status_code == 201

    assert api.post(f"{url}restore/").status_code == 409

    assert paths() == {"a/b"}
