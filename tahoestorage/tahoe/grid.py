"""A private grid on this machine, for development and tests."""

from __future__ import annotations

import atexit
import base64
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tahoestorage.exceptions import GatewayError, GatewayTimeout, GatewayUnreachable
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.redaction import redact

ENDING = 5.0  # seconds that a node has to end by itself
ATTEMPTS = 3  # to find ports that nobody takes meanwhile
# Below those that Linux gives to clients, so that a kept grid finds its own free again.
PORTS = range(20_000, 32_768)
FURL = re.compile(r"pb://[^\s'\"]+")
CONFIGURATION = """\
# Written anew at each start of the private grid.
[node]
nickname = {name}
web.port = {web}
tub.port = {port}
tub.location = {location}
[client]
shares.needed = {needed}
shares.happy = {happy}
shares.total = {total}
[storage]
enabled = {storage}
reserved_space = 0
"""


class Encoding(NamedTuple):
    """Any `needed` of `total` shares give a file back; `happy` servers must get one."""

    needed: int
    happy: int
    total: int


@dataclass
class Node:
    """One Tahoe-LAFS process: a gateway (a web port), a storage server, or both."""

    directory: Path
    web_port: int | None = None
    storage_port: int | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def log_path(self) -> Path:
        return self.directory / "node.log"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def configure(self, servers: Iterable[Node], encoding: Encoding) -> None:
        """Write what ``tahoe create-node`` would write, and which `servers` to use."""
        private = self.directory / "private"
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The name of this file tells ``tahoe run`` what kind of node this is.
        (self.directory / "tahoe-client.tac").touch()
        web, port = self.web_port, self.storage_port
        text = CONFIGURATION.format(
            name=self.name,
            web=f"tcp:{web}:interface=127.0.0.1" if web else "",
            port=f"tcp:{port}:interface=127.0.0.1" if port else "disabled",
            location=f"tcp:127.0.0.1:{port}" if port else "disabled",
            storage="true" if port else "false",
            **encoding._asdict(),
        )
        (self.directory / "tahoe.cfg").write_text(text, "utf-8")
        known = {s.name: {"ann": {"anonymous-storage-FURL": s.furl()}} for s in servers}
        # JSON is YAML too.
        (private / "servers.yaml").write_text(json.dumps({"storage": known}), "utf-8")

    def furl(self) -> str:
        """Return the storage server's address and secret, as its clients need it.

        A node makes its certificate and furl when it first runs. Here they are made
        before, so that its clients can know them and nothing has to be started twice.
        """
        private = self.directory / "private"
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = private / "storage.furl"
        if file.exists():
            tub, _, rest = file.read_text("ascii").strip().partition("@")
            name = rest.rpartition("/")[2]
        else:
            pem, digest = make_certificate()
            write_whole(private / "node.pem", pem)
            tub, name = f"pb://{base32(digest)}", base32(secrets.token_bytes(20))
        furl = f"{tub}@tcp:127.0.0.1:{self.storage_port}/{name}"
        write_whole(file, furl.encode("ascii"))
        return furl

    def start(self, tahoe: str, lock: int) -> None:
        """Run the node; it ends when this process does, and holds `lock` until then.

        ``tahoe run`` ends when its standard input is closed. The other end of that pipe
        is in this process alone, so the kernel closes it however the process dies.
        """
        for left_over in ("running.process", "node.url"):
            (self.directory / left_over).unlink(missing_ok=True)
        with self.log_path.open("wb") as log:
            try:
                self.process = subprocess.Popen(  # noqa: S603
                    [tahoe, "run", str(self.directory)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # What is to be an error here need not be one there.
                    env={k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"},
                    pass_fds=(lock,),
                    # Ctrl-C is for this process, which then ends its nodes.
                    start_new_session=True,
                )
            except OSError as error:
                raise GatewayError(f"Cannot run {tahoe}: {error.strerror}.") from error

    def log(self) -> str:
        return self.log_path.read_text("utf-8", errors="replace")

    def check(self) -> None:
        """Raise GatewayUnreachable when the node has ended by itself."""
        if self.process is None or (status := self.process.poll()) is None:
            return
        log = tail(self.log())
        hint = " Try `pip install legacy-cgi` beside it." if "'cgi'" in log else ""
        raise GatewayUnreachable(
            f"The Tahoe node {self.name} ended by itself, with status {status}.{hint} "
            f"The end of its log:\n{log}"
        )

    def listens(self) -> bool:
        """Whether the node has opened its ports.

        Raises PortTaken when somebody else had one, GatewayUnreachable when it ended.
        """
        if "CannotListenError" in self.log():
            raise PortTaken(f"Another program took a port of the node {self.name}.")
        self.check()
        if self.web_port:
            # Not asked over HTTP: a stranger might answer.
            return (self.directory / "node.url").exists()
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.storage_port or 0)).close()
            return True
        return False

    def connected_servers(self) -> int | None:
        """Return how many storage servers the gateway sees; None while it is silent."""
        with closing(Gateway(self.base_url, read_timeout=5, retries=0)) as gateway:
            try:
                return gateway.connected_servers()
            except GatewayError:
                return None

    def end(self) -> None:
        """Ask the node to end; `wait` waits for it."""
        if self.process and self.process.stdin:
            self.process.stdin.close()
            self.process.terminate()

    def wait(self) -> None:
        """Wait for the end of the node, and kill it when it takes too long."""
        if self.process:
            try:
                self.process.wait(ENDING)
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


class LocalGrid:
    """A grid of real Tahoe-LAFS nodes on loopback, for as long as this process lives.

    Use it as a context manager, or call `start` and `stop`::

        with LocalGrid() as grid:
            storage = TahoeStorage(base_url=grid.base_url, base_cap=grid.create_root())

    One server and one gateway are one node, ready in a second or two; otherwise each
    is a node of its own.

    :param directory: where the grid lives, kept with its files, its secrets and, where
        they are free, its ports; losing it loses the files. None: a temporary one,
        removed at the end. One process at a time may run a directory.
    :param servers: storage servers. A kept grid is always started with as many.
    :param gateways: gateways, each to all servers. A kept grid has always as many.
    :param tahoe: the executable, which may live in another environment. None: the one
        beside this Python, else the one on the PATH.
    :param needed: shares that give a file back. Default: 2; 1 with one server.
    :param happy: servers that an upload must reach. Default: 3, but fewer where there
        are fewer servers, and all but one where there are three.
    :param total: shares that are made. Default: one for each server.
    :param timeout: seconds that the nodes have to find each other.

    Raises ValueError for arguments that do not fit each other or the kept grid. What
    starts nodes raises GatewayError when there is no executable, or another process
    runs the directory; GatewayUnreachable when a node ends by itself; GatewayTimeout
    when they have not found each other in time.
    """

    base_urls: tuple[str, ...] = ()
    """The addresses of the gateways, once they were started."""

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        servers: int = 1,
        gateways: int = 1,
        tahoe: str | Path | None = None,
        needed: int | None = None,
        happy: int | None = None,
        total: int | None = None,
        timeout: float = 60.0,
    ) -> None:
        k = min(servers, 2) if needed is None else needed
        n = max(servers, k) if total is None else total
        if happy is None:
            happy = min(servers, n, max(k, min(3, servers - 1)))
        if servers < 1 or gateways < 1:
            raise ValueError("A grid has at least one server and one gateway.")
        if not (1 <= k <= n <= 256 and 1 <= happy <= n):
            raise ValueError(
                f"Shares cannot be {k} needed, {happy} happy, {n} in total; expected "
                "1 <= needed <= total <= 256 and 1 <= happy <= total."
            )
        self.encoding = Encoding(k, happy, n)
        self._shape = {"servers": servers, "gateways": gateways}
        self._kept = Path(directory).expanduser().resolve() if directory else None
        self._directory = self._kept
        self._tahoe = tahoe
        self._timeout = timeout
        self._lock: int | None = None
        self._servers: list[Node] = []
        self._gateways: list[Node] = []

    @property
    def directory(self) -> Path:
        """Where the grid lives. A temporary directory is there while the grid runs."""
        if self._directory is None:
            raise RuntimeError("The grid is not running; call start() first.")
        return self._directory

    @property
    def base_url(self) -> str:
        """The address of the first gateway."""
        if not self.base_urls:
            raise RuntimeError("The grid was not started; call start() first.")
        return self.base_urls[0]

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of this grid."""
        return tuple(node.process.pid for node in self._nodes if node.process)

    def log_path(self, gateway: int = 0) -> Path:
        """Return the file that a gateway logs to, anew at each of its starts."""
        return self._gateways[gateway].log_path

    def create_root(self) -> Cap:
        """Make an empty directory, linked from nowhere, and return its write cap."""
        with closing(Gateway(self.base_url)) as gateway:
            return gateway.create_root()

    def start(self) -> None:
        """Start every node, and return when each gateway sees each server."""
        if self._lock is not None:
            raise RuntimeError("The grid is running already.")
        self._directory = self._kept or Path(tempfile.mkdtemp(prefix="tahoe-grid-"))
        self._lock = take_lock(self._directory)
        atexit.register(self.stop)
        running.add(self)
        try:
            for attempt in range(1, ATTEMPTS + 1):
                self._lay_out()
                try:
                    self._start(self._nodes)
                    break
                except PortTaken:
                    if attempt == ATTEMPTS:
                        raise
                    self._end(self._nodes)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every node, and remove a temporary directory. May be repeated."""
        if self._lock is not None:
            self._end(self._nodes)
            self._release()
            if self._kept is None:
                shutil.rmtree(self.directory, ignore_errors=True)
                self._directory = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop_server(self, server: int) -> None:
        """Stop a storage server, and return when no gateway sees it any more.

        Where one node is both, the gateway stops with it.
        """
        self._end([self._servers[server]])
        self._settle()

    def start_server(self, server: int) -> None:
        """Start a stopped storage server, and return when each gateway sees it.

        A gateway tries a lost server again after 1, 4, 11, 31, 85 ... seconds.
        """
        self._start([self._servers[server]])

    def stop_gateway(self, gateway: int) -> None:
        """Stop a gateway. Its address is kept for its next start."""
        self._end([self._gateways[gateway]])

    def start_gateway(self, gateway: int) -> None:
        """Start a stopped gateway, and return when it sees every running server."""
        self._start([self._gateways[gateway]])

    def check(self) -> None:
        """Raise GatewayUnreachable when a node has ended by itself."""
        for node in self._nodes:
            node.check()

    @property
    def _nodes(self) -> list[Node]:
        """Servers first; a node that is both, once."""
        return self._servers + [g for g in self._gateways if g not in self._servers]

    def _lay_out(self) -> None:
        """Write the configuration of every node, or bring it up to date."""
        file = self.directory / "grid.json"
        kept = {**self._shape, "ports": {}}
        if file.exists():
            kept = json.loads(file.read_text("utf-8"))
        servers, gateways = kept["servers"], kept["gateways"]
        if self._shape != {"servers": servers, "gateways": gateways}:
            raise ValueError(
                f"{self.directory} holds a grid of servers={servers} and "
                f"gateways={gateways}. Ask for as many, or use another directory."
            )
        ports: dict[str, int] = kept["ports"]

        def port(use: str) -> int:
            known = ports.pop(use, None)
            ports[use] = free_port(known, taken=ports.values())
            return ports[use]

        root = self.directory
        if servers == gateways == 1:
            node = Node(root / "node", port("web"), port("storage"))
            self._servers = self._gateways = [node]
        else:
            names = [f"server-{i}" for i in range(servers)]
            self._servers = [Node(root / n, storage_port=port(n)) for n in names]
            names = [f"gateway-{i}" for i in range(gateways)]
            self._gateways = [Node(root / n, web_port=port(n)) for n in names]
        write_whole(file, json.dumps(kept).encode("utf-8"))
        for node in self._nodes:
            node.configure(self._servers if node.web_port else [], self.encoding)
        self.base_urls = tuple(gateway.base_url for gateway in self._gateways)

    def _start(self, nodes: list[Node]) -> None:
        """Start nodes, the servers before the gateways, and let them find each other.

        A gateway that finds a server closed tries again only after a second or more.
        """
        if self._lock is None:
            raise RuntimeError("The grid is not running in this process.")
        tahoe = find_tahoe(self._tahoe)
        servers = [node for node in nodes if node.storage_port]
        for group in (servers, [node for node in nodes if not node.storage_port]):
            for node in group:
                node.start(tahoe, self._lock)
            self._wait_until(lambda group=group: all(node.listens() for node in group))
        self._settle()

    def _settle(self) -> None:
        """Wait until every running gateway sees exactly the running servers."""
        up = sum(server.process is not None for server in self._servers)
        gateways = [gateway for gateway in self._gateways if gateway.process]
        self._wait_until(lambda: all(g.connected_servers() == up for g in gateways))

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._timeout
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"{n.name}:\n{tail(n.log())}" for n in self._nodes)
                raise GatewayTimeout(
                    "The nodes of the private grid have not found each other in "
                    f"{self._timeout:g} s. The ends of their logs:\n{logs}"
                )
            time.sleep(0.05)

    def _end(self, nodes: list[Node]) -> None:
        for node in nodes:
            node.end()
        for node in nodes:
            node.wait()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            running.discard(self)
            atexit.unregister(self.stop)

    def _abandon(self) -> None:
        """Leave the grid to the parent: what a forked child holds keeps it alive."""
        for node in self._nodes:
            node.abandon()
        self._release()


class PortTaken(GatewayUnreachable):
    """Another program had a port that a node was to listen on."""


running: weakref.WeakSet[LocalGrid] = weakref.WeakSet()


def abandon_all() -> None:
    for grid in list(running):
        grid._abandon()


os.register_at_fork(after_in_child=abandon_all)


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


def take_lock(directory: Path) -> int:
    """Make the directory, private to its owner, and take it for this process.

    Returns the file descriptor that holds it. The nodes hold it too: a directory is
    free when the last node of the last run has ended, even if its process was killed.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / "grid.lock"
    if not file.exists() and any(directory.iterdir()):
        raise GatewayError(
            f"{directory} is not empty, and holds no private grid. "
            "Give the grid a directory of its own."
        )
    directory.chmod(0o700)
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + ENDING
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(lock, 20, 0).decode("ascii")
                os.close(lock)
                raise GatewayError(
                    f"{directory} is in use: process {holder} runs a grid there. "
                    "Stop that one first, or use another directory."
                ) from None
            time.sleep(0.05)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode("ascii"), 0)
    return lock


def free_port(wanted: int | None, taken: Iterable[int]) -> int:
    """Return the wanted port if it is free, else another one that is."""
    choice = secrets.SystemRandom().sample(PORTS, 100)
    for port in [wanted, *choice] if wanted else choice:
        with socket.socket() as probe, suppress(OSError):
            # As the node does it: a port that was closed a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in taken:
                return port
    raise GatewayError("There is no free port on 127.0.0.1.")


def tail(log: str) -> str:
    """Return the last lines of a log, without caps and furls."""
    return FURL.sub("pb://***", redact("\n".join(log.splitlines()[-15:])))


def write_whole(file: Path, content: bytes) -> None:
    """Write a file so that it has all of the content or does not change."""
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(content)
    part.replace(file)


def base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").lower().rstrip("=")


def make_certificate() -> tuple[bytes, bytes]:
    """Return a new key with its certificate (PEM), and the certificate's SHA-1.

    That digest is a storage server's identity (foolscap's tub id).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "private grid")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, certificate.fingerprint(hashes.SHA1())  # noqa: S303
