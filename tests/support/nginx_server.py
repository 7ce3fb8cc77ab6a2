"""A real nginx for tests, on a free port, stopped by its process."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import override_settings

from tests.support.ports import free_port

# Debian's is not in the PATH of everybody.
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


def require_nginx() -> str:
    """Return the program; skip the test where there is none."""
    if NGINX is None:
        pytest.skip("there is no nginx here: apt-get install nginx-light")
    return NGINX


def command(directory: Path, text: str) -> list[str]:
    """Return what runs nginx with this configuration, and all its files below."""
    (directory / "nginx.conf").write_text(text)
    return [require_nginx(), "-p", str(directory), "-c", "nginx.conf", "-e", "stderr"]


def errors(directory: Path, text: str) -> str:
    """Return what nginx finds wrong or doubtful in a configuration."""
    run = subprocess.run(
        [*command(directory, text), "-t", "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return run.stdout if run.returncode == 0 else f"{run.stdout}{run.returncode}"


@contextlib.contextmanager
def running(directory: Path, text: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx in the foreground within the block; it listens on this port."""
    with (directory / "nginx.output").open("wb") as output:
        process = subprocess.Popen(
            command(directory, text), stdout=output, stderr=output
        )
    try:
        await_port(process, port)
        yield process
    finally:
        process.terminate()
        process.wait()


def await_port(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 60
    while True:
        assert process.poll() is None, "nginx ended by itself"
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        assert time.monotonic() < until, "nginx does not listen"
        time.sleep(0.02)


@dataclass(frozen=True)
class RunningProxy:
    """The read-only proxy, running; its files are in ``directory``."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def configuration(*arguments: str, **settings: object) -> str:
    """Return what `manage.py tahoe_nginx` prints with these settings."""
    output = io.StringIO()
    with override_settings(**settings):
        call_command("tahoe_nginx", *arguments, stdout=output, stderr=io.StringIO())
    return output.getvalue()


@contextlib.contextmanager
def public_proxy(
    directory: Path,
    gateway: str,
    *arguments: str,
    path: str = "",
    instead: Mapping[str, str] | None = None,
) -> Iterator[RunningProxy]:
    """Run the proxy that the command prints for a gateway.

    ``instead`` has texts that replace others in it, which must be there.
    """
    port = free_port()
    text = configuration(
        *("--standalone", "--listen", f"127.0.0.1:{port}", *arguments),
        TAHOE_STORAGE_BASE_URL=gateway,
        TAHOE_PUBLIC_BASE_URL=f"http://127.0.0.1:{port}{path}",
    )
    for old, new in (instead or {}).items():
        assert old in text
        text = text.replace(old, new)
    with running(directory, text, port) as process:
        yield RunningProxy(directory, port, process)


needs_nginx = pytest.mark.skipif(
    NGINX is None, reason="there is no nginx here: apt-get install nginx-light"
)
LISTEN = "LISTEN"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def whole(text: str) -> str:
    """Return a whole configuration, with ``text`` inside of its ``http``."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "".join(f"{name}_temp_path {name}_temp;\n" for name in _TEMPORARY)
    return (
        f"{user}daemon off;\npid nginx.pid;\nworker_processes 1;\n"
        "error_log error.log info;\nevents { worker_connections 512; }\n"
        f"http {{\naccess_log access.log;\n{temporary}{text}\n}}\n"
    )


@contextlib.contextmanager
def run_nginx(directory: Path, text: str) -> Iterator[str]:
    """Run nginx in ``directory`` within the block, and yield its address.

    ``text`` is what goes inside of ``http``, with LISTEN for a free address and port.
    It logs to access.log and error.log.
    """
    port = free_port()
    listening = whole(text).replace(LISTEN, f"127.0.0.1:{port}")
    with running(directory, listening, port):
        yield f"http://127.0.0.1:{port}"
