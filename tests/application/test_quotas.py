"""What a tenant may use: reserved, settled, given back, and right under concurrency."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from accounts.models import Tenant, User
from accounts.quotas import QuotaExceeded
from objects import storing
from objects.incoming import IncomingFile, Truncated
from objects.models import StoredObject, Version
from tests.application.postgres import Postgres
from tests.application.site import bare_environment, manage, served

UPLOADS, ADMITTED, SIZE = 50, 20, 4000


@pytest.fixture
def user(db: None) -> User:
    tenant = Tenant.objects.create(
        name="Acme", slug="acme", max_bytes=100, max_objects=2
    )
    return User.objects.create_user("ann", password="secret", tenant=tenant)


def put(user: User, name: str, content: bytes) -> Version:
    return storing.store(
        IncomingFile(io.BytesIO(content), len(content)),
        tenant=user.tenant,
        user=user,
        folder="",
        name=name,
    )


def counts(user: User) -> tuple[int, int, int, int]:
    """Bytes used and reserved, objects used and reserved."""
    tenant = Tenant.objects.get(pk=user.tenant_id)
    return (
        tenant.used_bytes,
        tenant.reserved_bytes,
        tenant.used_objects,
        tenant.reserved_objects,
    )


def test_a_further_version_counts_its_bytes_and_is_no_second_object(user: User) -> None:
    put(user, "a", b"x" * 30)
    put(user, "a", b"x" * 40)

    assert counts(user) == (70, 0, 1, 0)


@pytest.mark.parametrize(("name", "size"), [("b", 61), ("c", 1)])
def test_what_has_no_room_is_refused_and_leaves_nothing(
    user: User, name: str, size: int
) -> None:
    put(user, "a", b"x" * 20)
    put(user, "b", b"x" * 20)

    with pytest.raises(QuotaExceeded):
        put(user, name, b"x" * size)

    assert counts(user) == (40, 0, 2, 0)
    assert Version.objects.count() == StoredObject.objects.count() == 2


def test_an_upload_under_way_counts_and_gives_back_what_it_held(user: User) -> None:
    version = storing.begin(
        tenant=user.tenant, user=user, folder="", name="a", size=60, content_type=""
    )

    assert counts(user) == (0, 60, 0, 1)
    with pytest.raises(QuotaExceeded):
        put(user, "a", b"x" * 41)
    storing.abandon(version)
    storing.abandon(version)
    assert counts(user) == (0, 0, 0, 0)
    assert not StoredObject.objects.exists()


def test_an_object_counts_while_one_of_its_first_versions_is_pending(
    user: User,
) -> None:
    one, two = (
        storing.begin(
            tenant=user.tenant, user=user, folder="", name="a", size=9, content_type=""
        )
        for _ in range(2)
    )
    storing.abandon(one)
    assert counts(user) == (0, 9, 0, 1)

    storing.settle(two, "0" * 64)

    assert counts(user) == (9, 0, 1, 0)
    assert StoredObject.objects.get().current == two


def test_a_failed_upload_gives_back_what_it_held(user: User) -> None:
    with pytest.raises(Truncated):
        storing.store(
            IncomingFile(io.BytesIO(b"short"), 50),
            tenant=user.tenant,
            user=user,
            folder="",
            name="a",
        )

    assert counts(user) == (0, 0, 0, 0)


def test_an_upload_that_the_sweep_gave_up_is_not_stored(user: User) -> None:
    version = storing.begin(
        tenant=user.tenant, user=user, folder="", name="a", size=1, content_type=""
    )
    storing.abandon(version)

    with pytest.raises(storing.NotStored, match="given up"):
        storing.settle(version, "0" * 64)

    assert counts(user) == (0, 0, 0, 0)


def test_of_fifty_uploads_at_once_those_that_have_room_are_stored(
    postgres: Postgres, postgres_tables: Callable[[], str], tmp_path: Path
) -> None:
    """The issue's figure, as a test: all fifty are under way at the same moment."""
    url = postgres_tables()
    environment = bare_environment(tmp_path) | {
        "DATABASE_URL": url,
        # All that are admitted hold a thread while their body comes.
        "GUNICORN_CMD_ARGS": f"--threads={UPLOADS}",
    }
    manage(
        environment,
        "shell",
        "-c",
        "from accounts.models import *\n"
        f"t = Tenant.objects.create(name='A', slug='a', max_bytes={ADMITTED * SIZE})\n"
        "User.objects.create_user('ann', tenant=t)",
    )
    access = json.loads(manage(environment, "createusertoken", "ann"))["access"]
    sending = threading.Barrier(UPLOADS)

    def upload(number: int) -> int:
        address = urlsplit(site.address).netloc
        with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as to:
            to.putrequest("PUT", f"/api/v1/content/many/{number}.bin")
            to.putheader("Authorization", f"Bearer {access}")
            to.putheader("Content-Type", "application/octet-stream")
            to.putheader("Content-Length", str(SIZE))
            to.endheaders(b"x" * (SIZE // 2))
            sending.wait(60)
            # Whoever was refused is told so before the body is there.
            with contextlib.suppress(OSError):
                to.send(b"x" * (SIZE - SIZE // 2))
            with to.getresponse() as response:
                response.read()
                return response.status

    with (
        served(environment, tmp_path / "site.log") as site,
        ThreadPoolExecutor(UPLOADS) as threads,
    ):
        statuses = Counter(threads.map(upload, range(UPLOADS)))

    assert statuses == {201: ADMITTED, 507: UPLOADS - ADMITTED}
    with postgres.connect(url.rpartition("/")[2]) as connection:
        tenant = connection.execute(
            "SELECT used_bytes, reserved_bytes, used_objects, reserved_objects"
            " FROM accounts_tenant WHERE slug = 'a'"
        ).fetchone()
        versions = connection.execute(
            "SELECT state, count(*) FROM objects_version GROUP BY state"
        ).fetchall()
    assert tenant == (ADMITTED * SIZE, 0, ADMITTED, 0)
    assert versions == [("stored", ADMITTED)]
