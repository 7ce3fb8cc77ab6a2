"""In which order jobs are begun: fair to tenants, and first what somebody waits for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Tenant
from jobs import control, kinds, leases, running, sweeping, turns
from jobs.kinds import Priority, Work
from jobs.models import Job
from jobs.starting import start

pytestmark = pytest.mark.django_db
AWAITED, BACKGROUND = "tests.awaited", "tests.background"


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds of this module are all that there are."""

    def nothing(work: Work) -> None:
        if work.arguments.get("fails"):
            raise kinds.Failed("It can't.")

    made = (
        kinds.JobKind(AWAITED, nothing),
        kinds.JobKind(BACKGROUND, nothing, priority=Priority.BACKGROUND),
    )
    monkeypatch.setattr(kinds, "_kinds", {kind.name: kind for kind in made})


@pytest.fixture
def tenants() -> list[Tenant]:
    return [Tenant.objects.create(name=name, slug=name) for name in "abc"]


def started(kind: str, tenant: Tenant, count: int, **arguments: Any) -> None:
    for _ in range(count):
        start(kind, tenant=tenant, arguments=arguments)


def begun(count: int) -> list[str]:
    """Claim so many jobs, and return whose they are: A for an awaited one of a's."""
    found = []
    for _ in range(count):
        work = running.claim()
        assert work is not None
        assert work.job.tenant is not None
        name = work.job.tenant.name
        found.append(name.upper() if work.job.kind == AWAITED else name)
        running.run(work)
    return found


def test_an_export_waits_for_no_thumbnails(tenants: list[Tenant]) -> None:
    a, b, _ = tenants
    started(BACKGROUND, a, 50)
    started(AWAITED, b, 1)
    started(AWAITED, a, 1)

    assert begun(2) == ["B", "A"]
    started(AWAITED, b, 1)
    assert begun(1) == ["B"]
    assert set(begun(50)) == {"a"}


def test_tenants_take_turns(tenants: list[Tenant]) -> None:
    a, b, c = tenants
    started(BACKGROUND, a, 40)
    assert begun(10) == ["a"] * 10
    # Who comes later is not put behind, and makes up for no turns of before.
    started(BACKGROUND, b, 20)
    assert begun(6) == ["a", "b"] * 3
    started(AWAITED, c, 3)
    assert sorted(begun(9)) == ["C", "C", "C", "a", "a", "a", "b", "b", "b"]
    assert sorted(begun(4)) == ["a", "a", "b", "b"]


def test_one_tenants_exports_do_not_starve_anothers_thumbnails(
    tenants: list[Tenant],
) -> None:
    a, b, _ = tenants
    started(AWAITED, a, 20)
    started(BACKGROUND, b, 3)

    assert begun(7) == ["A", *["A", "b"] * 3]


def test_within_a_turn_the_oldest_is_first(tenants: list[Tenant]) -> None:
    for tenant in reversed(tenants):
        started(AWAITED, tenant, 1)

    assert begun(3) == ["C", "B", "A"]


def test_one_that_is_tried_again_gets_a_turn_of_now(tenants: list[Tenant]) -> None:
    a, b, _ = tenants
    started(AWAITED, a, 1, fails=True)
    assert begun(1) == ["A"]
    failed = Job.objects.get()
    started(AWAITED, a, 5)
    started(AWAITED, b, 5)

    assert control.try_again(failed, actor=None)

    assert begun(10) == ["A", "B"] * 5
    assert begun(1) == ["A"]


def give_back(job: Job) -> None:
    assert leases.put_back(job)


def leave(job: Job) -> None:
    """Be killed, so that the lease runs out, and the sweep finds it."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())
    assert sweeping.sweep().put_back == 1


def let_retry(job: Job) -> None:
    assert leases.put_back(job, after=timedelta(0))


@pytest.mark.parametrize(
    ("put_back", "soon"),
    [
        pytest.param(give_back, 1, id="given back"),
        pytest.param(leave, 1, id="left by a killed worker"),
        pytest.param(let_retry, 0, id="tried again"),
    ],
)
def test_what_is_put_back_brings_no_old_turn_back(
    tenants: list[Tenant], put_back: Callable[[Job], None], soon: int
) -> None:
    a, b, _ = tenants
    started(BACKGROUND, a, 40)
    work = running.claim()
    assert work is not None
    assert begun(20) == ["a"] * 20
    put_back(work.job)

    started(BACKGROUND, b, 19)

    assert begun(soon) == ["a"] * soon
    assert begun(38) == ["a", "b"] * 19


def test_who_has_much_that_fails_takes_no_more_turns_than_others(
    tenants: list[Tenant],
) -> None:
    a, b, _ = tenants
    started(BACKGROUND, a, 3)
    started(BACKGROUND, b, 6)

    seen = []
    for _ in range(6):
        work = running.claim()
        assert work is not None
        seen.append(work.job.tenant == a)
        if work.job.tenant == a:
            let_retry(work.job)
        else:
            running.run(work)

    assert seen == [True, False] * 3
    # Where all that waits was put back, others come in among it.
    Job.objects.filter(tenant=b).delete()
    started(BACKGROUND, b, 3)
    assert begun(6) in (["a", "b"] * 3, ["b", "a"] * 3)


@pytest.mark.parametrize("count", [1, 2])
def test_exports_that_never_cease_do_not_starve_thumbnails(
    tenants: list[Tenant], count: int
) -> None:
    a, *others = tenants
    started(BACKGROUND, a, 3)
    for tenant in others[:count]:
        started(AWAITED, tenant, 1)

    seen: list[str] = []
    while seen.count("a") < 3 and len(seen) < 30:
        work = running.claim()
        assert work is not None
        assert work.job.tenant is not None
        seen.append(work.job.tenant.name)
        running.run(work)
        if work.job.kind == AWAITED:
            started(AWAITED, work.job.tenant, 1)  # When the one before it has ended.

    before = len(others[:count])
    assert "".join(seen).count("a") == 3
    assert seen.index("a") <= 2 * before
    # From then on they take turns.
    assert len(seen) == 3 * (1 + before) + before


def test_what_was_never_begun_has_taken_no_turn(tenants: list[Tenant]) -> None:
    a, b, _ = tenants
    started(AWAITED, a, 20)
    for job in Job.objects.all():
        assert control.cancel(job, actor=None)
    started(AWAITED, b, 3)

    started(AWAITED, a, 3)

    assert begun(6) == ["B", "A"] * 3


def test_whose_tenant_is_deleted_takes_no_turns_along(tenants: list[Tenant]) -> None:
    a, b, c = tenants
    started(AWAITED, a, 20)
    started(AWAITED, b, 25)
    assert begun(40) == ["A", "B"] * 20
    b_waits = Job.objects.filter(tenant=b, started_at=None)
    Job.objects.exclude(pk__in=b_waits).delete()  # As a tenant's go with it.

    started(AWAITED, c, 5)

    assert begun(10) == ["B", "C"] * 5


def test_while_nothing_waits_it_is_the_turn_of_what_runs(tenants: list[Tenant]) -> None:
    a, b, _ = tenants
    started(BACKGROUND, a, 10)
    assert begun(9) == ["a"] * 9
    assert running.claim() is not None

    started(BACKGROUND, b, 5)
    started(BACKGROUND, a, 5)

    assert begun(10) == ["b", "a"] * 5


def test_what_is_not_due_keeps_nobodys_turn_back(tenants: list[Tenant]) -> None:
    a, b, _ = tenants
    started(BACKGROUND, a, 30)
    first = Job.objects.order_by("turn")[0]
    soon = timezone.now() + timedelta(hours=1)
    Job.objects.filter(pk=first.pk).update(due_at=soon)
    assert begun(20) == ["a"] * 20

    started(BACKGROUND, b, 20)

    assert begun(6) == ["a", "b"] * 3


def test_indexes_say_whose_turn_it_is(tenants: list[Tenant]) -> None:
    a, _, _ = tenants
    Job.objects.bulk_create(
        Job(kind=BACKGROUND, tenant=a, turn=turn, priority=1) for turn in range(3000)
    )
    now = timezone.now()
    Job.objects.bulk_create(
        Job(
            kind=BACKGROUND,
            tenant=a,
            turn=turn,
            state=Job.State.DONE,
            started_at=now,
            finished_at=now,
        )
        for turn in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    due = leases.open_jobs(timezone.now()).filter(kind__in=kinds.names())
    own = turns.with_turn().filter(tenant=a, priority__lte=1, turn__gte=7)
    begun = turns.with_turn().filter(started_at__isnull=False)

    claims = due.order_by(*turns.ORDER).values_list("pk")[: leases.FEW].explain()
    assert "job_turns" in claims
    assert "sort" not in claims.lower()
    assert "B-TREE" not in claims
    for found, index in ((own, "job_tenants_turns"), (begun, "job_begun_turns")):
        assert index in found.order_by("-turn").values_list("turn")[:1].explain()
