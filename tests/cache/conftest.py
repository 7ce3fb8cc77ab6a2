"""A Redis that a test may stop, and the release before this one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.old_release import Worker, build
from tests.support.redis_server import RedisServer, running


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may stop and start."""
    directory = tmp_path / "redis"
    directory.mkdir()
    with running(directory) as server:
        yield server


@pytest.fixture(scope="session")
def old_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder from which the release before this one is imported."""
    return build(tmp_path_factory.mktemp("old-release"))


@pytest.fixture
def workers(old_release: Path) -> Iterator[Callable[..., Worker]]:
    """Start workers, ``workers(old, setup, *arguments)``; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(old: bool, setup: str, *arguments: object) -> Worker:
            worker = Worker(old_release if old else None, setup, *arguments)
            stack.callback(worker.end)
            return worker

        yield start
