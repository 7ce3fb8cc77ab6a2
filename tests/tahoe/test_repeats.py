"""What is asked of a gateway again, and for how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tahoestorage.exceptions import GatewayError, GatewayUnreachable
from tahoestorage.tahoe import connections
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tests.support.ports import free_port
from tests.support.proxy import Proxy, Seen, SendResponse


def test_a_refused_connection_is_tried_again(
    root: Cap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that is just started anew refuses; that takes no time."""
    tried: list[str] = []
    usual = connections._GatewayConnection.connect

    def connect(self: Any) -> None:
        tried.append(self.host)
        usual(self)

    monkeypatch.setattr(connections._GatewayConnection, "connect", connect)
    gateway = Gateway(f"http://127.0.0.1:{free_port()}", retries=2)
    with pytest.raises(GatewayUnreachable):
        gateway.list(root, label="a")
    assert len(tried) == 3
    gateway.close()


def test_a_repeated_request_waits_for_no_longer_than_is_left(
    proxy: Proxy, root: Cap, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, waited = [1000.0], list[float]()
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(connections, "time", clock)
    usual = connections._GatewayConnection.getresponse

    def noted(self: Any) -> Any:
        waited.append(self.timeout)
        return usual(self)

    monkeypatch.setattr(connections._GatewayConnection, "getresponse", noted)

    def late(seen: Seen) -> bool:
        now[0] += 50
        return True

    proxy.rule(late, SendResponse(503, {}, b"no"), times=None)
    gateway = Gateway(proxy.url, connect_timeout=10, read_timeout=60, retries=5)
    with pytest.raises(GatewayError):
        gateway.list(root, label="slow")
    # 70 seconds for all of them: the second one has the 20 that are left.
    assert waited == [60, 20]
    gateway.close()
