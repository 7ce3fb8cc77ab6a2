"""URLs by which others read from S3, or send a file to it."""

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
"""Seconds that temporary credentials are good for at least, when they are new."""


def seconds_left(clients: Clients) -> float:
    """Return for how long what is signed now is good, by its credentials."""
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
    """Return a PUT of just ``size`` bytes to a name that is free.

    A form (POST) could bound the size, but S3 knows no condition there: it would
    overwrite. ``client`` must sign by version 4, in which headers are signed too.
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
        told = members.members[name].serialization
        if told["location"] == "headers":
            headers |= {told["name"] + each: text for each, text in value.items()}
        else:
            headers[told["name"]] = str(value)
    return DirectUpload("PUT", url, {}, headers)
