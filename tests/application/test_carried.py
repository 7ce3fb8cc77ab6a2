"""Downloads that others carry: nginx from a grid, and the bucket from itself."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tahoestorage.testing.grid import LocalGrid
from tests.application.site import (
    Environment,
    bare_environment,
    make_tables_and_user,
    manage,
    served,
    token_of_ann,
)
from tests.support.nginx_server import require_nginx, run_nginx
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server

CAP = re.compile(r"URI(?::|%3A)|\b(?:DIR2|CHK|SSK|MDMF|LIT)[:%-]", re.IGNORECASE)
BIG = os.urandom(3_000_000)


class Api:
    """The API at an address, as ann uses it; all that it says is kept."""

    def __init__(self, environment: Environment, address: str) -> None:
        self.address = address
        self.token = {"Authorization": f"Bearer {token_of_ann(environment)}"}
        self.said: list[str] = []

    def ask(
        self, method: str, path: str, *, is_ann: bool = True, **more: Any
    ) -> requests.Response:
        """Send a request, and follow no redirect."""
        url = path if path.startswith("http") else f"{self.address}{path}"
        headers = {**(self.token if is_ann else {}), **more.pop("headers", {})}
        response = requests.request(
            method, url, headers=headers, allow_redirects=False, timeout=60, **more
        )
        text = "" if response.content in BIG else response.text
        self.said.append(f"{dict(response.headers)}\n{text}")
        return response

    def put(self, path: str, content: bytes) -> str:
        """Store an object; return the path of its content."""
        made = self.ask("PUT", f"/api/v1/content/{path}", data=content)
        assert made.status_code == 201, made.text
        return f"/api/v1/objects/{made.json()['id']}/content/"


def no_variables(directory: Path) -> Environment:
    ours = ("STORAGE_", "AWS_", "PUBLIC_")
    found = bare_environment(directory)
    return {k: v for k, v in found.items() if not k.startswith(ours)}


@pytest.fixture(scope="module")
def carried(
    tahoe_grid: LocalGrid, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, str]]:
    """The API behind an nginx that has what the command prints; the site's address."""
    require_nginx()
    directory = tmp_path_factory.mktemp("carried")
    cap = directory / "root.cap"
    cap.write_text(tahoe_grid.create_root().uri)
    environment = no_variables(directory) | {
        "STORAGE_URL": f"tahoe+{tahoe_grid.base_url}/?base_cap_file={cap}",
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache"),
        "TAHOE_ACCEL_REDIRECT": "/_tahoe/",
        "PROXIES": "1",
    }
    make_tables_and_user(environment)
    location = manage(environment, "tahoe_nginx", "--accel")
    with served(environment, directory / "site.log") as site:
        before = (
            f"server {{ listen LISTEN; client_max_body_size 0;\n"
            f"location / {{ proxy_pass {site.address};\n"
            "proxy_set_header Host $host:$server_port;\n"
            "proxy_set_header X-Forwarded-Proto $scheme; }\n"
            f"{location} }}"
        )
        with run_nginx(directory, before) as address:
            yield Api(environment, address), site.address


@pytest.fixture
def api(carried: tuple[Api, str]) -> Iterator[Api]:
    """The same; no response shows a cap, nor by what nginx was told of it."""
    api, _ = carried
    api.said.clear()
    yield api
    for said in api.said:
        assert not CAP.search(said), said
        assert "accel" not in said.lower()


@pytest.fixture(scope="module")
def big(carried: tuple[Api, str]) -> str:
    return carried[0].put("papers/big.bin", BIG)


def test_nginx_carries_what_the_site_allows(
    api: Api, carried: tuple[Api, str], big: str
) -> None:
    response = api.ask("GET", big)

    assert (response.status_code, response.content) == (200, BIG)
    assert response.headers["Content-Length"] == str(len(BIG))
    assert response.headers["Content-Disposition"] == 'attachment; filename="big.bin"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    # What the site itself says is for nginx alone, and has no body.
    past = requests.get(f"{carried[1]}{big}", headers=api.token, timeout=60)
    assert past.headers["X-Accel-Redirect"].startswith("/_tahoe/URI%3ACHK%3A")
    assert past.content == b""


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=7-1048583", 7, 1_048_583), ("bytes=-5", -5, None)],
)
def test_nginx_carries_a_range(
    api: Api, big: str, asked: str, first: int, last: int | None
) -> None:
    response = api.ask("GET", big, headers={"Range": asked})

    expected = BIG[first:] if last is None else BIG[first : last + 1]
    assert (response.status_code, response.content) == (206, expected)
    start = first % len(BIG)
    end = start + len(expected) - 1
    assert response.headers["Content-Range"] == f"bytes {start}-{end}/{len(BIG)}"


def test_conditions_are_the_sites(api: Api, big: str) -> None:
    etag = api.ask("HEAD", big).headers["ETag"]

    known = api.ask("GET", big, headers={"If-None-Match": etag})
    assert (known.status_code, known.content) == (304, b"")
    assert api.ask("GET", big, headers={"If-Match": etag}).content == BIG
    part = {"Range": "bytes=1-2"}
    same = api.ask("GET", big, headers=part | {"If-Range": etag})
    assert (same.status_code, same.content) == (206, BIG[1:3])
    other = api.ask("GET", big, headers=part | {"If-Range": '"x"'})
    assert (other.status_code, other.content) == (200, BIG)
    for headers, status in (
        ({"If-Match": '"x"'}, 412),
        ({"Range": "bytes=9999999-"}, 416),
    ):
        refused = api.ask("GET", big, headers=headers)
        assert refused.status_code == status
        assert refused.json()["status"] == status


def test_what_is_not_allowed_is_not_carried(api: Api, big: str) -> None:
    assert api.ask("GET", big, is_ann=False).status_code == 401
    assert api.ask("GET", "/_tahoe/URI%3ACHK%3Aa", is_ann=False).status_code == 404


def test_links_and_shares_are_carried_too(api: Api, big: str) -> None:
    link = api.ask("GET", f"{big}?link=true").json()["url"]
    made = api.ask("POST", "/api/v1/shares/", json={"object": big.split("/")[4]})

    for url in (link, made.json()["url"]):
        assert url.startswith(api.address)
        response = api.ask("GET", url, is_ann=False)
        assert (response.status_code, response.content) == (200, BIG)
    asked = {"Range": "bytes=7-"}
    for more, expected, counted in (
        ({}, BIG[7:], 1),
        ({"If-Range": '"x"'}, BIG, 2),
    ):
        sent = api.ask(
            "GET", made.json()["url"], is_ann=False, headers={**asked, **more}
        )
        assert sent.content == expected
        one = api.ask("GET", f"/api/v1/shares/{made.json()['id']}/").json()
        assert one["downloads"] == counted


def test_a_small_file_comes_from_the_site(api: Api) -> None:
    assert api.ask("GET", api.put("small.txt", b"short")).content == b"short"


@pytest.fixture
def redirected(weed: S3Server, tmp_path: Path) -> Iterator[Api]:
    """The API over a bucket that sends its files itself."""
    environment = no_variables(tmp_path) | {
        "STORAGE_URL": f"s3://{weed.make_bucket()}/site?region_name=us-east-1"
        f"&endpoint_url={weed.endpoint_url}&addressing_style=path"
        "&signature_version=s3v4",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "TAHOE_STORAGE_CACHE": "off",
        "PUBLIC_LINKS": "1",
    }
    make_tables_and_user(environment)
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(served(environment, tmp_path / "site.log"))
        yield Api(environment, site.address)


def test_the_bucket_sends_what_the_site_allows(redirected: Api, weed: S3Server) -> None:
    api = redirected
    content = api.put("papers/big.bin", BIG)

    response = api.ask("GET", content)

    assert (response.status_code, response.content) == (302, b"")
    assert "no-store" in response.headers["Cache-Control"]
    url = response.headers["Location"]
    assert url.startswith(weed.endpoint_url)
    assert SECRET_KEY not in url
    sent = api.ask("GET", url, is_ann=False)
    assert (sent.status_code, sent.content) == (200, BIG)
    assert sent.headers["Content-Disposition"] == 'attachment; filename="big.bin"'
    part = api.ask("GET", url, is_ann=False, headers={"Range": "bytes=7-1048583"})
    assert (part.status_code, part.content) == (206, BIG[7:1_048_584])
    # Another object's, or without the signature, it opens nothing.
    for bad in (url.replace("big.bin", "x"), url.split("?")[0]):
        if bad != url:
            assert api.ask("GET", bad, is_ann=False).status_code == 403
    etag = api.ask("HEAD", content).headers["ETag"]
    known = api.ask("GET", content, headers={"If-None-Match": etag})
    assert (known.status_code, known.content) == (304, b"")
    refused = api.ask("GET", content, headers={"If-Match": '"x"'})
    assert (refused.status_code, refused.json()["status"]) == (412, 412)
    assert api.ask("GET", content, is_ann=False).status_code == 401
    # A share link counts its downloads: it never leads to the bucket.
    made = api.ask("POST", "/api/v1/shares/", json={"object": content.split("/")[4]})
    shared = api.ask("GET", made.json()["url"], is_ann=False)
    assert (shared.status_code, shared.content) == (200, BIG)
