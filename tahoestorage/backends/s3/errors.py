"""botocore's errors as this package's, without the secrets that botocore's hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore

from tahoestorage.exceptions import (
    DamagedDownload,
    FileMissing,
    NameTaken,
    StoreError,
    StoreForbids,
    StoreUnreachable,
    TahoeStorageError,
    UploadEnded,
    printable,
)
from tahoestorage.schemes import spoken_instead, wrong_scheme

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """What errors call a bucket: its name, and its endpoint without a login."""

    bucket: str
    endpoint: str

    def __str__(self) -> str:
        return f"the bucket {self.bucket} at {self.endpoint}"


ERRORS = (botocore.BotoCoreError, botocore.ClientError, Boto3Error)
NO_CREDENTIALS = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.TokenRetrievalError,
    botocore.NoAuthTokenError,
    botocore.MetadataRetrievalError,
    botocore.RefreshWithMFAUnsupportedError,
    botocore.SSOError,
)
_HUNG_UP = (
    botocore.ConnectionError,
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
)
# Nothing listens there.
_NOBODY = (botocore.EndpointConnectionError, botocore.ProxyConnectionError)
_DAMAGED = (botocore.FlexibleChecksumError, botocore.ChecksumError)
_OF_CREDENTIALS = (
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
)
_OF_REGIONS = (
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
    "TemporaryRedirect",
)

# Of a message of a store's, where it repeats what it was asked by.
_TELLING = re.compile(r"://|X-Amz|Signature|AWS4-|AWSAccessKeyId|[A-Z0-9]{16,}", re.I)
_LONGEST = 300
CHECKSUMS = (
    "if it refuses boto3's newer checksums, set request_checksum_calculation to "
    '"when_required" in client_config'
)


class BeyondTheEnd(StoreError):
    """The requested range begins after the end of the object (status 416)."""


class NotImplementedThere(StoreError):
    """The store does not implement the request, or a part of it (status 501)."""


def call(
    label: str, place: Place, ask: Callable[..., T], *args: Any, **kwargs: Any
) -> T:
    """Return what ``ask`` returns; raise an error of ours for one of botocore's.

    ``label`` names the file, for people.
    """
    try:
        return ask(*args, **kwargs)
    except ERRORS as error:
        failure, cause = meaning(error, label, place), harmless(error)
    except Exception as error:
        # botocore passes some of urllib3's on as they are, and so may the content come.
        is_of_the_network = type(error).__module__.startswith("urllib3.")
        other = spoken_instead(place.endpoint) if is_of_the_network else None
        if other is None:
            raise
        failure, cause = _misspoken(other, label, place), None
    # Outside of the handler: what was caught has requests in it, with keys and URLs.
    raise failure from cause


def harmless(error: Exception) -> Exception | None:
    """Return the store's error response as an error of botocore's, without secrets.

    It has the code, the status, and the message, unless that repeats the request. None
    where the error is not a response of the store.
    """
    if not isinstance(error, botocore.ClientError):
        return None
    given: Any = error.response
    detail = given.get("Error", {})
    text = printable(str(detail.get("Message", "")))
    response: Any = {
        "Error": {
            "Code": str(detail.get("Code", "")),
            "Message": "" if _TELLING.search(text) else text[:_LONGEST],
        },
        "ResponseMetadata": {
            "HTTPStatusCode": given.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        },
    }
    return botocore.ClientError(response, error.operation_name)


def meaning(error: Exception, label: str, place: Place) -> TahoeStorageError:
    """Return the error of this package for one of botocore's, without its text."""
    if isinstance(error, botocore.ClientError):
        response: Any = error.response
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(response.get("Error", {}).get("Code", status))
        return _of_status(status, code, label, place)
    name = type(error).__name__
    if isinstance(error, NO_CREDENTIALS):
        return no_credentials(error, label, str(place))
    hung_up = isinstance(error, _HUNG_UP) and not isinstance(error, _NOBODY)
    if hung_up and (other := spoken_instead(place.endpoint)):
        return _misspoken(other, label, place)
    if isinstance(error, botocore.SSLError):
        return StoreUnreachable(
            f"{label}: TLS with {place} fails; is its certificate one that is trusted "
            "here (option verify)?"
        )
    if isinstance(error, _DAMAGED):
        return DamagedDownload(
            f"{label}: the download is not the file (its checksum differs); try again"
        )
    if isinstance(error, _HUNG_UP):
        return StoreUnreachable(
            f"{label}: no response from {place} ({name}); does the store run, is "
            "endpoint_url right, is there a way through the network?"
        )
    return StoreError(
        f"{label}: {place} can't be asked for it ({name}); look at the storage's "
        "options, object_parameters among them"
    )


def no_credentials(error: Exception, label: str, place: str) -> StoreForbids:
    """Return our error for one of ``NO_CREDENTIALS``."""
    return StoreForbids(
        f"{label}: there are no credentials for {place} ({type(error).__name__}); set "
        "access_key and secret_key, or a profile or role that has them"
    )


def _of_status(status: int, code: str, label: str, place: Place) -> TahoeStorageError:
    if code == "NoSuchBucket":
        return StoreError(
            f"{label}: {place} does not exist; make it, or correct bucket_name"
        )
    if code in ("NoSuchUpload", "InvalidPart"):
        return UploadEnded(
            f"{label}: its upload in parts was aborted or completed, or lost some of "
            "them; upload it anew"
        )
    if status == 404:
        return FileMissing(f"{label}: there is no such file")
    if status == 412 or code == "ConditionalRequestConflict":
        return NameTaken(f"{label}: the name is taken")
    if status == 416:
        return BeyondTheEnd(f"{label}: it ends before what was asked of it")
    if status == 501:
        return NotImplementedThere(
            f"{label}: {place} does not know what was asked of it ({code}); {CHECKSUMS}"
        )
    if code == "RequestTimeTooSkewed":
        return StoreForbids(
            f"{label}: the clocks of this machine and of {place} differ too much; set "
            "this one's"
        )
    if code in _OF_REGIONS or status in (301, 307):
        return StoreError(
            f"{label}: {place} is elsewhere ({code}); correct region_name or "
            "endpoint_url"
        )
    if status in (401, 403) or code in _OF_CREDENTIALS:
        return StoreForbids(
            f"{label}: {place} forbids it ({code}); check the credentials and what "
            "they may do. Without the right to list the bucket, it is said of what "
            "is missing too"
        )
    if status in (408, 429) or status >= 500:
        return StoreUnreachable(
            f"{label}: {place} can't do it now ({status} {code}); try again later"
        )
    # Servers that speak TLS respond to http so, and a store itself gives a code.
    if code == "400" and (other := spoken_instead(place.endpoint)):
        return _misspoken(other, label, place)
    return StoreError(
        f"{label}: {place} refuses it ({status} {code}); look at the storage's "
        f"options, region_name and object_parameters among them; {CHECKSUMS}"
    )


def _misspoken(other: str, label: str, place: Place) -> StoreUnreachable:
    return StoreUnreachable(
        f"{label}: {wrong_scheme(place.endpoint, other, 'endpoint_url')}"
    )
