"""The example, served on 127.0.0.1 by a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests

from demonstration import DemoFailed, say
from demonstration.stopping import hold_signals, starting

EXAMPLE = Path(__file__).resolve().parent.parent
PATIENCE = 30.0  # seconds for the site to response, or to end


@contextlib.contextmanager
def site(
    directory: Path, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve the site; yields its process and its address, and ends it after."""
    listener = listen(os.environ.get("DEMO_PORT") or "8000")
    port = listener.getsockname()[1]
    handed: tuple[int, ...] = ()
    if importlib.util.find_spec("gunicorn"):
        # It gets the socket itself: the port cannot be taken meanwhile.
        handed = (listener.fileno(),)
        command = ["-m", "gunicorn", "config.wsgi", f"--bind=fd://{handed[0]}"]
    else:
        listener.close()
        command = ["manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    Path(environment["REQUESTS_LOG"]).write_bytes(b"")
    log = directory / "site.log"
    with running([sys.executable, *command], log, environment, handed) as server:
        listener.close()
        address = f"http://127.0.0.1:{port}"
        await_answer(directory, server, address)
        yield server, address


@contextlib.contextmanager
def running(
    command: list[str],
    log: Path,
    environment: dict[str, str],
    handed: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process within the block; it inherits the descriptors handed."""
    if shutil.which("setpriv"):
        # Should this process be killed outright, the kernel ends that one.
        command = ["setpriv", "--pdeathsig", "TERM", *command]
    process = None
    try:
        with log.open("wb") as output, starting():
            process = subprocess.Popen(
                command,
                cwd=EXAMPLE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=handed,
                # Ctrl-C is for this process, which then ends that one.
                start_new_session=True,
            )
        yield process
    finally:
        hold_signals()
        if process is not None:
            end(process)


def listen(wanted: str) -> socket.socket:
    """Listen on 127.0.0.1, on the wanted port or one of the next, or on any other."""
    if not wanted.isdecimal() or int(wanted) > 65535:
        raise DemoFailed("DEMO_PORT must be a number of a port.")
    first = int(wanted)
    for port in (*range(first, min(first + 10, 65536)), 0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError as error:
            listener.close()
            say(f"Port {port} cannot be had ({error.strerror}); trying another.")
        else:
            return listener
    raise DemoFailed("no port is free on 127.0.0.1.")


def await_answer(
    directory: Path, server: subprocess.Popen[bytes], address: str
) -> None:
    deadline = time.monotonic() + PATIENCE
    with requests.Session() as visitor:
        # A proxy that the environment may name does not lead to this machine.
        visitor.trust_env = False
        while time.monotonic() < deadline and server.poll() is None:
            try:
                visitor.get(address, timeout=PATIENCE).raise_for_status()
            except requests.ConnectionError:
                time.sleep(0.05)
            except requests.RequestException as error:
                raise DemoFailed(f"{error}\n{log_end(directory)}") from None
            else:
                return
    raise DemoFailed(f"the site did not start.\n{log_end(directory)}")


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
