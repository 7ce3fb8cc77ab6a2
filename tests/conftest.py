"""What the tests share: a real grid, roots and storages on it, counts of requests."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import botocore.session
import hypothesis
import pytest
from botocore.loaders import create_loader
from django.core.checks.registry import registry
from django.core.files.storage import Storage, storages
from django.core.signals import request_finished
from django.db import close_old_connections
from pytest_django.fixtures import Settings

from tahoestorage.backends.s3 import S3Storage
from tahoestorage.config.secrets import SECRET_FILES
from tahoestorage.moving import copier
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import directorykeys, marker, presence, serverlist
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.support import order, quick_tahoe
from tests.support.gcs_servers import GCS, running_gcs
from tests.support.leaks import everything_logged
from tests.support.moves import STUCK, Add
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer, running
from tests.support.s3_servers import S3Server, running_moto, running_weed
from tests.support.s3_storages import MakeS3, storages_of
from tests.support.s3_trials import trials_shared

# A machine that is busy is no failure: examples have no time limit.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")

# A shell that starts the tests in the background, or nohup, has them ignore these. The
# tests send them to their children, which would ignore them too.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# The application has settings of its own, and so a run of its own: `make test`.
collect_ignore = (
    ["application"]
    if os.environ.get("DJANGO_SETTINGS_MODULE") == "tests.settings"
    else []
)

MakeStorage = Callable[..., TahoeStorage]


# pytest-django has its order before: what uses no database comes last.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what the others would wait for."""
    items.sort(key=order.place)


@pytest.fixture(autouse=True)
def no_secret_files() -> None:
    """Forget the secret files that another test read, of which the checks warn."""
    SECRET_FILES.clear()


class Requests(list[str]):
    """The requests sent to a gateway, as the debug log tells them: "GET /uri/… 200".

    Those that guard changes, which depend on the clock, are kept apart in ``guards``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guards: list[str] = []

    def add(self, line: str) -> None:
        """Note a request."""
        (self.guards if is_guard(line) else self).append(line)

    @property
    def verbs(self) -> list[str]:
        return [line.split()[0] for line in self]


def is_guard(line: str) -> bool:
    """Whether a request asks which servers are there, or what is known of them."""
    return line.startswith("GET /?t=json ") or f"/{quote(marker.NAME)}?" in line


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen = Requests()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.add(record.getMessage())


@contextlib.contextmanager
def requests_sent() -> Iterator[Requests]:
    """Record the requests that this process sends within the block."""
    logger = logging.getLogger("tahoestorage.gateway")
    recorder, level = _Recorder(), logger.level
    logger.addHandler(recorder)
    logger.setLevel(logging.DEBUG)
    try:
        yield recorder.seen
    finally:
        logger.removeHandler(recorder)
        logger.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def one_loader() -> Iterator[None]:
    """Have all sessions of botocore share what describes S3.

    Clients of one session do. To read it for each storage takes a tenth of a second.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(create_loader))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_trial() -> Iterator[None]:
    """Have all buckets of a server share the trial of its conditions."""
    with trials_shared():
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_keys() -> Iterator[None]:
    """Make the keys of directories as quickly as the tests' grids do."""
    keys = quick_tahoe.KeyStock()
    with pytest.MonkeyPatch.context() as patch:
        bits = directorykeys.BITS
        patch.setattr(directorykeys, "generate", lambda: keys.make(bits)[0])
        yield


@pytest.fixture(autouse=True)
def checks_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the checks that apps register in a test, static files' own, from others."""
    before = set(registry.registered_checks)
    monkeypatch.setattr(registry, "registered_checks", before)


@pytest.fixture(autouse=True)
def connections_of_other_tests() -> Iterator[None]:
    """Leave them alone when a response is closed, as Django's test client does."""
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)


@pytest.fixture(autouse=True)
def nothing_known_of_gateways() -> None:
    """Forget who listened before at a port that the test may be given again."""
    serverlist._lists.clear()
    presence._all.clear()


@pytest.fixture(scope="session")
def tahoe() -> Iterator[Path]:
    """What makes grids that start and make directories quickly."""
    with quick_tahoe.quick_nodes() as executable:
        yield executable


@pytest.fixture(scope="session")
def tahoe_grid(tahoe: Path) -> Iterator[LocalGrid]:
    """A grid of one node for all tests."""
    with LocalGrid(tahoe=tahoe) as grid:
        yield grid


@pytest.fixture(scope="session")
def two_gateways(tahoe: Path) -> Iterator[LocalGrid]:
    """A grid of one server for all tests; its gateways know nothing of each other."""
    with LocalGrid(servers=1, gateways=2, tahoe=tahoe) as grid:
        yield grid


@pytest.fixture(scope="module")
def four_servers(tahoe: Path) -> Iterator[LocalGrid]:
    """A grid for a module: 2-of-4, happy 3, two gateways that speak HTTPS to servers.

    The servers come back within seconds. Who stops one starts it again. Gateways that
    speak HTTPS ask each server each second: to keep them for all tests would cost more
    of a processor than to start them.
    """
    with LocalGrid(servers=4, gateways=2, introducer=True, tahoe=tahoe) as grid:
        yield grid


@pytest.fixture
def root(tahoe_grid: LocalGrid) -> Cap:
    """A new, empty root directory on the grid."""
    return tahoe_grid.create_root()


@pytest.fixture
def make_storage(tahoe_grid: LocalGrid, root: Cap, tmp_path: Path) -> MakeStorage:
    """Make storages of one root; of one cache directory too, unless told otherwise."""

    def make(**options: Any) -> TahoeStorage:
        defaults: dict[str, Any] = {
            "base_url": tahoe_grid.base_url,
            "base_cap": root.uri,
            "public_base_url": "http://files.example",
            "cache": {"directory": str(tmp_path / "cache")},
        }
        return TahoeStorage(**{**defaults, **options})

    return make


@pytest.fixture
def storage(make_storage: MakeStorage) -> TahoeStorage:
    """A storage on a new root, with a cache of its own."""
    return make_storage()


@pytest.fixture
def proxy(tahoe_grid: LocalGrid) -> Iterator[Proxy]:
    """A proxy before the gateway."""
    with Proxy(tahoe_grid.base_url) as proxy:
        yield proxy


@pytest.fixture
def far(make_storage: MakeStorage, proxy: Proxy) -> TahoeStorage:
    """A storage that reaches the gateway through the proxy."""
    return make_storage(base_url=proxy.url, retries=2)


@pytest.fixture
def no_cap_is_logged() -> Iterator[None]:
    """Look at everything that is logged."""
    with everything_logged():
        yield


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCS]:
    """One for all tests; each makes a bucket of its own there."""
    with running_gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def gcs(gcs_server: GCS) -> GCS:
    """The server, which has seen no requests yet."""
    gcs_server.front.reset()
    gcs_server.accounts.reset()
    return gcs_server


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One SeaweedFS for all tests; each makes a bucket of its own there."""
    with running_weed(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def tls_weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One SeaweedFS that is spoken to by https."""
    with running_weed(tmp_path_factory.mktemp("weed"), tls=True) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One moto for all tests; each makes a bucket of its own there."""
    with running_moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all tests; what is in it, others may have put there."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def make_s3(moto: S3Server, tmp_path: Path) -> MakeS3:
    """Make storages of one bucket on moto, with one cache unless told otherwise."""
    return storages_of(moto, tmp_path)


@pytest.fixture
def make_strict_s3(weed: S3Server, tmp_path: Path) -> MakeS3:
    """Make storages of one bucket on SeaweedFS, with one cache, as ``make_s3`` does."""
    return storages_of(weed, tmp_path)


@pytest.fixture
def s3(make_s3: MakeS3) -> S3Storage:
    """A storage on moto."""
    return make_s3()


@pytest.fixture
def add(settings: Settings, tmp_path: Path, tahoe_grid: LocalGrid) -> Add:
    """Add a storage of a kind to STORAGES, by an alias."""

    def add(alias: str, kind: str, **options: Any) -> Storage:
        if kind == "disk":
            backend = "django.core.files.storage.FileSystemStorage"
            options.setdefault("location", str(tmp_path / alias))
            Path(options["location"]).mkdir(exist_ok=True)
        elif kind == "memory":
            backend = "django.core.files.storage.InMemoryStorage"
        else:
            backend = "tahoestorage.storage.TahoeStorage"
            made: dict[str, Any] = {
                "base_url": tahoe_grid.base_url,
                "cache": {"directory": str(tmp_path / "cache")},
            }
            if "base_cap_file" not in options:
                made["base_cap"] = tahoe_grid.create_root().uri
            options = {**made, **options}
        before = {a: storages[a] for a in settings.STORAGES if a in _given}
        _given.add(alias)
        settings.STORAGES = {
            **settings.STORAGES,
            alias: {"BACKEND": backend, "OPTIONS": options},
        }
        # What was made already, such as a memory with files, stays.
        storages._storages.update(before)  # type: ignore[attr-defined]
        return storages[alias]

    _given: set[str] = set()
    return add


@pytest.fixture
def no_store_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that names a store, or belongs to one, is set outside."""
    ours = ("AWS_", "GS_", "GZIP_", "GOOGLE_", "TAHOE_", "STORAGE_", "STATIC_")
    for name in os.environ:
        if name.startswith(ours):
            monkeypatch.delenv(name)


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables of the environment, for the test."""

    def setenv(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return setenv


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let copies take a file for settled at once."""
    monkeypatch.setattr(copier, "SETTLED_SECONDS", 0.0)


@pytest.fixture
def site(tmp_path: Path, tahoe_grid: LocalGrid) -> Path:
    """A site in a folder of its own, for commands that run as processes."""
    (tmp_path / "cap").write_text(tahoe_grid.create_root().uri)
    disk_backend = "django.core.files.storage.FileSystemStorage"
    grid = {
        "base_url": tahoe_grid.base_url,
        "base_cap_file": str(tmp_path / "cap"),
        "cache": {"directory": str(tmp_path / "cache")},
    }
    stores = {
        "from": {"BACKEND": disk_backend, "OPTIONS": {"location": "from"}},
        "disk": {"BACKEND": disk_backend, "OPTIONS": {"location": "to"}},
        "stuck": {"BACKEND": "stuck.Stuck", "OPTIONS": {"location": "from"}},
        "some": {"BACKEND": "stuck.Some", "OPTIONS": {"location": "from"}},
        "grid": {"BACKEND": "tahoestorage.storage.TahoeStorage", "OPTIONS": grid},
    }
    (tmp_path / "stuck.py").write_text(STUCK)
    (tmp_path / "site_settings.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tahoestorage']\nUSE_TZ = True\n"
        f"STORAGES = {stores!r}\n"
    )
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    return tmp_path
