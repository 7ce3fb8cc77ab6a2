"""What the API says of objects on a real grid and on S3: never a cap, nor a key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tahoestorage.testing.grid import LocalGrid
from tests.application.site import bare_environment, make_tables, manage, served
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server

CAP = re.compile(r"URI(?::|%3A)|\b(?:DIR2|CHK|SSK|MDMF|LIT)[:%-]", re.IGNORECASE)
CONTENT = b"Content that is longer than what a literal cap holds. " * 20
# Each is refused before a store is asked, and so by all of them alike.
HOSTILE = (
    "a/",
    "a//b",
    "./a",
    "a/../b",
    "..",
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\u2028b",
    " a",
    "a ",
    "x" * 256,
    "é" * 128,
    "/".join(["d" * 200] * 5),
)
ODD = (
    "Zoë+&=;,'\"<b>.html",
    "名前.txt",
    "%2e%2e",
    "URL?x#y",
    "con",
    "~.tmp",
    ".hidden",
)


def environment(
    store: str, directory: Path, request: pytest.FixtureRequest
) -> dict[str, str]:
    found = bare_environment(directory)
    found = {k: v for k, v in found.items() if not k.startswith(("STORAGE_", "AWS_"))}
    if store == "tahoe":
        grid: LocalGrid = request.getfixturevalue("tahoe_grid")
        cap = directory / "root.cap"
        cap.write_text(grid.create_root().uri)
        found["STORAGE_URL"] = f"tahoe+{grid.base_url}/?base_cap_file={cap}"
        found["TAHOE_STORAGE_CACHE_DIRECTORY"] = str(directory / "cache")
    elif store == "s3":
        weed: S3Server = request.getfixturevalue("weed")
        found |= {
            "STORAGE_URL": f"s3://{weed.make_bucket()}/site?region_name=us-east-1"
            f"&endpoint_url={weed.endpoint_url}&addressing_style=path",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }
    return found


@pytest.mark.parametrize("store", ["files", "tahoe", "s3"])
def test_names_are_the_same_on_every_store_and_no_response_has_a_cap(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = environment(store, tmp_path, request)
    make_tables(settings)
    manage(
        settings,
        "createsupertenant",
        "--no-input",
        "--tenant=Acme",
        "--username=ann",
        "--email=a@example.org",
    )
    tokens = json.loads(manage(settings, "createusertoken", "ann"))
    said: list[str] = []

    with served(settings, tmp_path / "site.log") as site, requests.Session() as client:
        client.headers["Authorization"] = f"Bearer {tokens['access']}"
        client.trust_env = False

        def ask(method: str, path: str, **more: Any) -> requests.Response:
            response = client.request(
                method, f"{site.address}/api/v1/{path}", timeout=60, **more
            )
            said.append(f"{response.url}\n{dict(response.headers)}")
            if response.content != CONTENT:
                said.append(response.text)
            return response

        for name in HOSTILE:
            for fields in ({"name": name}, {"folder": name, "name": "n"}):
                file = {"file": ("x", CONTENT)}
                response = ask("POST", "objects/", data=fields, files=file)
                assert response.status_code == 400, fields
        assert ask("GET", "usage/").json()["used_objects"] == 0
        for name in ODD:
            made = ask(
                "POST",
                "objects/",
                data={"folder": name, "name": name},
                files={"file": ("x", CONTENT)},
            )
            assert made.status_code == 201, made.text
            one = f"objects/{made.json()['id']}/"
            found = ask("GET", one)
            assert (found.json()["folder"], found.json()["name"]) == (name, name)
            assert ask("GET", f"{one}content/").content == CONTENT
        ask("GET", f"{one}content/", headers={"Range": "bytes=0-9"})
        ask("GET", f"{one}content/", headers={"Range": "bytes=99999-"})
        ask("GET", f"{one}content/", headers={"If-Match": '"x"'})
        link = ask("GET", f"{one}content/?link=true").json()["url"]
        ask("GET", urlsplit(link).path.removeprefix("/api/v1/"))
        for path in (
            "objects/?links=true",
            "objects/?search=URI:",
            f"{one}versions/",
            f"{one}versions/1/content/",
            f"{one}permissions/",
            "audit/",
            "usage/",
            "tenants/",
            "users/",
            "shares/",
            "schema/",
            "nothing/",
        ):
            ask("GET", path)
        ask("DELETE", one)
        ask("POST", f"{one}restore/")
        ask("PATCH", one, json={"name": "URI:DIR2:x"})

    told = "\n".join(said).replace("URI:DIR2:x", "").replace("search=URI:", "")
    told = told.replace("search=URI%3A", "")
    assert not CAP.search(told), CAP.search(told)
    assert SECRET_KEY not in told
    assert not re.search(r"tenants/\d+/[0-9a-f]{2}/", told)
