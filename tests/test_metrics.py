"""The view of metrics: what several worker processes counted, to who has the token."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from pytest_django.fixtures import Settings

from tahoestorage import metering, metrics
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.care.livecounts import live_counts
from tahoestorage.testing.grid import LocalGrid
from tests.support import commands
from tests.support.gcs_servers import GCS
from tests.support.ports import free_port
from tests.support.s3_storages import MakeS3

TOKEN = "a token of this test"
PATIENCE = 60.0
SITE = """
import os
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS=["tahoestorage"],
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="site_of_metrics",
    STORAGES={{"default": {{
        "BACKEND": "tahoestorage.storage.TahoeStorage",
        "OPTIONS": {{
            "base_url": {base_url!r},
            "base_cap_file": {cap!r},
            "cache": {{"directory": {cache!r}}},
        }},
    }}}},
    TAHOE_METRICS_TOKEN={token!r},
)
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpResponse
from django.urls import path
from tahoestorage.metrics import metrics

def save(request):
    default_storage.save("a/file", ContentFile(b"0123456789" * 10))
    return HttpResponse(str(os.getpid()))

def look(request):
    default_storage.exists("a/missing")
    return HttpResponse(str(os.getpid()))

urlpatterns = [path("save", save), path("look", look), path("metrics", metrics)]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def address(tahoe_grid: LocalGrid, folder: Path) -> Iterator[str]:
    """A site that two worker processes serve, and count below the folder."""
    (folder / "cap").write_text(tahoe_grid.create_root().uri)
    (folder / "counted").mkdir()
    (folder / "site_of_metrics.py").write_text(
        SITE.format(
            base_url=tahoe_grid.base_url,
            cap=str(folder / "cap"),
            cache=str(folder / "cache"),
            token=TOKEN,
        )
    )
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
            *("--workers", "2", "--bind", address, "site_of_metrics"),
        ],
        cwd=folder,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder / "counted")},
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                get(f"http://{address}/metrics", TOKEN)
                break
            except urllib.error.URLError:
                assert time.monotonic() < until
                time.sleep(0.1)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def get(url: str, token: str | None = None) -> str:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return str(response.read().decode())


def value(text: str, name: str, **labels: str) -> float:
    """Return the sum of a metric over all lines that have these labels."""
    total = 0.0
    for line in re.findall(rf"^{name}(?:{{.*}})? .+$", text, re.MULTILINE):
        if all(f'{key}="{label}"' in line for key, label in labels.items()):
            total += float(line.rpartition(" ")[2])
    return total


def test_the_view_tells_the_sums_of_all_workers(address: str) -> None:
    get(f"{address}/save")
    before = get(f"{address}/metrics", TOKEN)
    workers: set[str] = set()
    looks = 0
    until = time.monotonic() + PATIENCE
    while len(workers) < 2 or looks < 20:
        workers.add(get(f"{address}/look"))
        looks += 1
        assert time.monotonic() < until

    # Whichever worker responds.
    for _ in range(10):
        after = get(f"{address}/metrics", TOKEN)
        for name, expected in [
            ("tahoestorage_cache_lookups_total", looks),
            ("tahoestorage_gateway_bytes_total", 0),
        ]:
            labels = {"direction": "sent"} if "bytes" in name else {}
            grown = value(after, name, **labels) - value(before, name, **labels)
            assert grown == expected
    assert value(after, "tahoestorage_cache_lookups_total", result="hit") >= looks
    assert value(after, "tahoestorage_gateway_bytes_total", direction="sent") == 100
    requests = "tahoestorage_gateway_request_seconds_count"
    assert value(after, requests, verb="PUT", status="200") == 1
    assert value(after, requests, verb="POST t=set_children", status="200") >= 1
    assert "URI:" not in after


SINGLE = """
import os, shutil, sys
import site_of_metrics
from django.test import RequestFactory
token, place = sys.argv[1:]
site_of_metrics.default_storage.exists("a/missing")
if place:
    shutil.rmtree(place, ignore_errors=True)
request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
response = site_of_metrics.metrics(request)
print(response.status_code, b'lookups_total{result="miss"}' in response.content)
"""


@pytest.mark.usefixtures("address")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "200 True"),
        ("gone", "503 False"),
        ("never", "503 False"),
        ("file", "503 False"),
    ],
    ids=["empty", "gone", "never", "file"],
)
def test_without_a_directory_of_the_counts_a_process_tells_its_own_or_none(
    name: str, told: str, folder: Path, tmp_path: Path
) -> None:
    """Empty is as unset: nothing is counted in files of the current directory."""
    place = str(tmp_path / name) if name else ""
    if name == "gone":
        os.mkdir(place)
    if name == "file":
        Path(place).touch(0o755)
    done = subprocess.run(
        [sys.executable, "-c", SINGLE, TOKEN, place],
        cwd=tmp_path,
        env={
            **os.environ,
            "PROMETHEUS_MULTIPROC_DIR": place,
            "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == told, done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["file"] * (name == "file")
    assert ("Nothing is told to Prometheus" in done.stderr) == bool(place)
    assert ("counts for itself alone" in done.stderr) == (name in {"never", "file"})


def test_storage_cache_tells_each_worker_and_the_sums(
    address: str,
    folder: Path,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers: set[str] = set()
    until = time.monotonic() + PATIENCE
    while len(workers) < 2:
        workers.add(get(f"{address}/look"))
        assert time.monotonic() < until
    told = get(f"{address}/metrics", TOKEN)
    settings.STORAGES = {
        "default": {
            "BACKEND": "tahoestorage.storage.TahoeStorage",
            "OPTIONS": {
                "base_cap_file": str(folder / "cap"),
                "cache": {"directory": str(folder / "cache")},
            },
        }
    }
    settings.TAHOE_METRICS_TOKEN = TOKEN
    assert "PROMETHEUS_MULTIPROC_DIR is not set here" in str(live_counts().why_none)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert "no process has counted" in str(live_counts().why_none)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder / "counted"))
    # One that was killed as it began.
    (folder / "counted" / "counter_1.db").touch()

    live = commands.run("storage_cache", "stats", "--json").json["live"]
    text = commands.run("storage_cache", "stats").out

    name = "tahoestorage_cache_lookups_total"
    assert live["is_recorded"] is True
    assert live["hits"] == live["requests_spared"] == value(told, name, result="hit")
    assert live["misses"] == value(told, name, result="miss")
    assert workers <= {str(each["pid"]) for each in live["processes"]}
    assert sum(each["hits"] for each in live["processes"]) == live["hits"]
    assert f"process {min(workers)}: hit rate " in text
    # A page of the site tells what its own process has counted, too.
    monkeypatch.setattr(os, "getpid", lambda: int(min(workers)))
    assert workers <= set(map(str, live_counts().processes))


class Recorder:
    """Notes the requests to other stores."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def asked_store(self, store: str, verb: str, status: str, seconds: float) -> None:
        assert 0 <= seconds < PATIENCE
        self.seen.append((store, verb, status))

    def looked_up(self, *, hit: bool) -> None:
        pass

    def dropped_fill(self) -> None:
        pass


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(metering, "meter", recorder)
    monkeypatch.setattr(metering, "is_used", True)
    return recorder


def test_requests_to_s3_are_counted_by_operation(
    make_strict_s3: MakeS3, recorder: Recorder
) -> None:
    storage = make_strict_s3(cache=False)
    assert not storage.exists("a")
    storage.save("a", ContentFile(b"content"))
    storage.delete("a")

    assert ("s3", "HeadObject", "404") in recorder.seen
    assert ("s3", "PutObject", "200") in recorder.seen
    assert ("s3", "DeleteObject", "204") in recorder.seen

    away = make_strict_s3(cache=False, endpoint_url="http://127.0.0.1:1")
    recorder.seen.clear()
    with pytest.raises(OSError, match=r"127\.0\.0\.1:1"):
        away.exists("a")
    assert set(recorder.seen) == {("s3", "HeadObject", "failed")}


def test_requests_to_google_cloud_storage_are_counted_by_method(
    gcs: GCS, recorder: Recorder
) -> None:
    options: dict[str, Any] = {**gcs.options, "bucket_name": gcs.make_bucket()}
    storage = GCSStorage(**options, cache=False)
    assert not storage.exists("a")
    storage.save("a", ContentFile(b"content"))
    with storage.open("a") as file:
        assert file.read() == b"content"

    assert ("gcs", "GET", "404") in recorder.seen
    assert ("gcs", "POST upload", "200") in recorder.seen
    assert {verb for _, verb, _ in recorder.seen} >= {"GET download"}
    assert storage.bucket_name not in str(recorder.seen)


@pytest.mark.parametrize("token", [None, "another", ""], ids=["none", "other", "empty"])
def test_only_who_has_the_token_is_told(address: str, token: str | None) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(f"{address}/metrics", token)
    assert refused.value.code == 401
    refused.value.close()


@pytest.mark.parametrize(
    ("method", "shown", "verb"),
    [
        ("GET", "/?t=json", "GET t=json"),
        ("POST", "/uri/<Cap>?t=check&output=JSON&add-lease=true", "POST t=check"),
        ("POST", "/uri/<Cap>?t=set_children&replace=false", "POST t=set_children"),
        ("DELETE", "/uri/<Cap>/a%3Ft%3Djson", "DELETE"),
    ],
    ids=["status", "check", "link", "delete"],
)
def test_a_verb_says_what_a_request_does_and_not_to_what(
    method: str, shown: str, verb: str
) -> None:
    assert metering.verb_of(method, shown) == verb


def test_a_failure_to_count_is_logged_once_and_reaches_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the directory of the counts is gone when a worker is forked."""

    class Gone:
        def labels(self, *labels: str) -> Gone:
            raise FileNotFoundError(2, "No such file or directory", "counts.db")

    meter = metrics.PrometheusMeter()
    monkeypatch.setattr(metrics, "_BYTES", Gone())
    meter.transferred("sent", 1)
    meter.transferred("sent", 1)
    meter.looked_up(hit=True)
    (warning,) = caplog.messages
    assert "counts nothing more for Prometheus (FileNotFoundError" in warning
