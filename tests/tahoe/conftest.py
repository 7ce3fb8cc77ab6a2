"""What tests of gateways share: what stands before them, and can fail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tahoestorage.testing.grid import LocalGrid
from tests.support.proxy import Proxy


@pytest.fixture
def proxies(two_gateways: LocalGrid) -> Iterator[list[Proxy]]:
    """A proxy before each gateway."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Proxy(url)) for url in two_gateways.base_urls]
