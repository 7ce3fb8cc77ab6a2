"""Folders of small files onto a grid and back, beside Tahoe's own commands."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import local

import requests

from benchmarks.rows import Row, at_most, seconds
from tahoestorage.testing.grid import LocalGrid

ROUNDS = 3
FILES, DIRECTORIES = 2_000, 20  # in each round
BYTES = 10_000
JOBS = 8
SETTINGS = """
SECRET_KEY = {key!r}
INSTALLED_APPS = ["tahoestorage"]
USE_TZ = True
DISK = "django.core.files.storage.FileSystemStorage"
STORAGES = {{
    "from": {{"BACKEND": DISK, "OPTIONS": {{"location": "from"}}}},
    "back": {{"BACKEND": DISK, "OPTIONS": {{"location": "back"}}}},
    "grid": {{
        "BACKEND": "tahoestorage.storage.TahoeStorage",
        "OPTIONS": {{
            "base_url": {url!r},
            "base_cap_file": "root.cap",
            "cache": {{"directory": "cache"}},
        }},
    }},
}}
"""


def make_folder(folder: Path) -> None:
    """Make files whose contents were never on the grid before."""
    for number in range(DIRECTORIES):
        (folder / f"{number}").mkdir(parents=True)
    for number in range(FILES):
        path = folder / f"{number % DIRECTORIES}" / f"{number}.bin"
        path.write_bytes(secrets.token_bytes(BYTES))


class BareRequests:
    """Files up and down by requests, in threads, and nothing else: no names."""

    def __init__(self, grid: LocalGrid) -> None:
        self._url = f"{grid.base_url}/uri"
        self._sessions = local()
        self._caps: list[str] = []

    @property
    def _session(self) -> requests.Session:
        if not hasattr(self._sessions, "session"):
            self._sessions.session = requests.Session()
        session: requests.Session = self._sessions.session
        return session

    def put(self, folder: Path) -> None:
        """Upload all files of a folder."""

        def put(path: Path) -> str:
            response = self._session.put(self._url, data=path.read_bytes())
            response.raise_for_status()
            return response.text

        with ThreadPoolExecutor(JOBS) as threads:
            self._caps = list(threads.map(put, folder.rglob("*.bin")))

    def get(self, folder: Path) -> None:
        """Download what was uploaded last into a new folder."""
        folder.mkdir()

        def get(pair: tuple[int, str]) -> None:
            response = self._session.get(f"{self._url}/{pair[1]}")
            response.raise_for_status()
            (folder / f"{pair[0]}.bin").write_bytes(response.content)

        with ThreadPoolExecutor(JOBS) as threads:
            list(threads.map(get, enumerate(self._caps)))


class Commands:
    """Commands that copy between a folder and a new root directory of a grid."""

    def __init__(self, grid: LocalGrid, work: Path) -> None:
        self._work = work
        work.mkdir()
        (work / "root.cap").write_text(grid.create_root().uri)
        (work / "back").mkdir()
        text = SETTINGS.format(key=secrets.token_hex(), url=grid.base_url)
        (work / "copy_settings.py").write_text(text)
        private = work / "node" / "private"
        private.mkdir(parents=True)
        (work / "node" / "node.url").write_text(f"{grid.base_url}/\n")
        (private / "aliases").write_text(f"grid: {grid.create_root().uri}\n")

    def _run(self, *command: object) -> None:
        path = os.pathsep.join([str(self._work), *filter(None, sys.path)])
        subprocess.run(
            [str(part) for part in command],
            cwd=self._work,
            env={**os.environ, "PYTHONPATH": path},
            check=True,
            capture_output=True,
        )

    def ours(self, source: str, target: str) -> None:
        """Run ``storage_copy``."""
        options = ("--settings", "copy_settings", "--jobs", JOBS)
        django = (sys.executable, "-m", "django")
        self._run(*django, "storage_copy", source, target, *options)

    def tahoe(self, verb: str, *arguments: object) -> None:
        """Run a command of Tahoe's."""
        tahoe = Path(sysconfig.get_path("scripts"), "tahoe")
        self._run(tahoe, "-d", self._work / "node", verb, *arguments)


def one_round(grid: LocalGrid, work: Path, first: int) -> Iterator[tuple[str, float]]:
    """Copy new files in each way, in turns from the ``first`` on; yield the seconds."""
    commands, folder = Commands(grid, work), work / "from"
    bare = BareRequests(grid)
    ways: dict[str, Callable[[], None]] = {
        "storage_copy": partial(commands.ours, "from", "grid"),
        "tahoe cp": partial(commands.tahoe, "cp", "-r", "from/", "grid:cp"),
        "tahoe backup": partial(commands.tahoe, "backup", "from", "grid:backup"),
        "requests": partial(bare.put, folder),
    }
    back = {
        "storage_copy": partial(commands.ours, "grid", "back"),
        "tahoe cp": partial(commands.tahoe, "cp", "-r", "grid:cp/", "cp-back"),
        "requests": partial(bare.get, work / "got"),
    }
    turns = list(ways)
    for who in turns[first:] + turns[:first]:
        make_folder(folder)
        # A file that has just changed is waited for.
        time.sleep(1)
        yield who, seconds(ways[who])
        if who in back:
            yield f"{who} back", seconds(back[who])
        shutil.rmtree(folder)


def copies(grid: LocalGrid, work: Path) -> Iterator[Row]:
    """2,000 files of 10 KB in 20 directories, in turns: medians of 3 rounds."""
    taken: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        # Whoever is first has not always the emptiest grid.
        for who, time_ in one_round(grid, work / f"copies-{number}", number % 4):
            taken[who].append(time_)
    median = {who: sorted(times)[len(times) // 2] for who, times in taken.items()}
    each = {who: f"{who} {time / FILES * 1e3:.1f}" for who, time in median.items()}
    best = min(("tahoe cp", "tahoe backup"), key=lambda who: median[who])
    ours, others = median["storage_copy"], f"{each['tahoe cp']}, {each['tahoe backup']}"
    text = "storage_copy of small files onto a grid, in times of tahoe's best"
    beside = f"{each['storage_copy']} ms a file; {others}"
    yield at_most(text, ours / median[best], "x", 0.55, beside)
    text = "the same, in times of bare parallel PUTs"
    beside = f"{each['requests']} ms a file"
    yield at_most(text, ours / median["requests"], "x", 1.3, beside)
    ours = median["storage_copy back"]
    for text, who, bound in (
        ("back down, in times of tahoe cp -r", "tahoe cp back", 0.6),
        ("the same, in times of bare parallel GETs", "requests back", 1.3),
    ):
        beside = f"{each['storage_copy back']} ms a file; {each[who]}"
        yield at_most(text, ours / median[who], "x", bound, beside)
