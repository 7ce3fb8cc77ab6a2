"""What the tests of the read-only proxy share: nginx before a gateway, once a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tahoestorage.testing.grid import LocalGrid
from tests.support.nginx_server import RunningProxy, public_proxy
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def gateway(tahoe_grid: LocalGrid) -> Iterator[Proxy]:
    """A proxy before the gateway, which records what nginx asks for."""
    with Proxy(tahoe_grid.base_url) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def proxy(
    gateway: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    """nginx, as ``tahoe_nginx`` has it for this gateway."""
    with public_proxy(tmp_path_factory.mktemp("nginx"), gateway.url) as proxy:
        yield proxy
