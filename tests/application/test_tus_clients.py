"""The usual clients of tus, cut at random bytes: tuspy and tus-js-client on Node.

One web process is killed on the way, and another one goes on.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from tusclient.client import TusClient

from tests.application.site import (
    Site,
    bare_environment,
    make_tables_and_user,
    served,
    token_of_ann,
    working,
)
from tests.application.workers import wait_for
from tests.support.relay import Relay

NODE = Path(__file__).parent / "node"
SIZE = 3_000_000
PART = 200_000
CUTS = 6
PATIENCE = 120  # seconds; only an error takes so long


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("tus")
    environment = bare_environment(directory) | {
        "STORAGE_URL": (directory / "store").as_uri(),
        "UPLOAD_PART_BYTES": str(PART),
    }
    make_tables_and_user(environment)
    return environment


@pytest.fixture(scope="module")
def sites(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Site]]:
    """Two servers of the application, as on two hosts."""
    logs = tmp_path_factory.mktemp("logs")
    with (
        working(environment, logs / "worker.log"),
        served(environment, logs / "first.log") as first,
        served(environment, logs / "second.log") as second,
    ):
        yield first, second


@pytest.fixture
def token(environment: dict[str, str]) -> str:
    return token_of_ann(environment)


@pytest.fixture(scope="module")
def tus_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the script that uploads by tus-js-client, with that beside it."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm here: apt-get install npm")
    directory = tmp_path_factory.mktemp("node") / "node"
    shutil.copytree(NODE, directory)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(
        install, cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / "upload.js"


@pytest.fixture
def content(tmp_path: Path) -> Path:
    file = tmp_path / "content.bin"
    file.write_bytes(os.urandom(SIZE))
    return file


@pytest.fixture
def relay(sites: tuple[Site, Site]) -> Iterator[Relay]:
    """Cuts at random bytes; the third kills the worker, the fifth leads elsewhere."""
    first, second = sites

    def after_cut(made: int) -> None:
        if made == 3:
            os.kill(worker_of(first), signal.SIGKILL)
        if made == 5:
            found.target = second.address

    chance = random.Random(CUTS)
    with Relay(first.address, after_cut) as found:
        # All together less than there is.
        found.cuts = [chance.randrange(1000, SIZE // CUTS) for _ in range(CUTS)]
        yield found


def worker_of(site: Site) -> int:
    """The process of gunicorn's worker."""
    return int(re.findall(r"Booting worker with pid: (\d+)", site.log.read_text())[-1])


def is_stored(site: Site, token: str, name: str, content: Path) -> bool:
    """Whether it is just that, as soon as a worker has made one file of the parts."""
    headers = {"Authorization": f"Bearer {token}"}

    def listed() -> list[dict[str, Any]]:
        response = requests.get(
            f"{site.address}/api/v1/objects/",
            params={"name": name},
            headers=headers,
            timeout=60,
        )
        found: list[dict[str, Any]] = response.json()["results"]
        assert len(found) == 1
        return found if found[0]["state"] == "stored" else []

    url = f"{site.address}/api/v1/objects/{wait_for(listed)[0]['id']}/content/"
    response = requests.get(url, headers=headers, timeout=60)
    return response.content == content.read_bytes()


def upload_by_tuspy(url: str, token: str, content: Path, name: str) -> None:
    client = TusClient(url, headers={"Authorization": f"Bearer {token}"})
    uploader = client.uploader(
        # Of a path it would leave files open.
        file_stream=io.BytesIO(content.read_bytes()),
        metadata={"filename": name},
        retries=300,
        retry_delay=0.2,
    )
    uploader.upload()


def test_tuspy_goes_on_where_it_was_cut(
    relay: Relay, sites: tuple[Site, Site], token: str, content: Path
) -> None:
    upload_by_tuspy(f"{relay.url}/api/v1/uploads/", token, content, "of-tuspy.bin")

    assert relay.made == CUTS
    assert is_stored(sites[1], token, "of-tuspy.bin", content)


def test_tus_js_client_goes_on_where_it_was_cut(
    tus_js: Path, relay: Relay, sites: tuple[Site, Site], token: str, content: Path
) -> None:
    done = subprocess.run(
        ["node", tus_js, f"{relay.url}/api/v1/uploads/", content, "of-node.bin"],
        env=os.environ | {"TOKEN": token},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert relay.made == CUTS
    assert is_stored(sites[1], token, "of-node.bin", content)
    # It begins anew, without a word, where HEAD says anything but these.
    assert set(json.loads(done.stdout)["headed"]) <= {200, 423}


def test_tuspy_uploads_an_empty_file_and_one_with_checksums(
    sites: tuple[Site, Site], token: str, content: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    url = f"{sites[0].address}/api/v1/uploads/"
    client = TusClient(url, headers={"Authorization": f"Bearer {token}"})

    upload_by_tuspy(url, token, empty, "empty.bin")
    client.uploader(
        file_stream=io.BytesIO(content.read_bytes()),
        metadata={"filename": "checked.bin"},
        chunk_size=1_000_000,
        upload_checksum=True,
    ).upload()

    assert is_stored(sites[0], token, "empty.bin", empty)
    assert is_stored(sites[0], token, "checked.bin", content)


def test_tus_js_client_goes_on_once_a_store_that_was_away_is_back(
    tus_js: Path,
    environment: dict[str, str],
    sites: tuple[Site, Site],
    token: str,
    content: Path,
) -> None:
    site, store = sites[1], Path(environment["STORAGE_URL"].removeprefix("file://"))
    elsewhere = store.with_name("elsewhere")
    store.mkdir(exist_ok=True)

    def failed() -> int:
        return site.log.read_text().count("Service Unavailable: /api/v1/uploads/")

    def take_away(_cut: int) -> None:
        store.rename(elsewhere)
        store.touch()

    with Relay(site.address, take_away) as relay:
        relay.cuts = [SIZE // 2]
        with subprocess.Popen(
            ["node", tus_js, f"{relay.url}/api/v1/uploads/", content, "away.bin"],
            env=os.environ | {"TOKEN": token},
            stdout=subprocess.PIPE,
            text=True,
        ) as client:
            try:
                # After each of them nobody goes on for some seconds.
                wait_for(lambda: failed() >= 4)
                store.unlink()
                elsewhere.rename(store)
                told, _ = client.communicate(timeout=PATIENCE)
            finally:
                client.kill()

    assert client.returncode == 0
    assert is_stored(site, token, "away.bin", content)
    # It was begun once, and told to wait or to send what would fail.
    assert set(json.loads(told)["headed"]) == {200, 423}
