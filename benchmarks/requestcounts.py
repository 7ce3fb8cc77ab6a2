"""``python -m benchmarks.requestcounts BEFORE``: requests of another build, and now.

BEFORE is a folder with another build's package, as a work tree of git has it. Each
build does the same by itself, in a process of its own, on one private grid and one S3
server (moto). Requests that guard changes of a grid are left out, as they depend on the
clock: which servers are there, and what is known of them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

FILES = 100
GUARDS = ("/?t=json", "/.tahoestorage")
CONTENT = bytes(100_000)


class Counter:
    """Counts what this process sends, by whatever library."""

    def __init__(self) -> None:
        self.count = 0
        self._send = http.client.HTTPConnection.putrequest

    def putrequest(self, *arguments: Any, **more: Any) -> None:
        """Send a request's first line, and count it."""
        self.count += not any(part in arguments[2] for part in GUARDS)
        self._send(*arguments, **more)


def steps(make: Callable[[], Any], content_file: Any) -> Iterator[tuple[str, Any]]:
    """Yield labels, and what is to be counted of a storage that ``make`` returns."""
    storage = make()
    names = [f"photos/{number}.jpg" for number in range(FILES)]

    def save(name: str) -> Callable[[], object]:
        return lambda: storage.save(name, content_file(CONTENT))

    def read() -> None:
        with storage.open("docs/2026/a.pdf") as file:
            file.read()

    def seek() -> None:
        with storage.open("docs/2026/a.pdf") as file:
            file.seek(-100, os.SEEK_END)
            file.read(10)

    yield "save, in two new directories", save("docs/2026/a.pdf")
    yield "save, beside it", save("docs/2026/b.pdf")
    yield "save under a name that is taken", save("docs/2026/b.pdf")
    yield f"save {FILES} files, one by one", lambda: [save(name)() for name in names]
    yield (
        "exists, size and url of each",
        lambda: [
            (storage.exists(name), storage.size(name), storage.url(name))
            for name in names
        ],
    )
    yield "exists, of a name that is missing", lambda: storage.exists("photos/no.jpg")
    yield "read a file", read
    yield "read 10 bytes near its end", seek
    storage = make()
    yield "with an empty cache: exists", lambda: storage.exists("docs/2026/a.pdf")
    yield "the same, of another one there", lambda: storage.exists("docs/2026/b.pdf")
    yield "the same, of a missing one there", lambda: storage.exists("docs/2026/c.pdf")
    yield "list that directory", lambda: storage.listdir("docs/2026")
    yield f"size of each of the {FILES}", lambda: [storage.size(name) for name in names]
    yield "read a file that it knows", read
    yield "overwrite by open", lambda: _write(storage, "docs/2026/b.pdf")
    yield "delete a file", lambda: storage.delete("docs/2026/b.pdf")
    yield "delete it again", lambda: storage.delete("docs/2026/b.pdf")


def _write(storage: Any, name: str) -> None:
    with storage.open(name, "wb") as file:
        file.write(CONTENT)


def count(stores: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each step on each store, by the package that is imported."""
    import django
    from django.conf import settings

    settings.configure(
        USE_TZ=True,
        SECRET_KEY=secrets.token_hex(),
        INSTALLED_APPS=["tahoestorage"],
    )
    django.setup()
    from django.core.files.base import ContentFile
    from django.utils.module_loading import import_string

    rows: list[dict[str, Any]] = []
    counter = Counter()
    patch = mock.patch.object(
        http.client.HTTPConnection,
        "putrequest",
        lambda *arguments, **more: counter.putrequest(*arguments, **more),
    )
    with patch, tempfile.TemporaryDirectory() as work:
        for label, store in stores.items():

            def make(store: dict[str, Any] = store) -> Any:
                cache = {"directory": tempfile.mkdtemp(dir=work)}
                return import_string(store["backend"])(**store["options"], cache=cache)

            for step, do in steps(make, ContentFile):
                counter.count = 0
                do()
                rows.append(
                    {"label": f"{label}: {step}", "value": counter.count, "unit": ""}
                )
    return rows


def counted(package: Path, stores: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what another process counts with the package in a folder."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, "--count"],
        # Caps are in it: on a command line all who are on the machine could read them.
        input=json.dumps(stores),
        env={**os.environ, "PYTHONPATH": str(package)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    rows = json.loads(done.stdout)
    return {
        "on": str(package),
        "rows": {row["label"]: (float(row["value"]), row["unit"]) for row in rows},
    }


def main() -> None:
    """Print both side by side."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.requestcounts", description=__doc__
    )
    parser.add_argument("before", type=Path)
    before = parser.parse_args().before

    from benchmarks.comparison import side_by_side
    from tahoestorage.testing.grid import LocalGrid
    from tests.support.s3_servers import running_moto

    now = Path(__file__).parent.parent
    with (
        tempfile.TemporaryDirectory() as work,
        LocalGrid() as grid,
        running_moto(Path(work)) as moto,
    ):

        def stores() -> dict[str, dict[str, Any]]:
            of_grid = {
                "base_url": grid.base_url,
                "base_cap": grid.create_root().uri,
                "public_base_url": "https://files.example",
            }
            of_s3 = {**moto.options, "bucket_name": moto.make_bucket()}
            return {
                "grid": {
                    "backend": "tahoestorage.storage.TahoeStorage",
                    "options": of_grid,
                },
                "S3": {
                    "backend": "tahoestorage.backends.s3.S3Storage",
                    "options": of_s3,
                },
            }

        runs = counted(before, stores()), counted(now, stores())
    print(*side_by_side(*runs), sep="\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--count"]:
        print(json.dumps(count(json.load(sys.stdin))))
    else:
        main()
