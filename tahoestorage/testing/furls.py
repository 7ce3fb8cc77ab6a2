"""Furls of nodes (Foolscap URLs): a node's identity, its address, and a secret."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def node_furl(file: Path, address: str) -> str:
    """Return the furl in ``file``, in a node's private directory; make it if missing.

    A node would make its certificate and furl when it first runs. Made here, they can
    be given to its clients before, and nothing is started twice. ``address`` is host
    and port, and may change; the rest stays, for stored files depend on it.
    """
    private = file.parent
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.exists():
        tub, _, rest = file.read_text("ascii").strip().partition("@")
        name = rest.rpartition("/")[2]
    else:
        pem, digest = make_certificate()
        write_whole(private / "node.pem", pem)
        tub, name = f"pb://{base32(digest)}", base32(secrets.token_bytes(20))
    furl = f"{tub}@tcp:{address}/{name}"
    write_whole(file, furl.encode("ascii"))
    return furl


def make_certificate() -> tuple[bytes, bytes]:
    """Return a new key with its certificate (PEM), and the certificate's SHA-1.

    By that digest foolscap knows a server (its tub id).
    """
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
    # Foolscap names a node by it; nothing is secret about that.
    return pem, certificate.fingerprint(hashes.SHA1())  # noqa: S303


def base32(data: bytes) -> str:
    """Return base32 as Foolscap writes it: lower case, without padding."""
    return base64.b32encode(data).decode("ascii").lower().rstrip("=")


def write_whole(file: Path, content: bytes) -> None:
    """Write a file atomically: it has all of the content, or does not change."""
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(content)
    part.replace(file)
