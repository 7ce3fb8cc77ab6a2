"""What `make demo` runs: the example on a private grid, all on this machine.

It starts a grid, the site and a worker, says where to go, and stops everything on
Ctrl-C.
All that it keeps is in `.demo`; remove that to begin anew. From the environment:

DEMO_EXIT=1           upload, download and export by itself, say how it went, and end
DEMO_DIRECTORY=path   keep everything there and not in `.demo`
DEMO_PORT=number      the port to try first, 8000; 0 takes any that is free
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from demonstration import DemoFailed, say
from demonstration.apitrip import USER, api_trip
from demonstration.exporttrip import export_trip
from demonstration.proxy import proxy
from demonstration.roundtrip import Steps, round_trip
from demonstration.server import EXAMPLE, log_end, site
from demonstration.stopping import StopRequested, await_signals, starting
from demonstration.worker import worker
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.testing.grid import LocalGrid

INHERITED = {
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR"),
    *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
}
INHERITED_BEGINNINGS = ("DEMO_", "LC_", "PYTHON", "COV")
LOGINS = (
    ("demo", "Operator", "operates the site: all tenants, and the admin"),
    ("organiser", "Demonstration", "has the event"),
    ("demo-administrator", "Demonstration", "administers the tenant"),
    ("demo-owner", "Demonstration", "has files, shared with the next two"),
    ("demo-editor", "Demonstration", "may change those files"),
    ("demo-viewer", "Demonstration", "may see those files"),
    ("demo-neighbour", "Neighbour", "administers another tenant"),
)
"""Name, tenant, and what they are: as `manage.py demo_data` makes them."""


def main() -> int:
    await_signals()
    try:
        demo(Path(os.environ.get("DEMO_DIRECTORY") or ".demo").absolute())
    except StopRequested:
        say("Stopped.")
    except (DemoFailed, TahoeStorageError, OSError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def demo(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(directory):
        say("Starting a private grid…")
        with LocalGrid(directory / "grid") as grid:
            environment = settings(directory, grid.base_url)
            prepare(directory, environment)
            with (
                proxy(directory, environment, manage) as environment,
                worker(directory, environment),
                site(directory, environment) as (server, address),
            ):
                if os.environ.get("DEMO_EXIT"):
                    steps = Steps(Path(environment["REQUESTS_LOG"]))
                    password = environment["DJANGO_SUPERUSER_PASSWORD"]
                    round_trip(address, steps, password)
                    api_trip(address, steps, partial(manage, environment))
                    export_trip(address, steps, partial(manage, environment))
                else:
                    welcome(directory, address, environment)
                    server.wait()
                    raise DemoFailed(f"the site ended by itself.\n{log_end(directory)}")
    say("The site, its worker and the grid are stopped.")


@contextlib.contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the directory: two grids with the same files would damage them."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(
                f"another one is running in {directory}. Stop that, or set "
                "DEMO_DIRECTORY to another directory."
            ) from None
        yield


def secret(file: Path, size: int) -> str:
    """Return what the file holds; `size` bytes made up, for this user alone, if new."""
    if not file.exists():
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(size))
        new.rename(file)
    return file.read_text()


def settings(directory: Path, base_url: str) -> dict[str, str]:
    """The environment for the site.

    Of what is set outside it has what programs need, and nothing of a site: that could
    be another database, with users in it, another store, or a mail server.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith(INHERITED_BEGINNINGS)
    }
    return inherited | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": secret(directory / "secret.key", 32),
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "TOKEN_SIGNING_KEY": secret(directory / "tokens.key", 32),
        "DATABASE": str(directory / "site.sqlite3"),
        "REQUESTS_LOG": str(directory / "requests.log"),
        "TAHOE_STORAGE_BASE_URL": base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(directory / "root.cap"),
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache"),
        "DJANGO_SUPERUSER_PASSWORD": secret(directory / "admin.password", 9),
    }


def prepare(directory: Path, environment: dict[str, str]) -> None:
    """Bring the database up to date; at the first start, make the root and the data."""
    root = environment["TAHOE_STORAGE_BASE_CAP_FILE"]
    if not Path(root).exists():
        say("Making the root directory…")
        # There is no cap file to be read before this has made it.
        rootless = environment | {"TAHOE_STORAGE_BASE_CAP_FILE": ""}
        manage(rootless, "tahoe_create_root", "--output", root)
    manage(environment, "migrate", "--verbosity=0")
    prepared = directory / "prepared"
    if not prepared.exists():
        say("Making an event, and two tenants with users of each kind…")
        users = ("--superuser=demo", f"--user={USER}", "--objects")
        manage(environment, "demo_data", *users)
        prepared.touch()


def manage(environment: dict[str, str], *command: str) -> str:
    """Run a command of the site, and return what it printed."""
    with contextlib.ExitStack() as ends:
        with starting():
            process = ends.enter_context(
                subprocess.Popen(
                    [sys.executable, "manage.py", *command],
                    cwd=EXAMPLE,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            )
            ends.callback(process.kill)  # Nothing, where it has ended by itself.
        said, errors = process.communicate()
    if process.returncode:
        raise DemoFailed(f"`manage.py {command[0]}` said:\n{(said + errors).strip()}")
    return said


def welcome(directory: Path, address: str, environment: dict[str, str]) -> None:
    password = secret(directory / "admin.password", 9)
    here = directory
    with contextlib.suppress(ValueError):
        here = directory.relative_to(Path.cwd())
    public = environment.get("TAHOE_PUBLIC_BASE_URL")
    photos = f"come from {public}/" if public else "come from the site: no nginx here"
    logins = "\n".join(
        f"  {name:20} {tenant:15} {what}" for name, tenant, what in LOGINS
    )
    say(f"""
The example is ready:  {address}/
Its pages:             {address}/accounts/sign-in/
Its admin:             {address}/admin/  (user demo)
Its API:               {address}/api/v1/docs/
Its photos:            {photos}

Users, by tenant. The password of each is {password}
{logins}

The uploaded files are on a grid of one server, in {here / "grid"}.
Each request to its gateway is a line in {here / "requests.log"}.
What is slow is done by a worker, which writes {here / "worker.log"}:
mails are there, too.
Ctrl-C stops all of it. The files stay for the next start; to begin anew,
remove {here}.
""")


if __name__ == "__main__":
    sys.exit(main())
