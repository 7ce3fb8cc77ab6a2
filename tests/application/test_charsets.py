"""What a Content-Type says of a charset: nothing of the query, and no 500."""

from __future__ import annotations

import codecs
import json
from encodings.aliases import aliases
from typing import Any

import pytest

from objects.models import StoredObject
from tests.application.asking import ask
from tests.application.callers import ADMINISTRATOR, CONTENT, Callers

pytestmark = pytest.mark.django_db(transaction=True)
CHARSETS = sorted({*aliases, *aliases.values(), "idna", "punycode", "undefined"})
"""What Python knows for one, text or not."""
STRANGE = ["hex", "zlib", "rot13", "uu", "undefined", "idna", "punycode", "utf-16"]
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n'
    b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--b--\r\n'
)


def bearer(callers: Callers) -> str:
    token: str = callers[ADMINISTRATOR].api._credentials["HTTP_AUTHORIZATION"]
    return token


def test_a_query_is_utf_8_whatever_the_body_is(callers: Callers) -> None:
    token = bearer(callers)
    for charset in CHARSETS:
        found = ask(
            "GET",
            "/api/v1/objects/?search=pl%61n&name=plan.txt",
            HTTP_AUTHORIZATION=token,
            CONTENT_TYPE=f"text/plain; charset={charset}",
        )

        assert found.status == 200, charset
        assert [one["name"] for one in found.json()["results"]] == ["plan.txt"]


@pytest.mark.parametrize("charset", STRANGE)
@pytest.mark.parametrize("url", ["/?x=1", "/accounts/sign-in/?x=1", "/static/x?x=1"])
def test_pages_are_shown_with_any_charset(url: str, charset: str) -> None:
    plain = ask("GET", url)

    found = ask("GET", url, CONTENT_TYPE=f"text/plain; charset={charset}")

    assert found.status == plain.status < 500


@pytest.mark.parametrize("charset", STRANGE)
def test_a_file_may_be_of_any_charset(callers: Callers, charset: str) -> None:
    kind = f"text/plain; charset={charset}"

    stored = ask(
        "PUT",
        "/api/v1/content/a.txt?x=1",
        CONTENT,
        HTTP_AUTHORIZATION=bearer(callers),
        CONTENT_TYPE=kind,
    )

    assert stored.status == 201
    assert StoredObject.objects.get(name="a.txt").content_type == kind


@pytest.mark.parametrize("charset", STRANGE)
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", FORM),
        ("application/json", json.dumps({"name": "a", "size": 1}).encode()),
    ],
)
def test_what_the_api_reads_is_utf_8(
    callers: Callers, kind: str, body: bytes, charset: str
) -> None:
    url = "/api/v1/objects/" if body is FORM else "/api/v1/tokens/"

    refused = ask(
        "POST",
        url,
        body,
        HTTP_AUTHORIZATION=bearer(callers),
        CONTENT_TYPE=f"{kind}; charset={charset}",
    )

    assert refused.status == 400
    assert refused.is_problem
    assert refused.json()["detail"] == "The charset must be UTF-8."


@pytest.mark.parametrize("charset", ["UTF-8", '"utf8"', "us-ascii"])
def test_utf_8_may_be_named(callers: Callers, charset: str) -> None:
    made = ask(
        "POST",
        "/api/v1/groups/",
        json.dumps({"name": "a"}).encode(),
        HTTP_AUTHORIZATION=callers["tenant_administrator"].api._credentials[
            "HTTP_AUTHORIZATION"
        ],
        CONTENT_TYPE=f"application/json; charset={charset}",
    )

    assert made.status == 201, made.content


@pytest.mark.parametrize("charset", STRANGE)
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
def test_a_form_of_a_page_is_utf_8(kind: str, charset: str) -> None:
    refused = ask(
        "POST",
        "/accounts/sign-in/?next=/",
        b"--b--\r\n",
        CONTENT_TYPE=f"{kind}; charset={charset}",
    )

    assert refused.status == 400
    assert b"UTF-8" in refused.content


@pytest.mark.parametrize("header", ["CONTENT_TYPE", "HTTP_ACCEPT"])
@pytest.mark.parametrize(
    "parameter",
    ["a*=nosuch''x", "a*=idna''x", "a*=\0''x", f"a*{'9' * 5000}=x"],
    ids=["unknown", "idna", "NUL", "digits"],
)
def test_parameters_that_nobody_can_read_are_refused(
    header: str, parameter: str
) -> None:
    asked: Any = {header: f"text/plain; {parameter}"}

    assert ask("GET", "/api/v1/schema/", **asked).is_problem
    assert ask("GET", "/accounts/sign-in/", **asked).status == 400
    assert ask("HEAD", "/accounts/sign-in/", **asked).content == b""


def test_the_charsets_are_known() -> None:
    assert all(codecs.lookup(charset) for charset in STRANGE)


@pytest.mark.parametrize("path", ["%FF.txt", "a%C3.txt", "%ED%A0%80", "%C0%AF"])
def test_a_path_is_utf_8(callers: Callers, path: str) -> None:
    asked: Any = {"HTTP_AUTHORIZATION": bearer(callers), "CONTENT_TYPE": "text/plain"}
    url, before = "/api/v1/content/", StoredObject.objects.count()

    refused = ask("PUT", url + path, b"x", **asked)

    assert refused.status == 400
    assert refused.is_problem
    assert StoredObject.objects.count() == before
    assert ask("GET", f"/events/{path}/").status == 400
    assert ask("PUT", url + path.replace("%", "%25"), b"x", **asked).status == 201
    assert ask("PUT", f"{url}%C3%A9", b"x", **asked).json()["name"] == "é"
