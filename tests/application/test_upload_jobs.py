"""The end of a large upload, which a job makes: no request waits for it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.management import call_command
from django.test import Client, override_settings
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import erasure
from accounts.models import Tenant, User
from jobs import control, running, sweeping
from jobs.models import Job
from objects.models import StoredObject, UserPermission, Version
from tests.application.callers import client_of
from tests.application.test_tus import (
    create,
    files_of,
    nothing_is_left,
    offset,
    patch,
    read,
    tus,
)
from uploads import finishing
from uploads.leases import acquire
from uploads.models import Upload, UploadPart
from uploads.sweeping import sweep_all

CONTENT = b"0123456789"
KIND = "uploads.finish"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def parts() -> Iterator[None]:
    """Have three parts of what is uploaded here."""
    with override_settings(UPLOAD_PART_BYTES=4):
        yield


@pytest.fixture
def user() -> User:
    tenant = Tenant.objects.create(name="Acme", slug="acme", max_bytes=1000)
    return User.objects.create_user("ann", password="secret", tenant=tenant)


@pytest.fixture
def api(user: User) -> APIClient:
    return client_of(user)


@pytest.fixture
def url(api: APIClient) -> str:
    """The URL of an upload all of which has come."""
    made = create(api, len(CONTENT))
    assert patch(made, 0, CONTENT[:4]).status_code == 204
    assert patch(made, 4, CONTENT[4:]).status_code == 204
    return made


def stored() -> bytes:
    version = StoredObject.objects.get().current
    assert version is not None
    return read(version)


def state() -> str:
    """The state of the only job that finishes an upload."""
    return Job.objects.get(kind=KIND).state


def away(*args: Any, **kwargs: Any) -> NoReturn:
    raise OSError("the store is away")


def test_the_last_bytes_start_it_and_it_makes_the_object(api: APIClient) -> None:
    made = create(api, len(CONTENT))
    patch(made, 0, CONTENT[:9])
    assert not Job.objects.exists()

    response = patch(made, 9, CONTENT[9:])

    job, found = Job.objects.get(), StoredObject.objects.get()
    assert (response.status_code, response["Upload-Offset"]) == (204, "10")
    assert response["Job-Id"] == str(job.pk)
    assert response["Object-Id"] == str(found.pk)
    assert found.state == "pending"
    assert str(Upload.objects.get().pk) not in str(job.arguments)
    head = tus(APIClient(), "HEAD", made)
    assert (head.status_code, head["Upload-Offset"]) == (200, "10")
    assert head["Job-Id"] == str(job.pk)
    assert Job.objects.count() == 1
    assert running.run_waiting() == 1
    assert stored() == CONTENT
    assert not UploadPart.objects.exists()
    told = api.get(f"/api/v1/jobs/{job.pk}/").json()
    assert (told["state"], told["done"], told["of"]) == ("done", 10, 10)
    assert told["result"] == {"object": str(found.pk)}
    head = tus(APIClient(), "HEAD", made)
    assert (head.status_code, "Job-Id" in head) == (200, False)


def test_no_last_bytes_count_without_it(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(api, len(CONTENT))
    patch(made, 0, CONTENT[:8])
    with monkeypatch.context() as patched:
        patched.setattr("uploads.deferring.starting.start", away)
        assert patch(made, 8, CONTENT[8:]).status_code == 503
    Upload.objects.update(leased_until=timezone.now())

    assert offset(made) == 8
    assert not UploadPart.objects.filter(start=8, is_kept=True).exists()


def test_small_ones_need_no_worker(api: APIClient) -> None:
    made = create(api, 4)

    assert "Job-Id" not in patch(made, 0, b"abcd")

    assert stored() == b"abcd"
    assert not Job.objects.exists()


def fail(monkeypatch: pytest.MonkeyPatch) -> Job:
    """Let the job fail, as after hours without the store."""
    Job.objects.update(created_at=timezone.now() - timedelta(days=1))
    with monkeypatch.context() as patched, override_settings(JOBS_ATTEMPTS=1):
        patched.setattr(type(storages["default"]), "_open", away)
        running.run_waiting()
    job = Job.objects.get()
    assert job.state == "failed"
    return job


def test_an_outage_of_an_hour_makes_it_not_fail(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = timezone.now() - timedelta(hours=1)
    with monkeypatch.context() as patched:
        patched.setattr(type(storages["default"]), "_open", away)
        for _attempt in range(8):
            Job.objects.update(due_at=timezone.now(), created_at=begun)
            Upload.objects.update(leased_until=timezone.now())
            assert running.run_waiting() == 1
            assert state() == "waiting"
    job = Job.objects.get()
    assert job.due_at > timezone.now() + timedelta(minutes=4)
    Job.objects.update(due_at=timezone.now())
    Upload.objects.update(leased_until=timezone.now())

    running.run_waiting()

    assert stored() == CONTENT


def test_the_page_says_that_all_of_one_that_failed_is_kept(
    url: str, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = fail(monkeypatch)
    ann = Client()
    ann.force_login(user)

    told = ann.get(f"/files/uploads/jobs/{job.pk}/").json()

    assert "All of it is kept" in told["error"]
    delete()
    assert control.try_again(job, actor=user)
    Upload.objects.update(leased_until=timezone.now())
    running.run_waiting()
    told = ann.get(f"/files/uploads/jobs/{job.pk}/").json()
    assert told["error"] == "The object was deleted meanwhile."


def test_whoever_asks_starts_another_where_it_has_failed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fail(monkeypatch)
    assert first.error == "The store failed. Please try again later."
    assert tus(APIClient(), "HEAD", url).status_code == 423
    Upload.objects.update(leased_until=timezone.now())

    # Not at once, however often somebody asks.
    head = tus(APIClient(), "HEAD", url)
    assert (head.status_code, head["Upload-Offset"]) == (200, "10")
    assert "Job-Id" not in head
    Job.objects.update(finished_at=timezone.now() - timedelta(minutes=5))
    assert tus(APIClient(), "HEAD", url)["Job-Id"] != str(first.pk)

    assert running.run_waiting() == 1
    assert stored() == CONTENT


def test_it_is_tried_again_when_the_store_is_back_and_leaves_nothing_twice(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.settle", away)
        running.run_waiting()
    assert state() == "waiting"
    Job.objects.update(due_at=timezone.now())
    Upload.objects.update(leased_until=timezone.now())

    running.run_waiting()

    assert stored() == CONTENT
    assert len(files_of(Version.objects.get())) == 1


def delete() -> None:
    StoredObject.objects.update(deleted_at=timezone.now())


def revoke() -> None:
    UserPermission.objects.all().delete()


@pytest.mark.parametrize(
    ("meanwhile", "error"),
    [
        (delete, "The object was deleted meanwhile."),
        (revoke, "Whoever uploaded it may not do so any more."),
    ],
)
def test_what_ends_an_upload_is_told_by_its_job(
    url: str, meanwhile: Callable[[], None], error: str
) -> None:
    meanwhile()

    running.run_waiting()

    assert (state(), Job.objects.get().error) == ("failed", error)
    assert nothing_is_left()


def test_an_upload_does_not_expire_while_its_job_waits(url: str) -> None:
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))

    assert offset(url) == len(CONTENT)
    assert sweep_all(by_jobs=True)["waiting"] == 1

    running.run_waiting()
    assert stored() == CONTENT


def test_where_no_worker_runs_the_sweep_does_it(url: str) -> None:
    said = io.StringIO()

    call_command("uploads_sweep", stdout=said)

    assert "1 finished" in said.getvalue()
    assert stored() == CONTENT
    assert state() == "done"


def test_where_workers_run_the_sweep_starts_what_nobody_did(url: str) -> None:
    Job.objects.all().delete()
    sweeping.sweep()
    running.run_waiting()

    assert Job.objects.get(kind="uploads.sweep").state == "done"
    assert state() == "done"
    assert stored() == CONTENT


def test_the_sweep_itself_reads_no_large_object_that_is_in_the_store_already(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = Version.objects.get()
    default_storage.save(version.key, ContentFile(CONTENT))
    Job.objects.all().delete()
    # As of a database from before the last bytes came.
    past = timezone.now() - timedelta(hours=1)
    Upload.objects.update(offset=4, expires_at=past)
    with monkeypatch.context() as patched:
        patched.setattr("uploads.finishing.whole", away)
        assert sweep_all(by_jobs=True)["waiting"] == 1

    running.run_waiting()

    assert (state(), stored()) == ("done", CONTENT)


def test_a_large_one_that_expired_is_given_up_by_a_job(api: APIClient) -> None:
    made = create(api, len(CONTENT))
    patch(made, 0, CONTENT[:4])
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert sweep_all(by_jobs=True)["waiting"] == 1

    running.run_waiting()

    job = Job.objects.get()
    assert (job.state, job.result) == ("done", {"object": None})
    assert nothing_is_left()


def test_a_large_one_that_expired_and_lacks_a_part_is_given_up(url: str) -> None:
    default_storage.delete(UploadPart.objects.all()[0].key)
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    Job.objects.all().delete()
    assert sweep_all(by_jobs=True)["waiting"] == 1

    running.run_waiting()

    job = Job.objects.get()
    assert job.error == "The store has lost what had come of it."
    assert nothing_is_left()


def test_one_that_is_cancelled_before_it_began_leaves_nothing(
    url: str, user: User
) -> None:
    assert control.cancel(Job.objects.get(), actor=user)

    assert tus(APIClient(), "HEAD", url).status_code == 410
    call_command("uploads_sweep", stdout=io.StringIO())
    assert nothing_is_left()


def test_one_that_is_cancelled_while_it_runs_leaves_nothing(
    url: str, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_part, version = finishing.PartsReader.read, Version.objects.get()
    parts = [part.key for part in UploadPart.objects.all()]

    def cancelling(self: finishing.PartsReader, size: int) -> bytes:
        control.cancel(Job.objects.get(), actor=user)
        return read_part(self, size)

    monkeypatch.setattr(finishing.PartsReader, "read", cancelling)
    running.run_waiting()

    assert state() == "cancelled"
    assert nothing_is_left()
    assert not any(default_storage.exists(key) for key in parts)
    assert not files_of(version)


def test_who_gives_the_upload_up_cancels_its_job(url: str) -> None:
    assert tus(APIClient(), "DELETE", url).status_code == 204

    assert nothing_is_left()
    assert state() == "cancelled"


def test_who_gives_the_upload_up_waits_for_a_worker_to_stop(url: str) -> None:
    upload = Upload.objects.get()
    work = running.claim()
    assert work is not None
    lease = acquire(upload)

    assert tus(APIClient(), "DELETE", url).status_code == 423

    assert Job.objects.get().cancel_requested
    lease.release()
    running.run(work)
    assert state() == "cancelled"
    assert tus(APIClient(), "DELETE", url).status_code in {404, 410}
    assert nothing_is_left()


def test_who_is_erased_leaves_no_upload_that_waits(url: str, user: User) -> None:
    erased = erasure.erase(user)

    assert erased.left == []
    assert nothing_is_left()
    assert not Job.objects.exists()


def test_the_pages_show_how_far_ones_own_is(url: str, user: User) -> None:
    address = f"/files/uploads/jobs/{Job.objects.get().pk}/"
    ann, other = Client(), Client()
    ann.force_login(user)
    other.force_login(
        User.objects.create_user("bob", password="secret", tenant=user.tenant)
    )

    assert ann.get(address).json() == {
        "state": "waiting",
        "error": "",
        "done": 0,
        "of": 0,
    }
    assert other.get(address).status_code == 404
    assert Client().get(address).status_code == 302
