"""A large upload in Chromium: its network cut twice, its page reloaded once."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.application.uploads import MIB, sha256_of, write_random
from benchmarks.rows import at_least, at_most
from tahoestorage.testing.grid import LocalGrid
from tests.application.cutting import upload_with_cuts
from tests.application.site import ROOT, bare_environment, manage, served, working
from tests.support.browser import running_chromium

PIECE = 16.0  # MiB; what the page sends by one request
FILL = "from tests.application.filling import fill; fill(mebibytes=1 << 20)"


def main(arguments: Sequence[str]) -> int:
    """Print the figures beside their bounds; 0 where all are met."""
    parser = argparse.ArgumentParser(prog="browser", description=__doc__)
    parser.add_argument("--mib", type=int, default=500, help="how much, %(default)s")
    parser.add_argument("--store", choices=("files", "grid"), default="grid")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = bare_environment(work)
        if given.store == "grid":
            grid = stack.enter_context(LocalGrid(work / "grid"))
            (work / "root.cap").write_text(grid.create_root().uri)
            environment |= {
                "TAHOE_STORAGE_BASE_URL": grid.base_url,
                "TAHOE_STORAGE_BASE_CAP_FILE": str(work / "root.cap"),
                "TAHOE_STORAGE_CACHE_DIRECTORY": str(work / "cache"),
            }
        manage(environment, "migrate", "--verbosity=0")
        filled = environment | {"PYTHONPATH": str(ROOT)}
        manage(filled, "shell", "--no-imports", "-c", FILL)
        file = work / "film.bin"
        write_random(file, given.mib)
        wanted = sha256_of(file)
        # A worker makes one file of what was sent by many requests.
        stack.enter_context(working(environment, work / "worker.log"))
        site = stack.enter_context(served(environment, work / "site.log"))
        browser = stack.enter_context(running_chromium())
        outcome = upload_with_cuts(browser, site.address, file)
    rows = [
        at_least("SHA-256 equal", float(outcome.sha256 == wanted), "", 1),
        at_most("uploads begun", outcome.begun, "", 1),
        at_most("sent twice", outcome.sent_twice / MIB, "MiB", 2 * PIECE),
    ]
    for row in rows:
        print(
            f"{row.label:<20} {row.value:6.2f} {row.unit}  must be {row.bound}  "
            f"{'met' if row.met else 'MISSED'}"
        )
    return 0 if all(row.met for row in rows) else 1
