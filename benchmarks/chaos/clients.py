"""Days of clients: the clock of one is set back, and many of them are slow."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from django.core.files.base import ContentFile

from benchmarks.chaos.day import Day
from benchmarks.chaos.stage import PATIENCE, Stage
from tahoestorage.storage import TahoeStorage
from tests.support.nginx_server import public_proxy

CLIENTS, SIZE = 200, 1_000_000
PIECE, PAUSE = 4_096, 0.2  # bytes and seconds: 50 s for the whole at this pace


def clock_set_back(stage: Stage) -> None:
    """Set the clock of one writer and one reader back by two hours, and right again."""
    stage.start("write")
    stage.start("read")
    others = [stage.start("write"), stage.start("read")]
    stage.changes(20)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        for actor in others:
            actor.process.send_signal(number)
        stage.back(time.monotonic())
        stage.changes(20)


def slow_clients(stage: Stage) -> None:
    """Have 200 read by nginx at a few kB a second, while others write and read."""
    content = random.Random(4).randbytes(SIZE)
    directory = stage.folder / "nginx"
    directory.mkdir()
    hurry = threading.Event()
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(public_proxy(directory, stage.grid.base_url))
        options = {**stage.options(), "public_base_url": proxy.url}
        cap_of = TahoeStorage(**options)
        name = cap_of.save("slow.bin", ContentFile(content))
        url = urlsplit(cap_of.url(name))
        cap_of.delete(name)

        def download(_: int) -> str:
            """Return the digest of what comes, slowly at first."""
            connection = http.client.HTTPConnection(url.netloc, timeout=PATIENCE)
            with contextlib.closing(connection):
                connection.request("GET", url.path)
                digest = hashlib.sha256()
                response = connection.getresponse()
                while piece := response.read(PIECE):
                    digest.update(piece)
                    hurry.wait(PAUSE)
                return digest.hexdigest()

        at = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            downloads = [pool.submit(download, number) for number in range(CLIENTS)]
            try:
                stage.start("write")
                stage.start("read")
                stage.back(at)
                stage.changes(40)
            finally:
                hurry.set()
            found = [download.result() for download in downloads]
    stage.outcome.reads += CLIENTS
    stage.outcome.wrong += CLIENTS - found.count(hashlib.sha256(content).hexdigest())


DAYS = (
    Day("clock-back", "The clock is set back by two hours, and right", clock_set_back),
    Day("slow-clients", f"{CLIENTS} slow clients download by nginx", slow_clients),
)
