"""Requests as a server hands them to the application, before Django has read them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

from config.wsgi import application


@dataclass(frozen=True)
class Answer:
    """A response: its status, its headers and its body."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def is_problem(self) -> bool:
        """Whether it is a problem document of its status."""
        kind = self.headers.get("Content-Type")
        return (
            kind == "application/problem+json" and self.json()["status"] == self.status
        )


def ask(method: str, url: str, body: bytes = b"", **headers: str) -> Answer:
    """Send a request; ``url`` is percent-encoded, and headers are those of WSGI.

    The database must be one that a request may close.
    """
    path, _, query = url.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "HTTP_HOST": "testserver",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **headers,
    }
    setup_testing_defaults(environ)
    started: list[Any] = []

    def start_response(status: str, found: list[tuple[str, str]], *_: Any) -> None:
        started[:] = [int(status.split()[0]), dict(found)]

    response = application(environ, start_response)
    try:
        content = b"".join(response)
    finally:
        if hasattr(response, "close"):
            response.close()
    return Answer(started[0], started[1], content)
