"""Whoever sends a form: watched as the API watches the senders of its bodies.

A form that ends early is refused, as of its end the names of files may be missing.

Django reads forms before any view, also for the anonymous, and waits for them as long
as it takes: a few senders who stop would hold all threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from objects.pace import TooSlow, WatchedStream, watched

API = "/api/"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
"""What Django reads by itself, of all bodies."""
SLOW = "408 Request Timeout", b"The form came too slowly.\n"
SHORT = "400 Bad Request", b"The form ended too early.\n"
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WatchedInput:
    """The body of a request, whose sender is watched while it is waited for.

    It has ``length`` bytes. ``refusal`` is the status and the text of the response to a
    body that came too slowly, or not whole.
    """

    def __init__(self, stream: WatchedStream, length: int) -> None:
        self._stream, self._length = stream, length
        self.refusal: tuple[str, bytes] | None = None

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raises OSError where they come too slowly, or end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 16), b""))
        try:
            found = self._stream.read(size)
        except TooSlow as error:
            self.refusal = SLOW
            # As Django knows it of a connection that broke off.
            raise OSError(str(error)) from None
        taken = self._stream.taken
        if len(found) < size and taken < self._length:
            self.refusal = SHORT
            raise OSError(f"{taken} of {self._length} bytes arrived.")
        return found

    def readline(self, size: int = -1) -> bytes:
        """Return the next line, of at most so many bytes; Django asks for none."""
        found = bytearray()
        while (size < 0 or len(found) < size) and not found.endswith(b"\n"):
            if not (byte := self.read(1)):
                break
            found += byte
        return bytes(found)


class WatchedForms:
    """A WSGI application; who sends a form too slowly is cut off, and told by 408.

    A form that ends early is a 400.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        is_form = environ.get("CONTENT_TYPE", "").strip().lower().startswith(FORMS)
        is_api = environ.get("PATH_INFO", "").startswith(API)
        if connection is None or is_api or not is_form:
            return self._application(environ, start_response)
        # Through all of the form: Django reads it in many pieces.
        with watched(environ["wsgi.input"], connection) as stream:
            body = WatchedInput(stream, _length(environ))
            return self._watching(environ, start_response, body)

    def _watching(
        self,
        environ: dict[str, Any],
        start_response: Callable[..., Any],
        body: WatchedInput,
    ) -> Iterable[bytes]:
        def start(status: str, headers: Any, *error: Any) -> Any:
            if body.refusal is not None:
                status, text = body.refusal
                headers = [
                    ("Content-Type", "text/plain"),
                    ("Content-Length", str(len(text))),
                ]
            return start_response(status, headers, *error)

        response = self._application({**environ, "wsgi.input": body}, start)
        if body.refusal is None:
            return response
        if hasattr(response, "close"):
            response.close()
        return [body.refusal[1]]


def _length(environ: dict[str, Any]) -> int:
    """Return the announced bytes: 0 where Django takes them so, and reads nothing."""
    try:
        return int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
