"""The bodies of responses, read with care."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import requests

from tahoestorage.exceptions import (
    DamagedDownload,
    GatewayUnreachable,
    InvalidCap,
    StoreError,
    UnexpectedResponse,
)
from tahoestorage.redaction import Secret
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.errors import ERRORS, error_for, is_timeout, mapped
from tahoestorage.tahoe.transport import Transport

BLOCK = 1 << 16
_TEXT_LIMIT = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_LENGTH = re.compile(r"\d{1,18}")

Response = requests.Response
"""A response whose body is still to be read, for those who need not know HTTP."""


def blocks(
    response: requests.Response, label: str, transport: Transport
) -> Iterator[bytes]:
    """Yield a body block by block. Raises DamagedDownload where it is cut.

    And GatewayTimeout where it stalls: the ``transport`` by which it came is told.
    """
    failure: StoreError | None = None
    timed_out = False
    block = b""
    try:
        while block := response.raw.read(BLOCK, decode_content=False):
            yield block
    except ERRORS as error:
        failure = mapped(error, label, transport.base_url)
        timed_out = is_timeout(error)
        if isinstance(failure, GatewayUnreachable):
            failure = DamagedDownload(
                f"{label}: the gateway ended its answer too early"
            )
    if failure is not None:
        # Tracebacks show variables, and listings are full of caps.
        block = b""
        if timed_out:
            transport.timed_out()
        raise failure


def length_of(response: requests.Response) -> int | None:
    """Return how long a body is, in bytes, if that is told."""
    found = _LENGTH.fullmatch(response.headers.get("Content-Length", ""))
    return found and int(found[0])


def part_of(response: requests.Response) -> tuple[int, int, int] | None:
    """Return the first and last byte of a part, and the size of the whole, if told."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return found and (int(found[1]), int(found[2]), int(found[3]))


def read_text(
    response: requests.Response,
    label: str,
    transport: Transport,
    limit: int = _TEXT_LIMIT,
) -> str:
    """Return a body that is short, or its start."""
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
        f"{label}: the answer is not a cap; is it a Tahoe-LAFS node at "
        f"{transport.base_url}?"
    )


def read_directory(
    response: requests.Response, label: str, transport: Transport
) -> Cap:
    """Return the write cap of a directory that is the body."""
    cap = read_cap(response, label, transport)
    if not (cap.is_directory and cap.is_writable):
        raise UnexpectedResponse(
            f"{label}: no directory was made; is it a Tahoe-LAFS node at "
            f"{transport.base_url}?"
        )
    return cap


def checked(
    response: requests.Response,
    label: str,
    transport: Transport,
    passing: tuple[int, ...] = (),
) -> requests.Response:
    """Return a response that is no error. Raises what it means otherwise.

    Those of the statuses ``passing`` are returned too.
    """
    status = response.status_code
    if status in (200, 201, 206, *passing):
        return response
    with response:
        try:
            text = read_text(response, label, transport)
        except StoreError:
            text = ""
    raise error_for(status, text, label)
