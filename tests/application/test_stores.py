"""The example on every store that the environment may name: the same pages on each."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tahoestorage.testing.grid import LocalGrid
from tests.application.site import (
    EVENT,
    EXAMPLE,
    PHOTO_FORM,
    Environment,
    Site,
    bare_environment,
    image,
    lose,
    make_tables,
    manage,
    served,
)
from tests.support.gcs_servers import GCS
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server

STORES = ["files", "memory", "tahoe", "s3", "gcs"]
OURS = ("STORAGE_", "STATIC_", "AWS_", "GS_", "TAHOE_")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of the site, with nothing in them."""
    directory = tmp_path_factory.mktemp("tables")
    make_tables(clean_environment(directory))
    return directory / "site.sqlite3"


def clean_environment(directory: Path) -> Environment:
    environment = bare_environment(directory)
    return {k: v for k, v in environment.items() if not k.startswith(OURS)}


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def environment(
    store: str,
    database: Path,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Environment:
    """A site with its demonstration data, and its files in that store."""
    directory = tmp_path_factory.mktemp(store)
    shutil.copy(database, directory)
    environment = clean_environment(directory)
    environment["TAHOE_STORAGE_CACHE_DIRECTORY"] = str(directory / "cache")
    environment |= variables(store, directory, request)
    manage(environment, "demo_data")
    return environment


def variables(
    store: str, directory: Path, request: pytest.FixtureRequest
) -> dict[str, str]:
    """The variables that name a new, empty store."""
    if store == "files":
        return {"STORAGE_URL": f"file://{directory}/files"}
    if store == "memory":
        return {"STORAGE_URL": "memory://"}
    if store == "tahoe":
        grid: LocalGrid = request.getfixturevalue("tahoe_grid")
        cap = directory / "root.cap"
        cap.write_text(grid.create_root().uri)
        return {"STORAGE_URL": f"tahoe+{grid.base_url}/?base_cap_file={cap}"}
    if store == "s3":
        weed: S3Server = request.getfixturevalue("weed")
        return {"STORAGE_URL": s3_url(weed, directory)}
    gcs: GCS = request.getfixturevalue("gcs_server")
    return {
        "STORAGE_URL": f"gs://{gcs.make_bucket()}/a%20site?project_id=test",
        "STORAGE_EMULATOR_HOST": gcs.front.url,
    }


def s3_url(server: S3Server, directory: Path) -> str:
    """The URL of a new bucket, with the keys in files."""
    key, secret = directory / "access", directory / "secret"
    key.write_text(f"{ACCESS_KEY}\n")
    secret.write_text(f"{SECRET_KEY}\n")
    return (
        f"s3://{server.make_bucket()}/a%20site?endpoint_url={server.endpoint_url}"
        "&region_name=us-east-1&addressing_style=path&signature_version=s3v4"
        f"&access_key_file={key}&secret_key_file={secret}"
    )


@pytest.fixture(scope="module")
def site(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(environment, tmp_path_factory.mktemp("log") / "site.log") as site:
        yield site


@pytest.mark.parametrize("size", [20, 3_500_000])
def test_what_was_uploaded_is_listed_and_comes_back(site: Site, size: int) -> None:
    content, title = os.urandom(size), f"Talk of {size}"

    response = site.add_slides(title, "Übersicht.pdf", content)
    download = site.get(site.link(title))

    assert response.status_code == 302
    assert download.status_code == 200
    assert download.content == content
    assert download.headers["Content-Length"] == str(size)
    shown = "20\xa0bytes" if size == 20 else "3.3\xa0MB"
    assert f'<span class="quiet">{shown}</span>' in site.get(EVENT).text


def test_a_photo_is_shown_in_the_page(site: Site) -> None:
    photo = image("PNG")
    site.sign_in()

    response = site.post(PHOTO_FORM, {"name": "Zoë"}, file=("photo", "zoë.png", photo))
    # The page itself shows a small one, which a job makes.
    page = site.get(EVENT).text
    found = re.search(r'href="([^"]+)"><img src="[^"]+" alt="Photo of Zoë', page)

    assert response.status_code == 302
    assert found
    shown = site.get(found[1])
    assert shown.content == photo
    assert shown.headers["Content-Type"] == "image/png"
    assert shown.headers["Content-Disposition"].startswith("inline")


def test_two_uploads_of_one_name_both_survive(site: Site) -> None:
    site.add_slides("The first", "same.bin", b"one" * 100)
    site.add_slides("The second", "same.bin", b"two" * 100)

    first, second = site.get(site.link("The first")), site.get(site.link("The second"))

    assert (first.content, second.content) == (b"one" * 100, b"two" * 100)


def test_what_another_process_stored_is_there(site: Site, store: str) -> None:
    slides = site.get(site.link("Files that nobody else can read"))

    if store == "memory":
        assert slides.status_code == 404  # Each process has a memory of its own.
    else:
        assert slides.content.startswith(b"%PDF")


def test_a_file_that_is_gone_is_a_404(
    site: Site, environment: Environment, store: str
) -> None:
    site.add_slides("Gone", "gone.bin", b"x" * 100)
    link = site.link("Gone")
    if store != "memory":
        lose(environment, "gone.bin")

        assert site.get(link).status_code == 404
    assert site.get(EVENT).status_code == 200


def test_no_secret_is_in_the_log(site: Site) -> None:
    assert not re.search(f"URI:(?!\\*)|{SECRET_KEY}", site.log.read_text())


def test_a_signed_url_leads_past_the_site(
    database: Path, weed: S3Server, tmp_path: Path
) -> None:
    shutil.copy(database, tmp_path)
    environment = clean_environment(tmp_path) | {
        "STORAGE_URL": s3_url(weed, tmp_path),
        "TAHOE_STORAGE_CACHE": "off",
        "PUBLIC_LINKS": "1",
    }
    manage(environment, "demo_data")
    with served(environment, tmp_path / "site.log") as site:
        page = site.get(EVENT).text
        slides = site.get(site.link("Questions, answers and cake")).content

    of_session = page.partition("questions-answers-and-cake.pdf</a>")[2]
    url = re.search(rf'"({weed.endpoint_url}[^"]+Signature[^"]+)"', of_session)
    assert url
    response = requests.get(url[1].replace("&amp;", "&"), timeout=60)
    assert response.content == slides


def make_public(server: S3Server, url: str) -> None:
    """Let everybody read the objects of a bucket."""
    bucket = url.removeprefix("s3://").partition("/")[0]
    everybody = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everybody]})
    server.client().put_bucket_policy(Bucket=bucket, Policy=policy)


@pytest.mark.parametrize("where", ["files", "s3", "whitenoise"])
def test_static_files_are_collected_and_found(
    where: str, database: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    shutil.copy(database, tmp_path)
    environment = clean_environment(tmp_path) | {"STORAGE_URL": "memory://"}
    if where == "whitenoise":
        environment["STATIC_ROOT"] = str(tmp_path / "static")
    elif where == "files":
        environment["STATIC_STORAGE_URL"] = f"file://{tmp_path}/static"
    else:
        moto: S3Server = request.getfixturevalue("moto")
        environment["STATIC_STORAGE_URL"] = s3_url(moto, tmp_path)
        make_public(moto, environment["STATIC_STORAGE_URL"])
    manage(environment, "demo_data")
    manage(environment, "collectstatic", "--no-input", "--ignore=admin")

    with served(environment, tmp_path / "site.log") as site:
        style = re.search(r'<link rel="stylesheet" href="([^"]+)"', site.get("/").text)
        assert style
        url = style[1] if where == "s3" else f"{site.address}{style[1]}"
        name = url.rpartition("/")[2]
        if where == "files":  # What a web server of one's own would serve.
            content = (tmp_path / "static" / "pages" / name).read_bytes()
        else:
            content = requests.get(url, timeout=60).content
    expected = EXAMPLE / "pages/static/pages/site.css"
    assert content == expected.read_bytes()
    assert re.fullmatch(r"site\.\w+\.css", name)
