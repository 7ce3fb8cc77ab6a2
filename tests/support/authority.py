"""An authority of the tests' own, and certificates for 127.0.0.1."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def key_usage(*, signs: bool) -> x509.KeyUsage:
    """Return what a key may be used for: signing certificates, or TLS."""
    names = (
        *("content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "encipher_only", "decipher_only"),
    )
    unused = dict.fromkeys(names, False)
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, **unused
    )


def own_authority(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what speaks TLS as 127.0.0.1, and the file with who vouches for it."""
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        for name in ("an authority of the tests", "127.0.0.1")
    ]
    authority, certificate = (
        x509.CertificateBuilder()
        .issuer_name(names[0])
        .subject_name(names[number])
        .public_key(keys[number].public_key())
        .serial_number(number + 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=number == 0)
        # What Python 3.13 asks for (RFC 5280, 4.2.1).
        .add_extension(key_usage(signs=number == 0), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(keys[number].public_key()),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()),
            critical=False,
        )
        .sign(keys[0], hashes.SHA256())
        for number, extension in enumerate(
            (
                x509.BasicConstraints(ca=True, path_length=None),
                x509.SubjectAlternativeName(
                    [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                ),
            )
        )
    )
    vouching, chain = folder / "authority.pem", folder / "server.pem"
    vouching.write_bytes(authority.public_bytes(PEM))
    key = keys[1].private_bytes(
        PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(key + certificate.public_bytes(PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, vouching
