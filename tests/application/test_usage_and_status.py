"""The pages of what is used, and of how the installation is."""

from __future__ import annotations

import io
import logging
import re
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, storages
from django.core.management import call_command
from django.db import InterfaceError, connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import quotas
from accounts.models import Tenant, User
from exports import starting
from exports.models import Export
from jobs import kinds, running
from jobs.models import Job
from jobs.starting import start
from objects import changing, storing
from objects.models import Version
from pages import failures, grids, listing, status, usage
from pages.models import Failure
from tahoestorage.care.livecounts import LiveCounts, LookupCounts
from tahoestorage.exceptions import GatewayTimeout, StoreUnreachable
from tests.application.callers import (
    EDITOR,
    INACTIVE,
    KINDS,
    NOBODY,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    Callers,
)
from tests.application.stores import put, store_entry
from tests.application.test_pages import browser_of, browsers
from tests.support.proxy import Proxy

pytestmark = pytest.mark.django_db


def test_the_bar_shows_what_is_used_deleted_and_free(user: User) -> None:
    user.tenant.max_bytes = 1000
    user.tenant.save()
    put(user, b"x" * 300, "kept")
    gone = put(user, b"x" * 200, "gone").object
    changing.delete(gone.pk, actor=user)

    response = browser_of(user).get("/usage/")

    parts = {part.name: (part.bytes, part.length) for part in response.context["parts"]}
    assert parts["used"] == (300, 30.0)
    assert parts["deleted"] == (200, 20.0)
    assert parts["free"] == (500, 50.0)
    assert re.search(r'<rect class="deleted" x="30" y="0" width="20"', response.text)


def test_exports_are_no_files_and_no_uploads(user: User) -> None:
    put(user, b"x" * 300, "kept")
    gone = put(user, b"x" * 200, "gone").object
    begun = storing.begin(
        tenant=user.tenant,
        user=user,
        folder=gone.folder,
        name=gone.name,
        size=70,
        content_type="",
    )
    changing.delete(gone.pk, actor=user)
    Version.objects.filter(pk=begun.pk).update(state=Version.State.GIVEN_UP)
    pending = {"folder": "c", "name": "d", "size": 30, "content_type": ""}
    storing.begin(tenant=user.tenant, user=user, **pending)  # type: ignore[arg-type]
    starting.start_folder(user, "b")
    running.run_waiting()
    ready = Export.objects.get()
    Export.objects.create(tenant=user.tenant, reserved=1000)
    quotas.reserve(user.tenant_id, size=1000, objects=0)
    tenant = Tenant.objects.get()

    parts = {part.name: part.bytes for part in usage.parts_of(tenant)}

    assert parts == {
        "used": 300,
        "deleted": 200,
        "exports": ready.size,
        "reserved": 100,
        "making": 1000,
    }
    assert sum(parts.values()) == tenant.used_bytes + tenant.reserved_bytes
    page = browser_of(user).get("/usage/").text
    for label in ("exports being made", 'class="exports"', 'class="making"'):
        assert label in page


def test_folders_are_those_at_the_top_with_all_below(user: User) -> None:
    put(user, b"x" * 10, "a", "photos/2026")
    put(user, b"x" * 20, "b", "photos")
    put(user, b"x" * 5, "c", "")

    rows = browser_of(user).get("/usage/").context["folders"]

    assert [(row.label, row.bytes, row.length) for row in rows] == [
        ("photos", 30, 100.0),
        ("Files in no folder", 5, 16.67),
    ]


def test_many_folders_are_one_row_more(user: User) -> None:
    for number in range(usage.MOST + 3):
        put(user, b"x" * (number + 1), "a", f"folder {number}")

    rows = browser_of(user).get("/usage/").context["folders"]

    assert len(rows) == usage.MOST + 1
    assert (rows[-1].label, rows[-1].objects) == ("everything else", 3)


def test_each_day_has_its_column(user: User) -> None:
    put(user, b"x" * 100, "new")
    old = put(user, b"x" * 50, "old")
    Version.objects.filter(pk=old.pk).update(
        created_at=timezone.now() - timedelta(days=3)
    )

    days = usage.by_day(user)

    assert len(days) == usage.DAYS
    assert [day.bytes for day in days if day.bytes] == [50, 100]
    assert days[-1].height == 100


def test_the_first_day_begins_at_midnight_where_somebody_is(user: User) -> None:
    with timezone.override("Asia/Kolkata"):
        today = timezone.localdate()
        midnight = timezone.make_aware(datetime.combine(today, time.min))
        begins = midnight - timedelta(days=usage.DAYS - 1)
        for name, at in (("first", begins), ("before", begins - timedelta(seconds=1))):
            made = put(user, name.encode(), name)
            Version.objects.filter(pk=made.pk).update(created_at=at)

        days = usage.by_day(user)

    assert [day.bytes for day in days if day.bytes] == [len("first")]
    assert days[0].bytes == len("first")


def test_nobody_learns_of_folders_they_may_not_see(callers: Callers) -> None:
    for kind in (STRANGER, OTHER_TENANT):
        page = browser_of(callers[kind].user).get("/usage/")
        assert page.status_code == 200
        assert "papers" not in page.text
    assert "papers" in browser_of(callers[EDITOR].user).get("/usage/").text
    assert list(listing.seen(callers[STRANGER].user)) == []


@pytest.mark.parametrize("path", ["/status/", "/status/checks/"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_status_is_for_administrators(
    callers: Callers, kind: str, path: str
) -> None:
    response = browsers(callers, kind).get(path)

    if kind in (NOBODY, INACTIVE):
        assert response.status_code == 302
    elif kind in (TENANT_ADMINISTRATOR, OTHER_TENANT, SUPER_TENANT):
        assert response.status_code == 200
    else:
        assert response.status_code == 403
        assert "for administrators" in response.text


def test_an_administrator_sees_the_jobs_of_the_tenant_alone(callers: Callers) -> None:
    for tenant, kind in ((callers.tenant, "ours"), (Tenant.objects.last(), "theirs")):
        for state in (Job.State.DONE, Job.State.FAILED):
            Job.objects.create(
                kind=f"{kind}.{state}", state=state, tenant=tenant, error="It <failed>."
            )

    ours = browser_of(callers[TENANT_ADMINISTRATOR].user).get("/status/").text
    all_of_them = browser_of(callers[SUPER_TENANT].user).get("/status/").text

    assert "ours.done" in ours
    assert "ours.failed" in ours
    assert "It &lt;failed&gt;." in ours
    assert "theirs" not in ours
    assert "theirs.done" in all_of_them
    assert "theirs.failed" in all_of_them


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_stopped_and_tried_again_by_those_who_administer_it(
    callers: Callers, kind: str
) -> None:
    job = Job.objects.create(kind="ours", tenant=callers.tenant)

    browsers(callers, kind).post(f"/status/jobs/{job.pk}/cancel/")

    job.refresh_from_db()
    may = kind in (TENANT_ADMINISTRATOR, SUPER_TENANT)
    assert job.state == (Job.State.CANCELLED if may else Job.State.WAITING)
    state = Job.State.FAILED
    Job.objects.update(state=state, finished_at=timezone.now())
    if may:
        assert "Try ours again" in browsers(callers, kind).get("/status/").text
    browsers(callers, kind).post(f"/status/jobs/{job.pk}/again/")
    job.refresh_from_db()
    assert job.state == (Job.State.WAITING if may else state)


def test_the_list_of_jobs_asks_for_itself_while_some_are_under_way(
    callers: Callers,
) -> None:
    for state in (Job.State.WAITING, Job.State.RUNNING):
        Job.objects.create(
            kind=f"ours.{state}", state=state, tenant=callers.tenant, done=1, of=4
        )
    browser = browser_of(callers[TENANT_ADMINISTRATOR].user)

    page = browser.get("/status/jobs/", headers={"HX-Request": "true"}).text

    assert 'hx-trigger="every 2s"' in page
    assert page.index("ours.running") < page.index("ours.waiting")
    assert '<progress max="4" value="1"' in page
    for job in Job.objects.all():
        said = browser.post(f"/status/jobs/{job.pk}/cancel/", follow=True).text
        assert "It is cancelled" in said
    assert "stopping" in said
    Job.objects.update(state=Job.State.CANCELLED, finished_at=timezone.now())
    job = Job.objects.all()[0]
    said = browser.post(f"/status/jobs/{job.pk}/cancel/", follow=True).text
    assert "It had ended already" in said
    assert 'hx-trigger="every' not in said


def test_what_each_tenant_uses_is_for_operators(callers: Callers) -> None:
    for number, tenant in enumerate(Tenant.objects.all()):
        tenant.used_bytes = 100 * (number + 1)
        tenant.save()

    ours = browser_of(callers[TENANT_ADMINISTRATOR].user).get("/usage/")
    all_of_them = browser_of(callers[SUPER_TENANT].user).get("/usage/")

    assert "By tenant" not in ours.text
    assert "By tenant" in all_of_them.text
    lengths = {row.label: row.length for row in all_of_them.context["tenants"]}
    names = list(Tenant.objects.order_by("-used_bytes").values_list("name", flat=True))
    assert list(lengths) == names
    assert lengths[names[0]] == 100


def test_bytes_that_are_missing_are_told(callers: Callers) -> None:
    version = callers.object.current
    assert version is not None
    Version.objects.filter(pk=version.pk).update(missing_since=timezone.now())

    page = browser_of(callers[TENANT_ADMINISTRATOR].user).get("/status/").text

    assert "lacked its bytes" in page


def test_a_store_that_is_away_is_said_and_what_it_said_is_not(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError("secret-of-the-store")

    monkeypatch.setattr(InMemoryStorage, "size", fail)

    page = browser_of(callers[SUPER_TENANT].user).get("/status/checks/").text

    assert "It does not respond" in page
    assert "secret-of-the-store" not in page


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (SUPER_TENANT, ["cold", "default", "gone", "own", "past", "site"]),
        (TENANT_ADMINISTRATOR, ["cold", "gone", "past"]),
    ],
)
def test_the_stores_of_files_and_of_exports_are_asked(
    callers: Callers, settings: Settings, kind: str, asked: list[str]
) -> None:
    entry = settings.STORAGES["default"]
    aliases = ("default", "site", "cold", "own", "past", "unused", "staticfiles")
    settings.STORAGES = dict.fromkeys(aliases, entry)
    settings.EXPORT_STORAGE = "site"
    ours = Tenant.objects.filter(pk=callers.tenant.pk)
    ours.update(store="gone", export_store="cold")
    Tenant.objects.exclude(pk=callers.tenant.pk).update(export_store="own")
    Export.objects.create(tenant=callers.tenant, store="past")

    user = User.objects.get(pk=callers[kind].user.pk)
    checks = browser_of(user).get("/status/checks/").context["checks"]

    assert [one.name for one in checks if one.name != "Cache"] == [
        f"Store “{alias}”" for alias in asked
    ]
    bad = [(one.name, one.told) for one in checks if not one.is_good]
    told = "It is not set any more, and a tenant or an export names it."
    assert bad == [("Store “gone”", told)]


def test_an_operator_sees_how_a_grid_is_and_others_do_not(
    callers: Callers,
    settings: Settings,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    entry = store_entry("grid", tmp_path, request)
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    gateway = settings.STORAGES["default"]["OPTIONS"]["base_url"]

    browser = browser_of(callers[SUPER_TENANT].user)
    page = browser.get("/status/grids/")
    other = browser_of(callers[TENANT_ADMINISTRATOR].user)

    assert "/status/grids/" in browser.get("/status/").text
    assert "/status/grids/" not in other.get("/status/").text
    assert other.get("/status/grids/").status_code == 403
    for text in (
        f"By the gateway at {gateway}.",
        "connected",
        " free",
        "Any 1 of 1 shares restore a file.",
        "0 of the connected servers can be lost",
        "Files can be saved and deleted.",
        f"Cache: disk, {entry['OPTIONS']['cache']['directory']}, ",
        "What the cache spares the site is not counted here.",
        "No check of the files is on record",
    ):
        assert text in page.text
    assert "URI:" not in page.text
    counted = LiveCounts(processes={1: LookupCounts(hits=5), 2: LookupCounts(2, 1)})
    monkeypatch.setattr(grids, "live_counts", lambda: counted)
    call_command("tahoe_check", "--verify", stdout=io.StringIO())
    for name in ("a", "b", "c"):
        storages["default"].save(f"{name}/file", ContentFile(b"content"))
        call_command("tahoe_check", name, stdout=io.StringIO())
    text = browser.get("/status/grids/").text
    assert re.findall(r"Check of (\w): whole", text) == ["c", "b", "a"]
    # However many came after it: none without --verify finds what it does.
    assert "Check of everything, each share read: whole" in text
    assert "hit rate 87.5 %, requests spared: 7" in text

    options = {**entry["OPTIONS"], "base_url": [gateway, "http://127.0.0.1:1"]}
    several = {**entry, "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": several}
    text = browser.get("/status/grids/").text
    assert f">responds</span> {gateway}<" in text
    assert ">away</span> http://127.0.0.1:1<" in text
    options = {**entry["OPTIONS"], "base_url": "http://127.0.0.1:1"}
    entry = {**entry, "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": entry}
    assert "critical" in browser.get("/status/grids/").text
    assert "It does not respond" in browser.get("/status/checks/").text


def test_a_grid_is_asked_and_not_the_cache(
    settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    entry = store_entry("grid", tmp_path, request)
    with Proxy(entry["OPTIONS"]["base_url"]) as proxy:
        entry["OPTIONS"]["base_url"] = proxy.url
        settings.STORAGES = {"default": entry}
        storages["default"].save("status/known", ContentFile(b"x" * 99))
        proxy.clear()
        asked = []
        for _ in range(3):
            assert status.check_store("default").is_good
            asked.append(len(proxy.seen))

    assert 0 < asked[0] < asked[1] < asked[2]


def test_a_cache_that_is_away_is_said(callers: Callers, settings: Settings) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.db"
    browser = browser_of(callers[SUPER_TENANT].user)
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    }

    assert "does not keep what is put into it" in browser.get("/status/checks/").text


def test_who_is_not_signed_in_is_led_there_from_any_page(db: None) -> None:
    for path in ("/files/", "/usage/", "/status/", "/files/deleted/"):
        location = Client().get(path).headers["Location"]
        assert location == f"/accounts/sign-in/?next={path}"


def test_what_failed_lately_is_told_to_operators_without_secrets(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap = f"URI:CHK:{'a2' * 13}:{'b3' * 26}:1:1:99"
    told = iter(
        [
            StoreUnreachable(f"nothing answers for {cap}"),
            OSError("secret-of-the-store"),
            OSError("secret-of-the-store"),
        ]
    )

    def fail(*args: object) -> None:
        raise next(told)

    monkeypatch.setattr(InMemoryStorage, "size", fail)
    operator = browser_of(callers[SUPER_TENANT].user)
    for _ in range(3):
        operator.get("/status/checks/")
    logging.getLogger("django.request").warning("of others")

    page = operator.get("/status/").text
    theirs = browser_of(callers[TENANT_ADMINISTRATOR].user).get("/status/").text

    assert "The store default does not respond: nothing answers for URI:***" in page
    assert "The store default does not respond: OSError" in page
    assert "2 times" in page
    assert "of others" not in page
    for secret in (cap, "a2a2", "secret-of-the-store"):
        assert secret not in page
        assert not Failure.objects.filter(text__contains=secret).exists()
    assert "does not respond" not in theirs


def test_a_failure_within_a_job_is_noted_when_that_has_ended(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(work: kinds.Work) -> None:
        with transaction.atomic():
            logging.getLogger("tahoestorage.cache").warning("The cache: %s", "full")
            raise GatewayTimeout("no answer")

    made = kinds.JobKind("tests.fail", fail)
    monkeypatch.setattr(kinds, "_kinds", {"tests.fail": made})
    start("tests.fail")

    running.run_waiting()

    found = set(Failure.objects.values_list("source", flat=True))
    assert found == {"tahoestorage.cache", "jobs.running"}
    text = Failure.objects.get(source="jobs.running").text
    assert text.endswith("tests.fail failed (no answer)")


def test_few_failures_are_kept(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "KEPT", 3)
    logger = logging.getLogger("tahoestorage.outage")
    for number in range(5):
        logger.warning("%s", number)
        failures.write()

    assert set(Failure.objects.values_list("text", flat=True)) == {"2", "3", "4"}
    old = timezone.now() - timedelta(days=failures.DAYS, minutes=1)
    Failure.objects.update(at=old)
    logger.warning("new")
    failures.write()
    assert [found.text for found in Failure.objects.all()] == ["new"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(InterfaceError("connection already closed"), id="closed"),
        pytest.param(ImproperlyConfigured("no password"), id="no-password"),
    ],
)
def test_where_failures_cannot_be_written_nothing_fails(
    db: None, error: Exception
) -> None:
    def fail(*args: object) -> None:
        raise error

    logging.getLogger("tahoestorage.outage").warning("The store is away.")

    with connection.execute_wrapper(fail):
        failures.write()

    assert not Failure.objects.exists()
