"""The pages of files: what they show, do and refuse, without a browser."""

from __future__ import annotations

import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from audit.models import Entry
from objects import access, changing, storing
from objects.incoming import IncomingFile
from objects.models import StoredObject
from pages import files
from sharing.models import ShareLink
from tests.application.callers import (
    ADMINISTRATOR,
    CONTENT,
    EDITOR,
    INACTIVE,
    KINDS,
    NOBODY,
    OTHER_TENANT,
    STRANGER,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)
from tests.application.stores import put
from tests.application.test_queries import queries

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
MAY_VIEW = {VIEWER, EDITOR, ADMINISTRATOR, TENANT_ADMINISTRATOR, SUPER_TENANT}
MAY_EDIT = MAY_VIEW - {VIEWER}
MAY_ADMINISTER = {ADMINISTRATOR, SUPER_TENANT}


def browser_of(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def browsers(callers: Callers, kind: str) -> Client:
    """Return a browser of the caller's, signed in where they can be."""
    if kind == NOBODY:
        return Client()
    return browser_of(callers[kind].user)


def expected(kind: str, allowed: set[str], *, done: int) -> set[int]:
    """Return the statuses that a caller gets who may do it, or may not."""
    if kind in (NOBODY, INACTIVE):
        return {302}  # To sign in.
    if kind in allowed:
        return {done}
    return {403} if kind in MAY_VIEW else {404}


def is_sent_away(response: object) -> bool:
    return "/accounts/sign-in/" in getattr(response, "headers", {}).get("Location", "")


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_see_a_file_has_its_pages(callers: Callers, kind: str) -> None:
    browser, page = browsers(callers, kind), f"/files/{callers.object.pk}/"

    for path in ("", "text/", "content/", "download/", "versions/1/"):
        response = browser.get(page + path)
        assert response.status_code in expected(kind, MAY_VIEW, done=200), path
        if kind in MAY_VIEW and path == "download/":
            assert b"".join(response.streaming_content) == CONTENT  # type: ignore[attr-defined]
        assert is_sent_away(response) == (kind in (NOBODY, INACTIVE))


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_shows_what_one_may_see_of_ones_own_tenant(
    callers: Callers, kind: str
) -> None:
    browser = browsers(callers, kind)
    shown = browser.get("/files/?folder=papers")
    top = browser.get("/files/")

    if kind in (NOBODY, INACTIVE):
        assert is_sent_away(shown)
        return
    sees = kind in MAY_VIEW - {SUPER_TENANT}
    assert ("plan.txt" in shown.text) == sees
    assert ("papers" in top.text) == sees
    if not sees:
        assert "No files yet" in top.text


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_edit_renames_and_moves(callers: Callers, kind: str) -> None:
    page = f"/files/{callers.object.pk}/edit/"
    given = {"name": "other.txt", "folder": "/new/place/"}

    response = browsers(callers, kind).post(page, given)

    assert response.status_code in expected(kind, MAY_EDIT, done=303)
    found = StoredObject.objects.get(pk=callers.object.pk)
    moved = found.path == "new/place/other.txt"
    assert moved == (kind in MAY_EDIT)
    if moved:
        actions = Entry.objects.values_list("action", flat=True)
        assert {"object.rename", "object.move"} <= set(actions)


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_edit_deletes_and_undoes_it(callers: Callers, kind: str) -> None:
    page, browser = f"/files/{callers.object.pk}/", browsers(callers, kind)

    response = browser.post(page + "delete/")

    assert response.status_code in expected(kind, MAY_EDIT, done=303)
    found = StoredObject.objects.get(pk=callers.object.pk)
    assert (found.deleted_at is not None) == (kind in MAY_EDIT)
    if kind in MAY_EDIT:
        shown = browser.get("/files/").text
        assert f'action="{page}undelete/"' in shown
        assert browser.get(page).status_code == 404
        assert browser.post(page + "undelete/").status_code == 303
        assert StoredObject.objects.get(pk=found.pk).deleted_at is None


@pytest.mark.parametrize("kind", KINDS)
def test_who_administers_makes_a_link_and_revokes_it(
    callers: Callers, kind: str
) -> None:
    page, browser = f"/files/{callers.object.pk}/share/", browsers(callers, kind)

    response = browser.post(page, {"days": "7", "max_downloads": "2"})

    assert response.status_code in expected(kind, MAY_ADMINISTER, done=200)
    assert ShareLink.objects.exists() == (kind in MAY_ADMINISTER)
    if kind in MAY_ADMINISTER:
        url = response.text.partition('value="http://testserver')[2].partition('"')[0]
        opened = Client().get(url)
        assert b"".join(opened.streaming_content) == CONTENT  # type: ignore[attr-defined]
        link = ShareLink.objects.get()
        # It is shown this once.
        assert url not in browser.get(page).text
        assert browser.post(f"{page}{link.pk}/revoke/").status_code == 303
        assert Client().get(url).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_who_may_edit_restores_a_version(callers: Callers, kind: str) -> None:
    storing.replace(
        IncomingFile(io.BytesIO(b"newer"), 5, "text/plain"),
        callers.object,
        user=callers[ADMINISTRATOR].user,
    )
    page = f"/files/{callers.object.pk}/versions/1/restore/"

    response = browsers(callers, kind).post(page)

    assert response.status_code in expected(kind, MAY_EDIT, done=303)
    found = StoredObject.objects.get(pk=callers.object.pk)
    assert (found.size == len(CONTENT)) == (kind in MAY_EDIT)


def test_files_are_uploaded_by_a_form_without_scripts(user: User) -> None:
    browser = browser_of(user)
    files = [
        SimpleUploadedFile("a.txt", b"one", "text/plain"),
        SimpleUploadedFile("b.txt", b"two", "text/plain"),
    ]

    response = browser.post("/files/upload/", {"folder": "in", "files": files})

    assert response.headers["Location"] == "/files/?folder=in"
    page = browser.get("/files/?folder=in").text
    assert "2 files are uploaded" in page
    assert "a.txt" in page
    found = StoredObject.objects.get(name="b.txt")
    assert (found.folder, found.size, found.owner) == ("in", 3, user)


def test_what_has_no_room_is_said_and_the_rest_is_stored(user: User) -> None:
    user.tenant.max_bytes = 10
    user.tenant.save()
    browser = browser_of(user)
    files = [SimpleUploadedFile("large", b"x" * 11), SimpleUploadedFile("small", b"x")]

    browser.post("/files/upload/", {"files": files})

    page = browser.get("/files/").text
    assert "“large” was not uploaded" in page
    assert "One file is uploaded" in page
    assert [one.name for one in StoredObject.objects.all()] == ["small"]


def test_a_form_does_not_overwrite_what_one_may_not_edit(callers: Callers) -> None:
    browser = browser_of(callers[STRANGER].user)
    file = SimpleUploadedFile("plan.txt", b"mine")

    browser.post("/files/upload/", {"folder": "papers", "files": [file]})

    assert "was not uploaded" in browser.get("/files/").text
    assert StoredObject.objects.get(pk=callers.object.pk).size == len(CONTENT)


def test_a_script_begins_an_upload_by_the_session_and_not_without_its_token(
    user: User,
) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}
    token = browser.get("/files/").cookies["csrftoken"].value

    forged = browser.generic("POST", "/files/uploads/", headers=headers)
    form = browser.post("/files/uploads/", {"a": "b"}, headers=headers)
    begun = browser.generic(
        "POST", "/files/uploads/", headers={**headers, "X-CSRFToken": token}
    )
    nobody = Client().generic("POST", "/files/uploads/", headers=headers)

    assert (forged.status_code, begun.status_code) == (403, 201)
    assert (form.status_code, nobody.status_code) == (403, 403)
    sent = browser.patch(
        begun.headers["Location"],
        b"abc",
        "application/offset+octet-stream",
        headers={"Tus-Resumable": "1.0.0", "Upload-Offset": "0"},
    )
    assert sent.status_code == 204
    assert StoredObject.objects.get().size == 3


def test_a_name_that_is_taken_is_said_at_its_field(user: User) -> None:
    put(user, b"1", "a", "")
    other = put(user, b"2", "b", "").object

    response = browser_of(user).post(f"/files/{other.pk}/edit/", {"name": "a"})

    assert response.status_code == 422
    assert "another file of this name" in response.text


def test_a_change_by_somebody_else_is_not_overwritten_unseen(user: User) -> None:
    found, browser = put(user, b"1", "a", "").object, browser_of(user)
    etag = browser.get(f"/files/{found.pk}/edit/").context["form"]["etag"].value()
    changing.rename(found.pk, actor=user, name="theirs")

    response = browser.post(f"/files/{found.pk}/edit/", {"name": "mine", "etag": etag})

    assert response.status_code == 422
    assert "Somebody changed it meanwhile" in response.text
    assert StoredObject.objects.get().name == "theirs"


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 256, "tab\there"])
def test_no_such_name_is_taken(user: User, name: str) -> None:
    found = put(user, b"1", "a", "").object

    response = browser_of(user).post(f"/files/{found.pk}/edit/", {"name": name})

    assert response.status_code == 422
    assert StoredObject.objects.get().name == "a"


def test_what_took_the_name_meanwhile_stops_an_undoing(user: User) -> None:
    found, browser = put(user, b"1", "a", "").object, browser_of(user)
    browser.post(f"/files/{found.pk}/delete/")
    put(user, b"2", "a", "")

    response = browser.post(f"/files/{found.pk}/undelete/", follow=True)

    assert "can&#x27;t come back while another file" in response.text
    assert StoredObject.objects.filter(deleted_at=None).count() == 1


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>.txt", "a & b; c='d\".txt", "第一 🎞.txt"]
)
def test_a_hostile_name_is_text(user: User, name: str) -> None:
    folder = "in <b>bold & ?q=1#2 %2e%2e"
    found, browser = put(user, b"text", name, folder).object, browser_of(user)

    top = browser.get("/files/")
    page = browser.get("/files/", {"folder": folder})
    detail = browser.get(f"/files/{found.pk}/")

    for response in (top, page, detail):
        assert "<script>alert" not in response.text
        assert "<b>bold" not in response.text
    assert f"/files/{found.pk}/" in page.text
    query = top.text.partition('hx-get="/files/?folder=')[2].partition('"')[0]
    assert f"/files/{found.pk}/" in browser.get(f"/files/?folder={query}").text


def test_folders_are_those_right_below(user: User) -> None:
    for folder in ("a", "a/b", "a/b/c", "ab", "A", "d/e"):
        put(user, b"1", "x", folder)
    browser = browser_of(user)

    assert browser.get("/files/").context["folders"] == ["A", "a", "ab", "d"]
    assert browser.get("/files/?folder=a").context["folders"] == ["b"]
    assert browser.get("/files/?folder=A").context["folders"] == []
    assert browser.get("/files/?folder=d").context["folders"] == ["e"]


def test_a_search_finds_words_in_names_and_folders(user: User) -> None:
    put(user, b"1", "Budget 2026.ods", "finance/plans")
    put(user, b"1", "budget.txt", "attic")
    browser = browser_of(user)

    found = browser.get("/files/?q=budget+FINANCE")
    within = browser.get("/files/?q=budget&folder=attic")

    assert [one.name for one in found.context["page"]] == ["Budget 2026.ods"]
    assert [one.name for one in within.context["page"]] == ["budget.txt"]
    assert "Nothing was found" in browser.get("/files/?q=nowhere").text


@pytest.mark.parametrize(
    "query", ["sort=-size&page=9", "sort=bad", "page=0", "page=x", "q=%00", "q=%25"]
)
def test_an_odd_address_shows_the_list(user: User, query: str) -> None:
    put(user, b"1", "a", "")

    assert browser_of(user).get(f"/files/?{query}").status_code == 200


def test_a_folder_that_can_not_be_is_not_there(user: User) -> None:
    assert browser_of(user).get("/files/?folder=../etc").status_code == 404


def test_htmx_gets_the_part_alone_with_the_messages(user: User) -> None:
    found, browser = put(user, b"1", "a", "").object, browser_of(user)

    response = browser.post(f"/files/{found.pk}/delete/", follow=True, headers=HTMX)

    assert "<html" not in response.text
    assert 'hx-swap-oob="innerHTML:#messages"' in response.text
    assert "was deleted" in response.text
    assert response.headers["HX-Retarget"] == "#list"
    # And what loads by itself, and says nothing, leaves the message where it is.
    assert "#messages" not in browser.get("/files/", headers=HTMX).text


@pytest.mark.parametrize(
    ("shown", "pushed"),
    [("", True), ("papers", True), ("papers/new&sort=size", False)],
)
def test_what_a_dialog_leads_to_has_its_address(
    user: User, shown: str, pushed: bool
) -> None:
    page = f"http://testserver/files/?folder={shown}"
    headers = HTMX | {"HX-Current-URL": page, "HX-Target": "dialog"}

    led = browser_of(user).get("/files/?folder=papers/new", headers=headers)
    loaded = browser_of(user).get(
        "/files/?folder=papers/new", headers=headers | {"HX-Target": "list"}
    )

    address = "/files/?folder=papers%2Fnew" if pushed else None
    assert led.headers.get("HX-Push-Url") == address
    assert "HX-Push-Url" not in loaded.headers


def test_the_text_of_a_file_is_one_whole_page_or_a_part(user: User) -> None:
    found, browser = put(user, b"dear all", "letter.txt", "").object, browser_of(user)
    address = f"/files/{found.pk}/text/"

    page, part = browser.get(address), browser.get(address, headers=HTMX)

    assert page.text.rstrip().endswith("</html>")
    assert "dear all" in page.text
    assert page.text.count('id="messages"') == 1
    assert "hx-swap-oob" not in page.text
    assert "dear all" in part.text
    assert "<html" not in part.text
    assert "HX-Retarget" not in part.headers


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_be_done_to_those_of_a_page_is_asked_of_them_alone(
    callers: Callers, kind: str
) -> None:
    if kind == NOBODY:
        return
    user, shown = callers[kind].user, callers.object
    other = put(callers[EDITOR].user, b"x", "other.txt").object

    for wanted in access.Access:
        everything = access.visible(user, wanted)
        rows = access.visible(user, wanted, among=[shown.pk])
        assert set(rows) == set(everything) - {other}
        assert not access.visible(user, wanted, among=[]).exists()
        each = access.visible(user, wanted, each=True)
        assert set(each) == set(everything)


def test_all_that_was_deleted_can_be_had_back(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PER_PAGE", 2)
    made = [put(user, b"x", f"{number}.txt").object for number in range(5)]
    for one in made:
        changing.delete(one.pk, actor=user)
    browser = browser_of(user)

    pages = [browser.get("/files/deleted/", {"page": n}).text for n in (1, 2, 3)]

    shown = [[f"{n}.txt" for n in range(5) if f"{n}.txt" in page] for page in pages]
    assert shown == [["3.txt", "4.txt"], ["1.txt", "2.txt"], ["0.txt"]]
    assert "Page 2 of 3, 5 files" in pages[1]
    assert [page.count('rel="next"') for page in pages] == [1, 1, 0]
    url = f"/files/{made[0].pk}/undelete/"
    back = browser.post(url, {"next": "/files/deleted/?page=3"}, follow=True)
    assert "Page 2 of 2, 4 files" in back.text


def test_a_list_of_a_hundred_pictures_is_few_queries_and_asks_no_store(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        put(user, b"picture", f"{number:03}.jpg", "photos")
    browser = browser_of(user)
    browser.get("/files/?folder=photos")

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the store was asked")

    storage = type(StoredObject.objects.first().current.storage)  # type: ignore[union-attr]
    for name in ("open", "exists", "size", "listdir", "url", "save"):
        monkeypatch.setattr(storage, name, refuse)
    with CaptureQueriesContext(connection) as captured:
        response = browser.get("/files/?folder=photos")

    assert response.text.count('class="entry"') == 100
    assert response.text.count('loading="lazy"') == 100
    assert response.text.rstrip().endswith("</html>")
    assert len(queries(captured)) <= 12, queries(captured)


@pytest.mark.parametrize(
    "next", ["//evil.example/", "https://evil.example/", "/\\evil"]
)
def test_no_form_leads_to_another_site(user: User, next: str) -> None:
    found = put(user, b"1", "a", "").object

    response = browser_of(user).post(f"/files/{found.pk}/delete/", {"next": next})

    assert response.headers["Location"] == "/files/"


def test_what_is_shown_in_a_page_runs_nothing(user: User) -> None:
    put(user, b"<script>alert(1)</script>", "a.html", "")
    found = StoredObject.objects.get()
    browser = browser_of(user)

    content = browser.get(f"/files/{found.pk}/content/")
    text = browser.get(f"/files/{found.pk}/text/").text

    assert content.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in content.headers["Content-Security-Policy"]
    assert "&lt;script&gt;alert(1)" in text


def test_what_a_browser_kept_keeps_its_policy(user: User) -> None:
    put(user, b"text", "a.txt", "")
    found = StoredObject.objects.get()
    browser, url = browser_of(user), f"/files/{found.pk}/content/"
    first = browser.get(url)

    again = browser.get(url, headers={"If-None-Match": first.headers["ETag"]})

    # The headers of a 304 take the place of those that came with the content.
    assert again.status_code == 304
    assert "Content-Security-Policy" not in again.headers


def test_a_page_number_of_any_length_is_one(user: User) -> None:
    assert browser_of(user).get("/files/", {"page": "9" * 5000}).status_code == 200


def test_another_tenants_file_is_not_there(callers: Callers) -> None:
    browser = browser_of(callers[OTHER_TENANT].user)

    for path in ("", "edit/", "share/", "content/", "download/"):
        page = browser.get(f"/files/{callers.object.pk}/{path}")
        assert page.status_code == 404
        assert "plan.txt" not in page.text
