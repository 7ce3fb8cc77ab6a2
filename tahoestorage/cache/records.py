"""A page as it leaves the process: sealed, with its expiry and epoch bound to it."""

from __future__ import annotations

import struct

from tahoestorage.cache.pages import Page
from tahoestorage.cache.sealing import Namespace

_HEADER = struct.Struct(">BdQ")
_VERSION = 1


def close_page(
    namespace: Namespace, key: bytes, page: Page, expiry: float, epoch: int
) -> bytes:
    """Return the bytes to be kept at ``key``."""
    header = _HEADER.pack(_VERSION, expiry, epoch)
    return header + namespace.seal.close(page.pack(), key + header)


def open_page(
    namespace: Namespace, key: bytes, sealed: bytes, epoch: int
) -> tuple[float, Page] | None:
    """Return expiry and page, or None for what was not closed so in this epoch."""
    if len(sealed) < _HEADER.size:
        return None
    header = sealed[: _HEADER.size]
    version, expiry, closed_in = _HEADER.unpack(header)
    if version != _VERSION or closed_in != epoch:
        return None
    opened = namespace.seal.open(sealed[_HEADER.size :], key + header)
    return None if opened is None else (expiry, Page.unpack(opened))
