"""Resumable uploads by the tus protocol, request by request."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
from base64 import b64encode
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.management import CommandError, call_command
from django.db.models import F
from django.http import HttpResponse
from django.test import override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import passwords, people
from accounts.models import Tenant, User
from accounts.tokens import revoke_tokens
from jobs import running
from objects import storing
from objects.models import StoredObject, UserPermission, Version
from tests.application.callers import KINDS, NOBODY, Callers, client_of
from uploads import finishing, leases, processes
from uploads.leases import acquire
from uploads.models import Upload, UploadPart

CREATE = "/api/v1/uploads/"
TYPE = "application/offset+octet-stream"

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    tenant = Tenant.objects.create(name="Acme", slug="acme", max_bytes=1000)
    return User.objects.create_user("ann", password="secret", tenant=tenant)


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


def metadata(**values: str) -> str:
    return ",".join(f"{k} {b64encode(v.encode()).decode()}" for k, v in values.items())


def checksum(data: bytes, algorithm: str = "sha256") -> str:
    digest = hashlib.new(algorithm, data).digest()
    return f"{algorithm} {b64encode(digest).decode()}"


def tus(
    client: APIClient, method: str, url: str, body: bytes | None = None, **headers: Any
) -> HttpResponse:
    """Send a request of the protocol; headers are given with low lines."""
    sent = {
        f"HTTP_{name.upper()}": str(value)
        for name, value in {"tus_resumable": "1.0.0", **headers}.items()
        if value is not None
    }
    kind = {} if body is None else {"content_type": TYPE}
    response: HttpResponse = client.generic(method, url, body or b"", **kind, **sent)
    return response


def create(client: APIClient, size: int, **headers: Any) -> str:
    headers.setdefault("upload_metadata", metadata(filename="a.bin"))
    response = tus(client, "POST", CREATE, upload_length=size, **headers)
    assert response.status_code == 201, response.content
    return response["Location"]


def offset(url: str) -> int:
    """The offset as whoever has no token asks for it."""
    response = tus(APIClient(), "HEAD", url)
    assert response.status_code == 200, response.status_code
    return int(response["Upload-Offset"])


def patch(url: str, at: int, data: bytes, **headers: Any) -> HttpResponse:
    return tus(APIClient(), "PATCH", url, data, upload_offset=at, **headers)


def broken_off(url: str, at: int, data: bytes, size: int) -> int:
    """Send data of a body that was to have a size, and return the offset then."""
    response = APIClient().generic(
        "PATCH",
        url,
        data,
        content_type=TYPE,
        HTTP_TUS_RESUMABLE="1.0.0",
        HTTP_UPLOAD_OFFSET=str(at),
        CONTENT_LENGTH=str(size),
        **{"wsgi.input": io.BytesIO(data)},
    )
    assert response.status_code == 204, response.content
    return int(response["Upload-Offset"])


def stored() -> bytes:
    version = StoredObject.objects.get().current
    assert version is not None
    assert version.sha256 == hashlib.sha256(read(version)).hexdigest()
    return read(version)


def read(version: Version) -> bytes:
    with version.storage.open(version.key) as file:
        return bytes(file.read())


def counts() -> list[int]:
    """Bytes and objects of the tenant: used, and reserved."""
    tenant = Tenant.objects.get(slug="acme")
    return [
        *(tenant.used_bytes, tenant.reserved_bytes),
        *(tenant.used_objects, tenant.reserved_objects),
    ]


def nothing_is_left() -> bool:
    return not (
        any(counts())
        or StoredObject.objects.exists()
        or UploadPart.objects.exists()
        or Upload.objects.exists()
    )


def test_it_says_what_it_can_do_to_anybody() -> None:
    response = APIClient().options(CREATE)

    assert response.status_code == 204
    assert response["Tus-Version"] == "1.0.0"
    assert "creation-with-upload" in response["Tus-Extension"]
    assert "sha1" in response["Tus-Checksum-Algorithm"]


def test_what_comes_in_pieces_becomes_one_object(api: APIClient) -> None:
    content = os.urandom(300)
    described = metadata(filename="Übersicht.bin", filetype="image/png", folder="a/b")
    with override_settings(UPLOAD_PART_BYTES=70):
        url = create(api, 300, upload_metadata=described)
        assert counts() == [0, 300, 0, 1]
        assert StoredObject.objects.get().state == "pending"
        for start, end in ((0, 100), (100, 101), (101, 300)):
            assert offset(url) == start
            response = patch(url, start, content[start:end])
            assert response.status_code == 204, response.content
            assert int(response["Upload-Offset"]) == end

    assert running.run_waiting() == 1
    assert stored() == content
    found = StoredObject.objects.get()
    assert (found.path, found.content_type) == ("a/b/Übersicht.bin", "image/png")
    assert response["Object-Id"] == str(found.pk)
    assert counts() == [300, 0, 1, 0]
    assert not UploadPart.objects.exists()
    # A finished one goes on saying so.
    head = tus(APIClient(), "HEAD", url)
    assert (head["Upload-Offset"], head["Upload-Length"]) == ("300", "300")
    assert head["Upload-Metadata"] == described
    assert head["Cache-Control"] == "no-store"


def test_its_parts_are_no_more_in_the_store_when_it_is_finished(api: APIClient) -> None:
    url = create(api, 4)
    patch(url, 0, b"ab")
    key = UploadPart.objects.get().key
    assert default_storage.exists(key)

    patch(url, 2, b"cd")

    assert not default_storage.exists(key)
    assert stored() == b"abcd"


def test_nothing_is_complete_when_it_is_created(api: APIClient) -> None:
    url = create(api, 0)

    assert offset(url) == 0
    assert stored() == b""


def test_the_first_bytes_may_come_with_the_creation(api: APIClient) -> None:
    response = tus(
        api,
        "POST",
        CREATE,
        b"first ",
        upload_length=12,
        upload_metadata=metadata(filename="a"),
        upload_checksum=checksum(b"first "),
    )
    assert (response.status_code, response["Upload-Offset"]) == (201, "6")

    patch(response["Location"], 6, b"second")

    assert stored() == b"first second"


def test_empty_metadata_are_none(api: APIClient) -> None:
    url = create(api, 3, upload_metadata="")

    assert StoredObject.objects.get().name in url
    assert "Upload-Metadata" not in tus(APIClient(), "HEAD", url)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_body_with_its_checksum_counts(api: APIClient, algorithm: str) -> None:
    url = create(api, 4)

    response = patch(url, 0, b"abcd", upload_checksum=checksum(b"abcd", algorithm))

    assert response.status_code == 204
    assert stored() == b"abcd"


def test_a_body_with_another_checksum_counts_nothing(api: APIClient) -> None:
    url = create(api, 10)
    with override_settings(UPLOAD_PART_BYTES=3):
        response = patch(url, 0, b"abcdefg", upload_checksum=checksum(b"other"))

    assert response.status_code == 460
    assert offset(url) == 0
    assert not UploadPart.objects.exists()
    assert patch(url, 0, b"0123456789").status_code == 204
    assert stored() == b"0123456789"


def test_a_body_that_breaks_off_counts_as_far_as_it_came(api: APIClient) -> None:
    url = create(api, 10)

    response = tus(
        APIClient(), "PATCH", url, b"abcde", upload_offset=0, content_length=None
    )
    assert response["Upload-Offset"] == "5"

    with override_settings(UPLOAD_PART_BYTES=2):
        assert broken_off(url, 5, b"fgh", size=5) == 8
    patch(url, 8, b"ij")
    assert stored() == b"abcdefghij"


def test_a_body_of_no_bytes_has_its_checksum_too(api: APIClient) -> None:
    wrong, right = checksum(b"other"), checksum(b"", "md5")
    urls = [create(api, 0, upload_checksum=right), create(api, 3)]
    for url in urls:
        for sent, status in ((wrong, 460), (right, 204)):
            response = APIClient().generic(
                "PATCH",
                url,
                content_type=TYPE,
                CONTENT_LENGTH="0",
                HTTP_TUS_RESUMABLE="1.0.0",
                HTTP_UPLOAD_OFFSET="0",
                HTTP_UPLOAD_CHECKSUM=sent,
            )
            assert response.status_code == status

    for size in (0, 3):
        refused = tus(api, "POST", CREATE, upload_length=size, upload_checksum=wrong)
        assert refused.status_code == 460

    assert Upload.objects.count() == len(urls)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"upload_length": None}, 400),
        ({"upload_length": "-1"}, 400),
        ({"upload_length": "1" * 18}, 413),
        ({"upload_length": 2000}, 507),
        ({"upload_metadata": "filename ä"}, 400),
        ({"upload_metadata": "filename !!"}, 400),
        ({"upload_metadata": "ä YQ=="}, 400),
        ({"upload_metadata": metadata(filename="a/b")}, 400),
        ({"upload_metadata": metadata(filename="a", folder="../b")}, 400),
        ({"upload_metadata": "a YQ==,a YQ=="}, 400),
        ({"upload_checksum": "crc32 AAAA"}, 400),
        ({"upload_checksum": "sha256 AAAA"}, 400),
        ({"upload_checksum": "sha256 ä"}, 400),
        ({"tus_resumable": None}, 412),
        ({"tus_resumable": "0.2.2"}, 412),
    ],
)
def test_a_creation_that_is_not_valid_leaves_nothing(
    api: APIClient, headers: dict[str, Any], status: int
) -> None:
    headers = {"upload_length": 5, **headers}

    response = tus(api, "POST", CREATE, **headers)

    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Tus-Resumable"] == "1.0.0"
    assert nothing_is_left()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"upload_offset": 1}, 409),
        ({"upload_offset": 3}, 409),
        ({"upload_offset": None}, 400),
        ({"upload_offset": "x"}, 400),
        ({"tus_resumable": None}, 412),
        ({"transfer_encoding": "chunked"}, 411),
    ],
)
def test_a_body_that_does_not_fit_counts_nothing(
    api: APIClient, headers: dict[str, Any], status: int
) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")

    response = tus(APIClient(), "PATCH", url, b"cd", **{"upload_offset": 2, **headers})

    assert response.status_code == status
    assert offset(url) == 2


def test_more_than_was_announced_and_another_type_are_refused(api: APIClient) -> None:
    url = create(api, 3)

    assert patch(url, 0, b"abcd").status_code == 413
    plain = APIClient().generic(
        "PATCH",
        url,
        b"abc",
        content_type="text/plain",
        HTTP_TUS_RESUMABLE="1.0.0",
        HTTP_UPLOAD_OFFSET="0",
    )
    assert plain.status_code == 415
    assert offset(url) == 0


def test_while_somebody_works_on_it_others_wait(api: APIClient) -> None:
    url = create(api, 5)
    lease = acquire(Upload.objects.get())

    for method in ("HEAD", "PATCH", "DELETE"):
        assert tus(APIClient(), method, url, b"ab", upload_offset=0).status_code == 423
    lease.release()

    assert patch(url, 0, b"abcde").status_code == 204


def test_whoever_was_killed_holds_nobody_up_for_long(api: APIClient) -> None:
    url = create(api, 5)
    killed = acquire(Upload.objects.get())
    Upload.objects.update(leased_until=F("leased_until") - leases.LEASE)

    assert offset(url) == 0
    assert patch(url, 0, b"abcde").status_code == 204
    with pytest.raises(leases.Busy):
        killed.update(offset=3)
    assert stored() == b"abcde"


def test_whoever_was_killed_on_this_host_holds_nobody_up(api: APIClient) -> None:
    url = create(api, 5)
    acquire(Upload.objects.get())
    other = "import time; print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", other], stdout=subprocess.PIPE) as it:
        assert it.stdout is not None
        it.stdout.readline()
        Upload.objects.update(leased_by=processes.name_of(it.pid))
        assert tus(APIClient(), "HEAD", url).status_code == 423
        it.kill()

    assert offset(url) == 0
    assert patch(url, 0, b"abcde").status_code == 204
    assert stored() == b"abcde"


def test_of_a_process_of_another_host_nobody_knows_that_it_has_ended() -> None:
    this = processes.name_of(os.getpid())
    another = "another" + this

    assert not processes.has_ended(this)
    assert not processes.has_ended(another)
    assert not processes.has_ended("")


def test_while_the_store_is_away_it_says_so_and_goes_on_afterwards(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")

    def away(*args: Any, **kwargs: Any) -> Any:
        raise OSError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(type(storages["default"]), "_save", away)
        assert patch(url, 2, b"cde").status_code == 503
        assert tus(APIClient(), "HEAD", url).status_code == 423
    Upload.objects.update(leased_until=timezone.now())

    assert offset(url) == 2
    assert patch(url, 2, b"cde").status_code == 204
    assert stored() == b"abcde"


def test_what_could_not_be_finished_is_by_a_job_once_somebody_asks(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, 5)
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.storing.save", away_at_the_end)
        assert patch(url, 0, b"abcde").status_code == 503
        assert tus(APIClient(), "HEAD", url).status_code == 423
    Upload.objects.update(leased_until=timezone.now())

    # Not by itself, however long that takes: by a job.
    assert offset(url) == 5
    assert StoredObject.objects.get().state == "pending"
    assert running.run_waiting() == 1
    assert stored() == b"abcde"


def away_at_the_end(*args: Any) -> Any:
    raise OSError("the store is away")


def test_who_was_killed_between_the_bytes_and_the_row_is_made_up_for(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, 5)
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.settle", away_at_the_end)
        patch(url, 0, b"abcde")
    Upload.objects.update(leased_until=timezone.now())

    call_command("uploads_sweep", stdout=io.StringIO())

    assert stored() == b"abcde"
    assert counts() == [5, 0, 1, 0]


def test_who_deletes_an_earlier_try_deletes_no_other_s_bytes(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, 5)
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.settle", away_at_the_end)
        patch(url, 0, b"abcde")
    Upload.objects.update(leased_until=timezone.now())
    first = Version.objects.get().key
    # It was killed before it had written all: else that would be taken.
    storages["default"].delete(first)
    storages["default"].save(first, ContentFile(b"abc"))
    others: list[str] = []
    store = type(storages["default"])
    delete = store.delete

    def slow(self: Any, name: str) -> None:
        """Outlast the lease, so that somebody else finishes meanwhile."""
        if name == first and not others:
            others.append(name)
            Upload.objects.update(leased_until=timezone.now())
            finishing.finish_if_complete(Upload.objects.get())
        delete(self, name)

    monkeypatch.setattr(store, "delete", slow)
    tus(APIClient(), "HEAD", url)
    running.run_waiting()

    assert others
    assert stored() == b"abcde"
    assert counts() == [5, 0, 1, 0]
    assert len(files_of(Version.objects.get())) == 1


def files_of(version: Version) -> list[str]:
    """The names of all that is stored for a version."""
    _, names = version.storage.listdir(version.key.rpartition("/")[0])
    return [name for name in names if name.startswith(version.id.hex)]


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_held_while_the_store_works_on_what_it_has(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, 5)
    monkeypatch.setattr(leases, "RENEWED", 0.01)
    save = storing.save

    def slow(version: Version, content: Any) -> None:
        save(version, content)
        Upload.objects.update(leased_until=timezone.now())
        deadline = time.monotonic() + 60
        while not Upload.objects.get().is_leased and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(leases.Busy):
            finishing.finish_if_complete(Upload.objects.get())

    monkeypatch.setattr("uploads.finishing.storing.save", slow)

    assert patch(url, 0, b"abcde").status_code == 204
    assert stored() == b"abcde"


def test_an_upload_ends_where_its_object_was_deleted(api: APIClient) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")
    StoredObject.objects.update(deleted_at=timezone.now())

    assert patch(url, 2, b"cde").status_code == 409

    assert nothing_is_left()
    assert tus(APIClient(), "HEAD", url).status_code == 404


def test_an_upload_can_be_given_up(api: APIClient) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")
    key = UploadPart.objects.get().key

    assert tus(APIClient(), "DELETE", url).status_code == 204

    assert nothing_is_left()
    assert not default_storage.exists(key)
    assert tus(APIClient(), "HEAD", url).status_code == 404


@pytest.mark.parametrize("by", ["its user", "a refusal"])
def test_what_was_given_up_while_the_store_was_away_does_not_go_on(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")

    def away(*args: Any) -> NoReturn:
        raise OSError("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(type(storages["default"]), "delete", away)
        if by == "its user":
            assert tus(APIClient(), "DELETE", url).status_code == 204
        else:
            monkeypatch.setattr(finishing, "check_user", refuse)
            patched.setattr(finishing, "_claim", lambda lease, version: None)
            assert patch(url, 2, b"cde").status_code == 403
    # Its rows are left, for the store has what they name.
    assert Upload.objects.get().is_given_up
    Upload.objects.update(leased_until=None)

    for method in ("HEAD", "PATCH", "DELETE"):
        answer = tus(APIClient(), method, url, b"cde", upload_offset=2)
        assert answer.status_code == 410, method
    Upload.objects.update(expires_at=timezone.now())
    call_command("uploads_sweep", stdout=io.StringIO())
    assert nothing_is_left()


def refuse(*args: Any) -> NoReturn:
    raise storing.Refused


def test_the_object_of_a_finished_upload_stays_when_that_is_removed(
    api: APIClient,
) -> None:
    url = create(api, 2)
    patch(url, 0, b"ab")

    assert tus(APIClient(), "DELETE", url).status_code == 204

    assert stored() == b"ab"


def test_the_sweep_gives_up_what_nobody_goes_on_with(api: APIClient) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")
    key = UploadPart.objects.get().key
    call_command("uploads_sweep", stdout=io.StringIO())
    assert offset(url) == 2
    Upload.objects.update(expires_at=timezone.now())
    assert tus(APIClient(), "HEAD", url).status_code == 410

    said = io.StringIO()
    call_command("uploads_sweep", stdout=said)

    assert "1 given up" in said.getvalue()
    assert nothing_is_left()
    assert not default_storage.exists(key)


def test_the_sweep_gives_up_what_a_lost_part_lets_nobody_finish(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, 5)
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.storing.save", away_at_the_end)
        patch(url, 0, b"abcde")
    default_storage.delete(UploadPart.objects.get().key)
    Upload.objects.update(leased_until=None)
    said = io.StringIO()
    with pytest.raises(CommandError) as failure:
        call_command("uploads_sweep", stdout=said)
    assert failure.value.returncode == 1
    assert "1 failed" in said.getvalue()
    Upload.objects.update(leased_until=None, expires_at=timezone.now())

    call_command("uploads_sweep", stdout=said)

    assert "1 given up" in said.getvalue()
    assert nothing_is_left()


def test_the_sweep_removes_what_a_killed_process_left_beside_the_parts(
    api: APIClient,
) -> None:
    url = create(api, 2)
    upload = Upload.objects.get()
    key = default_storage.save("uploads/left", io.BytesIO(b"half"))
    upload.parts.create(start=0, key=key)

    patch(url, 0, b"ab")

    assert stored() == b"ab"
    assert not default_storage.exists(key)


def test_parts_that_came_back_as_other_bytes_are_no_object(api: APIClient) -> None:
    url = create(api, 10)
    patch(url, 0, b"abcde")
    key = UploadPart.objects.get().key
    default_storage.delete(key)
    default_storage.save(key, ContentFile(b"abXde"))

    assert patch(url, 5, b"fghij").status_code == 410

    assert nothing_is_left()


def test_each_part_puts_off_the_end(api: APIClient) -> None:
    url = create(api, 5)
    Upload.objects.update(expires_at=timezone.now() + timedelta(minutes=1))

    patch(url, 0, b"ab")

    assert Upload.objects.get().expires_at > timezone.now() + timedelta(hours=23)


def test_a_url_is_good_without_a_token_while_the_user_is_active(
    api: APIClient, user: User
) -> None:
    url = create(api, 5)
    expired = APIClient()
    expired.credentials(HTTP_AUTHORIZATION="Bearer expired")
    assert tus(expired, "HEAD", url).status_code == 200
    user.is_active = False
    user.save()

    for method in ("HEAD", "PATCH", "DELETE"):
        assert tus(APIClient(), method, url, b"ab", upload_offset=0).status_code == 404


@pytest.mark.parametrize("way", ["revoked", "password", "deactivated for a moment"])
def test_an_upload_ends_with_the_tokens_of_its_user(
    api: APIClient, user: User, way: str
) -> None:
    url = create(api, 5)
    patch(url, 0, b"ab")
    if way == "revoked":
        assert api.post("/api/v1/tokens/revoke/").status_code == 204
    elif way == "password":
        passwords.set_password(user, "correct horse battery", by=None)
    else:
        people.deactivate(user, by=None)
        people.change(user, by=None, is_active=True)

    for method in ("HEAD", "PATCH", "DELETE"):
        answer = tus(APIClient(), method, url, b"cde", upload_offset=2)
        assert answer.status_code == 404
    assert Version.objects.get().state == "pending"
    Upload.objects.update(expires_at=timezone.now())
    call_command("uploads_sweep", stdout=io.StringIO())
    assert nothing_is_left()
    # With new tokens the user begins another.
    user.refresh_from_db()
    patch(create(client_of(user), 2), 0, b"ab")
    assert stored() == b"ab"


def test_the_sweep_finishes_no_upload_of_a_revoked_user(
    api: APIClient, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = create(api, 5)
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.settle", away_at_the_end)
        patch(url, 0, b"abcde")
    Upload.objects.update(leased_until=None)
    revoke_tokens(user, by=None)

    said = io.StringIO()
    call_command("uploads_sweep", stdout=said)

    assert "1 given up" in said.getvalue()
    assert nothing_is_left()


def test_who_may_not_edit_the_object_any_more_goes_on_with_no_upload(
    api: APIClient,
) -> None:
    url = create(api, 5)
    UserPermission.objects.all().delete()

    for method in ("HEAD", "PATCH", "DELETE"):
        answer = tus(APIClient(), method, url, b"abcde", upload_offset=0)
        assert answer.status_code == 404
    assert Version.objects.get().state == "pending"


@pytest.mark.parametrize("lost", ["grant", "account", "tokens"])
def test_it_is_asked_again_when_the_bytes_are_there(
    api: APIClient, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    url = create(api, 5)
    save = storing.save

    def revoked(*args: Any) -> None:
        save(*args)
        if lost == "grant":
            UserPermission.objects.all().delete()
        elif lost == "account":
            User.objects.update(is_active=False)
        else:
            revoke_tokens(User.objects.get(), by=None)

    monkeypatch.setattr("uploads.finishing.storing.save", revoked)

    assert patch(url, 0, b"abcde").status_code == 403
    assert nothing_is_left()


def test_no_upload_is_gone_on_with_for_ever(api: APIClient) -> None:
    url = create(api, 5)
    begun = timezone.now() - leases.LONGEST + timedelta(hours=1)
    Upload.objects.update(created_at=begun)

    patch(url, 0, b"ab")

    assert Upload.objects.get().expires_at == begun + leases.LONGEST


def test_clients_that_know_two_methods_name_the_others(api: APIClient) -> None:
    url = create(api, 2)

    response = tus(
        APIClient(),
        "POST",
        url,
        b"ab",
        upload_offset=0,
        x_http_method_override="PATCH",
    )

    assert response.status_code == 204
    assert stored() == b"ab"


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_upload_by_a_name_that_is_there(callers: Callers, kind: str) -> None:
    response = tus(
        callers[kind].api,
        "POST",
        CREATE,
        upload_length=1,
        upload_metadata=metadata(filename="plan.txt", folder="papers"),
    )

    expected = {
        **dict.fromkeys(KINDS, 201),
        **{"inactive": 401, NOBODY: 401, "stranger": 409, "viewer": 409},
    }
    assert response.status_code == expected[kind], response.content
