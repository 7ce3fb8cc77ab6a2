"""``manage.py tahoe_grid``: run a private grid in the foreground, for development."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.testing.grid import LocalGrid

KEPT = """\
The files are in {0}.
Whoever loses that directory loses the files."""
TEMPORARY = """\
The files are in {0}.
That directory is temporary: it is removed with all files when the grid stops.
Give a --directory to keep them."""
READY = """\
The grid is ready after {seconds:.1f} s.

{gateways}

Set this:

    TAHOE_STORAGE_BASE_URL = "{first}"

Without a root cap yet, make one:
    manage.py tahoe_create_root --output root.cap --base-url {first}

{files}
Stop the grid with Ctrl-C."""


class Command(BaseCommand):
    """Run a private grid until Ctrl-C, SIGTERM or SIGHUP."""

    help = (
        "Runs a private Tahoe-LAFS grid on this machine, for development, until Ctrl-C."
    )
    # The grid comes before the root cap, which some checks ask for.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--servers",
            type=int,
            default=1,
            metavar="N",
            help="how many storage servers (default: 1)",
        )
        parser.add_argument(
            "--gateways",
            type=int,
            default=1,
            metavar="M",
            help="how many gateways (default: 1)",
        )
        parser.add_argument(
            "--introducer",
            action="store_true",
            help="run an introducer too, by which nodes find each other, as on a real "
            "grid: a server that was away is found again at once",
        )
        parser.add_argument(
            "--directory",
            metavar="D",
            help="the directory to keep the grid in (default: a temporary one, removed "
            "when the grid stops)",
        )
        parser.add_argument(
            "--tahoe",
            metavar="PATH",
            help="the tahoe executable, if it is in another virtual environment",
        )

    def handle(
        self,
        *,
        servers: int,
        gateways: int,
        introducer: bool,
        directory: str | None,
        tahoe: str | None,
        **options: Any,
    ) -> None:
        handlers = {
            number: signal.signal(number, interrupt)
            for number in (signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_IGN  # as after nohup
        }
        try:
            grid = LocalGrid(
                directory,
                servers=servers,
                gateways=gateways,
                introducer=introducer,
                tahoe=tahoe,
            )
            self.run(grid, KEPT if directory else TEMPORARY)
        except KeyboardInterrupt:
            self.say("The grid is stopped.")
        except (TahoeStorageError, ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def run(self, grid: LocalGrid, files: str) -> NoReturn:
        """Run the grid until something interrupts it."""
        self.say("Starting the grid ...")
        started = time.monotonic()
        with grid:
            self.say(
                READY.format(
                    seconds=time.monotonic() - started,
                    gateways="\n".join(f"Gateway: {url}" for url in grid.base_urls),
                    first=grid.base_url,
                    files=files.format(grid.directory),
                )
            )
            while True:
                grid.check()
                time.sleep(0.5)

    def say(self, text: str) -> None:
        """Print at once, even into a pipe."""
        self.stdout.write(text)
        self.stdout.flush()


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
