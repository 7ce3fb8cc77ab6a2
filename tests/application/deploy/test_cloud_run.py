"""The container's own command, in Cloud Run's environment."""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.application.deploy.cloud import HOST, Cloud, Service, service, set_password
from tests.application.deploy.manager import RESOURCE, Manager
from tests.application.postgres import Postgres
from tests.application.site import manage
from tests.support.gcs_servers import GCS


@pytest.fixture(scope="module")
def instance(
    cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with service(cloud.environment, tmp_path_factory.mktemp("run") / "disk") as run:
        yield run


@pytest.fixture
def run(instance: Service) -> Iterator[Service]:
    """One instance for tests that leave it as it was, for each as a new visitor."""
    again = Service(instance.address, instance.process, instance.log)
    with again.visitor:
        yield again


def test_it_serves_from_its_database_and_its_bucket(
    run: Service, cloud: Cloud, gcs: GCS
) -> None:
    assert_serves(run, cloud, "tcp")

    # The URL of the download was signed for it, not by its key.
    assert gcs.accounts.calls["signBlob"] > 0


def test_it_serves_from_a_database_at_a_socket(cloud: Cloud, tmp_path: Path) -> None:
    url = cloud.database_url(by_socket=True)
    with service(cloud.environment | {"DATABASE_URL": url}, tmp_path / "disk") as run:
        assert_serves(run, cloud, "socket")


def assert_serves(run: Service, cloud: Cloud, name: str) -> None:
    content = os.urandom(100_000)

    health = run.get("/health")
    run.sign_in(cloud.environment)
    made = run.put(f"a/{name}.bin", content)
    (version,) = run.get(f"/api/v1/objects/{made.json()['id']}/versions/").json()[
        "results"
    ]
    read = run.fetch(f"/api/v1/objects/{made.json()['id']}/content/")
    run.visitor.headers["X-Forwarded-Proto"] = "http"
    plain = run.get("/accounts/sign-in/")

    assert (health.status_code, health.json()) == (
        200,
        {"database": "ok", "cache": "ok", "store": "ok"},
    )
    assert made.status_code in (200, 201), made.text
    assert version["sha256"] == hashlib.sha256(content).hexdigest()
    assert read.content == content
    # Cloud Run's front ends TLS, and says how the visitor came.
    assert (plain.status_code, plain.headers["Location"][:8]) == (301, "https://")


def test_a_connection_that_is_unused_for_a_while_stays_open(run: Service) -> None:
    """Fronts keep theirs for the next request: one closed meanwhile is a 502."""
    front = HTTPConnection(urlsplit(run.address).netloc, timeout=30)
    statuses = []
    for pause in (3, 0):  # gunicorn's own default is 2 seconds
        front.request("GET", "/health/process", headers={"Host": HOST})
        response = front.getresponse()
        statuses.append(response.status)
        response.read()
        time.sleep(pause)
    front.close()

    assert statuses == [200, 200]


def test_a_release_has_its_own_static_files_from_the_bucket(
    cloud: Cloud, gcs: GCS, tmp_path: Path
) -> None:
    """As the build does it: by a job first, and then by a revision."""
    manage(cloud.environment, "collectstatic", "--no-input", "--verbosity=0")
    release = cloud.environment["RELEASE"]

    with service(cloud.environment, tmp_path / "disk") as run:
        before = len(gcs.front.sent)
        page = run.get("/accounts/sign-in/")
        asked = [sent.path for sent in gcs.front.sent[before:]]
        again = run.get("/accounts/sign-in/")
        asked_again = len(gcs.front.sent) - before - len(asked)
        found = re.findall(r'(?:href|src)="(http[^"]+)"', page.text)
        loaded = [requests.get(url, timeout=60).status_code for url in found]

    assert page.status_code == again.status_code == 200
    # One look at the list, for all that it serves.
    assert [path.rpartition("/")[2] for path in asked] == [
        f"staticfiles-{release}.json"
    ]
    assert asked_again == 0
    assert len(found) > 3
    assert all(re.search(r"\.[0-9a-f]{12}\.\w+$", url) for url in found)
    assert set(loaded) == {200}
    # Pages may load from this bucket, and from no other that is beside it.
    directives = page.headers["Content-Security-Policy"].split("; ")
    policy = {name: shown for name, *shown in (one.split() for one in directives)}
    place = f"{gcs.url}/{cloud.static_bucket}/"
    assert policy["script-src"] == policy["style-src"] == ["'self'", place]
    assert all(url.startswith(place) for url in found)


def test_an_export_is_made_by_a_job_and_fetched_from_the_service(
    run: Service, cloud: Cloud
) -> None:
    content = os.urandom(50_000)
    run.sign_in(cloud.environment)
    run.put("exported/a.bin", content)
    exports = f"{run.address}/api/v1/exports/"
    begun = run.visitor.post(exports, json={"folder": "exported"}, timeout=60)
    manage(cloud.environment, "jobs_worker", "--once")
    url = f"/api/v1/exports/{begun.json()['id']}/"
    state = run.get(url).json()["state"]
    fetched = run.fetch(f"{url}content/")

    assert (begun.status_code, state) == (201, "ready")
    with zipfile.ZipFile(io.BytesIO(fetched.content)) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith("a.bin"))
        assert archive.read(name) == content


def change_password(postgres: Postgres, cloud: Cloud) -> str:
    """Give the user another password, and end what is connected by the old one."""
    password = secrets.token_urlsafe()
    set_password(postgres, password)
    with postgres.connect("postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [cloud.database],
        )
    return password


def of_database(run: Service) -> set[int]:
    """Return what several threads say of it."""
    return {run.get("/health/database").status_code for _ in range(8)}


def test_a_password_that_is_renewed_takes_no_restart(
    run: Service, cloud: Cloud, postgres: Postgres
) -> None:
    before = of_database(run)
    password = change_password(postgres, cloud)
    away = of_database(run)
    cloud.renew_password(password)
    after = of_database(run)
    said = run.log.read_text()

    assert (before, away, after) == ({200}, {503}, {200})
    assert password not in said


def test_a_password_of_secret_manager_is_read_again_when_its_time_is_over(
    cloud: Cloud, postgres: Postgres, tmp_path: Path
) -> None:
    configuration = tmp_path / "gunicorn.conf.py"
    text = (cloud.directory / configuration.name).read_text()
    # At the end of it is what a worker does first. Five minutes are long for a test.
    text += "    import config.secrets\n    config.secrets.RENEWED_AFTER = 0\n"
    configuration.write_text(text)
    manager = Manager(cloud.secrets["store-database-password"])
    environment = cloud.environment | {
        "DATABASE_PASSWORD_SECRET": RESOURCE,
        "SECRET_MANAGER_ENDPOINT": manager.url,
        "GOOGLE_APPLICATION_CREDENTIALS": str(cloud.directory / "key.json"),
        "GUNICORN_CMD_ARGS": f"--config={configuration}",
    }
    del environment["DATABASE_PASSWORD_FILE"]

    with ExitStack() as stack:
        stack.callback(manager.stop)
        run = stack.enter_context(service(environment, tmp_path / "disk"))
        before = of_database(run)
        password = change_password(postgres, cloud)
        away = of_database(run)
        cloud.renew_password(password)
        manager.value = password
        after = of_database(run)
        said = run.log.read_text()

    assert (before, away, after) == ({200}, {503}, {200})
    assert set(manager.asked) == {f"/v1/{RESOURCE}/versions/latest:access"}
    assert [value for value in cloud.secrets.values() if value in said] == []


def test_what_does_not_answer_is_named_and_the_process_is_alive(
    cloud: Cloud, tmp_path: Path
) -> None:
    away = {
        "DATABASE_URL": "postgres://store@127.0.0.1:1/none",
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
        "CACHE_URL": "redis://127.0.0.1:1/0",
    }

    with service(cloud.environment | away, tmp_path / "disk") as run:
        found = {
            path: (run.get(f"/health/{path}").status_code)
            for path in ("database", "cache", "store", "process")
        }

    assert found == {"database": 503, "cache": 503, "store": 503, "process": 200}


def test_sigterm_reaches_gunicorn_itself(cloud: Cloud, tmp_path: Path) -> None:
    with service(cloud.environment, tmp_path / "disk") as run:
        run.process.send_signal(signal.SIGTERM)
        status = run.process.wait(60)

    assert status == 0
    assert "Handling signal: term" in run.log.read_text()
