"""Responses that schemathesis cannot get to, held against the API's schema."""

from __future__ import annotations

import functools
from typing import Any

import requests
import schemathesis
from drf_spectacular.generators import SchemaGenerator

ROOT = "/api/v1"


@functools.cache
def schema() -> Any:
    generator: Any = SchemaGenerator  # which has no types
    return schemathesis.openapi.from_dict(generator().get_schema(public=True))


def check(response: Any, method: str, path: str, status: int) -> None:
    """Raise AssertionError unless the schema has such a response of an operation.

    ``path`` is the schema's, below /api/v1: its status, media type and members.
    """
    assert response.status_code == status, response.content
    operation = schema()[f"{ROOT}{path}"][method]
    known = operation.definition.raw["responses"]
    assert str(status) in known, sorted(known)
    described = known[str(status)].get("content", {})
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    assert media_type in described or not (described or response.content)
    sent = schemathesis.Response(
        status_code=status,
        headers={name: [value] for name, value in response.items()},
        content=response.content,
        request=requests.Request(method, f"http://testserver{ROOT}").prepare(),
        elapsed=0.0,
        verify=True,
    )
    operation.validate_response(sent)
