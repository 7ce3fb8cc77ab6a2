"""Run ``tahoe``, whose directories cost no search for primes.

Each mutable directory has an RSA key of 2048 bits, and to find the two primes of one
takes longer than all else that a small test has a gateway do. Here any two of the
primes that were found make a key: as long as any other and no secret, which suits
the grid of a test.
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa

EXPONENT = 65537


class Keys:
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


if __name__ == "__main__":
    from allmydata.crypto import rsa as of_tahoe
    from allmydata.scripts.runner import run

    of_tahoe.create_signing_keypair = Keys().make
    sys.exit(run())
