"""Our error for each status of a response, such as 409, and each library's exception.

Libraries' own texts hold URLs, which are caps.
"""

from __future__ import annotations

import functools
import http.client
import re

import requests
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from tahoestorage.exceptions import (
    DamagedDownload,
    FileMissing,
    GatewayTimeout,
    GatewayUnreachable,
    NameTaken,
    NotEnoughServers,
    NotEnoughShares,
    ParentIsFile,
    ReadOnly,
    StoreError,
    UnexpectedResponse,
    WriteCollision,
)
from tahoestorage.redaction import redact_quoted
from tahoestorage.schemes import is_no_tls, reasons_of

# Whatever requests, urllib3 and http.client raise; those of requests are OSErrors.
LIBRARY_ERRORS = (HTTPError, http.client.HTTPException, OSError, ValueError)
# What nginx, Apache and Go say to http at a port for https.
_EXPECTS_TLS = re.compile(
    "sent to HTTPS port|plain HTTP to an SSL|HTTP request to an HTTPS server"
)
_TOO_FEW_SERVERS = (
    "the gateway reaches too few storage servers to place it safely; try again once "
    "they run, and see the gateway's welcome page for which are connected"
)
_TOO_FEW_SHARES = (
    "too few shares of it, or of a directory on the way, are reachable now; it is not "
    "known to be gone. Try again, and look at the storage servers. If no name works: "
    "is the root cap that of this grid? `manage.py check --deploy` looks"
)
_FULL = re.compile(r"[1-9]\d* placed none due to the server being full")
_ROOM = "Some say that they are full: make room on them"
_MESSAGES: tuple[tuple[str, type[StoreError | ReadOnly], str], ...] = (
    (
        "UncoordinatedWriteError",
        WriteCollision,
        "another gateway wrote to the same directory at the same time; "
        "let one gateway write, or give them a common lock",
    ),
    (
        "NotWriteableError",
        ReadOnly,
        "the directory is read-only; a write cap is needed to change it",
    ),
    ("UploadUnhappinessError", NotEnoughServers, _TOO_FEW_SERVERS),
    ("NoServersError", NotEnoughServers, _TOO_FEW_SERVERS),
    ("NotEnoughServersError", NotEnoughServers, _TOO_FEW_SERVERS),
    ("NotEnoughSharesError", NotEnoughShares, _TOO_FEW_SHARES),
    ("NoSharesError", NotEnoughShares, _TOO_FEW_SHARES),
    ("UnrecoverableFileError", NotEnoughShares, _TOO_FEW_SHARES),
)

_AWAY = GatewayUnreachable, "a proxy there does not reach the gateway; is that running?"
# The gateway may be at it: what changes something is not to be repeated unseen.
_LATE = (
    GatewayTimeout,
    "the gateway did not respond to a proxy there in time; what was asked may be done "
    "all the same",
)
# RFC 9110, sections 15.6.3 to 15.6.5. No gateway says these itself.
_BY_A_PROXY = {502: _AWAY, 503: _AWAY, 504: _LATE}


def error_from_response(status: int, text: str, label: str) -> Exception:
    """Return the error that a response of status ``status`` and body ``text`` means.

    ``label`` names the file in the message. FileMissing for a 404 or 400 of a gateway's
    own; NameTaken or ParentIsFile for a 409; else by the name of Tahoe's exception in
    the text; NotEnoughShares for a 410; GatewayUnreachable and GatewayTimeout for what
    a proxy before the gateway says of it; else UnexpectedResponse.

    Source: RFC 9110, section 15 (status codes); ``allmydata.web.common``, which maps
    Tahoe's exceptions to them.
    """
    # Any other server says 404 as well.
    if (status == 404 and "No such child" in text) or (
        status == 400 and "Files have no children" in text
    ):
        return FileMissing(f"{label}: there is no such file")
    if status == 409:
        if "a file was in the way" in text:
            return ParentIsFile(f"{label}: a file is in the way of its directory")
        return NameTaken(f"{label}: the name is taken")
    if text.startswith("Traceback"):
        # What follows its last indented line is the error; the rest is source code.
        text = re.split(r"\n\s[^\n]*", text)[-1]
    for saying, kind, meaning in _MESSAGES:
        if saying in text:
            if kind is NotEnoughServers and _FULL.search(text):
                meaning += f". {_ROOM}"
            return kind(f"{label}: {meaning}")
    if status == 410:
        return NotEnoughShares(f"{label}: {_TOO_FEW_SHARES}")
    if 300 <= status < 400:
        return UnexpectedResponse(
            f"{label}: the address of the gateway redirects elsewhere; "
            "set base_url to where the gateway itself listens"
        )
    if status == 429:
        return UnexpectedResponse(
            f"{label}: what listens at base_url takes no more requests for now (429); "
            "let the proxy before the gateway set no such limit for this site"
        )
    if status == 400 and _EXPECTS_TLS.search(text):
        return GatewayUnreachable(
            f"{label}: what listens at base_url speaks https and not http; "
            "let base_url begin with https"
        )
    quoted = redact_quoted(" ".join(re.sub("<[^<>]*>", " ", text).split()))[:200]
    if status in _BY_A_PROXY:
        kind, meaning = _BY_A_PROXY[status]
        said = f"responded with {status}: {quoted or 'nothing'}"
        return kind(f"{label}: what listens at base_url {said}; {meaning}")
    return UnexpectedResponse(
        f"{label}: what listens at base_url responded with {status}, as no Tahoe-LAFS "
        f"gateway should: {quoted or 'nothing'}"
    )


def is_timeout(error: Exception) -> bool:
    """Whether an error is a time-out; a refused connection is none."""
    reasons = reasons_of(error)
    return not _any(reasons, urllib3.exceptions.NewConnectionError) and _any(
        reasons,
        requests.exceptions.Timeout,
        urllib3.exceptions.TimeoutError,
        TimeoutError,
    )


def is_hang_up(error: Exception) -> bool:
    """Whether the server took the connection, and then closed it or sent no HTTP."""
    return _any(reasons_of(error), http.client.BadStatusLine, ConnectionResetError)


def https_expected(label: str, where: str) -> GatewayUnreachable:
    """Return the error for a ``base_url`` of http, ``where``, that speaks TLS."""
    return GatewayUnreachable(
        f"{label}: what listens at {where} speaks https and not http; "
        f"set base_url to {_other_scheme(where)}"
    )


def _other_scheme(where: str) -> str:
    scheme, _, rest = where.partition(":")
    return f"{'http' if scheme == 'https' else 'https'}:{rest}"


def _any(reasons: list[BaseException], *kinds: type[Exception]) -> bool:
    return any(isinstance(reason, kinds) for reason in reasons)


def error_from_exception(error: Exception, label: str, where: str) -> StoreError:
    """Return our error for one of ``LIBRARY_ERRORS``, without its text.

    ``label`` names the file, and ``where`` is the gateway's address, for the message.
    """
    is_a = functools.partial(_any, reasons_of(error))
    if is_a(urllib3.exceptions.NewConnectionError):
        return GatewayUnreachable(
            f"{label}: nothing responds at {where}; is the gateway running there?"
        )
    if is_a(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return GatewayUnreachable(
            f"{label}: the gateway at {where} can't be reached in time; is it running?"
        )
    if any(map(is_no_tls, reasons_of(error))):
        return GatewayUnreachable(
            f"{label}: what listens at {where} speaks http and not https; "
            f"set base_url to {_other_scheme(where)}"
        )
    if is_a(requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return GatewayUnreachable(
            f"{label}: TLS with the gateway at {where} fails; is its certificate one "
            "that is trusted here?"
        )
    if is_a(requests.exceptions.ReadTimeout, ReadTimeoutError, TimeoutError):
        return GatewayTimeout(
            f"{label}: the gateway at {where} did not respond in time; what was asked "
            "may be done all the same"
        )
    if is_a(
        requests.exceptions.ChunkedEncodingError, urllib3.exceptions.IncompleteRead
    ):
        return DamagedDownload(f"{label}: the gateway ended its response too early")
    if is_a(http.client.BadStatusLine) and not is_a(http.client.RemoteDisconnected):
        return UnexpectedResponse(
            f"{label}: what listens at {where} does not speak HTTP; check base_url"
        )
    if is_a(requests.exceptions.ConnectionError, urllib3.exceptions.ProtocolError):
        return GatewayUnreachable(
            f"{label}: no response from the gateway at {where}; is it running there?"
        )
    return UnexpectedResponse(
        f"{label}: the gateway at {where} can't be spoken to ({type(error).__name__})"
    )
