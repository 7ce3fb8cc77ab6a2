"""Keys of directories, made here: what a directory's cap will be is known beforehand.

So directories that lead to each other can be made at the same time.
"""

from __future__ import annotations

from base64 import b32encode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from tahoestorage.redaction import Secret, SecretBytes
from tahoestorage.tahoe.caps import Cap

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# What a gateway makes itself.
EXPONENT, BITS = 65537, 2048


class DirectoryKey(NamedTuple):
    """The key of one directory of the format SDMF.

    ``cap`` is the write cap that it will have, ``private`` the private key as a gateway
    takes it (the argument ``private-key``). SECRET, both of them.
    """

    cap: Cap
    private: Secret


def generate() -> RSAPrivateKey:
    """Return a new private key."""
    # Most processes make no directories.
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(EXPONENT, BITS)


def make_key() -> DirectoryKey:
    """Return a new key. For one directory, and one attempt to make it.

    Source: ``allmydata.mutable.common.derive_mutable_keys``; ``hashutil.tagged_hash``.
    """
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = generate()
    private = SecretBytes(
        key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    )
    public = key.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    written = _hash(b"allmydata_mutable_privkey_to_writekey_v1", private)[:16]
    verified = _hash(b"allmydata_mutable_pubkey_to_fingerprint_v1", public)
    cap = Cap.parse(f"URI:DIR2:{_base32(written)}:{_base32(verified)}")
    return DirectoryKey(cap, Secret(urlsafe_b64encode(private).decode()))


def _hash(tag: bytes, value: bytes) -> SecretBytes:
    inner = sha256(b"%d:%b,%b" % (len(tag), tag, value)).digest()
    return SecretBytes(sha256(inner).digest())


def _base32(data: bytes) -> Secret:
    return Secret(b32encode(data).decode().rstrip("=").lower())
