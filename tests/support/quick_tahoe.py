"""Run ``tahoe``, whose directories cost no search for primes; start its nodes quickly.

Each mutable directory has an RSA key of 2048 bits, and to find the two primes of one
takes longer than all else that a small test has a gateway do. Here any two of the
primes that were found make a key: as long as any other and no secret, which suits
the grid of a test.

A node imports a thousand modules, which is most of what its start takes, and makes two
keys for certificates, which is most of the rest. `quick_nodes` has a fork server import
the modules once, and make one key for all certificates. The modules make Twisted's
reactor, which processes can't share: each node makes it anew.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

EXPONENT = 65537
PRELOADED = [
    "allmydata.scripts.runner",
    "allmydata.webish",
    "tests.support.node_key",
]


class KeyStock:
    """Private keys, each with another modulus."""

    def __init__(self) -> None:
        self._primes: list[int] = []
        self._unused: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def make(self, size: int) -> tuple[rsa.RSAPrivateKey, rsa.RSAPublicKey]:
        """Return a new key; always of the same size in bits."""
        with self._lock:
            if not self._unused:
                new = rsa.generate_private_key(EXPONENT, size).private_numbers()
                found = (new.p, new.q)
                self._unused = [found]
                self._unused += [(a, b) for a in found for b in self._primes]
                self._primes += found
            p, q = self._unused.pop()
        d = pow(EXPONENT, -1, (p - 1) * (q - 1))
        key = rsa.RSAPrivateNumbers(
            p=p,
            q=q,
            d=d,
            dmp1=rsa.rsa_crt_dmp1(d, p),
            dmq1=rsa.rsa_crt_dmq1(d, q),
            iqmp=rsa.rsa_crt_iqmp(p, q),
            public_numbers=rsa.RSAPublicNumbers(EXPONENT, p * q),
        ).private_key(unsafe_skip_rsa_key_validation=True)
        return key, key.public_key()


def executable(directory: Path) -> Path:
    """Write what starts this in place of ``tahoe``."""
    path = directory / "tahoe"
    command = shlex.join([sys.executable, os.path.abspath(__file__)])
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', "utf-8")
    path.chmod(0o755)
    return path


class ForkedNode:
    """A node of the fork server, with what a LocalNode asks of a Popen."""

    returncode: int | None = None

    def __init__(self, command: list[str], *, pass_fds: Iterable[int], **how: Any):
        context = multiprocessing.get_context("forkserver")
        read, self.stdin = context.Pipe(duplex=False)
        files = [
            Connection(os.dup(each)) for each in (how["stdout"].fileno(), *pass_fds)
        ]
        self._process = context.Process(
            target=be_node, args=(command, how["env"], [read, *files]), daemon=True
        )
        # It needs nothing of the program that starts it, and is not to import that.
        program, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("main")
        try:
            self._process.start()
        finally:
            sys.modules["__main__"] = program
        for file in (read, *files):
            file.close()
        self.pid = self._process.pid
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("tahoe", timeout or 0.0)


def be_node(command: list[str], environment: dict[str, str], files: list[Any]) -> None:
    """Do what ``tahoe run`` does; the first two files are its input and output."""
    # It measures all that multiprocessing starts, where it measures.
    coverage = sys.modules.get("coverage")
    if coverage and (measuring := coverage.Coverage.current()):
        measuring.stop()
    os.setsid()
    for number, file in enumerate([*files[:2], files[1]]):
        os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environment)
    from twisted.internet import reactor

    reactor.__init__()  # type: ignore[misc]
    from foolscap import crypto

    crypto.createCertificate = make_certificate
    run_tahoe(command)


def make_certificate() -> Any:
    """Make a certificate by which a node is known: all have the same key."""
    from twisted.internet.ssl import PrivateCertificate

    from tests.support.node_key import KEY

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "newpb_thingy")])
    now = datetime.now(UTC)
    # A node's id is a hash of its certificate, of which the number makes another.
    certificate = (
        x509.CertificateBuilder(name, name, KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )
    key = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    load: Callable[[bytes], Any] = PrivateCertificate.loadPEM
    return load(pem + key)


def run_tahoe(command: list[str]) -> None:
    """Do what ``tahoe`` does, with its arguments after its name, and exit."""
    sys.argv = command
    from allmydata.crypto import rsa as of_tahoe
    from allmydata.scripts.runner import run

    of_tahoe.create_signing_keypair = KeyStock().make
    sys.exit(run(argv=command))


@contextlib.contextmanager
def quick_nodes() -> Iterator[Path]:
    """Within the block, grids of this executable start and make directories quickly."""
    from tahoestorage.testing import localnode

    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        made = executable(Path(folder))

        def start(command: list[str], **how: Any) -> Any:
            kind = ForkedNode if command[0] == str(made) else subprocess.Popen
            return kind(command, **how)

        forking = SimpleNamespace(**vars(subprocess) | {"Popen": start})
        with mock.patch.object(localnode, "subprocess", forking):
            yield made


if __name__ == "__main__":
    run_tahoe(sys.argv)
