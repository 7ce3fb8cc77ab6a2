"""Requests with an Idempotency-Key: once, however often they come."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import Model
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.erasure import erase
from accounts.models import Tenant, TenantGroup, User
from api import idempotency
from api.models import OnceRequest
from exports.models import Export
from objects import purging, storing
from objects.incoming import IncomingFile
from objects.models import DefaultPermission, StoredObject, Version
from sharing.models import ShareLink
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    Callers,
    client_of,
)
from tests.application.mails import sent
from uploads import processes
from uploads.models import Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


def put(api: APIClient, content: bytes = b"one", path: str = "a", **more: Any) -> Any:
    return api.put(
        f"/api/v1/content/{path}",
        content,
        content_type=more.get("content_type", "text/plain"),
        headers={"Idempotency-Key": more.get("key", "k1")},
    )


def post(api: APIClient, content: bytes = b"one", **fields: str) -> Any:
    file = io.BytesIO(content)
    file.name = "a"
    return api.post(
        "/api/v1/objects/",
        {"file": file, **fields},
        format="multipart",
        headers={"Idempotency-Key": "k1"},
    )


@pytest.mark.parametrize("send", [put, post])
def test_a_repeat_gives_the_first_result(api: APIClient, send: Any) -> None:
    first = send(api)
    again = send(api)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    for name in ("ETag", "Location"):
        assert again.headers[name] == first.headers[name]
    assert Version.objects.count() == 1


def test_new_content_of_an_object_is_stored_once(api: APIClient) -> None:
    url = f"/api/v1/objects/{put(api, key='other').json()['id']}/content/"
    for _ in range(2):
        response = api.put(
            url, b"new", content_type="a/b", headers={"Idempotency-Key": "k"}
        )
        assert (response.status_code, response.json()["version"]) == (200, 2)

    assert Version.objects.count() == 2


@pytest.mark.parametrize(
    "other",
    [
        {"content": b"two"},
        {"content": b"longer"},
        {"path": "b"},
        {"content_type": "text/html"},
    ],
)
def test_another_request_of_the_key_is_refused(
    api: APIClient, other: dict[str, Any]
) -> None:
    put(api)

    assert put(api, **other).status_code == 422
    assert Version.objects.count() == 1


def test_other_fields_of_a_form_are_another_request(api: APIClient) -> None:
    post(api)

    assert post(api, folder="elsewhere").status_code == 422
    assert post(api, content=b"two").status_code == 422


def test_a_key_is_its_users_own(api: APIClient, user: User) -> None:
    put(api)
    bob = User.objects.create_user("bob", tenant=user.tenant)

    assert put(client_of(bob), path="b").status_code == 201


def test_a_repeat_while_the_first_is_under_way_is_told_so(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    read = IncomingFile.read

    def reading(self: IncomingFile, size: int | None = None) -> bytes:
        if not seen:
            seen.append(0)
            seen[0] = put(api).status_code
        return read(self, size)

    monkeypatch.setattr(IncomingFile, "read", reading)

    assert put(api).status_code == 201
    assert seen == [409]


def test_what_failed_is_tried_again(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            "objects.storing.save", lambda *_: (_ for _ in ()).throw(OSError("away"))
        )
        assert put(api).status_code == 503
    assert put(api).status_code == 201


def test_a_killed_process_blocks_its_key_for_a_lease_only(
    api: APIClient, user: User
) -> None:
    put(api)
    # As the process leaves it that is killed before the content is stored.
    OnceRequest.objects.update(status=None, body=None, content="")
    StoredObject.objects.all().delete()
    assert put(api).status_code == 409

    ended = timezone.now() - timedelta(seconds=1)
    OnceRequest.objects.update(lease_ends=ended)

    assert put(api).status_code == 201
    assert put(api).status_code == 201
    assert Version.objects.count() == 1


def test_a_killed_process_of_the_same_host_blocks_its_key_no_longer(
    api: APIClient,
) -> None:
    put(api)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    ) as it:
        OnceRequest.objects.update(
            status=None,
            body=None,
            content="",
            lease_ends=timezone.now() + idempotency.LEASE,
            leased_by=processes.name_of(it.pid),
        )
        assert put(api).status_code == 409
        it.kill()

    assert put(api).status_code == 201
    assert OnceRequest.objects.get().leased_by == processes.name_of(os.getpid())
    assert Version.objects.count() == 1


class Killed(BaseException):
    """The process ends here."""


def test_what_a_killed_process_has_stored_is_not_stored_again(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = storing.store

    def killed(*args: Any, **options: Any) -> None:
        store(*args, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(storing, "store", killed)
        with pytest.raises(Killed):
            put(api)

    repeated = put(api)

    assert repeated.status_code == 201
    assert repeated.json()["version"] == 1
    assert Version.objects.count() == 1


@pytest.mark.usefixtures("own_store")
@pytest.mark.parametrize("is_settled", [False, True])
def test_what_a_killed_process_has_sent_to_the_store_is_stored_once(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, is_settled: bool
) -> None:
    with monkeypatch.context() as patch:

        def killed(*args: Any, **options: Any) -> None:
            # Nothing else of it runs any more.
            patch.setattr(storing, "abandon", lambda version: None)
            patch.setattr(idempotency, "_mine", lambda mark: OnceRequest.objects.none())
            raise Killed

        patch.setattr(storing, "settle_within", killed)
        with pytest.raises(Killed):
            put(api)
    OnceRequest.objects.update(lease_ends=timezone.now())
    if is_settled:
        sweep()

    repeated = put(api)

    assert repeated.status_code == 201
    assert put(api).json() == repeated.json()
    assert put(api, b"two").status_code == 422
    sweep()
    version = Version.objects.get()
    assert (version.state, version.sha256) == ("stored", repeated.json()["sha256"])
    assert [one.key for one in OnceRequest.objects.all()] == ["k1"]


def sweep() -> None:
    call_command("objects_sweep", older_than=0, force=True, stdout=io.StringIO())


def test_results_are_kept_for_a_day_whoever_comes_again(api: APIClient) -> None:
    put(api)
    call_command("objects_purge", stdout=io.StringIO())
    assert OnceRequest.objects.count() == 1

    OnceRequest.objects.update(created_at=timezone.now() - timedelta(hours=25))
    call_command("objects_purge", stdout=io.StringIO())

    assert not OnceRequest.objects.exists()


@pytest.mark.usefixtures("own_store")
def test_results_name_nobody_who_was_erased(api: APIClient, user: User) -> None:
    put(api, path="letters/of-ann")
    editor = User.objects.create_user("bob", tenant=user.tenant, is_administrator=True)
    assert put(client_of(editor), b"two", path="letters/of-ann").status_code == 200
    assert put(client_of(editor), b"two", path="b", key="k2").status_code == 201
    assert "of-ann" not in str(list(OnceRequest.objects.values()))

    assert erase(user).left == []

    assert [one.key for one in OnceRequest.objects.all()] == ["k2"]


@pytest.mark.usefixtures("own_store")
def test_results_name_nothing_that_was_purged_of_who_was_erased(
    api: APIClient, user: User
) -> None:
    put(api, path="letters/of-ann")
    editor = User.objects.create_user("bob", tenant=user.tenant, is_administrator=True)
    assert put(client_of(editor), b"two", path="letters/of-ann").status_code == 200
    long_ago = timezone.now() - timedelta(days=1000)
    StoredObject.objects.update(deleted_at=long_ago)
    assert purging.purge().objects == 1

    assert erase(user).left == []

    assert not OnceRequest.objects.exists()


def test_the_result_of_an_invitation_goes_with_who_was_invited(
    callers: Callers,
) -> None:
    bob = User.objects.get(pk=make(callers, "users/").json()["id"])
    OnceRequest.objects.update(key="k2")
    assert make(callers, "users/", username="carol").status_code == 201

    assert erase(bob).left == []

    kept = OnceRequest.objects.values_list("key", "person__username")
    assert list(kept) == [("k1", "carol")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("while_it", ["arrives", "is stored"])
def test_the_lease_is_renewed_until_the_response_is_there(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, while_it: str
) -> None:
    monkeypatch.setattr(idempotency, "RENEWED", 0.01)
    seen: list[int] = []

    def held_up() -> None:
        """Outlast the lease, if nobody renews it."""
        if not seen:
            OnceRequest.objects.update(lease_ends=timezone.now())
            deadline = time.monotonic() + 60
            while ends() <= timezone.now() and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(0)
            seen[0] = put(api).status_code

    read, save = IncomingFile.read, storing.save

    def reading(self: IncomingFile, size: int | None = None) -> bytes:
        held_up()
        return read(self, size)

    def saving(*args: Any) -> None:
        save(*args)
        held_up()

    if while_it == "arrives":
        monkeypatch.setattr(IncomingFile, "read", reading)
    else:
        monkeypatch.setattr("objects.storing.save", saving)

    assert put(api).status_code == 201
    assert seen == [409]
    assert Version.objects.count() == 1


def ends() -> datetime:
    return OnceRequest.objects.get().lease_ends


def test_of_two_at_once_one_is_stored_whoever_was_held_up(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = storing.save
    others: list[Any] = []

    def held_up(*args: Any) -> None:
        """As a process that stands still for longer than its lease."""
        save(*args)
        if not others:
            OnceRequest.objects.update(lease_ends=timezone.now())
            others.append(None)
            others[0] = put(api)

    monkeypatch.setattr("objects.storing.save", held_up)

    assert put(api).status_code == 409
    assert others[0].status_code == 201
    assert Version.objects.count() == 1
    assert put(api).json() == others[0].json()
    user.tenant.refresh_from_db()
    assert (user.tenant.used_bytes, user.tenant.reserved_bytes) == (3, 0)
    assert (user.tenant.used_objects, user.tenant.reserved_objects) == (1, 0)


def test_a_key_is_kept_for_a_day(api: APIClient) -> None:
    put(api)
    OnceRequest.objects.update(created_at=timezone.now() - timedelta(hours=25))

    assert put(api, b"another", key="k2").status_code == 200
    assert [one.key for one in OnceRequest.objects.all()] == ["k2"]
    assert put(api, b"a third").status_code == 200


def test_a_key_is_kept_for_a_day_from_the_response_on(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = storing.save

    def slowly(*args: Any) -> None:
        """As one that takes more than a day, while others come and old ones go."""
        monkeypatch.setattr(storing, "save", save)
        OnceRequest.objects.update(created_at=timezone.now() - timedelta(hours=25))
        assert put(api, key="k2", path="b").status_code == 201
        call_command("objects_purge", stdout=io.StringIO())
        save(*args)

    monkeypatch.setattr(storing, "save", slowly)

    first = put(api)

    assert first.status_code == 201
    assert put(api, key="k3", path="c").status_code == 201
    assert put(api).json() == first.json()


def test_an_old_key_that_a_killed_process_had_goes(api: APIClient) -> None:
    put(api)
    long_ago = timezone.now() - timedelta(hours=25)
    OnceRequest.objects.update(status=None, created_at=long_ago, lease_ends=long_ago)

    call_command("objects_purge", stdout=io.StringIO())

    assert not OnceRequest.objects.exists()


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_what_is_no_key_is_refused(api: APIClient, key: str) -> None:
    assert put(api, key=key).status_code == 400
    assert not Version.objects.exists()


CREATIONS: dict[str, tuple[str, Callable[[Callers], Any], type[Model]]] = {
    "tenants/": (SUPER_TENANT, lambda callers: {"name": "Initech"}, Tenant),
    "groups/": (TENANT_ADMINISTRATOR, lambda callers: {"name": "Ones"}, TenantGroup),
    "users/": (
        TENANT_ADMINISTRATOR,
        lambda callers: {"username": "new", "email": "new@example.org"},
        User,
    ),
    "shares/": (
        ADMINISTRATOR,
        lambda callers: {"object": str(callers.object.pk)},
        ShareLink,
    ),
    "exports/": (ADMINISTRATOR, lambda callers: {"folder": "papers"}, Export),
    "default-permissions/": (
        TENANT_ADMINISTRATOR,
        lambda callers: {"user": callers[STRANGER].user.pk, "access": "view"},
        DefaultPermission,
    ),
}


def make(callers: Callers, path: str, **more: Any) -> Any:
    kind, body, _model = CREATIONS[path]
    return callers[kind].api.post(
        f"/api/v1/{path}",
        body(callers) | more,
        format="json",
        headers={"Idempotency-Key": "k1"},
    )


@pytest.mark.parametrize("path", CREATIONS)
def test_whatever_is_made_is_made_once(callers: Callers, path: str) -> None:
    rows = CREATIONS[path][2]._default_manager
    before = rows.count()

    first, again = make(callers, path), make(callers, path)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert rows.count() == before + 1
    assert make(callers, path, tenant=callers.tenant.pk).status_code == 422
    assert OnceRequest.objects.count() == 1


def test_a_version_is_restored_once_though_its_number_is_another_by_then(
    callers: Callers,
) -> None:
    editor, found = callers[EDITOR], callers.object
    for content in (b"second", b"third"):
        storing.replace(
            IncomingFile(io.BytesIO(content), len(content)), found, user=editor.user
        )
    first = f"/api/v1/objects/{found.pk}/versions/1/restore/"

    def restore(key: str) -> Any:
        return editor.api.post(first, headers={"Idempotency-Key": key})

    done, again = restore("k1"), restore("k1")

    assert (done.status_code, again.status_code) == (200, 200)
    assert again.json() == done.json()
    assert again["ETag"] == done["ETag"]
    assert done.json()["version"] == 4
    assert restore("k2").status_code == 404
    numbers = found.versions.values_list("number", flat=True)
    assert sorted(numbers) == [2, 3, 4]


def test_whoever_is_invited_gets_one_mail(callers: Callers) -> None:
    jobs = {make(callers, "users/").json()["job"] for _ in range(2)}

    assert len(sent()) == len(jobs) == 1


def test_the_address_of_a_share_is_kept_sealed(callers: Callers) -> None:
    url = make(callers, "shares/").json()["url"]

    assert url.rpartition("/")[2] not in str(list(OnceRequest.objects.values()))


def test_what_was_refused_may_be_sent_again(callers: Callers) -> None:
    assert make(callers, "users/", email="none").status_code == 400
    assert not OnceRequest.objects.exists()
    assert make(callers, "users/").status_code == 201


def test_what_a_killed_process_was_about_to_make_is_made_by_the_next(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def killed(*args: Any, **options: Any) -> None:
            patch.setattr(idempotency, "_mine", lambda mark: OnceRequest.objects.none())
            raise Killed

        patch.setattr("sharing.links.record", killed)
        with pytest.raises(Killed):
            make(callers, "shares/")
    assert not ShareLink.objects.exists()
    assert make(callers, "shares/").status_code == 409
    OnceRequest.objects.update(lease_ends=timezone.now())

    assert make(callers, "shares/").status_code == 201


def test_a_resumable_upload_begins_once_and_goes_on(api: APIClient) -> None:
    def begin(length: str = "6") -> Any:
        return api.post(
            "/api/v1/uploads/",
            b"abc",
            content_type="application/offset+octet-stream",
            headers={
                "Idempotency-Key": "k1",
                "Tus-Resumable": "1.0.0",
                "Upload-Length": length,
            },
        )

    first, again = begin(), begin()

    assert (first.status_code, again.status_code) == (201, 201)
    for name in ("Location", "Upload-Offset", "Object-Id"):
        assert again.headers[name] == first.headers[name]
    assert first.headers["Upload-Offset"] == "3"
    assert Upload.objects.count() == 1
    assert begin("7").status_code == 422


def expire(api: APIClient, url: str) -> None:
    Upload.objects.update(expires_at=timezone.now())


def expire_and_sweep(api: APIClient, url: str) -> None:
    expire(api, url)
    call_command("uploads_sweep", stdout=io.StringIO())


def give_up(api: APIClient, url: str) -> None:
    assert api.delete(url, headers={"Tus-Resumable": "1.0.0"}).status_code == 204


def delete_object(api: APIClient, url: str) -> None:
    StoredObject.objects.update(deleted_at=timezone.now())


@pytest.mark.parametrize("end", [expire, expire_and_sweep, give_up, delete_object])
def test_an_upload_that_came_to_nothing_begins_anew_under_its_key(
    api: APIClient, end: Callable[[APIClient, str], None]
) -> None:
    def begin() -> Any:
        headers = {"Idempotency-Key": "k1", "Tus-Resumable": "1.0.0"}
        return api.post("/api/v1/uploads/", headers=headers | {"Upload-Length": "6"})

    first = begin()
    end(api, first.headers["Location"])

    second, third = begin(), begin()

    assert [one.status_code for one in (first, second, third)] == [201] * 3
    assert second.headers["Location"] != first.headers["Location"]
    assert third.headers["Location"] == second.headers["Location"]


def test_an_upload_that_was_stored_is_not_begun_anew(api: APIClient) -> None:
    def begin() -> Any:
        headers = {"Idempotency-Key": "k1", "Tus-Resumable": "1.0.0"}
        return api.post("/api/v1/uploads/", headers=headers | {"Upload-Length": "0"})

    give_up(api, begin().headers["Location"])

    assert begin().status_code == 404
    assert Version.objects.count() == 1


def test_what_the_store_takes_no_direct_upload_of_may_be_sent_again(
    api: APIClient,
) -> None:
    for _ in range(2):
        response = api.post(
            "/api/v1/uploads/direct/",
            {"name": "a", "size": 1},
            format="json",
            headers={"Idempotency-Key": "k1"},
        )
        assert response.status_code == 409
        assert response.json()["detail"] == "The store takes no direct uploads."
    assert not OnceRequest.objects.exists()
