"""Names of files in forms: as they were sent, whichever way they come."""

from __future__ import annotations

import io
from typing import Any

import pytest

from config.requests import Utf8Request
from objects.models import StoredObject
from tests.application.asking import ask
from tests.application.callers import ADMINISTRATOR, Callers

KIND = "multipart/form-data; boundary=b"
KEPT = [
    "a&amp;b.txt",
    "a&b.txt",
    "a&#47;b.txt",
    "a%22b.txt",
    "a\u200bb.txt",
    "a\u00a0b.txt",
    "ab.txt",
    "a." + "x" * 253,
]
REFUSED = ["a\x00b.txt", "a.\x00", "a\u2028b.txt", "a\tb", "a." + "x" * 254, "&#46;/.."]


def form(name: str) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    return f"{head}\r\nx\r\n--b--\r\n".encode()


def send(callers: Callers, name: str) -> Any:
    token = callers[ADMINISTRATOR].api._credentials["HTTP_AUTHORIZATION"]
    body = form(name)
    return ask(
        "POST", "/api/v1/objects/", body, HTTP_AUTHORIZATION=token, CONTENT_TYPE=KIND
    )


def names_in(body: bytes) -> list[str]:
    """Return the names of a form's files, as pages get them."""
    request = Utf8Request(
        {
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": KIND,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
    )
    files: list[Any] = request.FILES.getlist("file")
    names = [file.name for file in files]
    request.close()
    return names


@pytest.fixture(params=["in memory", "on disk"], autouse=True)
def _kept(request: pytest.FixtureRequest, settings: Any) -> None:
    if request.param == "on disk":
        settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0


@pytest.mark.django_db(transaction=True)
def test_each_name_is_an_object_of_its_own(callers: Callers) -> None:
    before = set(StoredObject.objects.values_list("name", flat=True))
    for name in KEPT:
        assert send(callers, name).status == 201, name

    names = set(StoredObject.objects.values_list("name", flat=True))
    assert names - before == set(KEPT)


@pytest.mark.django_db(transaction=True)
def test_what_is_no_name_is_refused(callers: Callers) -> None:
    before = StoredObject.objects.count()

    for name in REFUSED:
        assert send(callers, name).status == 400, name

    assert StoredObject.objects.count() == before


def test_pages_get_the_same_names() -> None:
    for name in (*KEPT, *REFUSED[:-1]):
        assert names_in(form(name)) == [name]


@pytest.mark.parametrize("name", ["C:\\photos\\a.txt", "photos/a.txt", "../a.txt"])
def test_folders_of_a_name_are_left_out(name: str) -> None:
    assert names_in(form(name)) == ["a.txt"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/"])
def test_without_a_name_there_is_no_file(name: str) -> None:
    assert names_in(form(name)) == []
