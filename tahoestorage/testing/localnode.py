"""One Tahoe-LAFS node on this machine: its directory, its ports, its process."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from tahoestorage.exceptions import GatewayError, GatewayUnreachable, Lines, printable
from tahoestorage.redaction import redact
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing import signals
from tahoestorage.testing.furls import node_furl

FURL = re.compile(r"pb://[^\s'\"]+")
NODE = """\
# Written anew at each start of the private grid.
[node]
nickname = {name}
web.port = {web}
tub.port = {port}
tub.location = {location}
"""
# An introducer does not start with these sections.
CLIENT = """\
[client]
shares.needed = {needed}
shares.happy = {happy}
shares.total = {total}
[storage]
enabled = {storage}
reserved_space = 0
"""


class Encoding(NamedTuple):
    """Any `needed` of `total` shares restore a file; `happy` servers must get one."""

    needed: int
    happy: int
    total: int

    @classmethod
    def for_servers(
        cls, servers: int, needed: int | None, happy: int | None, total: int | None
    ) -> Self:
        """Return the numbers given, and where they are None what suits `servers`."""
        k = min(servers, 2) if needed is None else needed
        n = max(servers, k) if total is None else total
        if happy is None:
            happy = min(servers, n, max(k, min(3, servers - 1)))
        if not (1 <= k <= n <= 256 and 1 <= happy <= n):
            raise ValueError(
                f"Shares cannot be {k} needed, {happy} happy, {n} in total; expected "
                "1 <= needed <= total <= 256 and 1 <= happy <= total."
            )
        return cls(k, happy, n)


class PortTaken(GatewayUnreachable):
    """Another program had a port that a node was to listen on."""


@dataclass(eq=False)
class LocalNode:
    """A gateway (it has a web port), a storage server, or both; or an introducer."""

    directory: Path
    web_port: int | None = None
    storage_port: int | None = None
    introducer_port: int | None = None
    process: subprocess.Popen[bytes] | None = None
    """None while the node is stopped on purpose."""

    @property
    def name(self) -> str:
        """What it is called in the grid: the name of its directory."""
        return self.directory.name

    @property
    def log_path(self) -> Path:
        """The file that has all that the node prints."""
        return self.directory / "node.log"

    @property
    def base_url(self) -> str:
        """Where the gateway listens; for a node with a web port."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def furl(self) -> str:
        """The furl of the storage server, or of the introducer. SECRET."""
        name = "introducer.furl" if self.introducer_port else "storage.furl"
        file = self.directory / "private" / name
        return node_furl(file, f"127.0.0.1:{self._port}")

    @property
    def _port(self) -> int | None:
        return self.storage_port or self.introducer_port

    def configure(
        self,
        encoding: Encoding,
        *,
        servers: Iterable[LocalNode] = (),
        introducer: LocalNode | None = None,
    ) -> None:
        """Write the files that ``tahoe create-node`` would write.

        A gateway uses ``servers``, or those that an ``introducer`` announces.
        """
        private = self.directory / "private"
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        # ``tahoe run`` takes the type of the node from the name of this file.
        kind = "introducer" if self.introducer_port else "client"
        (self.directory / f"tahoe-{kind}.tac").touch()
        web, port = self.web_port, self._port
        text = NODE + ("" if self.introducer_port else CLIENT)
        text = text.format(
            name=self.name,
            web=f"tcp:{web}:interface=127.0.0.1" if web else "",
            port=f"tcp:{port}:interface=127.0.0.1" if port else "disabled",
            location=f"tcp:127.0.0.1:{port}" if port else "disabled",
            storage="true" if self.storage_port else "false",
            **encoding._asdict(),
        )
        (self.directory / "tahoe.cfg").write_text(text, "utf-8")
        storage = {
            each.name: {"ann": {"anonymous-storage-FURL": each.furl}}
            for each in servers
        }
        # JSON is YAML too.
        (private / "servers.yaml").write_text(json.dumps({"storage": storage}), "utf-8")
        if introducer is not None:
            introducers = {"introducers": {introducer.name: {"furl": introducer.furl}}}
            (private / "introducers.yaml").write_text(json.dumps(introducers), "utf-8")

    def start(self, tahoe: str, lock: int) -> None:
        """Start the node. It ends when this process does, and holds `lock` until then.

        ``tahoe run`` ends when its standard input is closed. The other end of that pipe
        is in this process alone, so the kernel closes it however the process dies.
        """
        for left_over in ("running.process", "node.url"):
            (self.directory / left_over).unlink(missing_ok=True)
        with self.log_path.open("wb") as log, signals.held():
            try:
                # No shell, and the program is the one that was found.
                self.process = subprocess.Popen(  # noqa: S603
                    [tahoe, "run", str(self.directory)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # Warnings that are errors in tests must not end the node.
                    env={k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"},
                    pass_fds=(lock,),
                    # Ctrl-C is for this process, which then ends its nodes.
                    start_new_session=True,
                )
            except OSError as error:
                raise GatewayError(f"Cannot run {tahoe}: {error.strerror}.") from error

    def check(self) -> None:
        """Raise GatewayUnreachable when the node has ended by itself."""
        if self.process is None or (status := self.process.poll()) is None:
            return
        log = self.log_tail()
        hint = " Run `pip install legacy-cgi` beside tahoe." if "'cgi'" in log else ""
        raise GatewayUnreachable(
            Lines(
                f"The Tahoe node {self.name} ended by itself, with status {status}."
                f"{hint} The end of its log:\n{log}"
            )
        )

    def check_start(self) -> None:
        """Raise PortTaken when a port was not free, or GatewayUnreachable."""
        # The storage server's port is all that a node goes on without.
        if self.process and "CannotListenError" in self._log():
            raise PortTaken(
                f"Another program took a port of the Tahoe node {self.name}. "
                "Start the grid again."
            )
        self.check()

    def listens(self) -> bool:
        """Whether the node has opened its ports."""
        if self.web_port:
            # Not by HTTP: another program may have the port.
            return (self.directory / "node.url").exists()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self._port or 0)).close()
            return True
        return False

    def connected_servers(self) -> int | None:
        """Return to how many servers the gateway is connected; None if unresponsive."""
        with closing(Gateway(self.base_url, read_timeout=5, retries=0)) as gateway:
            try:
                return gateway.connected_servers()
            except GatewayError:
                return None

    def log_tail(self) -> str:
        """Return the last lines of the log, without caps and furls."""
        lines = map(printable, self._log().splitlines()[-15:])
        return FURL.sub("pb://***", redact("\n".join(lines)))

    def _log(self) -> str:
        with suppress(FileNotFoundError):
            return self.log_path.read_text("utf-8", errors="replace")
        return ""

    def end(self) -> None:
        """Ask the node to end; `wait` waits for it."""
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the node, and kill it when it takes longer."""
        if self.process:
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def abandon(self) -> None:
        """Forget the process, which is the parent's: this is a forked child."""
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.returncode = 0  # Popen need not wait for it, nor complain
            self.process = None


def find_tahoe(given: str | Path | None) -> str:
    """Return the path of the tahoe executable. Raises GatewayError where none is."""
    if given is not None:
        if found := shutil.which(os.path.expanduser(given)):
            return os.path.abspath(found)
        raise GatewayError(f"There is no executable {given}: check the option tahoe.")
    beside = os.path.dirname(sys.executable)
    if found := shutil.which("tahoe", path=beside) or shutil.which("tahoe"):
        return os.path.abspath(found)
    raise GatewayError(
        "There is no tahoe executable beside this Python, nor on the PATH. "
        'Run `pip install "django-tahoestorage[grid]"`, or give its path as the '
        "option tahoe."
    )
