"""What `make demo` runs: the example on a private grid, all on this machine.

It starts a grid and the site, says where to go, and stops everything on Ctrl-C.
All that it keeps is in `.demo`; remove that to begin anew. From the environment:

DEMO_EXIT=1           upload and download a file by itself, say how it went, and end
DEMO_DIRECTORY=path   keep everything there and not in `.demo`
DEMO_PORT=number      the port to try first, 8000; 0 takes any that is free
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from roundtrip import Failed, round_trip
from tahoestorage.exceptions import TahoeStorageError
from tahoestorage.tahoe.grid import LocalGrid

EXAMPLE = Path(__file__).resolve().parent
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 30.0  # seconds for the site to answer, or to end


class Stopped(Exception):
    """Ctrl-C, or a polite signal."""


def main() -> int:
    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        demo(Path(os.environ.get("DEMO_DIRECTORY") or ".demo").absolute())
    except Stopped:
        say("Stopped.")
    except (Failed, TahoeStorageError, OSError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return 1
    return 0


def stop(number: int, frame: FrameType | None) -> None:
    hold_signals()
    say("\nStopping…")
    raise Stopped


def hold_signals() -> None:
    """Let nothing interrupt the stopping, or some of it would be left running."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def say(text: str) -> None:
    print(text, flush=True)


def demo(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(directory):
        say("Starting a private grid…")
        with LocalGrid(directory / "grid") as grid:
            environment = settings(directory, grid.base_url)
            prepare(directory, environment)
            with site(directory, environment) as (server, address):
                if os.environ.get("DEMO_EXIT"):
                    round_trip(address, Path(environment["REQUESTS_LOG"]), say)
                else:
                    welcome(directory, address)
                    server.wait()
                    raise Failed(f"the site ended by itself.\n{log_end(directory)}")
    say("The site and the grid are stopped.")


@contextlib.contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Hold the directory: two grids with the same files would damage them."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(
                f"another one is running in {directory}. Stop that, or set "
                "DEMO_DIRECTORY to another directory."
            ) from None
        yield


def secret(file: Path) -> str:
    """Return what the file holds; made up, for this user's eyes only, if need be."""
    if not file.exists():
        new = file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(32))
        new.rename(file)
    return file.read_text()


def settings(directory: Path, base_url: str) -> dict[str, str]:
    """The environment for the site; nothing that is set outside may lead it astray."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TAHOE_")}
    for name in ("DEBUG", "HTTPS", "STATIC_ROOT", "UPLOAD_LIMIT"):
        inherited.pop(name, None)
    return inherited | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": secret(directory / "secret.key"),
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "DATABASE": str(directory / "site.sqlite3"),
        "REQUESTS_LOG": str(directory / "requests.log"),
        "TAHOE_STORAGE_BASE_URL": base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(directory / "root.cap"),
        "TAHOE_STORAGE_CACHE_DIRECTORY": str(directory / "cache"),
        "DJANGO_SUPERUSER_PASSWORD": secret(directory / "admin.password"),
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
    ready = directory / "ready"
    if not ready.exists():
        say("Making an event…")
        manage(environment, "demo_data", "--superuser=demo")
        ready.touch()


def manage(environment: dict[str, str], *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=EXAMPLE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    if done.returncode:
        raise Failed(f"`manage.py {command[0]}` said:\n{done.stdout.strip()}")


@contextlib.contextmanager
def site(
    directory: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve the site; yields its process and its address, and ends it after."""
    listener = listen(int(os.environ.get("DEMO_PORT") or 8000))
    port = listener.getsockname()[1]
    handed: tuple[int, ...] = ()
    if importlib.util.find_spec("gunicorn"):
        # It gets the socket itself: the port cannot be taken meanwhile.
        handed = (listener.fileno(),)
        command = ["-m", "gunicorn", "config.wsgi", f"--bind=fd://{handed[0]}"]
    else:
        listener.close()
        command = ["manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    command = [sys.executable, *command]
    if shutil.which("setpriv"):
        # Should this process be killed outright, the kernel ends that one.
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    Path(environment["REQUESTS_LOG"]).write_bytes(b"")
    with listener, (directory / "site.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=EXAMPLE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=handed,
            # Ctrl-C is for this process, which then ends that one.
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        await_answer(directory, server, address)
        yield server, address
    finally:
        hold_signals()
        end(server)


def listen(first: int) -> socket.socket:
    """Listen on 127.0.0.1, on `first` or one of the next ports, or on any free one."""
    for port in (*range(first, first + 10), 0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            listener.listen()
            return listener
        listener.close()
        say(f"Port {port} is taken; trying another.")
    raise Failed("no port is free on 127.0.0.1.")


def await_answer(
    directory: Path, server: subprocess.Popen[bytes], address: str
) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE):
                return
        except urllib.error.HTTPError as error:
            raise Failed(f"the site says {error}.\n{log_end(directory)}") from None
        except OSError:
            time.sleep(0.05)
    raise Failed(f"the site did not start.\n{log_end(directory)}")


def end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def log_end(directory: Path) -> str:
    log = directory / "site.log"
    lines = log.read_text(errors="replace").splitlines()[-15:]
    return "\n".join([f"The end of {log}:", *lines])


def welcome(directory: Path, address: str) -> None:
    say(f"""
The example is ready:  {address}/
Its admin:             {address}/admin/
                       user demo, password {secret(directory / "admin.password")}

The uploaded files are on a grid of one server, in {directory / "grid"}.
Each request to its gateway is a line in {directory / "requests.log"}.
Ctrl-C stops the site and the grid. The files stay for the next start; to begin
anew, remove {directory}.
""")


if __name__ == "__main__":
    sys.exit(main())
