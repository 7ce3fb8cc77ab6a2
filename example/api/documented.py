"""What several operations of the API have in common, for its schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

BODY = {"application/octet-stream": OpenApiTypes.BINARY, "*/*": OpenApiTypes.BINARY}
CREATING: dict[Any, Any] = {409: None, 412: None, 422: None, 507: None}
REPLACING: dict[Any, Any] = {**CREATING, 411: None}
DOWNLOAD: dict[Any, Any] = {
    # Of the media type of the name's extension.
    (200, "*/*"): OpenApiTypes.BINARY,
    (206, "*/*"): OpenApiTypes.BINARY,
    302: None,
    304: None,
    409: None,
    412: None,
    416: None,
}


def header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description)


IF_MATCH = header("If-Match", "Do it only if the ETag is still one of these.")
IF_NONE_MATCH = header(
    "If-None-Match",
    "GET: the ETags that one has (304). Else `*`: only where nothing is there yet.",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="A repeat within a day gives the first result.",
)
DOWNLOAD_PARAMETERS = [
    header("Range", "One range of bytes."),
    header("If-Range", "Of which ETag the range is meant."),
    IF_MATCH,
    IF_NONE_MATCH,
]
