"""Days on which the gateway is killed."""

from __future__ import annotations

import os
import random
import signal
import time

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import Stage

TIMES = 3
LARGE = (10_000_000, 3_000)


def kill_gateway(stage: Stage) -> None:
    """Kill the gateway and start it again; note when changes are made again."""
    os.kill(stage.grid.pids[-1], signal.SIGKILL)
    stage.grid.stop_gateway(0)
    started = time.monotonic()
    stage.grid.start_gateway(0)
    stage.back(started)


def in_upload(stage: Stage) -> None:
    """Kill it while it takes 10 MB, and small files of another writer."""
    chance = random.Random(1)
    stage.start("write")
    writer = stage.start("write", sizes=LARGE)
    stage.start("read")
    stage.changes(8)
    for _ in range(TIMES):
        stage.next("begun", f"{writer.task.who}-0")
        time.sleep(chance.uniform(0.0, 0.2))
        kill_gateway(stage)


def in_link(stage: Stage) -> None:
    """Kill it just after it has answered the upload, which the link follows."""
    chance = random.Random(2)
    stage.start("write")
    writer = stage.start("write", sizes=(3_000,))
    stage.start("read")
    stage.changes(8)
    for _ in range(TIMES):
        stage.next("uploaded", writer.task.who)
        time.sleep(chance.uniform(0.0, 0.02))
        kill_gateway(stage)


def in_download(stage: Stage) -> None:
    """Kill it while others read 10 MB."""
    chance = random.Random(3)
    stage.start("write")
    stage.start("write", sizes=LARGE, pause=0.2)
    readers = [stage.start("read") for _ in range(2)]
    stage.changes(8)
    for _ in range(TIMES):
        stage.next("asking", readers[0].task.who)
        time.sleep(chance.uniform(0.0, 0.2))
        kill_gateway(stage)


DAYS = (
    Day("gateway-upload", "The gateway is killed in uploads, and started", in_upload),
    Day("gateway-link", "The gateway is killed in links, and started", in_link),
    Day(
        "gateway-download",
        "The gateway is killed in downloads, and started",
        in_download,
    ),
)
