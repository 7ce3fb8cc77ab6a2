"""Whether http or https is spoken at a port, for the error when it is the other one."""

from __future__ import annotations

import contextlib
import socket
import ssl

# OpenSSL's reasons when the other side does not speak TLS at all.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")


class NoTLS(ssl.SSLError):
    """The server speaks http where TLS was expected."""


def speaks_http(host: str, port: int, seconds: float) -> bool:
    """Whether a port answers http without TLS within ``seconds``. Raises nothing."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host, port), seconds) as connection,
    ):
        connection.settimeout(seconds)
        connection.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        start = connection.recv(12)
        # Servers that speak TLS there answer 400, in the clear.
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


def is_no_tls(error: BaseException) -> bool:
    """Whether an error means that the other side does not speak TLS."""
    return isinstance(error, NoTLS) or (
        isinstance(error, ssl.SSLError) and error.reason in _NO_TLS
    )
