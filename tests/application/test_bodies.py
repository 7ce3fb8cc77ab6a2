"""Bodies that lie, break off or crawl: a clear 4xx, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.application.site import (
    Site,
    bare_environment,
    make_tables_and_user,
    manage,
    served,
)

COUNTS = """
SELECT used_bytes, reserved_bytes, used_objects, reserved_objects,
    (SELECT count(*) FROM objects_storedobject), (SELECT count(*) FROM objects_version)
FROM accounts_tenant WHERE slug = 'a'
"""


@dataclass
class Sender:
    """Somebody who speaks HTTP by hand."""

    site: Site
    environment: dict[str, str]
    access: str
    store: Path

    @contextlib.contextmanager
    def sending(
        self,
        head: str,
        body: bytes,
        *,
        to: str = "PUT /api/v1/content/a.bin",
        kind: str = "text/plain",
    ) -> Iterator[socket.socket]:
        """Send a PUT of a name, or another request, with these headers, and a body."""
        parts = urlsplit(self.site.address)
        with socket.create_connection((parts.hostname, parts.port), 60) as connection:
            connection.sendall(
                f"{to} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
                f"Authorization: Bearer {self.access}\r\n"
                f"Content-Type: {kind}\r\n{head}\r\n\r\n".encode()
                + body
            )
            yield connection

    def left(self) -> list[int]:
        """Bytes and objects that are used and reserved; rows; files."""
        database = sqlite3.connect(self.environment["DATABASE"], timeout=60)
        with contextlib.closing(database):
            found = database.execute(COUNTS).fetchone()
        files = [path for path in self.store.rglob("*") if path.is_file()]
        return [*found, len(files)]

    def wait_for_nothing(self) -> None:
        """Return once nothing is left of the upload."""
        deadline = time.monotonic() + 60
        while any(self.left()):
            assert time.monotonic() < deadline, self.left()
            time.sleep(0.05)


def answer(connection: socket.socket) -> tuple[int, str]:
    """Return the status of the response, and its problem's sentence."""
    with connection.makefile("rb") as response:
        status = int(response.readline().split()[1])
        length = 0
        while line := response.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        problem = json.loads(response.read(length))
    assert problem["status"] == status
    return status, problem["detail"]


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    directory = tmp_path_factory.mktemp("bodies")
    store = directory / "store"
    environment = bare_environment(directory) | {
        "STORAGE_URL": store.as_uri(),
        "UPLOAD_PATIENCE": "2",
    }
    make_tables_and_user(environment)
    access = json.loads(manage(environment, "createusertoken", "ann"))["access"]
    with served(environment, directory / "site.log") as site:
        yield Sender(site, environment, access, store)


def test_a_body_shorter_than_announced_is_refused(sender: Sender) -> None:
    with sender.sending("Content-Length: 100000", b"x" * 50_000) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert answer(connection) == (400, "The body ended too early.")

    assert not any(sender.left())


def test_a_body_without_a_length_is_refused(sender: Sender) -> None:
    chunks = b"5\r\nhello\r\n0\r\n\r\n"
    with sender.sending("Transfer-Encoding: chunked", chunks) as connection:
        assert answer(connection) == (411, "The body needs a Content-Length.")

    assert not any(sender.left())


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "abc"])
def test_a_length_that_is_none_is_refused(sender: Sender, length: str) -> None:
    with sender.sending(f"Content-Length: {length}", b"x") as connection:
        connection.settimeout(60)
        assert connection.recv(12).startswith(b"HTTP/1.1 4")

    assert not any(sender.left())


def test_whoever_hangs_up_leaves_nothing(sender: Sender) -> None:
    with sender.sending("Content-Length: 10000000", b"x" * 5_000_000):
        pass

    sender.wait_for_nothing()


def test_whoever_stops_sending_is_cut_off(sender: Sender) -> None:
    with sender.sending("Content-Length: 100000", b"x" * 50_000) as connection:
        assert answer(connection) == (408, "The body came too slowly.")

    assert not any(sender.left())


FORM = {"to": "POST /api/v1/objects/", "kind": "multipart/form-data; boundary=b"}
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
TOKEN = "a" * 32


def test_whoever_stops_sending_a_form_is_cut_off(sender: Sender) -> None:
    body = FILE + b"x" * 50_000
    with sender.sending("Content-Length: 100000", body, **FORM) as connection:
        assert answer(connection) == (408, "The body came too slowly.")

    assert not any(sender.left())


def test_whoever_stops_sending_json_is_cut_off(sender: Sender) -> None:
    # Anybody may ask for a token.
    to = {"to": "POST /api/v1/tokens/", "kind": "application/json"}
    with sender.sending("Content-Length: 1000", b"{", **to) as connection:
        assert answer(connection) == (408, "The body came too slowly.")


@pytest.mark.parametrize("path", ["/accounts/sign-in/", "/admin/login/"])
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
)
def test_whoever_stops_sending_a_form_to_a_page_is_cut_off(
    sender: Sender, path: str, kind: str
) -> None:
    begun = FILE if "multipart" in kind else b"username="
    head = "Content-Length: 1000\r\nCookie: csrftoken=" + "a" * 32
    with sender.sending(head, begun, to=f"POST {path}", kind=kind) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_form_that_comes_in_time_is_read_whole(sender: Sender) -> None:
    token = "a" * 32
    form = f"csrfmiddlewaretoken={token}&username=ann&password={'x' * 60_000}"
    head = f"Content-Length: {len(form)}\r\nCookie: csrftoken={token}"
    with sender.sending(
        head,
        form.encode(),
        to="POST /accounts/sign-in/",
        kind="application/x-www-form-urlencoded",
    ) as connection:
        # The form again, with what is wrong in it: the token was found.
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_large_form_of_a_stranger_is_refused_before_it_comes(sender: Sender) -> None:
    head = "Content-Length: 1000000000\r\nCookie: csrftoken=" + "a" * 32
    to = {"to": "POST /accounts/sign-in/", "kind": FORM["kind"]}
    with sender.sending(head, FILE, **to) as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "end",
    [
        "",
        "\r\n--b\r\n",
        '\r\n--b\r\nContent-Disposition: form-data; name="fol',
        '\r\n--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nlong',
    ],
    ids=["file", "boundary", "headers", "value"],
)
def test_whoever_hangs_up_on_a_form_leaves_nothing(sender: Sender, end: str) -> None:
    body = FILE + b"x" * 50_000 + end.encode()
    with sender.sending("Content-Length: 100000", body, **FORM) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert answer(connection) == (400, "The body ended too early.")

    assert not any(sender.left())


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (
            "application/x-www-form-urlencoded",
            f"csrfmiddlewaretoken={TOKEN}&username=ann&pass",
        ),
        (
            FORM["kind"],
            '--b\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"'
            f"\r\n\r\n{TOKEN}\r\n--b\r\n",
        ),
    ],
    ids=["fields", "parts"],
)
def test_a_form_of_a_page_that_breaks_off_is_refused(
    sender: Sender, kind: str, form: str
) -> None:
    head = f"Content-Length: {len(form) + 9}\r\nCookie: csrftoken={TOKEN}"
    to = "POST /accounts/sign-in/"
    with sender.sending(head, form.encode(), to=to, kind=kind) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_form_without_a_length_is_refused(sender: Sender) -> None:
    chunks = b"5\r\n--b\r\n\r\n0\r\n\r\n"
    with sender.sending("Transfer-Encoding: chunked", chunks, **FORM) as connection:
        assert answer(connection) == (411, "The body needs a Content-Length.")


def test_whoever_crawls_is_cut_off(sender: Sender) -> None:
    with sender.sending("Content-Length: 100000", b"") as connection:
        connection.settimeout(0.1)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                assert connection.recv(1, socket.MSG_PEEK)
                break
            with contextlib.suppress(OSError):
                connection.send(b"x")
        connection.settimeout(60)
        assert answer(connection) == (408, "The body came too slowly.")

    assert not any(sender.left())
