"""What the read-only proxy must not let pass, from a visitor who tries everything.

Each request goes over a connection of its own, byte for byte as it stands here, to a
real nginx in front of a real gateway.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.support.nginx_server import RunningProxy
from tests.support.proxy import Proxy

CONTENT = b"What visitors may read, if they have its cap. " * 3
REFUSALS = {
    403: {b"This request is refused.\n", b"Nothing is taken here.\n"},
    404: {b"There is no such file.\n"},
    405: {b"Only GET and HEAD are allowed.\n"},
}
METHODS = (
    *("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"),
    *("MKCOL", "COPY", "MOVE", "LOCK", "PURGE", "SEARCH", "get", "Get", "HEAd", "GETT"),
)


@pytest.fixture(scope="module")
def caps(tahoe_grid: LocalGrid) -> dict[str, str]:
    """Caps of every kind, of what is there to be read, written and listed."""
    session = requests.Session()
    session.trust_env = False
    address = tahoe_grid.base_url + "/uri"

    def put(query: str = "", data: bytes = CONTENT) -> str:
        return session.put(address + query, data=data, timeout=30).text

    def made(query: str) -> str:
        return session.post(f"{address}?t=mkdir{query}", timeout=30).text

    found = {
        "chk": put(),
        "lit": put(data=b"short"),
        "ssk": put("?format=sdmf"),
        "mdmf": put("?format=mdmf"),
        "dir2": made(""),
        "dir2-mdmf": made("&format=mdmf"),
    }
    for name in ("ssk", "mdmf", "dir2", "dir2-mdmf"):
        found[f"{name}-ro"] = Cap.parse(found[name]).read_only.uri
    return found


def never_let_pass(caps: dict[str, str]) -> Iterator[str]:
    """Yield the caps that no visitor may use."""
    yield from (uri for name, uri in caps.items() if name not in {"chk", "lit"})
    chk = caps["chk"]
    _, _, key, fingerprint, needed, total, size = chk.split(":")
    yield f"URI:CHK-Verifier:{key}:{fingerprint}:{needed}:{total}:{size}"
    yield f"URI:DIR2-CHK:{key}:{fingerprint}:{needed}:{total}:{size}"
    yield "URI:DIR2-LIT:"
    yield "URI:DIR2-LIT:gqytulbrfuzdaljr"
    for kind in ("SSK", "DIR2", "MDMF", "DIR2-MDMF"):
        yield f"URI:{kind}-Verifier:{key}:{fingerprint}"
    yield from (f"{prefix}{chk}" for prefix in ("ro.", "imm.", "x-tahoe-crazy://", " "))
    yield from (chk.upper(), chk.lower(), chk.replace("CHK", "Chk"), chk[:-1] + "x")
    yield from (f"{chk}:", f"{chk}:9", chk.replace(":", "::"), chk.replace(":", ";"))
    yield f"URI:CHK:{key[:-1]}:{fingerprint}:{needed}:{total}:{size}"
    yield f"URI:CHK:{key}a:{fingerprint}:{needed}:{total}:{size}"
    yield f"URI:CHK:{key[:-1]}b:{fingerprint}:{needed}:{total}:{size}"
    yield f"URI:CHK:{key}:{fingerprint}:0{needed}:{total}:{size}"
    yield f"URI:CHK:{key}:{fingerprint}:{needed}:{total}:0{size}"
    yield f"URI:CHK:{key}:{fingerprint}:{needed}:{total}:-1"
    yield f"URI:CHK:{key}:{fingerprint}:{needed}:{total}:{'9' * 30}"
    yield from ("URI:LIT:" + "a" * 96, "URI:LIT:a", "URI:LIT:a1", "URI:LIT:AE")
    yield from ("URI:FUTURE:abc", "URI:", "URI", "", "%", "*", "uri")


def hostile_targets(caps: dict[str, str]) -> Iterator[str]:
    """Yield targets, each of which is to be refused whatever the method is."""
    chk, dir2 = caps["chk"], caps["dir2"]
    once = quote(chk, safe="")
    twice = quote(once, safe="")
    good = f"/named/{once}/a.txt"

    for uri in never_let_pass(caps):
        for cap in dict.fromkeys((uri.replace(" ", "%20"), quote(uri, safe=""))):
            yield from (f"/named/{cap}/a.txt", f"/file/{cap}/@@named=/a.txt")
            yield from (f"/uri/{cap}", f"/uri/{cap}/", f"/uri?uri={cap}")
    # A cap that may pass, at addresses that may not.
    for cap in (chk, once):
        yield from (f"/uri/{cap}", f"/uri/{cap}/a.txt", f"/uri?uri={cap}", f"/{cap}")
        yield from (f"/cap/{cap}", f"/cap/{cap}/a.txt", f"/named/{cap}", f"/file/{cap}")
        yield from (f"/named/{cap}/", f"/named/{cap}/a/b", f"/named/{cap}//a.txt")
        yield from (f"/named//{cap}/a.txt", f"//named/{cap}/a.txt", f"named/{cap}/a")
        yield from (f"/NAMED/{cap}/a.txt", f"/Named/{cap}/a.txt", f"/File/{cap}/a.txt")
        yield from (f"/x/named/{cap}/a.txt", f"/named/x/{cap}/a.txt")
        yield from (f"/./named/{cap}/a.txt", f"/x/../named/{cap}/a.txt")
        yield from (f"/%6Eamed/{cap}/a.txt", f"/%2Fnamed/{cap}/a.txt")
        yield from (f"/named%2F{cap}/a.txt", f"/named/{cap}%2Fa.txt")
        yield from (f"\\named\\{cap}\\a.txt", f"/named\\{cap}/a.txt")
        yield from (f"/named/{cap}/@@named=/", f"/named/{cap}/@@named=/a/b")
        yield from (f"/named/{cap}/@@named=/@@named=/a", f"/named/ {cap}/a.txt")
        for host in ("http://127.0.0.1", "https://evil.example", "HTTP://u:p@h:80"):
            yield f"{host}/named/{cap}/a.txt"
    # The same cap, quoted in other ways.
    yield from (f"/named/{twice}/a.txt", f"/named/{quote(twice, safe='')}/a.txt")
    yield f"/named/{once.replace('%3A', '%3a')}/a.txt"
    yield f"/named/{chk.replace('URI', '%55RI')}/a.txt"
    yield f"/named/{chk[:12]}%{ord(chk[12]):02X}{chk[13:]}/a.txt"
    yield f"/named/{chk.replace(':', '%253A')}/a.txt"
    yield f"/named/{chk.replace(':', '%uFF1A')}/a.txt"
    yield f"/named/{chk.replace(':', '%C0%BA')}/a.txt"
    yield f"/named/{chk}%00/a.txt"
    yield f"/named/{chk}%0A/a.txt"
    # What follows the cap.
    for verb in ("json", "info", "check", "deep-check", "upload", "mkdir", "unlink"):
        yield from (f"{good}?t={verb}", f"{good}?T={verb}", f"{good}?%74={verb}")
        yield from (f"{good}%3Ft={verb}&x=?t={verb}", f"{good}?a=b&t={verb}")
        yield f"/named/{once}?t={verb}"
    yield from (f"{good}?", f"{good}?save=true", f"{good}?filename=x.html", f"{good}#x")
    yield from (f"{good}?uri={quote(dir2, safe='')}", f"{good}?when_done=http://evil")
    steps = ["..", ".", "%2E%2E", "%2e%2e", ".%2e", "%252e%252e", "%252E", "..%00"]
    steps += ["..%2f", "..%5c", "..\\", "%c0%ae%c0%ae", "%uff0e", "..;", "....//"]
    for step in steps:
        yield from (f"{good}/{step}/{step}/uri", f"/named/{once}/{step}/a.txt")
        yield from (f"/named/{step}/uri/{once}", f"/{step}/uri/{quote(dir2, safe='')}")
        if step != "..;":
            yield f"/named/{once}/{step}"
    letters = [
        "%00",
        "%0A",
        "%0D%0A",
        "%1B",
        "%7F",
        "%2F",
        "%5C",
        "\\",
        "%",
        "%2",
        "%G",
    ]
    letters += [
        "%FF",
        "%C3",
        "%C3%28",
        "%C0%AF",
        "%ED%A0%80",
        "%F4%90%80%80",
        "%E2%82",
        "%41",
    ]
    letters += ["%7E", "%2D", "%5f", "%c3%a9", "%u0041", "%252F", "%2500", "%250a"]
    letters += [
        "%2525",
        "%255c",
        "\t",
        '"',
        "<",
        ">",
        "^",
        "`",
        "{",
        "|",
        "}",
        "[",
        "]",
    ]
    letters += ["\xff", "\xc3\xa9", "\x01", "\x7f"]
    for letter in letters:
        yield from (f"/named/{once}/{letter}a.txt", f"/named/{once}/a{letter}.txt")
        yield from (f"/named/{once}/a.txt{letter}", f"/file/{once}/@@named=/{letter}")
        yield f"/named/{letter}{once}/a.txt"
    # What else a gateway has.
    places = ["", "uri", "status", "statistics", "storage", "helper_status", "logs"]
    places += ["file", "named", "cap", "report_incident", "static", "css/new-tahoe.css"]
    places += ["operations/1", "introducer_weburl", "private", "storage-plugins", "@x"]
    places += ["refused", "@missing", "@away", "*", "nginx_status", "favicon.ico"]
    for place in places:
        yield from (f"/{place}", f"/{place}/", f"/{place}?t=json", f"/{place}/..")
        yield from (f"/named/../{place}", f"/named/%2e%2e/{place}")
    yield from ("*", "127.0.0.1:80", "gateway.example:443", "/" + "a" * 7000)
    yield from (
        f"/named/{once}/{'a' * 9000}",
        f"/named/{'a' * 40000}/a",
        good + "?" * 9,
    )


def matrix(caps: dict[str, str]) -> Iterator[bytes]:
    """Yield whole requests."""
    hostile = list(dict.fromkeys(hostile_targets(caps)))
    good = [f"/named/{quote(caps[kind], safe='')}/a.txt" for kind in ("chk", "lit")]
    good.append(f"/file/{caps['chk']}/@@named=/a.txt")

    def request(
        method: str,
        target: str,
        version: str = "HTTP/1.1",
        host: str = "files.example",
    ) -> bytes:
        head = f"{method} {target} {version}\r\nHost: {host}\r\n"
        return (head + "Connection: close\r\n\r\n").encode("latin-1")

    yield from (request(*pair) for pair in itertools.product(("GET", "HEAD"), hostile))
    yield from (request(*pair) for pair in itertools.product(METHODS, good))
    yield from (
        request(*pair) for pair in itertools.product(("POST", "PUT"), hostile[::3])
    )
    # The proxy's own second server is not easier to please.
    own = "tahoe-parts.invalid"
    yield from (request("GET", target, host=own) for target in hostile[::2])
    yield from (request(method, good[0], host=own) for method in METHODS)
    for target in good:
        yield f"GET {target}\r\n\r\n".encode()  # HTTP/0.9
        for version in ("HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTCPCP/1.0"):
            yield request("GET", target, version)
        yield from smuggled(f"GET {target} HTTP/1.1\r\nHost: files.example\r\n")


def smuggled(head: str) -> Iterator[bytes]:
    """Yield requests that may pass, but for the body that they bring, or their head."""
    inner = "POST /uri?t=mkdir HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    chunked = f"{len(inner):x}\r\n{inner}\r\n0\r\n\r\n"
    for headers, body in (
        (f"Content-Length: {len(inner)}", inner),
        ("Content-Length: 1", "x"),
        ("Transfer-Encoding: chunked", chunked),
        ("Transfer-Encoding: chunked", f"0\r\n\r\n{inner}"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", f"0\r\n\r\n{inner}"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", f"0\r\n\r\n{inner}"),
        ("Transfer-Encoding: xchunked", chunked),
        ("Transfer-Encoding: chunked, identity", chunked),
        ("Transfer-Encoding: identity", inner),
        ("Transfer-Encoding : chunked\r\nContent-Length: 3", f"0\r\n\r\n{inner}"),
        ("Content-Length: 0\r\nContent-Length: 66", inner),
        ("Content-Length: 66\r\nContent-Length: 66", inner),
        ("Content-Length: -1", inner),
        ("Content-Length: +5", inner),
        ("Content-Length: 5, 5", inner),
        ("Content-Length: 0x10", inner),
        (f"Content-Length: {'9' * 30}", inner),
        ("Content-Length: 7\r\nExpect: 100-continue", "x=y&t=z"),
        ("Host: other.example", ""),
        ("X-Long: " + "a" * 40000, ""),
    ):
        yield f"{head}{headers}\r\n\r\n{body}".encode()


def responses(
    address: tuple[str, int], request: bytes, come_from: str = "127.0.0.1"
) -> bytes:
    """Return all that comes back until the other side has nothing more to say."""
    with socket.create_connection(
        address, timeout=60, source_address=(come_from, 0)
    ) as connection:
        received = b""
        # What it does not want to read, it leaves, and resets the connection.
        with contextlib.suppress(ConnectionError):
            connection.sendall(request)
            while not whole(received, request):
                if not (block := connection.recv(65536)):
                    return received
                received += block
            connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(65536):
                received += block
        return received


def whole(received: bytes, request: bytes) -> bool:
    """Whether the first response is there."""
    head, end, body = after_continue(received).partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    return bool(end) and (
        request.startswith(b"HEAD ")
        or (length is not None and len(body) >= int(length[1]))
    )


def after_continue(received: bytes) -> bytes:
    return received.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")


def error(request: bytes, received: bytes) -> str | None:
    """Tell what is wrong with the first response to a hostile request."""
    if request.count(b"\r\n") == 2:  # HTTP/0.9 has no head
        return None if received in REFUSALS[403] else "answered in HTTP/0.9"
    head, _, body = after_continue(received).partition(b"\r\n\r\n")
    match = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    if match is None:
        return f"no answer of HTTP/1.1: {received[:60]!r}"
    status = int(match[1])
    if request.startswith(b"HEAD "):
        return None if status in REFUSALS else f"answered {status}"
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    assert length
    body = body[: int(length[1])]
    if body not in REFUSALS.get(status, ()):
        return f"answered {status} {body[:60]!r}"
    return None


def test_none_of_two_thousand_hostile_requests_reaches_the_gateway(
    proxy: RunningProxy, gateway: Proxy, caps: dict[str, str]
) -> None:
    tried = list(dict.fromkeys(matrix(caps)))
    assert len(tried) >= 2000

    found = {}
    for request in tried:
        if wrong := error(request, responses(proxy.address, request)):
            found[request[:200]] = wrong

    assert list(found.items()) == []
    print(len(tried))
    assert [seen.target for seen in gateway.seen] == []


def test_what_the_matrix_is_made_of_does_pass_as_it_is_meant(
    proxy: RunningProxy, gateway: Proxy, caps: dict[str, str]
) -> None:
    for kind, content in (("chk", CONTENT), ("lit", b"short")):
        target = f"/named/{quote(caps[kind], safe='')}/a.txt"
        request = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        head, _, body = responses(proxy.address, request.encode()).partition(
            b"\r\n\r\n"
        )
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == content
    assert len(gateway.seen) == 2
    gateway.seen.clear()


def test_only_the_proxy_itself_gets_to_its_second_server(
    proxy: RunningProxy, gateway: Proxy, caps: dict[str, str]
) -> None:
    target = f"/named/{quote(caps['chk'], safe='')}/a.txt"
    request = f"GET {target} HTTP/1.1\r\nHost: tahoe-parts.invalid\r\n\r\n".encode()
    assert error(request, responses(proxy.address, request, "127.0.0.2")) is None
    assert b" 404 Not Found\r\n" in responses(proxy.address, request, "127.0.0.2")
    assert gateway.seen == []


def test_no_log_has_a_cap(proxy: RunningProxy, caps: dict[str, str]) -> None:
    responses(proxy.address, f"GET /uri/{caps['dir2']} HTTP/1.1\r\n\r\n".encode())
    logs = "".join(log.read_text() for log in Path(proxy.directory).glob("*.log"))
    assert '"' in logs
    for uri in caps.values():
        assert not any(field in logs for field in uri.split(":") if len(field) > 6)
