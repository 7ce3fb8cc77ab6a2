"""The bodies of answers, and what may go wrong with a request, in our words."""

from __future__ import annotations

from collections.abc import Iterator

import requests
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    UnexpectedAnswer,
)

BLOCK = 1 << 16
_TEXT_LIMIT = 1 << 16


def blocks(answer: requests.Response, what: str, where: str) -> Iterator[bytes]:
    """Yield a body block by block. Raises DamagedDownload where it is cut."""
    fault: GatewayError | None = None
    block = b""
    try:
        while block := answer.raw.read(BLOCK, decode_content=False):
            yield block
    except (HTTPError, OSError) as error:
        fault = mapped(error, what, where)
        if isinstance(fault, GatewayUnreachable):
            fault = DamagedDownload(f"{what}: the gateway ended its answer too early")
    if fault is not None:
        # Tracebacks show variables, and listings are full of caps.
        block = b""
        raise fault


def read_text(
    answer: requests.Response, what: str, where: str, limit: int = _TEXT_LIMIT
) -> str:
    """Return a body that is short, or its start."""
    held = block = b""
    try:
        for block in blocks(answer, what, where):
            held += block
            if len(held) > limit:
                break
        return held.decode("utf-8", "replace")
    finally:
        held = block = b""


def mapped(error: Exception, what: str, where: str) -> GatewayError:
    """Return our error for one of requests' or urllib3's, without their text."""
    reasons = [error]
    while len(reasons) < 8:
        last = reasons[-1]
        inner = getattr(last, "reason", None) or last.__cause__ or last.__context__
        inner = inner or next((a for a in last.args if isinstance(a, Exception)), None)
        if not isinstance(inner, Exception) or inner in reasons:
            break
        reasons.append(inner)

    def is_a(*kinds: type[Exception]) -> bool:
        return any(isinstance(reason, kinds) for reason in reasons)

    if is_a(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return GatewayUnreachable(
            f"{what}: the gateway at {where} can't be reached in time; is it running?"
        )
    if is_a(requests.exceptions.SSLError):
        return GatewayUnreachable(
            f"{what}: the gateway at {where} shows a certificate that is not trusted"
        )
    if is_a(requests.exceptions.ReadTimeout, ReadTimeoutError, TimeoutError):
        return GatewayTimeout(
            f"{what}: the gateway at {where} did not answer in time; what was asked "
            "may be done all the same"
        )
    if is_a(
        requests.exceptions.ChunkedEncodingError, urllib3.exceptions.IncompleteRead
    ):
        return DamagedDownload(f"{what}: the gateway ended its answer too early")
    if is_a(requests.exceptions.ConnectionError, urllib3.exceptions.ProtocolError):
        return GatewayUnreachable(
            f"{what}: no answer from the gateway at {where}; is it running there?"
        )
    return UnexpectedAnswer(
        f"{what}: the gateway at {where} can't be spoken to ({type(error).__name__})"
    )
