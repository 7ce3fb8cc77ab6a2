"""What the tests share: a real grid, roots and storages on it, counts of requests."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.checks.registry import registry

from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker, presence, serverlist
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.support.gcs_servers import gcs, gcs_server
from tests.support.leaks import everything_logged
from tests.support.old_release import old_release, workers
from tests.support.proxy import Proxy
from tests.support.redis_server import own_redis, redis_server
from tests.support.s3_servers import moto, tls_weed, weed
from tests.support.s3_storages import (
    make_s3,
    make_strict_s3,
    make_tls_s3,
    s3,
    strict_s3,
)

# Fixtures of other modules, for all tests.
__all__ = [
    "gcs",
    "gcs_server",
    "make_s3",
    "make_strict_s3",
    "make_tls_s3",
    "moto",
    "old_release",
    "own_redis",
    "redis_server",
    "s3",
    "strict_s3",
    "tls_weed",
    "weed",
    "workers",
]

# A shell that starts the tests in the background, or nohup, has them ignore these. The
# tests send them to their children, which would ignore them too.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

MakeStorage = Callable[..., TahoeStorage]


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


@pytest.fixture(autouse=True)
def checks_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the checks that apps register in a test, static files' own, from others."""
    before = set(registry.registered_checks)
    monkeypatch.setattr(registry, "registered_checks", before)


@pytest.fixture(autouse=True)
def nothing_known_of_gateways() -> None:
    """Forget who listened before at a port that the test may be given again."""
    serverlist._lists.clear()
    presence._all.clear()


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
