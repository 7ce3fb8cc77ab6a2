"""Signed URLs of S3: for how long they work, and one that uploads a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tahoestorage.backends.directupload import DirectUpload
from tahoestorage.backends.s3.clients import Clients

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SHORTEST_SESSION = 900.0
"""Seconds that new temporary credentials are valid for at least (AWS STS)."""


def seconds_left(clients: Clients) -> float:
    """Return the seconds for which the credentials that sign now are valid.

    Infinite where they do not expire.
    """
    credentials = clients.credentials
    if credentials is None:
        return math.inf
    # This renews them, if they are due.
    frozen = credentials.get_frozen_credentials()
    expiry = getattr(credentials, "_expiry_time", None)
    if expiry is not None:
        return float((expiry - datetime.now(UTC)).total_seconds())
    # Nobody says when a token ends that came without its expiry.
    return SHORTEST_SESSION if frozen.token else math.inf


def direct_upload(
    client: S3Client,
    place: Mapping[str, str],
    size: int,
    seconds: int,
    parameters: Mapping[str, Any],
) -> DirectUpload:
    """Return a signed PUT request of ``size`` bytes to a key that is free.

    It works for ``seconds``. The size and "If-None-Match: *" are signed headers, for
    which ``client`` must sign by version 4. A form (POST) knows no such condition: it
    would overwrite.
    """
    asked = {**parameters, "ContentLength": size, "IfNoneMatch": "*"}
    url = client.generate_presigned_url(
        "put_object",
        Params={**place, **asked},
        ExpiresIn=seconds,
    )
    members: Any = client.meta.service_model.operation_model("PutObject").input_shape
    headers: dict[str, str] = {}
    for name, value in asked.items():
        serialization = members.members[name].serialization
        if serialization["location"] == "headers":
            headers |= {
                serialization["name"] + each: text for each, text in value.items()
            }
        else:
            headers[serialization["name"]] = str(value)
    return DirectUpload("PUT", url, {}, headers)
