"""Every error under /api/ is a problem document, and tells no secret."""

from __future__ import annotations

import errno
import json
from typing import Any

import psycopg
import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.db import IntegrityError, OperationalError, transaction
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import Tenant
from api.parsers import MAX_JSON
from api.schema import PROBLEM
from config.conflicts import is_conflict
from jobs.models import Job
from tests.application.callers import ADMINISTRATOR, SUPER_TENANT, VIEWER, Callers

OBJECTS = "/api/v1/objects/"


def problem(response: Any, status: int) -> dict[str, Any]:
    """Return the document, that of a response of this status."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.content)
    assert found["status"] == status
    required: Any = PROBLEM["required"]
    assert set(required) <= set(found)
    return found


@pytest.fixture
def api(callers: Callers) -> APIClient:
    return callers[ADMINISTRATOR].api


@pytest.fixture
def url(callers: Callers) -> str:
    return f"{OBJECTS}{callers.object.pk}/"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/", "/api/v2/objects/", "/api/v1/objects/x/", "/api/x"]
)
def test_an_unknown_address_is_a_problem_for_every_method(
    db: None, method: str, path: str
) -> None:
    # As a browser with a form of somebody else's would send it, too.
    strict = Client(enforce_csrf_checks=True)
    problem(getattr(strict, method)(path), 404)


def test_errors_of_requests(api: APIClient, callers: Callers, url: str) -> None:
    nested = "[" * 100_000
    large = json.dumps({"name": "x" * MAX_JSON})
    one = "application/json"
    made = f"{url}content/"
    put = {"content_type": "text/plain"}

    problem(api.patch(url, "{", content_type=one), 400)
    problem(api.patch(url, nested, content_type=one), 400)
    problem(api.patch(url, {"name": "a/b"}, "json"), 400)
    problem(APIClient().get(url), 401)
    problem(APIClient().get(url, headers={"Authorization": "Bearer x"}), 401)
    problem(callers[VIEWER].api.delete(url), 403)
    problem(api.get(f"{OBJECTS}{'0' * 8}-0000-0000-0000-{'0' * 12}/"), 404)
    assert "Allow" in api.post(url).headers
    problem(api.post(url), 405)
    problem(api.get(url, headers={"Accept": "text/html"}), 406)
    problem(api.put(made, "", headers={"Transfer-Encoding": "chunked"}, **put), 411)
    problem(api.put(made, b"x", headers={"If-Match": '"x"'}, **put), 412)
    problem(api.get(made, headers={"If-Match": '"x"'}), 412)
    problem(api.patch(url, large, content_type=one), 413)
    problem(api.patch(url, "<a/>", content_type="text/xml"), 415)
    problem(api.put(made, b"x", content_type="no type"), 415)
    response = api.get(made, headers={"Range": "bytes=999999-"})
    problem(response, 416)
    assert response.headers["Content-Range"].startswith("bytes */")


def test_a_host_that_is_not_ours_is_a_problem_here_and_a_page_elsewhere(
    db: None,
) -> None:
    client = Client(headers={"Host": "elsewhere.example"})

    problem(client.get("/api/v1/objects/"), 400)
    assert client.get("/").headers["Content-Type"].startswith("text/html")


def test_too_many_requests_are_told_when_to_come_again(
    api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.throttles import UserThrottle

    monkeypatch.setattr(UserThrottle, "allow_request", lambda *_: False)
    monkeypatch.setattr(UserThrottle, "wait", lambda _: 7)

    response = api.get(url)

    problem(response, 429)
    assert response.headers["Retry-After"] == "7"


SECRET = "postgres://site:hunter2@db.example/site URI:DIR2:aaaa:bbbb"


def test_a_fault_of_the_site_tells_nothing(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = callers[ADMINISTRATOR].api
    api.raise_request_exception = False

    def failing(*_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("objects.access.visible", failing)

    assert "hunter2" not in json.dumps(problem(api.get(OBJECTS), 500))


@pytest.mark.parametrize(
    "error", [OperationalError(SECRET), ConnectionError(SECRET), OSError(28, SECRET)]
)
def test_what_is_away_is_to_be_asked_again(
    api: APIClient, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_args: Any, **_kwargs: Any) -> None:
        raise error

    monkeypatch.setattr("objects.access.visible", away)

    response = api.get(OBJECTS)

    assert "hunter2" not in json.dumps(problem(response, 503))
    assert int(response.headers["Retry-After"]) > 0


def test_a_full_disk_of_the_host_is_not_told_as_the_store_s(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, SECRET)

    monkeypatch.setattr(TemporaryFileUploadHandler, "new_file", full)
    large = SimpleUploadedFile("a", b"x" * (3 << 20))

    found = problem(api.post(OBJECTS, {"file": large}, format="multipart"), 507)

    assert "no room" in found["detail"]
    assert "hunter2" not in json.dumps(found)


def test_a_content_that_is_gone_is_said_to_be_missing(
    api: APIClient, callers: Callers, url: str
) -> None:
    version = callers.object.current
    assert version is not None
    storages["default"].delete(version.key)

    found = problem(api.get(f"{url}content/"), 500)

    assert version.key not in json.dumps(found)


def test_what_a_database_has_no_room_for_is_the_senders_fault(
    api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise OperationalError from psycopg.errors.ProgramLimitExceeded()

    monkeypatch.setattr("objects.access.find", refuse)

    assert "too large" in problem(api.get(url), 400)["detail"]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (IntegrityError, psycopg.errors.ForeignKeyViolation),
        (OperationalError, psycopg.errors.DeadlockDetected),
    ],
)
@pytest.mark.parametrize("address", ["/api/v1/objects/", "/files/"])
def test_what_others_change_at_the_same_moment_is_to_be_asked_again(
    callers: Callers,
    error: type[Exception],
    cause: type[Exception],
    address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(*_args: Any, **_kwargs: Any) -> None:
        raise error(SECRET) from cause(SECRET)

    client = Client()
    client.force_login(callers[ADMINISTRATOR].user)
    monkeypatch.setattr("objects.access.visible", late)
    api: Any = callers[ADMINISTRATOR].api if address.startswith("/api/") else client

    response = api.get(address)

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert "Somebody changed the same" in response.content.decode()
    assert SECRET not in response.content.decode()


def test_a_row_that_refers_to_what_is_gone_is_told_apart_from_a_name_that_is_taken(
    transactional_db: None,
) -> None:
    tenant = Tenant.objects.create(name="A", slug="a")

    with pytest.raises(IntegrityError) as taken:
        Tenant.objects.create(name="A", slug="b")
    with pytest.raises(IntegrityError) as gone, transaction.atomic():
        Job.objects.create(kind="k", tenant_id=tenant.pk + 1)

    assert not is_conflict(taken.value)
    assert is_conflict(gone.value)


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("post", "objects/{object}/permissions/", ("access",)),
        ("post", "default-permissions/", ("access",)),
        ("patch", "objects/{object}/", ("folder", "name")),
        ("patch", "users/me/", ("time_zone", "first_name")),
        ("patch", "users/{user}/", ("time_zone", "email")),
        ("patch", "tenants/{tenant}/", ("export_store", "store", "name")),
        ("post", "groups/", ("name", "members", "tenant")),
        ("post", "tokens/", ("username",)),
        ("post", "exports/", ("event",)),
    ],
)
@pytest.mark.parametrize("half", [r"\ud800", r"a\uDFFFb"])
def test_half_a_surrogate_pair_is_refused(
    callers: Callers, method: str, path: str, names: tuple[str, ...], half: str
) -> None:
    found = callers[SUPER_TENANT]
    found.api.raise_request_exception = False
    ids = {"user": callers[VIEWER].user.pk, "tenant": callers.tenant.pk}
    url = f"/api/v1/{path.format(object=callers.object.pk, **ids)}"

    for name in names:
        for body in (f'{{"{name}": "{half}"}}', f'{{"{name}": [{{"{half}": 1}}]}}'):
            response = getattr(found.api, method)(
                url, body, content_type="application/json"
            )

            assert "half" in problem(response, 400)["detail"]


def test_a_whole_surrogate_pair_is_a_character(api: APIClient) -> None:
    body = r'{"first_name": "\ud83d\ude00"}'

    changed = api.patch("/api/v1/users/me/", body, content_type="application/json")

    assert changed.json()["first_name"] == "😀"
