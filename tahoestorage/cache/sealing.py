"""Encrypts what the cache keeps outside of memory, by keys of those who may read it."""

from __future__ import annotations

import functools
import os
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tahoestorage.cache.generations import Generations

NONCE_BYTES = 12


def derive(secret: bytes, purpose: bytes) -> bytes:
    """Return 32 bytes that follow from ``secret`` and a ``purpose`` of up to 16."""
    return blake2b(secret, digest_size=32, person=purpose).digest()


class Seal:
    """Seals and opens values under one key (AES-256-GCM, a random nonce each)."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def close(self, value: bytes, bound: bytes) -> bytes:
        """Return ``value`` sealed; it opens only with the same ``bound`` bytes."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, value, bound)

    def open(self, sealed: bytes, bound: bytes) -> bytes | None:
        """Return what was sealed, or None for anything not sealed so."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
        except (InvalidTag, ValueError):
            return None


class Namespace:
    """A directory as the cache knows it: which one, and who may read of it.

    ``identity`` says which directory this is and is the same for all who reach
    it. ``read_secret`` is known to those who may read it, ``write_secret`` to
    those who may also write; None where this process may not.
    """

    __slots__ = (
        "_index",
        "_write_secret",
        "_writing",
        "identity",
        "root",
        "seal",
        "slot",
    )

    def __init__(
        self, identity: bytes, read_secret: bytes, write_secret: bytes | None = None
    ) -> None:
        self.identity = identity
        self.slot = Generations.slot(identity)
        self.seal = Seal(derive(read_secret, b"tahoe-read-seal"))
        self._index = derive(read_secret, b"tahoe-read-index")
        self._write_secret = write_secret
        self._writing: Seal | None = None
        self.root = self.key(b"listing")

    def item(self, purpose: str) -> Namespace:
        """Return one within this one, with the same secrets and changes of its own.

        For stores that have no directories: there each name is a namespace of its own.
        """
        item = Namespace.__new__(Namespace)
        item.identity = self.identity + purpose.encode("utf-8", "surrogatepass")
        item.slot = Generations.slot(item.identity)
        item.seal = self.seal
        item._index = self._index
        item._write_secret, item._writing = None, None
        item.root = item.key(b"item:" + item.identity)
        return item

    def __repr__(self) -> str:
        return f"<Namespace {blake2b(self.identity, digest_size=4).hexdigest()}>"

    def key(self, purpose: bytes) -> bytes:
        """Return where the value called ``purpose`` is kept: a keyed hash, 16 bytes."""
        return blake2b(purpose, digest_size=16, key=self._index).digest()

    @property
    def write_seal(self) -> Seal | None:
        """The seal on write caps, or None for those who may only read."""
        if self._writing is None and self._write_secret is not None:
            self._writing = Seal(derive(self._write_secret, b"tahoe-writeseal"))
        return self._writing


def page_key(namespace: Namespace, number: int) -> bytes:
    """Return where a page of a directory is kept, one of several."""
    return namespace.key(b"page:%d" % number)


def path_key(namespace: Namespace, path: str) -> bytes:
    """Return where it is kept to which directory a path leads."""
    return namespace.key(b"path:" + path.encode("utf-8", "surrogatepass"))


@functools.lru_cache(maxsize=1 << 14)
def text_key_of(namespace: Namespace, text_key: str) -> bytes:
    """Return where a text is kept."""
    # Bound to the namespace's own place: namespaces of items share their keys.
    return namespace.key(
        namespace.root + b"text:" + text_key.encode("utf-8", "surrogatepass")
    )
