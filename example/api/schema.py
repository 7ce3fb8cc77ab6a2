"""What drf-spectacular can't find out by itself."""

from __future__ import annotations

from typing import Any

from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme

from api.documented import IDEMPOTENCY_KEY
from api.problems import MEDIA_TYPE, phrase

METHODS = {"get", "put", "post", "delete", "patch", "head", "options"}
KEY = IDEMPOTENCY_KEY.name
WHOLE = {"multipart/form-data", "*/*"}
"""Bodies that are contents: drf-spectacular takes them for optional."""
PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What to tell a person."},
        "errors": {
            "type": "object",
            "description": "What is wrong with which field.",
            "additionalProperties": True,
        },
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "There is no such thing.",
        }
    ],
}


# drf-spectacular registers it by an untyped call.
class TokenScheme(SimpleJWTScheme):  # type: ignore[no-untyped-call]
    """Describes the access token in ``Authorization``."""

    target_class = "accounts.tokens.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def add_problems(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Add to each operation the errors that any of its kind may have.

    Views name the others by their status, ``responses={409: None}``; every status from
    400 on has a problem document for its content.
    """
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            if method not in METHODS:
                continue
            if WHOLE & operation.get("requestBody", {}).get("content", {}).keys():
                operation["requestBody"]["required"] = True
            responses = operation["responses"]
            for status in _usual(path, operation):
                responses.setdefault(str(status), {})
            for status, response in responses.items():
                if status >= "400":
                    response["content"] = content
                if not response.get("description"):
                    response["description"] = phrase(int(status))
            operation["responses"] = dict(sorted(responses.items()))
    return result


def _usual(path: str, operation: dict[str, Any]) -> set[int]:
    found = {401, 406, 429, 500, 503}
    if operation.get("parameters") or "requestBody" in operation:
        found |= {400}
    if "requestBody" in operation:
        found |= {408, 413, 415}
    if any(operation.get("security", ())):
        found |= {403}
    if "{" in path:
        found |= {404}
    if any(one["name"] == KEY for one in operation.get("parameters", ())):
        found |= {409, 422}
    return found
