"""The pages of exports, and who gets to see and fetch them."""

from __future__ import annotations

import io
import json
import re
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Tenant, User
from audit.models import Entry
from exports import importing, removing, starting, telling
from exports.models import Export
from jobs import control
from jobs.models import Job
from jobs.running import run_waiting
from objects.models import StoredObject
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    Callers,
    client_of,
)
from tests.application.stores import put

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(user: User) -> Client:
    put(user, b"First the foundation.", "plan.txt", "papers")
    put(user, b"x" * 3000, "figures.csv", "papers/2026")
    client = Client()
    client.force_login(user)
    return client


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_a_folder_is_exported_and_downloaded(ann: Client) -> None:
    empty = ann.get("/exports/").content.decode()
    begun = ann.post("/exports/start/", {"folder": " /papers/ "}, follow=True)
    page = begun.content.decode()
    address = begun.redirect_chain[-1][0]
    run_waiting()
    part = ann.get(f"{address}state/").content.decode()
    fetched = ann.get(f"{address}download/")

    assert "No exports yet" in empty
    # It asks for itself as long as it is being made, and the button waits.
    assert f'hx-get="{address}state/"' in page
    assert re.search(r'id="export-download" class="button" disabled', page)
    assert "hx-trigger" not in part
    assert "<html" not in part
    assert re.search(r'id="export-download" class="button">', part)
    assert "data-tell" in part
    with zipfile.ZipFile(io.BytesIO(body(fetched))) as zipped:
        assert len(zipped.namelist()) == 3
    today = f"{timezone.now():%Y-%m-%d}"
    assert f'filename="papers-{today}.zip"' in fetched["Content-Disposition"]
    assert "papers" in ann.get("/exports/").content.decode()


def test_ranges_are_honoured_and_a_download_is_written_down_once(
    ann: Client, user: User
) -> None:
    export = starting.start_folder(user, "papers")
    run_waiting()
    url = f"/exports/{export.pk}/download/"
    whole = ann.get(url)
    content = body(whole)
    first = ann.get(url, headers={"Range": "bytes=0-99"})
    rest = ann.get(url, headers={"Range": "bytes=100-"})
    same = ann.get(url, headers={"If-None-Match": whole["ETag"]})
    more = ann.get(url, headers={"Range": "bytes=1-", "If-Range": '"another"'})

    assert body(first) + body(rest) == content
    assert (first.status_code, rest.status_code) == (206, 206)
    assert same.status_code == 304
    assert body(more) == content
    assert Entry.objects.filter(action="export.download").count() == 3


def test_one_whose_bytes_are_missing_says_so_and_leads_to_its_page(
    ann: Client, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    export = starting.start_folder(user, "papers")
    run_waiting()
    export.refresh_from_db()
    storages[export.store].delete(export.key)
    url = f"/exports/{export.pk}/"

    page = ann.get(f"{url}download/", follow=True)
    problem = client_of(user).get(f"/api/v1{url}content/")

    assert page.redirect_chain == [(url, 302)]
    assert "Its bytes are missing in the store. Export it again." in page.text
    assert (problem.status_code, problem.json()["title"]) == (
        500,
        "Internal Server Error",
    )
    assert "bytes are missing" in problem.json()["detail"]
    assert f"lacks export {export.pk}" in caplog.text
    assert not Entry.objects.filter(action="export.download").exists()


def test_its_owner_is_told_on_the_next_page_once(ann: Client, user: User) -> None:
    starting.start_folder(user, "papers")
    run_waiting()

    assert (
        "is ready"
        not in ann.get("/exports/", headers={"HX-Request": "true"}).content.decode()
    )
    first, second = (ann.get("/exports/").content.decode() for _ in range(2))

    assert "The export “papers” is ready. It is kept until" in first
    assert "is ready. It is kept" not in second


def test_a_message_tells_the_day_in_its_owners_zone(
    ann: Client, user: User, settings: Any
) -> None:
    User.objects.filter(pk=user.pk).update(time_zone="Pacific/Auckland")
    export = starting.start_folder(user, "papers")
    run_waiting()
    # In Auckland it is the next morning by then.
    evening = datetime(2026, 5, 1, 20, tzinfo=UTC)
    Export.objects.filter(pk=export.pk).update(ready_at=evening)
    settings.EXPORT_KEEP_DAYS = 2

    page = ann.get("/exports/").content.decode()

    assert "It is kept until 4 May 2026 at least." in page


def test_what_is_asked_each_second_takes_few_queries(ann: Client, user: User) -> None:
    waiting = starting.start_folder(user, "papers")
    archive = put(user, b"no archive", "a.zip").object
    imported = importing.start_import(user, archive)
    for path in (
        f"/exports/{waiting.pk}/state/",
        f"/exports/imports/{imported.pk}/state/",
    ):
        with CaptureQueriesContext(connection) as asked:
            assert ann.get(path, headers={"HX-Request": "true"}).status_code == 200
        assert len(asked) <= 4, path


def test_news_of_many_exports_takes_few_queries(ann: Client, user: User) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            page = ann.get("/files/").content.decode()
        told.append(page.count("is ready."))
        return len(asked)

    told: list[int] = []
    queries()
    nothing_new = queries()
    for _ in range(telling.AT_ONCE + 2):
        starting.start_folder(user, "papers")
    run_waiting()

    # One asks for news; two more where there are some.
    assert queries() <= nothing_new + 2
    assert queries() <= nothing_new + 2
    assert queries() == nothing_new
    assert told == [0, 0, telling.AT_ONCE, 2, 0]


def test_a_folders_page_exports_it_and_an_archives_page_imports_it(
    ann: Client, user: User
) -> None:
    def send(page: str, address: str) -> str:
        """Send the page's form that leads to the address, and return where it led."""
        found = re.search(rf'<form method="post" action="{address}">.*?</form>', page)
        assert found, page
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', found[0]))
        answer = ann.post(address, fields)
        assert answer.status_code == 302
        return str(answer.headers["Location"])

    page = ann.get("/files/?folder=papers").content.decode()
    exported = send(page, "/exports/start/")
    run_waiting()
    archive = body(ann.get(f"{exported}download/"))
    stored = put(user, archive, "papers.zip").object
    page = ann.get(f"/files/{stored.pk}/").content.decode()
    imported = send(page, "/exports/import/")
    run_waiting()

    assert "2 files are imported" in ann.get(imported).content.decode()
    assert "/exports/start/" not in ann.get("/files/?folder=none").content.decode()
    assert "/exports/start/" not in ann.get("/files/?q=plan").content.decode()
    plan = StoredObject.objects.filter(name="plan.txt").first()
    assert plan is not None
    assert "/exports/import/" not in ann.get(f"/files/{plan.pk}/").content.decode()


def test_names_are_shown_as_text(ann: Client, user: User) -> None:
    name = "<script>alert(1)</script>"
    put(user, b"x", "a.txt", name.replace("/", "-"))
    export = starting.start_folder(user, name.replace("/", "-"))
    run_waiting()

    for url in ("/exports/", "/exports/", f"/exports/{export.pk}/"):
        assert b"<script>alert" not in ann.get(url).content


def test_it_is_cancelled_pinned_and_deleted_from_its_page(
    ann: Client, user: User
) -> None:
    begun, export = (starting.start_folder(user, "papers") for _ in range(2))
    part = ann.post(f"/exports/{begun.pk}/cancel/", headers={"HX-Request": "true"})
    assert "cancelled" in part.content.decode()
    run_waiting()
    url = f"/exports/{export.pk}/"
    assert ann.post(f"{url}pin/", {"pinned": "1"})["Location"] == url
    assert "Unpin" in ann.get(url).content.decode()
    page = ann.post(f"{url}delete/", follow=True).content.decode()

    assert "is deleted" in page
    assert ann.get(url).status_code == 404
    assert [one.pk for one in Export.objects.exclude(state="going")] == [begun.pk]


def test_one_that_is_being_made_says_that_it_must_be_cancelled_first(
    ann: Client, user: User
) -> None:
    export = starting.start_folder(user, "papers")

    page = ann.post(f"/exports/{export.pk}/delete/", follow=True)

    assert "cancel it first" in page.content.decode()


def test_what_failed_is_said(ann: Client) -> None:
    begun = ann.post("/exports/start/", {"folder": "nothing"})
    run_waiting()

    assert "no files in this folder" in ann.get(begun["Location"]).content.decode()


@pytest.mark.parametrize("was_cancelled", [False, True])
def test_one_that_is_tried_again_is_being_made(
    ann: Client, user: User, was_cancelled: bool
) -> None:
    export = starting.start_folder(user, "later")
    url = f"/exports/{export.pk}/"
    if was_cancelled:
        starting.cancel(export, actor=user)
    else:
        run_waiting()
    assert "Export again" in ann.get(url).text
    put(user, b"There now.", "plan.txt", "later")

    assert control.try_again(Job.objects.get(), actor=None)

    page = ann.get(url).text
    assert f'hx-get="{url}state/"' in page
    assert 'id="export-cancel"' in page
    assert "Export again" not in page
    assert "no files in this folder" not in page
    assert not removing.delete(export, actor=user)
    run_waiting()
    assert 'id="export-download" class="button">' in ann.get(url).text


def test_one_that_was_deleted_is_not_made_again(ann: Client, user: User) -> None:
    export = starting.start_folder(user, "nothing")
    run_waiting()
    job = Job.objects.get()
    assert removing.delete(export, actor=user)

    assert control.try_again(job, actor=None)
    run_waiting()

    assert ann.get(f"/exports/{export.pk}/").status_code == 404
    assert not Export.objects.exists()


def test_a_folder_that_cannot_be_is_refused_with_a_word(ann: Client) -> None:
    page = ann.post("/exports/start/", {"folder": "a/../b"}, follow=True)

    assert "made of dots alone" in page.content.decode()
    # To be mended, and not to be typed again.
    assert 'value="a/../b"' in page.text
    assert not Export.objects.exists()


def test_an_archive_that_is_not_there_is_said_with_what_was_typed(ann: Client) -> None:
    page = ann.post("/exports/import/", {"path": "papers/typo.zip"}, follow=True)

    assert "There is no file of this path" in page.text
    assert 'value="papers/typo.zip"' in page.text


@pytest.mark.parametrize(
    "kind",
    [STRANGER, ADMINISTRATOR, OTHER_TENANT, SUPER_TENANT, TENANT_ADMINISTRATOR],
)
def test_a_tenants_administrator_chooses_where_its_exports_are_kept(
    callers: Callers, three_stores: None, kind: str
) -> None:
    client, url = Client(), "/exports/store/"
    client.force_login(callers[kind].user)
    page = client.get("/exports/")

    chosen = client.post(url, {"export_store": "cold"}, follow=True)
    refused = client.post(url, {"export_store": "own"}, follow=True)

    tenant = Tenant.objects.get(pk=callers[kind].user.tenant_id)
    entries = Entry.objects.filter(action="tenant.change", tenant_id=tenant.pk)
    if callers[kind].user.is_administrator:
        assert "New exports go to the store “cold”." in chosen.text
        assert "Exports may not go to that store." in refused.text
        assert (tenant.export_store, entries.count()) == ("cold", 1)
        assert '<option value="cold">' in page.text
        again = client.post(url, {"export_store": ""}, follow=True)
        assert "New exports go to the store “default”." in again.text
    else:
        assert (chosen.status_code, refused.status_code) == (403, 403)
        assert (tenant.export_store, entries.count()) == ("", 0)
        assert "Where they are kept" not in page.text


def test_where_there_is_no_choice_none_is_offered(callers: Callers) -> None:
    client = Client()
    client.force_login(callers[TENANT_ADMINISTRATOR].user)

    assert "Where they are kept" not in client.get("/exports/").text


def test_who_may_not_export_it_finds_nothing(callers: Callers) -> None:
    export = starting.start_folder(callers[ADMINISTRATOR].user, "papers")
    run_waiting()
    allowed = {ADMINISTRATOR, TENANT_ADMINISTRATOR, SUPER_TENANT}
    for kind, caller in callers.items():
        if caller.account is None:
            continue
        client = Client()
        client.force_login(caller.user)
        for page in ("", "state/", "download/"):
            status = client.get(f"/exports/{export.pk}/{page}").status_code
            expected = 200 if kind in allowed else 302 if kind == "inactive" else 404
            assert status == expected, (kind, page)
        for page in ("cancel/", "pin/", "delete/"):
            if kind not in allowed:
                status = client.post(f"/exports/{export.pk}/{page}").status_code
                assert status in {404, 302}, (kind, page)


def test_nobody_is_sent_to_sign_in(client: Client, callers: Callers) -> None:
    export = starting.start_folder(callers[ADMINISTRATOR].user, "papers")

    for page in ("", f"{export.pk}/", f"{export.pk}/download/"):
        assert client.get(f"/exports/{page}").status_code == 302


def test_who_moved_to_another_tenant_may_fetch_it_no_more(
    ann: Client, user: User
) -> None:
    export = starting.start_folder(user, "papers")
    run_waiting()
    user.tenant = Tenant.objects.create(name="Globex", slug="globex")
    user.save()

    assert ann.get(f"/exports/{export.pk}/download/").status_code == 404


def test_the_list_takes_few_queries_however_many_there_are(
    ann: Client, user: User
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert ann.get("/exports/").status_code == 200
        return len(captured)

    ann.get("/exports/")
    starting.start_folder(user, "papers")
    few = queries()
    for _ in range(20):
        starting.start_folder(user, "papers")

    assert queries() == few <= 12


def test_an_export_is_imported_as_a_new_folder(ann: Client, user: User) -> None:
    export = starting.start_folder(user, "papers")
    run_waiting()
    begun = ann.post("/exports/import/", {"export": export.pk})
    run_waiting()
    page = ann.get(begun["Location"]).content.decode()

    job = Job.objects.get(kind="exports.import")
    assert (job.state, job.error) == ("done", "")
    assert job.result is not None
    root = job.result["folder"]
    assert root in page
    made = StoredObject.objects.filter(folder__startswith=root)
    assert {(one.folder, one.name, one.size) for one in made} == {
        (root, "plan.txt", 21),
        (f"{root}/2026", "figures.csv", 3000),
    }
    assert json.loads(json.dumps(job.result))["files"] == 2


def test_another_persons_import_is_not_shown(callers: Callers) -> None:
    put(callers[EDITOR].user, b"x", "a.txt", "mine")
    export = starting.start_folder(callers[EDITOR].user, "mine")
    run_waiting()
    client = Client()
    client.force_login(callers[EDITOR].user)
    begun = client.post("/exports/import/", {"export": export.pk})

    assert client.get(begun["Location"]).status_code == 200
    other = Client()
    other.force_login(callers[ADMINISTRATOR].user)
    assert other.get(begun["Location"]).status_code == 404
