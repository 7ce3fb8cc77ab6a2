"""Google's errors as this package's, without the secrets that Google's hold.

Those have URLs by which an upload can be continued, and headers with tokens. Nothing of
them is passed on but the store's own message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from google.api_core import exceptions as api
from google.auth import exceptions as auth

from tahoestorage.exceptions import (
    FileMissing,
    NameTaken,
    StoreError,
    StoreForbids,
    StoreUnreachable,
    TahoeStorageError,
    printable,
)
from tahoestorage.schemes import is_no_tls, reasons_of, spoken_instead, wrong_scheme

try:
    from google.cloud.storage.exceptions import (
        DataCorruption,
        InvalidResponse,
    )
except ImportError:  # before version 3
    from google.resumable_media import DataCorruption, InvalidResponse

P = ParamSpec("P")
T = TypeVar("T")

# Those of the network are OSErrors all of them.
_THEIRS = (
    OSError,
    api.GoogleAPIError,
    auth.GoogleAuthError,
    DataCorruption,
    InvalidResponse,
)
EMULATOR = "STORAGE_EMULATOR_HOST"
"""The variable that names an endpoint other than Google's."""
_NO_BUCKET = "bucket does not exist"
_GIVE = (
    "give them by GS_CREDENTIALS, GOOGLE_APPLICATION_CREDENTIALS or "
    "`gcloud auth application-default login`"
)


def ask(label: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what ``call`` returns; raise an error of ours for one of Google's.

    ``label`` is what errors call the file. A failed precondition (status 412) is
    NameTaken.
    """
    try:
        return call(*args, **kwargs)
    except TahoeStorageError:
        raise
    except _THEIRS as error:
        failure, cause = mapped(error, label), harmless(error)
    # Not from within: what the library's error holds would be shown with ours.
    raise failure from cause


def harmless(error: BaseException) -> Exception | None:
    """Return the store's error response as an error of Google's library.

    It is of the same class, without the request. Its text is the store's message, or
    nothing where that has a URL in it. None where it is not a response of the store.
    """
    if isinstance(error, api.RetryError) and error.cause is not None:
        error = error.cause
    if not isinstance(error, api.GoogleAPICallError | InvalidResponse):
        return None
    text = said(error.response)
    text = "" if "://" in text else printable(text)
    if isinstance(error, InvalidResponse):
        made: Exception = api.from_http_status(error.response.status_code, text)
        return made
    return type(error)(text)


def mapped(error: BaseException, label: str) -> TahoeStorageError:
    """Return the error of this package for one of Google's, or of the network."""
    if isinstance(error, api.RetryError) and error.cause is not None:
        error = error.cause
    misspoken = _misspoken(error, label)
    if misspoken is not None:
        return misspoken
    if isinstance(error, api.GoogleAPICallError):
        return _of_status(error.code or 0, said(error.response), label)
    if isinstance(error, InvalidResponse):
        return _of_status(error.response.status_code, said(error.response), label)
    if isinstance(error, auth.GoogleAuthError):
        return _refused(error, label)
    if isinstance(error, OSError | api.RetryError):
        return StoreUnreachable(
            f"{label}: Google Cloud Storage can't be reached, or is too slow; see "
            f"whether this host reaches it, and try again ({type(error).__name__})"
        )
    return StoreError(
        f"{label}: what has arrived at the store is not what was sent; try again"
    )


def _misspoken(error: BaseException, label: str) -> StoreUnreachable | None:
    """Return the error for an endpoint that speaks https and not http, or vice versa.

    Google's own speaks https. So only emulators by http are asked, and servers in whose
    place a server of http has responded to the handshake.
    """
    response = getattr(error, "response", None)
    request = getattr(error, "request", None) or getattr(response, "request", None)
    parts = urlsplit(getattr(request, "url", None) or "")
    endpoint = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if parts.scheme == "https" and any(map(is_no_tls, reasons_of(error))):
        other: str | None = f"http:{endpoint.partition(':')[2]}"
    elif parts.scheme == "http" and getattr(error, "code", 400) == 400:
        other = spoken_instead(endpoint)
    else:
        return None
    if other is None:
        return None
    return StoreUnreachable(f"{label}: {wrong_scheme(endpoint, other, EMULATOR)}")


def _of_status(code: int, text: str, label: str) -> TahoeStorageError:
    reason = f" ({text})" if text else ""
    if code == 404:
        if _NO_BUCKET in text:
            return no_bucket(label)
        return FileMissing(f"{label}: there is no such file")
    if code == 412:
        return NameTaken(f"{label}: the name is taken")
    if code == 401:
        return StoreForbids(
            f"{label}: Google Cloud Storage does not accept the credentials; renew "
            f"them, or {_GIVE}{reason}"
        )
    if code == 403:
        return StoreForbids(
            f"{label}: Google Cloud Storage does not allow it; grant the account the "
            f"role Storage Object User on the bucket{reason}"
        )
    if code in (408, 429) or code >= 500:
        return StoreUnreachable(
            f"{label}: Google Cloud Storage is not available now; try again{reason}"
        )
    return StoreError(f"{label}: Google Cloud Storage responded with {code}{reason}")


def _refused(error: auth.GoogleAuthError, label: str) -> TahoeStorageError:
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) or getattr(inner, "retryable", False):
            return StoreUnreachable(
                f"{label}: the server of Google's that gives tokens and signatures "
                "can't be reached; see whether this host reaches it, and try again"
            )
        following = [each for each in inner.args if isinstance(each, BaseException)]
        inner = following[0] if following else None
    if isinstance(error, auth.DefaultCredentialsError):
        return StoreForbids(f"{label}: there are no credentials for Google; {_GIVE}")
    return StoreForbids(
        f"{label}: Google does not accept the credentials, or they may not get a "
        f"token; renew them, or {_GIVE}"
    )


def said(response: Any) -> str:
    """Return the message in an error response: up to 200 characters."""
    try:
        text = response.json()["error"]["message"]
    except (AttributeError, KeyError, TypeError, ValueError):
        text = getattr(response, "text", "")
    return " ".join(str(text).split())[:200]


def no_bucket(label: str) -> StoreError:
    """Return the error for a bucket that does not exist."""
    return StoreError(
        f"{label}: there is no such bucket; create it, or correct GS_BUCKET_NAME"
    )


def broken(error: Exception, label: str) -> StoreUnreachable:
    """Return our error for a body that could not be read to its end."""
    return StoreUnreachable(
        f"{label}: Google Cloud Storage hung up ({type(error).__name__}); try again"
    )
