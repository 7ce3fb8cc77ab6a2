"""Plays Google's Secret Manager, to Google's own library."""

from __future__ import annotations

import base64
import json

from tests.support.gcs_servers import (
    Handler,
    PlayedResponse,
    ThreadServer,
    refusal,
)

RESOURCE = "projects/site/secrets/password"


class _ManagerHandler(Handler):
    server: Manager

    def do_GET(self) -> None:
        self.server.asked.append(self.receive().path)
        if self.server.value is None:
            self.send(refusal(503, "The service is currently unavailable."))
            return
        data = base64.b64encode(self.server.value.encode()).decode()
        body = json.dumps({"name": RESOURCE, "payload": {"data": data}}).encode()
        self.send(PlayedResponse(200, {"Content-Type": "application/json"}, body))


class Manager(ThreadServer):
    """Has one secret, or does not answer while ``value`` is None."""

    def __init__(self, value: str) -> None:
        super().__init__(_ManagerHandler)
        self.value: str | None = value
        self.asked: list[str] = []
