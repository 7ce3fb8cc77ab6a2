"""Connections, time limits and repeats, and what their failures are called."""

from __future__ import annotations

import contextlib
import http.client
import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
import urllib3

from tahoestorage import exceptions
from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    UnexpectedResponse,
)
from tahoestorage.tahoe import presence
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Link
from tahoestorage.tahoe.errors import error_from_exception
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.support.leaks import assert_hides_caps, everything_logged
from tests.support.ports import free_port
from tests.support.proxy import (
    LoseResponse,
    Proxy,
    Refuse,
    SendResponse,
    Stall,
    StallRequest,
)

ROOT = Cap.parse(f"URI:DIR2:{'a' * 26}:{'a' * 52}")
SECRET_URL = f"http://127.0.0.1:3456/uri/{ROOT.uri}"
LEAVES = {
    each
    for each in vars(exceptions).values()
    if inspect.isclass(each) and issubclass(each, GatewayError)
} - {GatewayError} | {DamagedDownload}
LIBRARY_ERRORS = [
    each
    for module in (requests.exceptions, urllib3.exceptions)
    for each in vars(module).values()
    if inspect.isclass(each)
    and issubclass(each, requests.RequestException | urllib3.exceptions.HTTPError)
    and not issubclass(each, Warning)
]


@pytest.fixture(autouse=True)
def no_cap_is_logged() -> Iterator[list[str]]:
    with everything_logged() as lines:
        yield lines


@pytest.fixture(autouse=True)
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait no longer than for other answers for what tells that a gateway is there."""
    monkeypatch.setattr(presence, "PROBE_SECONDS", 0.1)


@contextlib.contextmanager
def gateway_at(
    url: str,
    *,
    connect_timeout: float = 5,
    read_timeout: float = 10,
    min_rate: float = 65536,
    retries: int = 0,
) -> Iterator[Gateway]:
    gateway = Gateway(
        url,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        min_rate=min_rate,
        retries=retries,
    )
    with contextlib.closing(gateway):
        yield gateway


class Listener:
    """A port that accepts, says `greeting`, and then nothing."""

    def __init__(self, greeting: bytes = b"", *, hang_up: bool = False) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._greeting, self._hang_up = greeting, hang_up
        self._accepted: list[socket.socket] = []
        self.accepted = 0
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.accepted += 1
                self._accepted.append(connection)
                connection.sendall(self._greeting)
                if self._hang_up:
                    connection.recv(1 << 16)
                    connection.shutdown(socket.SHUT_RDWR)

    def has_accepted(self, connections: int) -> bool:
        """Wait for so many connections, and see that there were no more."""
        while self.accepted < connections:
            time.sleep(0.01)
        return self.accepted == connections

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for connection in self._accepted:
            connection.close()


def made(kind: type[Exception], *arguments: object) -> Exception:
    """Return an error of a library's class, however it is meant to be made."""
    error = kind.__new__(kind, *arguments)
    vars(error).update(partial=0, expected=0, length=0)
    return error


@pytest.mark.parametrize(
    "kind",
    LIBRARY_ERRORS,
    ids=lambda kind: f"{kind.__module__.partition('.')[0]}-{kind.__name__}",
)
def test_every_error_of_the_libraries_is_one_of_ours(kind: type[Exception]) -> None:
    wrapped = requests.ConnectionError(
        urllib3.exceptions.MaxRetryError(None, SECRET_URL, made(kind, SECRET_URL))  # type: ignore[arg-type]
    )
    for error in (made(kind, SECRET_URL), wrapped):
        failure = error_from_exception(error, "photos/a.jpg", "http://127.0.0.1:3456")
        assert type(failure) in LEAVES
        assert "photos/a.jpg" in str(failure)
        assert (
            "http://127.0.0.1:3456" in str(failure) or type(failure) is DamagedDownload
        )
        assert_hides_caps(failure, ROOT)


def test_every_error_of_the_libraries_is_looked_at() -> None:
    assert len(LIBRARY_ERRORS) > 40
    assert requests.exceptions.ChunkedEncodingError in LIBRARY_ERRORS
    assert urllib3.exceptions.IncompleteRead in LIBRARY_ERRORS


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (requests.ConnectTimeout(), GatewayUnreachable),
        (requests.ConnectionError(), GatewayUnreachable),
        (requests.ReadTimeout(), GatewayTimeout),
        (requests.exceptions.SSLError(), GatewayUnreachable),
        (requests.exceptions.InvalidURL(), UnexpectedResponse),
        (requests.exceptions.ChunkedEncodingError(), DamagedDownload),
        (urllib3.exceptions.SSLError(), GatewayUnreachable),
        (
            urllib3.exceptions.ProtocolError("", ConnectionResetError()),
            GatewayUnreachable,
        ),
        (urllib3.exceptions.ProtocolError("", TimeoutError()), GatewayTimeout),
        (
            urllib3.exceptions.ProtocolError("", http.client.BadStatusLine("SSH")),
            UnexpectedResponse,
        ),
        (
            urllib3.exceptions.ProtocolError("", http.client.RemoteDisconnected("")),
            GatewayUnreachable,
        ),
        (
            urllib3.exceptions.ProtocolError(
                "", urllib3.exceptions.IncompleteRead(1, 2)
            ),
            DamagedDownload,
        ),
    ],
)
def test_an_error_is_called_by_what_it_means(
    error: Exception, kind: type[GatewayError]
) -> None:
    assert type(error_from_exception(error, "a", "http://x")) is kind


def test_a_closed_port_is_an_unreachable_gateway() -> None:
    port = free_port()
    with (
        gateway_at(f"http://127.0.0.1:{port}") as gateway,
        pytest.raises(GatewayUnreachable, match="is the gateway running") as caught,
    ):
        gateway.list(ROOT, label="photos")
    assert isinstance(caught.value, ConnectionError)
    assert str(caught.value).startswith("photos: ")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert_hides_caps(caught.value, ROOT)


def test_a_gateway_that_says_nothing_is_asked_once_and_then_for_its_status() -> None:
    with (
        Listener() as silent,
        gateway_at(silent.url, read_timeout=0.1, retries=2) as gateway,
    ):
        with pytest.raises(GatewayTimeout, match=r"photos: .*in time") as caught:
            gateway.list(ROOT, label="photos")
        assert silent.has_accepted(2)
        assert isinstance(caught.value, TimeoutError)
        assert_hides_caps(caught.value, ROOT)


def test_what_changes_something_is_not_sent_twice_by_itself() -> None:
    with (
        Listener() as silent,
        gateway_at(silent.url, read_timeout=0.1, retries=2) as gateway,
    ):
        with pytest.raises(GatewayTimeout) as caught:
            gateway.set_children(ROOT, {"a": Link(ROOT)}, label="photos/a")
        assert_hides_caps(caught.value, ROOT)
        # It and the status; and then nothing while the gateway is away.
        assert silent.has_accepted(2)
        with pytest.raises(GatewayUnreachable):
            gateway.unlink(ROOT, "a", label="photos/a")
        assert silent.has_accepted(2)


def test_a_gateway_that_hangs_up_is_asked_again_and_then_unreachable() -> None:
    with (
        Listener(hang_up=True) as server,
        gateway_at(server.url, retries=1) as gateway,
    ):
        with pytest.raises(GatewayUnreachable, match="photos") as caught:
            gateway.list(ROOT, label="photos")
        # Twice, and once to see whether it waits for TLS.
        assert server.has_accepted(3)
        assert_hides_caps(caught.value, ROOT)


def test_a_port_of_another_protocol_is_an_unexpected_response() -> None:
    with (
        Listener(b"SSH-2.0-OpenSSH_9.2p1\r\n") as server,
        gateway_at(server.url) as gateway,
        pytest.raises(UnexpectedResponse, match="does not speak HTTP") as caught,
    ):
        gateway.list(ROOT, label="photos")
    assert_hides_caps(caught.value, ROOT)


def test_a_port_without_tls_is_unreachable_by_https() -> None:
    with (
        Listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server,
        gateway_at(server.url.replace("http:", "https:")) as gateway,
        pytest.raises(GatewayUnreachable, match="speaks http and not https") as caught,
    ):
        gateway.list(ROOT, label="photos")
    assert_hides_caps(caught.value, ROOT)


def test_a_redirect_is_not_followed(proxy: Proxy) -> None:
    proxy.rule(
        lambda seen: True, SendResponse(302, {"Location": proxy.url + "/elsewhere"})
    )
    with (
        gateway_at(proxy.url, retries=2) as gateway,
        pytest.raises(UnexpectedResponse, match="set base_url"),
    ):
        gateway.list(ROOT, label="photos")
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_passing_error_of_a_server_between_is_sat_out(
    proxy: Proxy, status: int
) -> None:
    proxy.rule(
        lambda seen: True, SendResponse(status, {}, b"busy"), times=2, guards=True
    )
    with gateway_at(proxy.url, retries=2) as gateway:
        assert gateway.connected_servers() == 1
    assert [seen.status for seen in proxy.guards] == [status, status, 200]


def test_an_error_that_stays_is_told(proxy: Proxy) -> None:
    proxy.rule(lambda seen: True, SendResponse(503, {}, b"busy"), times=None)
    with (
        gateway_at(proxy.url, retries=1) as gateway,
        pytest.raises(GatewayUnreachable, match="responded with 503: busy"),
    ):
        gateway.list(ROOT, label="photos")
    assert len(proxy.seen) == 2


def test_a_lost_response_to_a_question_is_asked_for_again(proxy: Proxy) -> None:
    proxy.rule(lambda seen: True, LoseResponse(), guards=True)
    proxy.rule(lambda seen: True, Refuse(), guards=True)
    with gateway_at(proxy.url, retries=2) as gateway:
        assert gateway.connected_servers() == 1
    assert len(proxy.guards) == 3


def test_a_response_that_stalls_is_given_up(
    proxy: Proxy, tahoe_grid: LocalGrid
) -> None:
    root = tahoe_grid.create_root()
    proxy.rule(lambda seen: True, Stall(30, after=10), times=None)
    with (
        gateway_at(proxy.url, read_timeout=0.2) as gateway,
        pytest.raises(GatewayTimeout, match="photos: ") as caught,
    ):
        gateway.list(root, label="photos")
    assert_hides_caps(caught.value, root, root.read_only)


def test_a_busy_gateway_may_take_the_body_as_slowly_as_it_answers(
    proxy: Proxy,
) -> None:
    proxy.rule(lambda seen: True, StallRequest(1.0, after=1 << 20))
    content = os.urandom(1 << 20)
    body = UploadBody(lambda: [content] * 8, repeatable=False)
    with gateway_at(proxy.url, connect_timeout=0.3, min_rate=1e9) as gateway:
        cap = gateway.upload(body, label="photos/a.jpg")
    assert cap.size == 8 << 20


def test_a_gateway_that_takes_no_body_is_given_up_in_time(proxy: Proxy) -> None:
    proxy.rule(lambda seen: True, StallRequest(30, after=1 << 20))
    content = os.urandom(1 << 20)
    body = UploadBody(lambda: [content] * 8, repeatable=False)
    with (
        gateway_at(proxy.url, read_timeout=0.3, min_rate=1e9) as gateway,
        pytest.raises(GatewayTimeout, match=r"photos/a\.jpg: "),
    ):
        gateway.upload(body, label="photos/a.jpg")


def test_proxies_and_passwords_of_the_environment_are_not_used(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with gateway_at(proxy.url) as gateway:
        assert gateway.connected_servers() == 1
    assert "authorization" not in proxy.guards[0].headers
    assert proxy.guards[0].headers["accept-encoding"] == "identity"


def test_what_a_server_wants_to_be_remembered_is_forgotten(proxy: Proxy) -> None:
    cookie = {"Set-Cookie": "name=value; Max-Age=9"}
    node = b'["dirnode", {"children": {}}]'
    proxy.rule(lambda _: True, SendResponse(200, cookie, node), times=2)
    with gateway_at(proxy.url) as gateway:
        for _ in range(2):
            gateway.list(ROOT, label="the root")
    assert ["cookie" in seen.headers for seen in proxy.seen] == [False] * 2


def test_a_password_in_the_address_goes_into_a_header(proxy: Proxy) -> None:
    address = proxy.url.replace("http://", "http://user:pass%20word@")
    with gateway_at(address) as gateway:
        assert gateway.connected_servers() == 1
    (seen,) = proxy.guards
    assert seen.headers["authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
    assert seen.target == "/?t=json"


def test_requests_in_a_row_share_a_connection(proxy: Proxy) -> None:
    with gateway_at(proxy.url) as gateway:
        for _ in range(5):
            gateway.connected_servers()
        assert proxy.connections == 1
        gateway.close()
        assert gateway.connected_servers() == 1
    assert proxy.connections == 2


def test_threads_share_a_gateway(proxy: Proxy) -> None:
    with gateway_at(proxy.url) as gateway, ThreadPoolExecutor(8) as pool:
        contents = [os.urandom(1000) for _ in range(40)]

        def there_and_back(content: bytes) -> bytes:
            cap = gateway.upload(
                UploadBody(lambda: [content], repeatable=True), label=""
            )
            with gateway.fetch(cap, label="") as response:
                return response.content

        assert list(pool.map(there_and_back, contents)) == contents
    assert proxy.connections <= 16


FORK = """
import os, sys
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody

gateway = Gateway(sys.argv[1])
gateway.connected_servers()
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        children = []
        break
    children.append(child)
for _ in range(10):
    content = os.urandom(1000)
    cap = gateway.upload(UploadBody(lambda: [content], repeatable=True), label="a")
    with gateway.fetch(cap, label="a") as response:
        assert response.content == content
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_forked_processes_make_their_own_connections(proxy: Proxy) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", FORK, proxy.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert proxy.connections == 4
