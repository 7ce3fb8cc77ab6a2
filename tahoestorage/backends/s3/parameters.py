"""What else goes with the requests for an object, out of what it is written with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_THE_SOURCE = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
_OF_EACH_PART = ("ExpectedBucketOwner", "RequestPayer", *_OF_THE_SOURCE)


def of_each_part(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that each part of an upload needs."""
    return {k: v for k, v in parameters.items() if k in _OF_EACH_PART}


def of_the_source(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those by which a copy reads what was written with the same ones."""
    return {f"CopySource{k}": v for k, v in parameters.items() if k in _OF_THE_SOURCE}
