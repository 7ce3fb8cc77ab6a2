"""Real S3 servers for tests, on free ports, stopped by their processes.

``weed`` (SeaweedFS) checks signatures, expiry and all conditions; ``moto`` starts
sooner, and checks conditions on uploads and deletes only.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import secrets
import sys
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.authority import key_usage
from tests.support.ports import free_port, free_ports
from tests.support.programs import program, running_program
from tests.support.s3_trials import bucket_prefix, honouring_alike

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "testkey"
SECRET_KEY = "testsecret12"
_IDENTITY = {
    "name": "admin",
    "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
    "actions": ["Admin", "Read", "List", "Tagging", "Write"],
}
_WEED_PORTS = [
    f"{part}.port{kind}"
    for part in ("s3", "master", "volume", "filer", "admin")
    for kind in ("", ".grpc")
]
_WEED_FLAGS = [
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-webdav=false",
    "-admin.ui=false",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    "-master.telemetry=false",
    # Each bucket takes a volume. By itself it allows as many as there are GB free on a
    # disk, and after that answers 500 to whatever is put into another bucket.
    "-volume.max=1000",
]


@dataclass(frozen=True)
class S3Server:
    """A server of S3 on this machine, and what its owner can do there."""

    endpoint_url: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    verify: str | None = None
    """The file of the certificate that is to be trusted."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of an S3Storage on this server, but for its bucket."""
        return {
            **({"verify": self.verify} if self.verify else {}),
            "endpoint_url": self.endpoint_url,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "region_name": "us-east-1",
            "addressing_style": "path",
            "signature_version": "s3v4",
        }

    def client(self, **config: Any) -> S3Client:
        """Return a client of its own, which no storage uses."""
        import boto3
        import botocore.config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            verify=self.verify,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, signature_version="s3v4", **config
            ),
        )

    def make_bucket(self, *, untried: bool = False) -> str:
        """Return the name of a new, empty bucket.

        Where a test looks at trials of conditions, it is to be ``untried``.
        """
        name = f"{bucket_prefix(untried=untried)}{secrets.token_hex(6)}"
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name


@dataclass(frozen=True)
class Sent:
    """A request that a storage sent; shown as "GET dir/name"."""

    method: str
    key: str
    query: str
    headers: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.key}"


@contextlib.contextmanager
def s3_requests(storage: Any) -> Iterator[list[Sent]]:
    """Record the requests that storages with these options send within the block."""
    sent: list[Sent] = []

    def note(request: Any, **kwargs: Any) -> None:
        url = urllib.parse.urlsplit(request.url)
        key = urllib.parse.unquote(url.path).removeprefix(f"/{storage.bucket_name}")
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        sent.append(Sent(request.method, key.lstrip("/"), url.query, headers))

    events = storage.connection.meta.client.meta.events
    events.register("before-send.s3", note)
    try:
        yield sent
    finally:
        events.unregister("before-send.s3", note)


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        # What Python 3.13 asks for (RFC 5280, 4.2.1).
        .add_extension(key_usage(signs=True), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    pem = serialization.Encoding.PEM
    files[0].write_bytes(certificate.public_bytes(pem))
    files[1].write_bytes(
        key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@contextlib.contextmanager
def running_weed(directory: Path, *, tls: bool = False) -> Iterator[S3Server]:
    """Run a SeaweedFS within the block, with its files in ``directory``."""
    (directory / "s3.json").write_text(json.dumps({"identities": [_IDENTITY]}))
    (directory / "data").mkdir()
    ports = free_ports(len(_WEED_PORTS))
    command = [program("weed"), "mini", "-dir=data", "-s3.config=s3.json"]
    command += [
        f"-{name}={port}" for name, port in zip(_WEED_PORTS, ports, strict=True)
    ]
    server = S3Server(f"http://127.0.0.1:{ports[0]}")
    if tls:
        certificate, key = make_certificate(directory)
        command += [f"-s3.cert.file={certificate}", f"-s3.key.file={key}"]
        server = S3Server(f"https://127.0.0.1:{ports[0]}", verify=str(certificate))
    with contextlib.closing(server.client(retries={"total_max_attempts": 1})) as client:

        def ready() -> None:
            # The port opens before anything can be stored.
            with contextlib.suppress(client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")

        command += _WEED_FLAGS
        alike = honouring_alike(server.endpoint_url)
        with running_program(directory, command, ready), alike:
            yield server


@contextlib.contextmanager
def running_moto(directory: Path) -> Iterator[S3Server]:
    """Run a moto server within the block, with its log in ``directory``."""
    port = free_port()
    script = str(Path(__file__).with_name("moto_in_turns.py"))
    command = [sys.executable, script, "-H", "127.0.0.1", "-p", str(port)]
    server = S3Server(f"http://127.0.0.1:{port}")
    with (
        contextlib.closing(server.client(retries={"total_max_attempts": 1})) as client,
        running_program(directory, command, client.list_buckets),
        honouring_alike(server.endpoint_url),
    ):
        yield server
