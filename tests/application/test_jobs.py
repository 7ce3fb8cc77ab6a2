"""Jobs: a row each, claimed by one, held by a lease, and ended once."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from audit.models import Entry
from jobs import control, ending, kinds, leases, running, sending, sweeping
from jobs.kinds import Cancelled, Failed, LeaseLost, Work
from jobs.models import Job, Period
from jobs.starting import start
from jobs.worker import Worker

pytestmark = pytest.mark.django_db
ENDED: list[tuple[str, str]] = []
STATE = Job.State


class Away(Exception):
    """What the kind of tests holds worth trying again."""


def note_end(job: Job) -> None:
    ENDED.append((str(job.pk), job.state))
    if job.arguments.get("refuse"):
        raise ValueError("Its kind can't end it.")


@kinds.kind("tests.do", retry_on=(Away,), ended=note_end)
def do(work: Work) -> dict[str, Any] | None:
    """Do what the arguments say."""
    said = work.arguments
    for step in range(said.get("steps", 0)):
        work.progress(step + 1, said["steps"])
    if "fails" in said:
        kinds_of = {"people": Failed, "away": Away, "database": OperationalError}
        raise kinds_of.get(said["fails"], ValueError)(f"It can't, by {said['fails']}.")
    return {"steps": said.get("steps", 0)}


@pytest.fixture(autouse=True)
def only_these(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds of this module are all that there are."""
    monkeypatch.setattr(kinds, "_kinds", {"tests.do": kinds.find("tests.do")})
    ENDED.clear()


def started(user: User | None = None, **arguments: Any) -> Job:
    return start("tests.do", owner=user, arguments=arguments)


def claimed(user: User | None = None, **arguments: Any) -> Work:
    job = started(user, **arguments)
    work = running.claim()
    assert work is not None
    assert work.job.pk == job.pk
    return work


def run_out(job: Job) -> None:
    """Let the lease have run out, as if its worker had been killed."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now())


def now_of(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def test_a_job_is_done_and_keeps_its_result(user: User) -> None:
    job = started(user, steps=3)
    assert (job.state, job.tenant, job.owner) == (STATE.WAITING, user.tenant, user)

    assert running.run_waiting() == 1

    job = now_of(job)
    assert (job.state, job.result, job.error) == (STATE.DONE, {"steps": 3}, "")
    assert (job.done, job.of, job.attempts) == (3, 3, 1)
    assert job.started_at
    assert job.finished_at
    assert job.lease_until is None
    assert [(str(job.pk), "done")] == ENDED


def test_a_job_is_of_its_requests_transaction() -> None:
    with transaction.atomic():
        started()
        transaction.set_rollback(True)

    assert not Job.objects.exists()


def test_a_kind_that_nobody_has_is_refused_and_left_to_others() -> None:
    with pytest.raises(LookupError, match=r"No kind of jobs is called tests\.no"):
        start("tests.no")
    job = Job.objects.create(kind="tests.elsewhere")

    assert running.run_waiting() == 0
    assert now_of(job).state == STATE.WAITING


def test_the_oldest_is_done_first_and_none_before_it_is_due() -> None:
    first, second, later = started(), started(), started()
    Job.objects.filter(pk=later.pk).update(due_at=timezone.now() + timedelta(hours=1))

    order = [running.claim(), running.claim()]

    assert [work and work.job.pk for work in order] == [first.pk, second.pk]
    assert running.claim() is None


def test_who_looked_before_another_claimed_claims_nothing() -> None:
    job = started()
    mine, theirs = leases.open_jobs(timezone.now()), leases.claim(["tests.do"])

    assert theirs is not None
    assert not mine.filter(pk=job.pk).exists()
    assert leases.claim(["tests.do"], job.pk) is None


def test_idle_workers_ask_by_one_query() -> None:
    with CaptureQueriesContext(connection) as asked:
        assert running.claim() is None

    assert len(asked) == 1


def test_a_job_whose_lease_ran_out_is_another_workers() -> None:
    killed = claimed()
    run_out(killed.job)

    other = running.claim()

    assert other is not None
    assert (other.job.pk, other.job.attempts) == (killed.job.pk, 2)
    running.run(other)
    with pytest.raises(LeaseLost):
        killed.progress(1, 2)
    with pytest.raises(LeaseLost):
        killed.hold()
    assert now_of(killed.job).state == STATE.DONE


def test_a_worker_that_lost_its_lease_writes_no_result() -> None:
    slow = claimed(steps=0)
    run_out(slow.job)
    other = running.claim()
    assert other is not None

    running.run(slow)

    job = now_of(slow.job)
    assert (job.state, job.result, job.token) == (STATE.RUNNING, None, other.job.token)
    assert ENDED == []


def test_progress_is_written_at_most_once_a_second_and_renews_the_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = claimed()
    run_out(work.job)
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("jobs.work.time", clock)

    with CaptureQueriesContext(connection) as asked:
        for done in range(500):
            work.progress(done, 1000)
        clock.now += 1
        for done in range(500, 1000):
            work.progress(done, 1000)

    job = now_of(work.job)
    assert (job.done, job.of) == (500, 1000)
    assert job.lease_until is not None
    assert job.lease_until > timezone.now()
    assert len(asked) == 2


def test_a_thread_renews_the_lease_of_work_that_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renewed = threading.Event()
    monkeypatch.setattr(leases, "RENEWED", 0.01)
    monkeypatch.setattr(Work, "renew", lambda self: renewed.set())

    def wait(work: Work) -> None:
        assert renewed.wait(60)

    monkeypatch.setattr(kinds, "_kinds", {"tests.do": kinds.JobKind("tests.do", wait)})
    job = started()

    assert running.run_waiting() == 1
    assert now_of(job).state == STATE.DONE


def test_what_failed_says_why_to_people(user: User) -> None:
    told, untold = started(user, fails="people"), started(user, fails="a bug: s3cret")

    running.run_waiting()

    assert now_of(told).error == "It can't, by people."
    assert now_of(untold).error == "Something went wrong here. It was written down."
    assert {now_of(told).state, now_of(untold).state} == {STATE.FAILED}
    assert now_of(untold).attempts == 1


def test_what_is_worth_it_is_tried_again_later_and_not_for_ever(
    settings: Any,
) -> None:
    settings.JOBS_ATTEMPTS = 2
    job = started(fails="away")

    running.run_waiting()

    tried = now_of(job)
    assert (tried.state, tried.attempts) == (STATE.WAITING, 1)
    assert tried.error == "Something went wrong here. It was written down."
    assert tried.due_at > timezone.now()
    Job.objects.update(due_at=timezone.now())
    assert running.run_waiting() == 1
    assert (now_of(job).state, now_of(job).attempts) == (STATE.FAILED, 2)
    assert [(str(job.pk), "failed")] == ENDED


def test_a_job_that_waits_is_cancelled_at_once(user: User) -> None:
    job = started(user)

    assert control.cancel(job, actor=user)

    assert now_of(job).state == STATE.CANCELLED
    assert running.run_waiting() == 0
    assert [(str(job.pk), "cancelled")] == ENDED
    assert not control.cancel(job, actor=user)


def test_a_running_job_ends_at_its_next_progress(user: User) -> None:
    work = claimed(user, steps=1)

    assert control.cancel(work.job, actor=user)
    assert now_of(work.job).state == STATE.RUNNING
    with pytest.raises(Cancelled):
        work.progress(0, 1)
    running.run(work)

    job = now_of(work.job)
    assert (job.state, job.result) == (STATE.CANCELLED, None)
    assert [(str(job.pk), "cancelled")] == ENDED


def test_a_cancelled_job_of_a_killed_worker_ends(user: User) -> None:
    at_once, later = claimed(user), claimed(user)
    run_out(at_once.job)
    control.cancel(at_once.job, actor=user)
    control.cancel(later.job, actor=user)
    run_out(later.job)

    assert running.claim() is None
    assert now_of(at_once.job).state == STATE.CANCELLED
    assert sweeping.sweep().cancelled == 1
    assert now_of(later.job).state == STATE.CANCELLED


def test_a_kind_that_cannot_end_a_job_has_failed_it(user: User) -> None:
    job = started(user, refuse=True)

    running.run_waiting()

    job = now_of(job)
    assert (job.state, job.result) == (STATE.FAILED, None)
    assert job.error == "Something went wrong here. It was written down."


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_fails_when_a_job_ends_ends_nothing(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = claimed()
    with monkeypatch.context() as patched:
        patched.setattr(ending, "_tell", mock.Mock(side_effect=error("gone")))
        running.run(work)
    assert now_of(work.job).state == STATE.RUNNING
    assert not ENDED
    run_out(work.job)

    running.run_waiting()

    assert now_of(work.job).state == STATE.DONE
    assert [(str(work.job.pk), "done")] == ENDED


def test_one_job_that_cannot_be_ended_is_in_no_others_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works = [claimed() for _ in range(3)]
    for work in works:
        run_out(work.job)
        Job.objects.filter(pk=work.job.pk).update(cancel_requested=True)
    tell = ending._tell

    def fail(pk: Any) -> None:
        if pk == works[1].job.pk:
            raise OperationalError("deadlock detected")
        tell(pk)

    monkeypatch.setattr(ending, "_tell", fail)

    assert sweeping.sweep().cancelled == 2

    monkeypatch.setattr(ending, "_tell", tell)
    assert sweeping.sweep().cancelled == 1


def test_the_sweep_puts_back_and_gives_up_what_nobody_claims(settings: Any) -> None:
    settings.JOBS_ATTEMPTS = 2
    work = claimed()
    assert sweeping.sweep() == sweeping.Swept()
    run_out(work.job)

    assert sweeping.sweep() == sweeping.Swept(put_back=1)
    assert now_of(work.job).state == STATE.WAITING
    again = running.claim()
    assert again is not None
    run_out(again.job)
    assert running.claim() is None
    assert sweeping.sweep() == sweeping.Swept(failed=1)

    job = now_of(work.job)
    assert job.state == STATE.FAILED
    assert job.error.startswith("It was begun 2 times")
    assert [(str(job.pk), "failed")] == ENDED


def test_what_is_given_up_keeps_the_error_of_before(settings: Any) -> None:
    settings.JOBS_ATTEMPTS = 2
    job = started(fails="away")
    running.run_waiting()
    Job.objects.update(due_at=timezone.now())
    work = running.claim()
    assert work is not None
    run_out(work.job)

    assert sweeping.sweep().failed == 1
    assert now_of(job).error == "Something went wrong here. It was written down."


def test_what_is_given_back_is_due_at_once_and_does_not_count() -> None:
    work = claimed(steps=1)
    work.is_to_be_given_back.set()

    running.run(work)

    job = now_of(work.job)
    assert (job.state, job.attempts, job.token) == (STATE.WAITING, 0, None)
    assert running.run_waiting() == 1
    assert now_of(job).state == STATE.DONE


def test_a_failed_job_is_tried_again_when_somebody_wants_it(user: User) -> None:
    job = started(user, fails="people")
    running.run_waiting()
    assert not control.try_again(started(user), actor=user)

    assert control.try_again(job, actor=user)

    job = now_of(job)
    assert (job.state, job.error, job.attempts) == (STATE.WAITING, "", 0)
    actions = Entry.objects.values_list("action", "target_id")
    assert list(actions) == [("job.retry", str(job.pk))]


def test_the_command_of_the_sweep_tells_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_out(claimed().job)

    call_command("jobs_sweep", "--json")
    told = json.loads(capsys.readouterr().out)
    call_command("jobs_sweep")

    none = {"failed": 0, "cancelled": 0, "started": 0, "sent": 0}
    assert told == none | {"put_back": 1}
    assert capsys.readouterr().out.startswith("0 put back, 0 failed, 0 cancelled")


@pytest.fixture
def hourly(monkeypatch: pytest.MonkeyPatch) -> str:
    name = "tests.hourly"
    made = kinds.JobKind(name, lambda work: None, every=timedelta(hours=1))
    monkeypatch.setitem(kinds._kinds, name, made)
    return name


def test_what_is_periodic_is_started_once_a_period(hourly: str) -> None:
    counts = [sweeping.sweep().started for _ in range(3)]
    assert counts == [1, 0, 0]
    assert running.run_waiting() == 1
    assert sweeping.sweep().started == 0

    Period.objects.update(due_at=timezone.now())
    assert sweeping.sweep().started == 1
    assert running.run_waiting() == 1
    assert sweeping.sweep().started == 0
    assert Job.objects.filter(kind=hourly).count() == 2


def test_what_is_periodic_does_not_pile_up(hourly: str) -> None:
    sweeping.sweep()
    Period.objects.update(due_at=timezone.now())

    assert sweeping.sweep().started == 0
    assert Job.objects.filter(kind=hourly).count() == 1


def test_a_clock_that_was_ahead_stops_nothing(hourly: str) -> None:
    year = timezone.now() + timedelta(days=365)
    sweeping.sweep()
    Job.objects.filter(kind=hourly).update(due_at=year)
    left = claimed()
    Job.objects.filter(pk=left.job.pk).update(lease_until=year)
    assert running.claim(left.job.pk) is not None
    Job.objects.filter(pk=left.job.pk).update(lease_until=year)

    assert sweeping.sweep().put_back == 2
    assert running.run_waiting() == 2

    Period.objects.update(due_at=year)
    assert [sweeping.sweep().started for _ in range(2)] == [1, 0]


def test_an_error_that_no_database_can_hold_is_written_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(work: Work) -> None:
        raise Failed("a\0b \ud800 is no path")

    monkeypatch.setitem(kinds._kinds, "tests.do", kinds.JobKind("tests.do", fail))
    job = started()

    assert running.run_waiting() == 1

    job = now_of(job)
    assert (job.state, job.error) == (STATE.FAILED, "a\ufffdb \ufffd is no path")


def test_old_jobs_are_deleted(settings: Any) -> None:
    from jobs import tasks

    old, new, waiting = started(), started(), started()
    ended = timezone.now() - timedelta(days=settings.JOBS_KEEP_DAYS, minutes=1)
    for job, at in ((old, ended), (new, timezone.now())):
        Job.objects.filter(pk=job.pk).update(state=STATE.DONE, finished_at=at)

    assert tasks.delete_old(claimed_again(waiting)) == {"deleted": 1}
    assert set(Job.objects.all()) == {new, waiting}


def claimed_again(job: Job) -> Work:
    work = running.claim(job.pk)
    assert work is not None
    return work


def test_each_sees_the_own_jobs_and_administrators_their_tenants(user: User) -> None:
    other = User.objects.create_user("bob", tenant=user.tenant)
    chief = User.objects.create_user("eve", tenant=user.tenant, is_administrator=True)
    own, anothers, sites = started(user), started(other), started()

    assert set(control.visible(user)) == {own}
    assert set(control.visible(chief)) == {own, anothers}
    user.tenant.is_super = True
    user.tenant.save()
    assert set(control.visible(User.objects.get(pk=chief.pk))) == {own, anothers, sites}


def test_the_admin_shows_and_cancels_and_tries_again(user: User) -> None:
    user.is_staff = user.is_administrator = True
    user.save()
    job, browser = started(user), Client()
    browser.force_login(user)
    listed = "/admin/jobs/job/"

    assert browser.get(listed).status_code == 200
    assert browser.get(f"{listed}{job.pk}/change/").status_code == 200
    for action, state in (("cancel", STATE.CANCELLED), ("try_again", STATE.WAITING)):
        chosen = {"action": action, "_selected_action": [str(job.pk)]}
        page = browser.post(listed, chosen, follow=True)
        assert "It was done for 1 job." in page.text
        assert now_of(job).state == state


@pytest.mark.django_db(transaction=True)
def test_a_worker_does_what_is_due_and_ends() -> None:
    jobs = [started(steps=2) for _ in range(5)]

    Worker(threads=1, poll=0.01, grace=1).run(once=True)

    assert {now_of(job).state for job in jobs} == {STATE.DONE}


def test_a_job_whose_database_was_away_is_tried_again(settings: Any) -> None:
    settings.JOBS_ATTEMPTS = 2
    job = started(fails="database")
    running.run_waiting()
    waiting = now_of(job)
    Job.objects.filter(pk=job.pk).update(due_at=timezone.now(), arguments={})

    running.run_waiting()

    assert (waiting.state, waiting.attempts) == (STATE.WAITING, 1)
    assert waiting.error == "The database failed. Please try again later."
    job = now_of(job)
    assert (job.state, job.error) == (STATE.DONE, "")


@pytest.mark.parametrize(
    "error", [OperationalError, InterfaceError, ImproperlyConfigured]
)
def test_a_worker_waits_for_its_database(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(threads=1, poll=0.01, grace=1)
    asked = mock.Mock(side_effect=[error("gone"), None])
    monkeypatch.setattr(running, "claim", asked)
    monkeypatch.setattr(worker, "_wait", lambda seconds: worker.stop())
    monkeypatch.setattr("jobs.worker.connections", mock.Mock())

    worker.run()

    assert asked.call_count == 2


@pytest.mark.parametrize("error", [OperationalError, ImproperlyConfigured])
def test_a_worker_that_is_to_end_does_not_wait_for_its_database(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "claim", mock.Mock(side_effect=error("gone")))

    with pytest.raises(error, match="gone"):
        Worker(threads=1, poll=0.01, grace=1).run(once=True)


def test_a_job_that_is_gone_is_nobodys() -> None:
    work = claimed(steps=1)
    Job.objects.all().delete()

    running.run(work)  # Ends without a word.

    assert leases.renew(work.job) is leases.Seen.LOST
    assert running.claim(uuid.uuid4()) is None


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_away_is_left_alone_for_a_while(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs import messages

    asked: list[str] = []

    def refuse(pk: str, options: Any) -> None:
        asked.append(pk)
        raise ConnectionError("redis://:s3cret@broker is away")

    monkeypatch.setattr(messages, "publish", refuse)
    monkeypatch.setattr(sending, "_away_until", 0.0)
    settings.CELERY_BROKER_URL = "redis://broker"

    jobs = [started() for _ in range(3)]

    assert asked == [str(jobs[0].pk)]
    assert {now_of(job).state for job in jobs} == {STATE.WAITING}


def test_the_sweep_sends_lost_messages_again(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def send(pk: Any) -> bool:
        sent.append(str(pk))
        return True

    monkeypatch.setattr(sending, "send", send)
    lost, fresh = started(), started()
    settings.CELERY_BROKER_URL = "redis://broker"
    late = timezone.now() - sweeping.RESENT
    Job.objects.filter(pk=lost.pk).update(sent_at=late)

    assert [sweeping.sweep().sent for _ in range(2)] == [1, 0]

    assert sent == [str(lost.pk)]
    assert now_of(fresh).state == STATE.WAITING
