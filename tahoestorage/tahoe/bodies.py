"""The bodies of responses, read with limits.

What a status means, a 409 for one, ``errors`` has; ``links`` acts on it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import requests

from tahoestorage import metering
from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayUnreachable,
    InvalidCap,
    StoreError,
    UnexpectedResponse,
)
from tahoestorage.redaction import Secret
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.errors import (
    LIBRARY_ERRORS,
    error_from_exception,
    error_from_response,
    is_timeout,
)
from tahoestorage.tahoe.transport import Transport

BLOCK = 1 << 16
_TEXT_LIMIT = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_LENGTH = re.compile(r"\d{1,18}")

Response = requests.Response
"""A response whose body is still to be read, for modules that import no HTTP client."""


def blocks(
    response: requests.Response, label: str, transport: Transport
) -> Iterator[bytes]:
    """Yield a body in blocks of at most ``BLOCK`` bytes.

    Raises DamagedDownload where the connection ends before the body does (RFC 9112,
    section 8), and GatewayTimeout where it is too slow, which ``transport`` is then
    informed of.
    """
    failure: StoreError | None = None
    timed_out = False
    block = b""
    try:
        while block := response.raw.read(BLOCK, decode_content=False):
            metering.meter.transferred("received", len(block))
            yield block
    except LIBRARY_ERRORS as error:
        failure = error_from_exception(error, label, transport.base_url)
        timed_out = is_timeout(error)
        if isinstance(failure, GatewayUnreachable):
            failure = DamagedDownload(
                f"{label}: the gateway ended its response too early"
            )
    if failure is not None:
        # Tracebacks show variables, and listings are full of caps.
        block = b""
        if timed_out:
            transport.timed_out()
        raise failure


def length_of(response: requests.Response) -> int | None:
    """Return the Content-Length (RFC 9110, 8.6), in bytes; None without a valid one."""
    found = _LENGTH.fullmatch(response.headers.get("Content-Length", ""))
    return found and int(found[0])


def part_of(response: requests.Response) -> tuple[int, int, int] | None:
    """Return the Content-Range (RFC 9110, 14.4): first byte, last byte, size in all.

    None without a valid one.
    """
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return found and (int(found[1]), int(found[2]), int(found[3]))


def read_text(
    response: requests.Response,
    label: str,
    transport: Transport,
    limit: int = _TEXT_LIMIT,
) -> str:
    """Return a body as text; of one longer than ``limit`` bytes, only its start.

    Raises what ``blocks`` does.
    """
    held = block = b""
    try:
        for block in blocks(response, label, transport):
            held += block
            if len(held) > limit:
                break
        # Whatever it is, error pages show it.
        return Secret(held.decode("utf-8", "replace"))
    finally:
        held = block = b""


def read_cap(response: requests.Response, label: str, transport: Transport) -> Cap:
    """Return the cap that is the body. Raises UnexpectedResponse for anything else."""
    with contextlib.suppress(InvalidCap):
        return Cap.parse(read_text(response, label, transport).strip())
    raise UnexpectedResponse(
        f"{label}: the response is not a cap; is it a Tahoe-LAFS node at "
        f"{transport.base_url}?"
    )


def read_directory(
    response: requests.Response, label: str, transport: Transport
) -> Cap:
    """Return the directory's write cap that is the body.

    Raises UnexpectedResponse for anything else.
    """
    cap = read_cap(response, label, transport)
    if not (cap.is_directory and cap.is_writable):
        raise UnexpectedResponse(
            f"{label}: no directory was made; is it a Tahoe-LAFS node at "
            f"{transport.base_url}?"
        )
    return cap


def require_success(
    response: requests.Response,
    label: str,
    transport: Transport,
    accepted: tuple[int, ...] = (),
) -> requests.Response:
    """Return a response of status 200, 201, 206 or one in ``accepted``.

    Any other is read and closed. Raises the error that it means.
    """
    status = response.status_code
    if status in (200, 201, 206, *accepted):
        return response
    with response:
        try:
            text = read_text(response, label, transport)
        except StoreError:
            text = ""
    raise error_from_response(status, text, label)
