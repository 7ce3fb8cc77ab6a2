"""A real redis-server for tests, on a free port, stopped by its process."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.ports import free_port


class RedisServer:
    """A redis-server whose files are in ``directory``."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self.directory)]
        log = self.directory / "redis.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *self.options], stdout=output, stderr=output
            )
        until = time.monotonic() + 60
        with contextlib.closing(self.client()) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > until or self._process.poll() is not None:
                        raise
                    time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once; what it holds is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Have it accept connections, and answer nothing, within the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)


@contextlib.contextmanager
def running(directory: Path, *options: str) -> Iterator[RedisServer]:
    """Run one within the block; skip the test where there is none to run."""
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here: apt-get install redis-server")
    server = RedisServer(directory, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
