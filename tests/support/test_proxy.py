"""The proxy of the tests: that it does what the other tests believe it does."""

from __future__ import annotations

import os
import threading

import pytest
import requests
import urllib3

from tahoestorage.testing.grid import LocalGrid
from tests.support.proxy import (
    CutBody,
    Hold,
    HoldRequest,
    LoseResponse,
    Proxy,
    Refuse,
    Seen,
    SendResponse,
    Stall,
    StallRequest,
)

CONTENT = os.urandom(300_000)


def anything(seen: Seen) -> bool:
    return True


def put(url: str, content: bytes = CONTENT) -> str:
    return requests.put(f"{url}/uri", data=content, timeout=60).text


def test_passes_requests_and_answers_on_and_counts_their_bodies(proxy: Proxy) -> None:
    chunks = [CONTENT[:100_000], CONTENT[100_000:]]
    with requests.Session() as session:
        cap = session.put(f"{proxy.url}/uri", data=iter(chunks), timeout=60).text
        body = session.get(f"{proxy.url}/uri/{cap}", timeout=60).content
    assert body == CONTENT
    assert [(s.method, s.status, s.sent, s.received) for s in proxy.seen] == [
        ("PUT", 200, len(CONTENT), len(cap)),
        ("GET", 200, 0, len(CONTENT)),
    ]
    assert proxy.seen[1].path == f"/uri/{cap}"
    assert proxy.connections == 1


def test_a_lost_response_is_of_something_that_was_done(
    proxy: Proxy, tahoe_grid: LocalGrid
) -> None:
    root = tahoe_grid.create_root().uri
    target = f"{proxy.url}/uri/{root}?t=mkdir&name=a"
    proxy.rule(anything, LoseResponse())
    with pytest.raises(requests.ConnectionError):
        requests.post(target, timeout=60)
    listing = requests.get(f"{proxy.url}/uri/{root}?t=json", timeout=60).json()
    assert "a" in listing[1]["children"]
    assert proxy.seen[0].status == 200


def test_a_refused_request_never_comes_to_the_gateway(proxy: Proxy) -> None:
    proxy.rule(lambda seen: seen.method == "PUT", Refuse())
    with pytest.raises(requests.ConnectionError):
        put(proxy.url)
    assert proxy.seen[0].status is None
    assert put(proxy.url).startswith("URI:CHK:")


@pytest.mark.parametrize("after", [0, 1, 70_000])
def test_a_body_is_cut_after_as_many_bytes(proxy: Proxy, after: int) -> None:
    cap = put(proxy.url)
    proxy.rule(lambda seen: seen.method == "GET", CutBody(after))
    response = requests.get(f"{proxy.url}/uri/{cap}", timeout=60, stream=True)
    with response:
        assert response.raw.read(after) == CONTENT[:after]
        with pytest.raises(urllib3.exceptions.ProtocolError):
            response.raw.read()


def test_what_is_stalled_comes_whole_in_the_end(proxy: Proxy) -> None:
    proxy.rule(anything, StallRequest(0.2, after=1000))
    proxy.rule(anything, Stall(0.2))
    proxy.rule(anything, Stall(0.2, after=1000))
    cap = put(proxy.url)
    for _ in range(2):
        assert requests.get(f"{proxy.url}/uri/{cap}", timeout=60).content == CONTENT


@pytest.mark.parametrize(
    "stall", [Stall(30), Stall(30, after=10), StallRequest(30, after=1000)]
)
def test_what_is_stalled_does_not_come_sooner(
    proxy: Proxy, stall: Stall | StallRequest
) -> None:
    proxy.rule(anything, stall)
    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        requests.put(f"{proxy.url}/uri", data=CONTENT * 50, timeout=0.3)


def test_a_held_answer_waits_for_its_event(proxy: Proxy) -> None:
    event, caps = threading.Event(), list[str]()
    rule = proxy.rule(anything, Hold(event))
    thread = threading.Thread(target=lambda: caps.append(put(proxy.url)))
    thread.start()
    assert rule.reached.wait(60)
    assert proxy.seen[0].status == 200
    assert not caps
    event.set()
    thread.join()
    assert caps[0].startswith("URI:CHK:")


def test_a_held_request_is_unknown_to_the_gateway_until_then(proxy: Proxy) -> None:
    event = threading.Event()
    rule = proxy.rule(anything, HoldRequest(event))
    thread = threading.Thread(target=put, args=(proxy.url,))
    thread.start()
    assert rule.reached.wait(60)
    assert proxy.seen[0].status is None
    event.set()
    thread.join()
    assert proxy.seen[0].status == 200


def test_a_response_is_made_up_as_often_as_said(proxy: Proxy) -> None:
    response = SendResponse(418, {"X-Pot": "yes"}, iter([b"tea", b"pot"]))
    proxy.rule(anything, response, times=1)
    proxy.rule(anything, SendResponse(body=b"short", headers={"Content-Length": "9"}))
    first = requests.put(f"{proxy.url}/uri", data=CONTENT, timeout=60)
    assert (first.status_code, first.content) == (418, b"teapot")
    assert first.headers["X-Pot"] == "yes"
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(proxy.url, timeout=60)
    assert put(proxy.url).startswith("URI:CHK:")
