"""Objects by the API: looked at, renamed, deleted and undone, and their versions."""

from __future__ import annotations

import io
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.http import http_date
from rest_framework.test import APIClient

from accounts.models import Tenant, User
from accounts.tokens import revoke_tokens
from objects import purging, storing
from objects.conditions import Conditions, Unmet, content_etag
from objects.incoming import IncomingFile
from objects.keys import key_of
from objects.models import StoredObject, Version
from objects.moving import move_version
from objects.purging import Purged, purge
from tests.application.callers import client_of
from tests.application.stores import store_entry
from tests.conftest import requests_sent
from tests.support.s3_servers import s3_requests

pytestmark = pytest.mark.django_db

LIST = "/api/v1/objects/"


@pytest.fixture
def user() -> User:
    tenant = Tenant.objects.create(name="Acme", slug="acme", max_versions=3)
    return User.objects.create_user("ann", tenant=tenant)


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


def put(api: APIClient, path: str, content: bytes, **headers: str) -> Any:
    return api.put(
        f"/api/v1/content/{path}", content, content_type="text/plain", headers=headers
    )


def made(api: APIClient, path: str = "notes/a.txt", content: bytes = b"one") -> str:
    response = put(api, path, content)
    assert response.status_code in {200, 201}, response.content
    return f"{LIST}{response.json()['id']}/"


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def count_rightly(user: User) -> tuple[int, int]:
    """Return the bytes and objects that are counted, which are those of the rows."""
    tenant = Tenant.objects.get(pk=user.tenant_id)
    rows = Version.objects.filter(object__tenant=tenant).values_list("size", flat=True)
    assert tenant.used_bytes == sum(size or 0 for size in rows)
    assert tenant.used_objects == StoredObject.objects.filter(tenant=tenant).count()
    assert (tenant.reserved_bytes, tenant.reserved_objects) == (0, 0)
    return tenant.used_bytes, tenant.used_objects


def in_store() -> int:
    """Return how many contents the store holds."""
    storage, count = storages["default"], 0
    folders = ["tenants"]
    while folders:
        here = folders.pop()
        try:
            below, files = storage.listdir(here)
        except FileNotFoundError:
            continue
        count += len(files)
        folders += [f"{here}/{one}" for one in below]
    return count


@pytest.fixture(autouse=True)
def empty_store(settings: Any) -> None:
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "default": memory}


# Metadata


def test_an_object_is_looked_at_renamed_and_moved(api: APIClient) -> None:
    url = made(api)

    renamed = api.patch(url, {"name": "b.txt", "folder": "letters/2026"}, "json")

    assert renamed.status_code == 200
    found = api.get(url).json()
    assert (found["folder"], found["name"]) == ("letters/2026", "b.txt")
    assert (found["size"], found["version"], found["state"]) == (3, 1, "stored")
    assert body(api.get(f"{url}content/")) == b"one"


def test_a_taken_name_is_a_conflict(api: APIClient) -> None:
    made(api, "a.txt")
    url = made(api, "b.txt")

    assert api.patch(url, {"name": "a.txt"}, "json").status_code == 409
    assert api.get(url).json()["name"] == "b.txt"


def test_what_a_name_may_not_be_is_told_by_field(api: APIClient) -> None:
    response = api.patch(made(api), {"name": " a", "folder": "a//b"}, "json")

    assert response.status_code == 400
    assert set(response.json()["errors"]) == {"name", "folder"}


def test_only_who_may_edit_changes_it(api: APIClient, user: User) -> None:
    from guardian.shortcuts import assign_perm

    url = made(api)
    other = User.objects.create_user("bob", tenant=user.tenant)
    stranger = client_of(other)
    assert stranger.get(url).status_code == 404
    assert stranger.patch(url, {"name": "x"}, "json").status_code == 404

    assign_perm("view_storedobject", other, StoredObject.objects.get())

    assert stranger.get(url).status_code == 200
    for response in (
        stranger.patch(url, {"name": "x"}, "json"),
        stranger.put(f"{url}content/", b"x", content_type="text/plain"),
        stranger.delete(url),
        stranger.post(f"{url}versions/1/restore/"),
    ):
        assert response.status_code == 403


# Deletion, and undoing it


def test_a_deletion_is_undone(api: APIClient, user: User) -> None:
    url = made(api)

    assert api.delete(url).status_code == 204

    assert api.get(url).status_code == 404
    assert api.get(f"{url}content/").status_code == 404
    assert api.get(LIST).json()["results"] == []
    gone = api.get(LIST, {"deleted": "true"}).json()["results"]
    assert [one["state"] for one in gone] == ["deleted"]
    assert count_rightly(user) == (3, 1)
    usage = api.get("/api/v1/usage/").json()
    assert (usage["deleted_bytes"], usage["deleted_objects"]) == (3, 1)

    assert api.post(f"{url}restore/").status_code == 200
    assert body(api.get(f"{url}content/")) == b"one"
    assert api.post(f"{url}restore/").status_code == 404


def test_what_is_reserved_is_not_what_a_deletion_left(
    api: APIClient, user: User
) -> None:
    api.delete(made(api))
    for name in ("a.txt", "b.txt"):
        begun = storing.begin(
            tenant=user.tenant,
            user=user,
            folder="",
            name=name,
            size=70,
            content_type="",
        )
        api.delete(f"{LIST}{begun.object_id}/")

    usage = api.get("/api/v1/usage/").json()

    assert (usage["deleted_bytes"], usage["deleted_objects"]) == (3, 1)
    assert (usage["reserved_bytes"], usage["reserved_objects"]) == (140, 2)


def test_a_name_that_was_given_away_hinders_undoing(api: APIClient) -> None:
    url = made(api, "a.txt")
    api.delete(url)
    other = made(api, "a.txt", b"other")

    assert other != url
    assert api.post(f"{url}restore/").status_code == 409
    api.patch(other, {"name": "b.txt"}, "json")
    assert api.post(f"{url}restore/").status_code == 200


def test_a_purge_takes_what_can_be_undone_no_longer(
    api: APIClient, user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    url, kept = made(api, "a.txt"), made(api, "b.txt", b"stays")
    made(api, "a.txt", b"second")
    api.delete(url)

    assert purge() == Purged()
    later = timezone.now() + timedelta(days=8)
    assert purge(later) == Purged(objects=1, versions=2, bytes=9)

    assert count_rightly(user) == (5, 1)
    assert in_store() == 1
    assert api.post(f"{url}restore/").status_code == 404
    assert body(api.get(f"{kept}content/")) == b"stays"
    call_command("objects_purge")
    assert capsys.readouterr().out.startswith('{"objects": 0')


def test_a_store_that_is_away_makes_the_next_purge_go_on(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = made(api)
    api.delete(url)
    later = timezone.now() + timedelta(days=8)

    def away(name: str) -> None:
        raise ConnectionError("nothing answers there")

    with monkeypatch.context() as patch:
        patch.setattr(storages["default"], "delete", away)
        assert purge(later).failed == 1
    assert count_rightly(user) == (3, 1)
    assert api.get(LIST, {"deleted": "true"}).json()["results"] != []

    assert purge(later) == Purged(objects=1, versions=1, bytes=3)
    assert count_rightly(user) == (0, 0)
    assert in_store() == 0


def test_a_purge_reads_few_rows_at_once_and_leaves_none_out(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        api.delete(made(api, f"{number}.txt"))
    # The second and the third are as old as each other, and of two batches.
    first, *others = Version.objects.order_by("pk")
    Version.objects.filter(pk__in=[one.pk for one in others[:2]]).update(
        created_at=timezone.now() - timedelta(hours=1)
    )
    Version.objects.filter(pk=first.pk).update(
        created_at=timezone.now() - timedelta(hours=2)
    )
    delete = storages["default"].delete

    def fails_for_the_first(name: str) -> None:
        if name == first.key:
            raise ConnectionError("nothing answers there")
        delete(name)

    monkeypatch.setattr(storages["default"], "delete", fails_for_the_first)
    monkeypatch.setattr(purging, "BATCH", 2)

    with CaptureQueriesContext(connection) as queries:
        done = purge(timezone.now() + timedelta(days=8))

    assert (done.versions, done.failed) == (4, 1)
    assert [one.pk for one in Version.objects.all()] == [first.pk]
    by_age = 'ORDER BY "objects_version"."created_at"'
    read = [one["sql"] for one in queries if by_age in one["sql"]]
    assert len(read) == 4
    assert all("LIMIT 2" in sql for sql in read)


def test_what_a_purge_has_begun_to_delete_does_not_come_back(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = made(api)
    made(api, content=b"second")
    api.delete(url)
    later = timezone.now() + timedelta(days=8)
    store, current = storages["default"], StoredObject.objects.get().current
    assert current is not None
    delete = store.delete

    def away(name: str) -> None:
        raise ConnectionError("nothing answers there")

    def fails_after_the_newest(name: str) -> None:
        if name != current.key:
            raise ConnectionError("nothing answers there")
        delete(name)

    for failing in (away, fails_after_the_newest):
        with monkeypatch.context() as patch:
            patch.setattr(store, "delete", failing)
            assert purge(later).failed > 0
        assert api.post(f"{url}restore/").status_code == 404

    purge(later)
    assert count_rightly(user) == (0, 0)
    assert in_store() == 0


def test_a_tenants_failure_hinders_no_other_purge(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.delete(made(api))
    # The first by name.
    Tenant.objects.create(name="Aaa", slug="aaa")
    mark_old = purging._mark_old

    def failing(tenant: Tenant, *args: Any) -> None:
        if tenant.slug == "aaa":
            raise ValueError
        mark_old(tenant, *args)

    monkeypatch.setattr(purging, "_mark_old", failing)

    done = purge(timezone.now() + timedelta(days=8))

    assert (done.objects, done.failed) == (1, 1)
    assert in_store() == 0
    said = io.StringIO()
    with pytest.raises(CommandError) as failure:
        call_command("objects_purge", stdout=said)
    assert failure.value.returncode == 1
    assert json.loads(said.getvalue())["failed"] == 1


def test_more_days_than_a_date_has_are_the_most_there_may_be(
    api: APIClient, user: User
) -> None:
    api.delete(made(api))
    # As a database from before the limit may have it.
    Tenant.objects.update(undo_days=2**31 - 1)

    done = purge(timezone.now() + timedelta(days=3649))
    assert (done.objects, done.failed) == (0, 0)
    done = purge(timezone.now() + timedelta(days=3651))
    assert (done.objects, done.failed) == (1, 0)
    assert in_store() == 0


def test_what_arrives_in_a_deleted_object_is_refused(
    api: APIClient, user: User
) -> None:
    class Deleting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            StoredObject.objects.update(deleted_at=timezone.now())
            return super().read(size)

    made(api, "a.txt")
    content = IncomingFile(Deleting(b"late"), 4)
    with pytest.raises(storing.Deleted):
        storing.store(content, tenant=user.tenant, user=user, folder="", name="a.txt")

    assert count_rightly(user) == (3, 1)
    assert in_store() == 1


# Versions


def test_versions_are_listed_downloaded_and_restored(
    api: APIClient, user: User
) -> None:
    for content in (b"one", b"two two"):
        url = made(api, content=content)

    listed = api.get(f"{url}versions/").json()["results"]
    assert [(one["number"], one["size"]) for one in listed] == [(2, 7), (1, 3)]
    assert body(api.get(f"{url}versions/1/content/")) == b"one"
    assert api.get(f"{url}versions/9/content/").status_code == 404

    restored = api.post(f"{url}versions/1/restore/")

    assert restored.status_code == 200
    assert (restored.json()["size"], restored.json()["version"]) == (3, 3)
    assert body(api.get(f"{url}content/")) == b"one"
    listed = api.get(f"{url}versions/").json()["results"]
    assert [(one["number"], one["size"]) for one in listed] == [(3, 3), (2, 7)]
    assert count_rightly(user) == (10, 1)


def test_whoever_asks_by_date_gets_what_was_restored(
    api: APIClient, user: User, client: Client
) -> None:
    for content in (b"one", b"two two"):
        url = made(api, content=content)
    now = timezone.now().replace(microsecond=0)
    Version.objects.filter(number=1).update(created_at=now - timedelta(hours=2))
    Version.objects.filter(number=2).update(created_at=now - timedelta(hours=1))
    StoredObject.objects.update(updated_at=now - timedelta(hours=1))
    client.force_login(user)
    found = StoredObject.objects.get()
    pages = (client, f"/files/{found.pk}/download/"), (api, f"{url}content/")
    seen = [one.get(address)["Last-Modified"] for one, address in pages]
    since = {"If-Modified-Since": seen[1]}
    assert seen == [http_date((now - timedelta(hours=1)).timestamp())] * 2
    for one, address in pages:
        assert one.get(address, headers=since).status_code == 304

    api.post(f"{url}versions/1/restore/")

    for one, address in pages:
        assert body(one.get(address, headers=since)) == b"one"
    # What is not the current one is as old as it was.
    assert api.get(f"{url}versions/2/content/", headers=since).status_code == 304


def test_an_etag_is_of_one_content_where_the_database_came_from_a_backup(
    api: APIClient,
) -> None:
    url = made(api)
    seen = put(api, "notes/a.txt", b"since the backup").headers["ETag"]
    version = Version.objects.get(number=2)
    StoredObject.objects.update(current=Version.objects.get(number=1))
    version.delete()

    again = put(api, "notes/a.txt", b"after it came back").headers["ETag"]

    assert Version.objects.filter(number=2).exists()
    assert again == api.get(f"{url}content/")["ETag"] != seen
    known = {"If-None-Match": seen}
    assert body(api.get(f"{url}content/", headers=known)) == b"after it came back"


@pytest.mark.parametrize("size", [9, 3 << 20], ids=["in memory", "on disk"])
def test_a_form_cuts_no_name(api: APIClient, size: int) -> None:
    class File(io.BytesIO):
        name = f"{'n' * 300}.txt"

    response = api.post(LIST, {"file": File(b"x" * size)}, format="multipart")

    assert response.status_code == 400
    assert response.json()["detail"] == "A name has at most 255 bytes."
    assert not StoredObject.objects.exists()


def test_whoever_accepts_only_the_files_kind_gets_it(api: APIClient) -> None:
    url, only = made(api), {"Accept": "text/plain"}
    link = api.get(f"{url}content/?link=true").json()["url"]

    for address in (f"{url}content/", f"{url}versions/1/content/", link):
        assert body(api.get(address, headers=only)) == b"one"
    missing = api.get(f"{url}versions/9/content/", headers=only)
    assert (missing.status_code, missing.json()["status"]) == (404, 404)


def test_the_oldest_versions_beyond_the_limit_go(api: APIClient, user: User) -> None:
    for number in range(5):
        url = made(api, content=b"x" * (number + 1))

    listed = api.get(f"{url}versions/").json()["results"]
    assert [one["number"] for one in listed] == [5, 4, 3]
    assert api.get(f"{url}versions/1/content/").status_code == 404
    # Their bytes stay for a day, for a backup or a download that has begun.
    assert purge() == Purged()
    assert count_rightly(user) == (1 + 2 + 3 + 4 + 5, 1)
    assert in_store() == 5

    assert purge(timezone.now() + timedelta(days=1)) == Purged(versions=2, bytes=3)
    assert count_rightly(user) == (3 + 4 + 5, 1)
    assert in_store() == 3


def test_a_version_that_is_not_settled_after_all_costs_no_older_one(
    api: APIClient, user: User
) -> None:
    url = made(api)
    Tenant.objects.update(max_versions=1)
    found = StoredObject.objects.get()
    begun = storing.begin(
        tenant=user.tenant,
        user=user,
        folder=found.folder,
        name=found.name,
        size=3,
        content_type="text/plain",
    )
    content = IncomingFile(io.BytesIO(b"two"), 3)
    storing.save(begun, content)

    # As an upload does that is killed before its own transaction ends.
    with transaction.atomic():
        storing.settle(begun, content.sha256)
        transaction.set_rollback(True)

    assert body(api.get(f"{url}content/")) == b"one"


def test_a_version_that_moves_while_it_is_marked_goes_from_its_new_store(
    api: APIClient, user: User, settings: Any
) -> None:
    memory = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    settings.STORAGES = {**settings.STORAGES, "other": memory}
    made(api)
    Tenant.objects.update(max_versions=1, store="other")
    moved: list[str] = []

    def move_first(execute: Any, sql: str, params: Any, many: Any, more: Any) -> Any:
        marks = sql.startswith("UPDATE") and "going" in params
        if marks and not moved:
            old = Version.objects.get(number=1)
            moved.append(move_version(old, "other"))
            moved.append(Version.objects.get(pk=old.pk).key)
        return execute(sql, params, many, more)

    with connection.execute_wrapper(move_first):
        made(api, content=b"second")

    assert moved[0] == "moved"
    assert storages["other"].exists(moved[1])
    purge(timezone.now() + timedelta(days=2))
    assert not storages["other"].exists(moved[1])


def test_new_content_of_an_object_is_a_version(api: APIClient) -> None:
    url = made(api)
    api.patch(url, {"name": "renamed.txt"}, "json")

    response = api.put(f"{url}content/", b"new", content_type="text/x-new")

    assert response.status_code == 200
    assert response.json()["name"] == "renamed.txt"
    assert response.json()["content_type"] == "text/x-new"
    assert body(api.get(f"{url}content/")) == b"new"


# Conditions


def test_metadata_has_an_etag_that_changes_with_it(api: APIClient) -> None:
    url = made(api)
    first = api.get(url).headers["ETag"]
    assert first.startswith('"')

    assert api.get(url, headers={"If-None-Match": first}).status_code == 304
    assert api.head(url, headers={"If-None-Match": f"W/{first}"}).status_code == 304
    second = api.patch(url, {"name": "b"}, "json", headers={"If-Match": first}).headers[
        "ETag"
    ]
    assert second != first
    made(api, "notes/b", b"other content")
    third = api.get(url).headers["ETag"]
    assert third != second
    for tag in (first, second, f"W/{third}", "x"):
        seen = {"If-Match": tag}
        for response in (
            api.get(url, headers=seen),
            api.patch(url, {"name": "c"}, "json", headers=seen),
            api.delete(url, headers=seen),
        ):
            assert response.status_code == 412, tag
            assert response.headers["Content-Type"] == "application/problem+json"
    assert api.delete(url, headers={"If-Match": third}).status_code == 204


def test_content_has_an_etag_of_its_own(api: APIClient) -> None:
    url = f"{made(api)}content/"
    first = api.get(url).headers["ETag"]

    assert api.get(url, headers={"If-None-Match": first}).status_code == 304
    assert api.head(url).headers["ETag"] == first
    part = api.get(url, headers={"Range": "bytes=1-1", "If-Range": first})
    assert (part.status_code, body(part)) == (206, b"n")
    new = {"content_type": "text/plain", "headers": {"If-Match": first}}
    second = api.put(url, b"two", **new)
    assert second.status_code == 200
    assert second.headers["ETag"] == api.get(url).headers["ETag"] != first
    assert api.put(url, b"three", **new).status_code == 412
    assert put(api, "notes/a.txt", b"x", **{"If-Match": first}).status_code == 412
    assert api.get(url, headers={"If-Match": first}).status_code == 412
    assert body(api.get(url)) == b"two"


def test_nothing_is_made_over_what_is_there(api: APIClient) -> None:
    new = {"If-None-Match": "*"}
    assert put(api, "a", b"first", **new).status_code == 201
    assert put(api, "a", b"second", **new).status_code == 412
    file = io.BytesIO(b"third")
    file.name = "a"
    response = api.post(LIST, {"file": file}, format="multipart", headers=new)
    assert response.status_code == 412
    assert put(api, "b", b"x", **{"If-Match": "*"}).status_code == 412
    assert Version.objects.count() == 1


def test_the_first_content_is_created_though_an_earlier_one_was_begun(
    api: APIClient, user: User
) -> None:
    begun = storing.begin(
        tenant=user.tenant,
        user=user,
        folder="",
        name="a.txt",
        size=4,
        content_type="text/plain",
    )

    created = put(api, "a.txt", b"one", **{"If-None-Match": "*"})

    assert (created.status_code, created.json()["version"]) == (201, 2)
    assert "Location" in created.headers
    storing.abandon(begun)
    assert put(api, "a.txt", b"two").status_code == 200


def test_a_condition_is_looked_at_once_more_when_the_content_is_there(
    api: APIClient, user: User
) -> None:
    made(api, "a.txt")
    seen = content_etag(Version.objects.get())
    made(api, "a.txt", b"meanwhile")

    with pytest.raises(Unmet):
        storing.store(
            IncomingFile(io.BytesIO(b"late"), 4),
            tenant=user.tenant,
            user=user,
            folder="",
            name="a.txt",
            conditions=Conditions(match=(str(seen),)),
        )

    assert count_rightly(user) == (3 + 9, 1)
    assert in_store() == 2


# Links


def test_a_link_gives_the_content_to_whoever_has_it(api: APIClient, user: User) -> None:
    content = os.urandom(3000)
    url = made(api, "a.bin", content)

    link = api.get(f"{url}content/", {"link": "true"}).json()

    nobody = APIClient()
    assert body(nobody.get(link["url"])) == content
    part = nobody.get(link["url"], headers={"Range": "bytes=0-9"})
    assert (part.status_code, body(part)) == (206, content[:10])
    assert nobody.get(link["url"][:-3] + "xx/").status_code == 404
    user.token_version += 1
    user.save()
    assert nobody.get(link["url"]).status_code == 404


@pytest.mark.parametrize("change", ["password", "revocation", "deactivation"])
def test_a_link_ends_with_the_tokens_of_whose_it_is(
    api: APIClient, user: User, change: str
) -> None:
    url = f"{made(api)}content/"
    link = api.get(url, {"link": "true"}).json()["url"]
    assert APIClient().get(link).status_code == 200

    if change == "password":
        user.set_password("another one of theirs")
        user.save()
    elif change == "revocation":
        revoke_tokens(user, by=user)
    else:
        user.is_active = False
        user.save()

    assert APIClient().get(link).status_code == 404


def test_a_link_ends(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    url = made(api)
    link = api.get(f"{url}content/", {"link": "true"}).json()["url"]
    monkeypatch.setattr("api.links.LIFETIME", timedelta(seconds=-1))

    assert APIClient().get(link).status_code == 404


def test_a_link_is_of_its_version_and_ends_with_the_object(api: APIClient) -> None:
    url = made(api)
    link = api.get(f"{url}versions/1/content/", {"link": "true"}).json()["url"]
    made(api, content=b"newer")

    assert body(APIClient().get(link)) == b"one"
    api.delete(url)
    assert APIClient().get(link).status_code == 404


def test_a_list_has_links_where_they_are_asked_for(api: APIClient) -> None:
    made(api)

    (plain,) = api.get(LIST).json()["results"]
    (linked,) = api.get(LIST, {"links": "true"}).json()["results"]

    assert plain["link"] is None
    assert body(APIClient().get(linked["link"])) == b"one"


@pytest.mark.parametrize("kind", ["grid", "s3"])
def test_a_list_with_links_asks_no_store(
    api: APIClient,
    user: User,
    kind: str,
    settings: Any,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """A figure that is a test: 100 objects with links, and no request to the store."""
    default = store_entry(kind, tmp_path, request)
    settings.STORAGES = {**settings.STORAGES, "default": default}
    made(api, "real.txt", b"content" * 20)
    more = [StoredObject(tenant=user.tenant, name=str(number)) for number in range(99)]
    StoredObject.objects.bulk_create(more)
    for row in more:
        row.current = Version(
            object=row, number=1, size=9, state="stored", store="default"
        )
        row.current.key = key_of(row.current)
    Version.objects.bulk_create([row.current for row in more if row.current])
    StoredObject.objects.bulk_update(more, ["current"])
    User.objects.update(is_administrator=True)

    requests = requests_sent() if kind == "grid" else s3_requests(storages["default"])
    with requests as sent:
        with CaptureQueriesContext(connection) as queries:
            found = api.get(LIST, {"links": "true"}).json()["results"]
        assert not sent
        assert len({one["link"] for one in found}) == 100
        assert len(queries) <= 5
        # One that were sent would be seen.
        (link,) = (one["link"] for one in found if one["name"] == "real.txt")
        assert body(APIClient().get(link)) == b"content" * 20
        assert sent
