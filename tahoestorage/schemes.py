"""Finds out whether a port speaks http or https, for the error when it is wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
import warnings
from collections.abc import Callable
from urllib.parse import urlsplit

PROBE_SECONDS = 1.0
"""How long a port is asked at most which of the two it speaks."""

# OpenSSL's reasons when the other side does not speak TLS at all.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


class NoTLS(ssl.SSLError):
    """The server speaks http where TLS was expected."""


def spoken_instead(url: str) -> str | None:
    """Return ``url`` with the other scheme where that is what its port speaks.

    None for a port that speaks the URL's own scheme, or neither. Raises nothing.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme == "http" and speaks_tls(host, port or 80, PROBE_SECONDS):
        return f"https:{url.partition(':')[2]}"
    if parts.scheme == "https" and speaks_http(host, port or 443, PROBE_SECONDS):
        return f"http:{url.partition(':')[2]}"
    return None


def wrong_scheme(url: str, other: str, option: str) -> str:
    """Return what an error says where ``other`` is spoken in place of ``url``."""
    schemes = [each.partition(":")[0] for each in (other, url)]
    spoken = " and not ".join(schemes)
    return f"what listens at {url} speaks {spoken}; set {option} to {other}"


def speaks_http(host: str, port: int, seconds: float) -> bool:
    """Whether a port speaks http without TLS. Takes ``seconds``, and raises nothing."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, port), seconds) as connection,
    ):
        connection.settimeout(seconds)
        connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        start = connection.recv(12)
        # Servers that speak TLS there respond with 400, in the clear.
        return start.startswith(b"HTTP/") and start[9:] != b"400"
    return False


def speaks_tls(host: str, port: int, seconds: float) -> bool:
    """Whether a port speaks TLS within ``seconds``. Sends no request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), seconds) as connection:
            connection.settimeout(seconds)
            with context.wrap_socket(connection, server_hostname=host):
                return True
    except ssl.SSLEOFError:
        return False
    except ssl.SSLError as error:
        # An alert is TLS too.
        return not is_no_tls(error)
    except (OSError, ValueError):
        return False


def reasons_of(error: BaseException) -> list[BaseException]:
    """Return an error and the errors that caused it, eight at most."""
    found = [error]
    while len(found) < 8:
        last = found[-1]
        inner = getattr(last, "reason", None) or last.__cause__ or last.__context__
        inner = inner or next((a for a in last.args if isinstance(a, Exception)), None)
        if not isinstance(inner, Exception) or inner in found:
            break
        found.append(inner)
    return found


def is_no_tls(error: BaseException) -> bool:
    """Whether an error means that the other side does not speak TLS."""
    return isinstance(error, NoTLS) or (
        isinstance(error, ssl.SSLError) and error.reason in _NO_TLS
    )


def __getattr__(name: str) -> Callable[[str, str, str], str]:
    """Return what was called otherwise before 0.2.0, with a DeprecationWarning."""
    if name != "told":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "tahoestorage.schemes.told is called wrong_scheme now",
        DeprecationWarning,
        stacklevel=2,
    )
    return wrong_scheme
