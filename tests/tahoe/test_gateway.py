"""A real gateway's web API: what it does, and what its failures are called."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import requests

from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import (
    DamagedDownload,
    FileMissing,
    GatewayError,
    NameTaken,
    NotEnoughServers,
    NotEnoughShares,
    ReadOnly,
    TahoeStorageError,
    UnexpectedResponse,
)
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap, Kind, literal_cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.uploads import UploadBody
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import requests_sent
from tests.support.leaks import assert_hides_caps
from tests.support.proxy import CutBody, Proxy, Seen, SendResponse

CONTENT = os.urandom(5000)
KEY, HASH = "a" * 26, "a" * 52
# Well formed, and of nothing.
NO_DIRECTORY = Cap.parse(f"URI:DIR2:{KEY}:{HASH}")
NO_FILE = Cap.parse(f"URI:CHK:{KEY}:{HASH}:1:1:1000")


pytestmark = pytest.mark.usefixtures("no_cap_is_logged")


@pytest.fixture
def gateway(proxy: Proxy) -> Iterator[Gateway]:
    with contextlib.closing(Gateway(proxy.url, retries=0)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def broken_grid(tahoe: Path) -> Iterator[tuple[LocalGrid, Cap, Cap]]:
    """A grid of two servers, one of which has stopped, and a directory and a file."""
    with (
        LocalGrid(servers=2, tahoe=tahoe) as grid,
        contextlib.closing(Gateway(grid.base_url)) as it,
    ):
        root = marker.make_root(it)
        cap = it.upload(content(), label="a file")
        grid.stop_server(1)
        yield grid, root, cap


def content(data: bytes = CONTENT) -> UploadBody:
    return UploadBody(lambda: [data], repeatable=True)


def children_of(gateway: Gateway, cap: Cap, *path: str) -> dict[str, Child]:
    """Return what is in a directory, but for the marker."""
    found: dict[str, Child] = {}
    gateway.list(
        cap, path, lambda child: found.update({child.name: child}), label="children"
    )
    found.pop(marker.NAME, None)
    return found


def mkdir(gateway: Gateway, parent: Cap, name: str, layout: str, *, label: str) -> Cap:
    """Make a directory, and link it."""
    cap = gateway.make_directory(marker.child(), layout, label=label)
    gateway.set_children(parent, {name: Link(cap)}, label=label)
    return cap


def link(
    gateway: Gateway,
    directory: Cap,
    name: str,
    cap: Cap,
    *,
    token: str = "",
    replace: Literal["false", "only-files"] = "false",
) -> None:
    children = {name: Link.with_token(cap, token)}
    gateway.set_children(directory, children, replace=replace, label=name)


def anything(seen: Seen) -> bool:
    return True


def failing(kind: type[TahoeStorageError], *caps: Cap, says: str) -> Any:
    """Expect an error that names the file, says what is said, and shows no cap."""

    @contextlib.contextmanager
    def expect() -> Iterator[None]:
        with pytest.raises(kind, match=says) as caught:
            yield
        assert type(caught.value) is kind
        assert str(caught.value).startswith("photos/a.jpg: ")
        hidden = [read for cap in caps for read in (cap, cap.read_only)]
        assert_hides_caps(caught.value, *hidden)

    return expect()


def test_a_file_goes_up_is_linked_found_read_and_unlinked(
    gateway: Gateway, root: Cap
) -> None:
    directory = mkdir(gateway, root, "photos", "SDMF", label="photos")
    cap = gateway.upload(content(), label="photos/a.jpg")
    link(gateway, directory, "a.jpg", cap, token="mine")
    child = children_of(gateway, root, "photos")["a.jpg"]
    assert child.entry.kind is EntryKind.FILE
    assert child.entry.reference == cap.uri
    assert child.entry.size == len(CONTENT)
    assert child.token == "mine"
    with gateway.fetch(cap, label="photos/a.jpg") as response:
        assert response.content == CONTENT
    gateway.unlink(directory, "a.jpg", label="photos/a.jpg")
    assert children_of(gateway, directory) == {}


@pytest.mark.parametrize(
    ("layout", "kind"), [("SDMF", Kind.DIR2), ("MDMF", Kind.DIR2_MDMF)]
)
def test_directories_are_of_the_format_asked_for(
    gateway: Gateway, layout: str, kind: Kind
) -> None:
    new = marker.make_root(gateway, layout)
    below = mkdir(gateway, new, "below", layout, label="below")
    assert (new.kind, below.kind) == (kind, kind)
    assert new.is_writable
    node = gateway.list(new, ("below",), label="below")
    assert (node.read, node.write) == (below.read_only.uri, below.uri)


@pytest.mark.parametrize(
    "name",
    ["a b?c#d%e.txt", "%2F", "a\nb\x00c", ";'\"\\", "ÅÄÖ 🐟", "n" * 250, "a&b=c+d"],
)
def test_names_of_every_kind_are_kept(gateway: Gateway, root: Cap, name: str) -> None:
    below = mkdir(gateway, root, name, "SDMF", label="a directory")
    link(gateway, below, name, literal_cap(b"x"))
    assert list(children_of(gateway, root, name)) == [name]
    gateway.unlink(below, name, label="it")
    assert list(children_of(gateway, root)) == [name]


def test_a_part_of_a_file_is_asked_for_as_a_range(gateway: Gateway) -> None:
    cap = gateway.upload(content(), label="a")
    with gateway.fetch(cap, 10, 19, label="a") as response:
        assert (response.status_code, response.content) == (206, CONTENT[10:20])
    with gateway.fetch(cap, 5000, 5010, label="a") as response:
        assert response.status_code == 416


def test_a_link_replaces_files_only_where_that_is_asked_for(
    gateway: Gateway, root: Cap
) -> None:
    one, two = literal_cap(b"one"), literal_cap(b"two")
    link(gateway, root, "a", one)
    link(gateway, root, "a", two, replace="only-files")
    assert children_of(gateway, root)["a"].entry.reference == two.uri
    mkdir(gateway, root, "d", "SDMF", label="d")
    with pytest.raises(NameTaken):
        link(gateway, root, "d", one, replace="only-files")


def test_a_gateway_tells_how_many_servers_it_is_connected_to(
    gateway: Gateway, broken_grid: tuple[LocalGrid, Cap, Cap]
) -> None:
    assert gateway.connected_servers() == 1
    with contextlib.closing(Gateway(broken_grid[0].base_url)) as broken:
        assert broken.connected_servers() == 1


def test_a_probe_leaves_no_trace_but_a_file_that_is_linked_nowhere(
    gateway: Gateway, proxy: Proxy
) -> None:
    gateway.probe_upload()
    assert [(seen.method, seen.target) for seen in proxy.seen] == [("PUT", "/uri")]


def test_a_gateway_is_shown_by_its_address_alone(gateway: Gateway) -> None:
    assert repr(gateway) == f"<Gateway {gateway.base_url}>"


def test_each_request_is_logged_with_verb_redacted_target_status_and_time(
    gateway: Gateway, root: Cap
) -> None:
    shown = f"<Cap DIR2 write {root.fingerprint}>"
    with requests_sent() as lines:
        mkdir(gateway, root, "a b", "SDMF", label="a")
        gateway.list(root, ("a b",), label="a")
        gateway.unlink(root, "a b", label="a")
        with contextlib.suppress(FileMissing):
            gateway.list(root, ("a b",), label="a")
        gateway.upload(content(), label="a")
        marker.make_root(gateway)
        gateway.connected_servers()
    logged = [*lines, *lines.guards]
    assert [re.sub(r" \d+\.\d ms$", "", line) for line in logged] == [
        "POST /uri?t=mkdir-with-children 200",
        f"POST /uri/{shown}?t=set_children&replace=false 200",
        f"GET /uri/{shown}/a%20b?t=json 200",
        f"DELETE /uri/{shown}/a%20b 200",
        f"GET /uri/{shown}/a%20b?t=json 404",
        "PUT /uri 200",
        "POST /uri?t=mkdir-with-children 200",
        "GET /?t=json 200",
    ]


def test_a_request_that_failed_is_logged_as_such(root: Cap) -> None:
    with (
        contextlib.closing(Gateway("http://127.0.0.1:9", retries=0)) as nowhere,
        requests_sent() as lines,
        contextlib.suppress(GatewayError),
    ):
        nowhere.connected_servers()
    (line,) = lines.guards
    assert re.fullmatch(r"GET /\?t=json failed \d+\.\d ms", line)


# What fails


def test_a_name_that_is_not_there_is_missing(gateway: Gateway, root: Cap) -> None:
    link(gateway, root, "f", literal_cap(b"x"))
    with failing(FileMissing, root, says="no such file"):
        gateway.list(root, ("b",), label="photos/a.jpg")
    with failing(FileMissing, root, says="no such file"):
        gateway.list(root, ("b", "c", "d"), label="photos/a.jpg")
    with failing(FileMissing, root, says="no such file"):
        gateway.list(root, ("f", "below-a-file"), label="photos/a.jpg")
    with failing(FileMissing, root, says="no such file"):
        gateway.unlink(root, "b", label="photos/a.jpg")


def test_a_name_that_is_there_is_taken(gateway: Gateway, root: Cap) -> None:
    mkdir(gateway, root, "a", "SDMF", label="a")
    with failing(NameTaken, root, says="the name is taken"):
        mkdir(gateway, root, "a", "SDMF", label="photos/a.jpg")
    with failing(NameTaken, root, NO_FILE, says="the name is taken"):
        gateway.set_children(root, {"a": Link(NO_FILE)}, label="photos/a.jpg")


def test_a_read_cap_changes_nothing(gateway: Gateway, root: Cap) -> None:
    mkdir(gateway, root, "a", "SDMF", label="a")
    with failing(ReadOnly, root, says="a write cap is needed"):
        gateway.unlink(root.read_only, "a", label="photos/a.jpg")
    assert list(children_of(gateway, root)) == ["a"]


def test_what_can_not_be_reached_now_is_not_called_missing(gateway: Gateway) -> None:
    with failing(NotEnoughShares, NO_DIRECTORY, says="not known to be gone"):
        gateway.list(NO_DIRECTORY, label="photos/a.jpg")
    with failing(NotEnoughShares, NO_FILE, says="not known to be gone"):
        gateway.fetch(NO_FILE, label="photos/a.jpg")
    with failing(NotEnoughShares, NO_DIRECTORY, says="not known to be gone"):
        mkdir(gateway, NO_DIRECTORY, "a", "SDMF", label="photos/a.jpg")


def test_with_too_few_servers_nothing_is_stored_and_that_is_said(
    broken_grid: tuple[LocalGrid, Cap, Cap],
) -> None:
    grid, root, cap = broken_grid
    with contextlib.closing(Gateway(grid.base_url)) as gateway:
        with failing(NotEnoughServers, root, says="too few storage servers"):
            gateway.upload(content(b"y" * 100), label="photos/a.jpg")
        with pytest.raises(NotEnoughServers, match="a probe of the gateway: "):
            gateway.probe_upload()
        with failing(NotEnoughShares, root, says="Try again"):
            gateway.list(root, label="photos/a.jpg")
        with failing(NotEnoughShares, root, says="Try again"):
            gateway.set_children(root, {"a": Link(cap)}, label="photos/a.jpg")
        with failing(NotEnoughShares, root, cap, says="Try again"):
            gateway.fetch(cap, label="photos/a.jpg")


ASK: list[Callable[[Gateway, Cap], object]] = [
    lambda it, root: it.list(root, label="photos/a.jpg"),
    lambda it, root: mkdir(it, root, "a", "SDMF", label="photos/a.jpg"),
    lambda it, root: it.upload(content(), label="photos/a.jpg"),
]
PAGE = b"<!DOCTYPE html><html><body><h1>Welcome to nginx!</h1></body></html>"
OTHERS = [
    SendResponse(200, {"Content-Type": "text/html"}, PAGE),
    SendResponse(200, {"Content-Type": "application/json"}, b'{"status": "ok"}'),
    SendResponse(200, {}, b""),
    SendResponse(200, {}, b"\xff\xfe\x00"),
    SendResponse(404, {"Content-Type": "text/html"}, PAGE),
    SendResponse(401, {"WWW-Authenticate": "Basic"}, PAGE),
    SendResponse(204),
    SendResponse(500, {}, b""),
]


@pytest.mark.parametrize("response", OTHERS, ids=lambda response: str(response.status))
def test_a_server_that_is_no_gateway_is_unexpected_and_nothing_is_missing_there(
    proxy: Proxy, gateway: Gateway, root: Cap, response: SendResponse
) -> None:
    proxy.rule(anything, response, times=None)
    for ask in ASK:
        with failing(UnexpectedResponse, root, says="Tahoe-LAFS"):
            ask(gateway, root)


@pytest.mark.parametrize("response", OTHERS, ids=lambda response: str(response.status))
def test_the_status_of_a_server_that_is_no_gateway_is_unexpected(
    proxy: Proxy, gateway: Gateway, response: SendResponse
) -> None:
    proxy.rule(anything, response, guards=True)
    with pytest.raises(UnexpectedResponse, match="Tahoe-LAFS"):
        gateway.connected_servers()


@pytest.mark.parametrize(
    "cap", [NO_FILE, NO_DIRECTORY.read_only, literal_cap(b"x"), "URI:FUTURE:x"]
)
def test_a_made_directory_is_one_that_can_be_written(
    proxy: Proxy, gateway: Gateway, root: Cap, cap: Cap | str
) -> None:
    text = cap.uri if isinstance(cap, Cap) else cap
    proxy.rule(anything, SendResponse(body=text.encode()), times=2)
    with failing(UnexpectedResponse, root, says="no directory was made"):
        mkdir(gateway, root, "a", "SDMF", label="photos/a.jpg")
    with pytest.raises(UnexpectedResponse, match="no directory was made"):
        marker.make_root(gateway)


@pytest.mark.parametrize("cap", [NO_FILE, NO_DIRECTORY, "URI:FUTURE:x"])
def test_a_stored_file_has_the_length_that_was_sent(
    proxy: Proxy, gateway: Gateway, cap: Cap | str
) -> None:
    text = cap.uri if isinstance(cap, Cap) else cap
    proxy.rule(anything, SendResponse(body=text.encode()))
    with failing(UnexpectedResponse, NO_FILE, says="5000 bytes were sent, and"):
        gateway.upload(content(), label="photos/a.jpg")


def test_a_listing_that_is_cut_is_damaged_and_shows_none_of_it(
    proxy: Proxy, gateway: Gateway, root: Cap
) -> None:
    mkdir(gateway, root, "a", "SDMF", label="a")
    proxy.clear()
    proxy.rule(anything, CutBody(after=400))
    with failing(DamagedDownload, root, says="too early"):
        gateway.list(root, label="photos/a.jpg")
    assert proxy.seen[0].received > 400


def test_a_response_that_is_cut_shows_none_of_it(
    proxy: Proxy, gateway: Gateway, root: Cap
) -> None:
    """One that was done, of a directory linked nowhere, and one that came for long."""
    long = SendResponse(200, {"Content-Length": "99999"}, root.uri.encode() * 700)
    for action in (CutBody(60), long):
        proxy.rule(anything, action)
        with failing(DamagedDownload, root, says="too early"):
            mkdir(gateway, root, "a", "SDMF", label="photos/a.jpg")
    assert list(children_of(gateway, root)) == []


def test_an_error_of_which_the_text_is_cut_is_told_by_its_status(
    proxy: Proxy, gateway: Gateway, root: Cap
) -> None:
    proxy.rule(anything, SendResponse(410, {"Content-Length": "99"}, b"NoShares"))
    with failing(NotEnoughShares, root, says="Try again"):
        gateway.list(root, label="photos/a.jpg")


def test_a_listing_with_a_broken_end_shows_none_of_it(
    proxy: Proxy, gateway: Gateway, tahoe_grid: LocalGrid, root: Cap
) -> None:
    mkdir(gateway, root, "a", "SDMF", label="a")
    url = f"{tahoe_grid.base_url}/uri/{root.uri}?t=json"
    body = requests.get(url, timeout=60).content
    proxy.rule(anything, SendResponse(body=body[:-10] + b"}}]"))
    with failing(UnexpectedResponse, root, says="is it a Tahoe-LAFS node"):
        gateway.list(root, label="photos/a.jpg")


def test_a_response_that_quotes_caps_is_told_without_them(
    proxy: Proxy, gateway: Gateway, root: Cap
) -> None:
    trace = f"Traceback (most recent call last):\n  x\nOddError: {root.uri} is odd"
    proxy.rule(anything, SendResponse(500, {}, trace.encode()))
    with failing(UnexpectedResponse, root, says=r"OddError: URI:\*\*\* is odd"):
        mkdir(gateway, root, "a", "SDMF", label="photos/a.jpg")
