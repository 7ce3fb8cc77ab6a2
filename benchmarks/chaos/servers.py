"""Days on which storage servers are killed, hang, are damaged or brought back old."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Actor, Stage, frozen

AWAY = 8.0  # seconds
# Past the heads of shares, in what they hold.
WHERE = 600


def begin(stage: Stage) -> list[Actor]:
    """Let two write and one read, and wait until they are well under way."""
    writers = [stage.start("write") for _ in range(2)]
    stage.start("read")
    stage.changes(20)
    return writers


def killed(count: int) -> Callable[[Stage], None]:
    """Kill so many servers; start them again after a while."""

    def act(stage: Stage) -> None:
        begin(stage)
        at = time.monotonic()
        for server in range(count):
            os.kill(stage.servers[server], signal.SIGKILL)
            # Returns once the gateway has noticed.
            stage.grid.stop_server(server)
        if count == 1:
            stage.back(at)
        time.sleep(AWAY)
        at = time.monotonic()
        for server in range(count):
            stage.grid.start_server(server)
        stage.back(at)
        stage.changes(10)

    return act


def hung(count: int) -> Callable[[Stage], None]:
    """Have so many servers hang for a while."""

    def act(stage: Stage) -> None:
        begin(stage)
        with frozen(*stage.servers[:count]):
            time.sleep(3 * AWAY)
        stage.back(time.monotonic())
        stage.changes(10)

    return act


def storage_of(stage: Stage, server: int) -> Path:
    """Return where a server keeps its shares."""
    return stage.grid.directory / f"server-{server}" / "storage"


def flip(shares: Iterable[Path]) -> list[tuple[Path, int]]:
    """Flip a byte in each share, and return where, with what is there now."""
    flipped = []
    for share in shares:
        with share.open("r+b") as file:
            where = min(WHERE, share.stat().st_size - 1)
            file.seek(where)
            now = file.read(1)[0] ^ 0xFF
            file.seek(where)
            file.write(bytes([now]))
        flipped.append((share, now))
    return flipped


def corrupted(stage: Stage) -> None:
    """Damage all shares of one server, while files are written and read."""
    begin(stage)
    at = time.monotonic()
    flip([s for s in storage_of(stage, 0).glob("shares/*/*/*") if s.is_file()])
    stage.back(at)
    stage.changes(30)


def too_much_corrupted(stage: Stage) -> None:
    """Damage all shares of three servers, while files are read; then mend the disks."""
    for writer in begin(stage):
        stage.end(writer)
    shares = [
        share
        for server in range(3)
        for share in storage_of(stage, server).glob("shares/*/*/*")
        if share.is_file()
    ]
    flip(shares)
    other = stage.options(directory=str(stage.folder / "other"))
    readers = [stage.start("read", other) for _ in range(2)]
    time.sleep(AWAY)
    flip(shares)
    # As another host they may be late to see what is written from here on.
    for reader in readers:
        stage.end(reader)
    at = time.monotonic()
    stage.start("write")
    stage.back(at)
    stage.changes(10)


def old(count: int) -> Callable[[Stage], None]:
    """Bring so many servers back with the disk that they had some changes before."""

    def act(stage: Stage) -> None:
        begin(stage)
        for server in range(count):
            # One after another: their backups are made while the others go on.
            stage.grid.stop_server(server)
            where = storage_of(stage, server)
            shutil.copytree(where, stage.folder / f"disk-{server}")
            stage.grid.start_server(server)
            stage.back(time.monotonic())
        stage.changes(20)
        for server in range(count):
            stage.grid.stop_server(server)
        for server in range(count):
            where = storage_of(stage, server)
            shutil.rmtree(where)
            shutil.copytree(stage.folder / f"disk-{server}", where)
        at = time.monotonic()
        for server in range(count):
            stage.grid.start_server(server)
        stage.back(at)
        stage.changes(10)

    return act


DAYS = (
    Day("server-killed", "A storage server is killed, and started", killed(1)),
    Day("servers-killed", "Two of four storage servers are killed", killed(2)),
    Day("three-killed", "Three of four storage servers are killed", killed(3)),
    Day("server-hung", "A storage server hangs", hung(1)),
    Day("servers-hung", "Two of four storage servers hang", hung(2)),
    Day("three-hung", "Three of four storage servers hang", hung(3)),
    Day("server-corrupted", "All shares of a server are damaged", corrupted),
    Day(
        "servers-corrupted",
        "All shares of three of four servers are damaged, and mended",
        too_much_corrupted,
    ),
    Day("server-old", "A server comes back with an old state", old(1)),
    Day("servers-old", "Two of four servers come back with an old state", old(2)),
)
