"""The Google Cloud clients of this process: shared by storages with equal options."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import google.auth
from google.auth.credentials import Signing, with_scopes_if_required
from google.auth.transport.requests import Request
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY

from tahoestorage import forks, metering

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""
# A page that is waited for is worth less than a file that is sent. Each is in seconds.
RETRY = DEFAULT_RETRY.with_timeout(15.0).with_delay(0.25, 4.0, 2.0)
UPLOAD_RETRY = DEFAULT_RETRY.with_timeout(90.0)

CALL: dict[str, Any] = {"retry": RETRY, "timeout": TIMEOUT}
LONG: dict[str, Any] = {"retry": UPLOAD_RETRY, "timeout": TIMEOUT}

CREDENTIALS_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_EMULATOR = "STORAGE_EMULATOR_HOST"
_ENVIRONMENT = (_EMULATOR, "API_ENDPOINT_OVERRIDE", CREDENTIALS_FILE)
# What signs by IAM must be allowed to do so; Storage's own scopes are not enough.
_FOR_IAM = ["https://www.googleapis.com/auth/cloud-platform"]
_HOSTS, _CONNECTIONS = 4, 32


class GCSConnection(NamedTuple):
    """A client, and what belongs to it.

    ``request`` sends requests to others than the store, such as IAM. ``honoured`` says
    by bucket and operation whether a condition was seen to hold; ``lock`` is held
    during a trial.
    """

    client: Any
    request: Callable[..., Any]
    honoured: dict[tuple[str, str], bool]
    lock: threading.Lock


_made: dict[tuple[object, ...], tuple[object, GCSConnection]] = {}
_lock = forks.Lock()
forks.in_child(_made.clear)


def endpoint() -> str:
    """Return the endpoint that the environment names, such as an emulator; else ""."""
    return os.environ.get(_EMULATOR) or os.environ.get(_ENVIRONMENT[1]) or ""


def connection(project: str | None, credentials: Any, *, by_iam: bool) -> GCSConnection:
    """Return the connection with these credentials; None means the environment's.

    ``by_iam`` says that IAM signs for them, also where they have a key.
    """
    key = (project, id(credentials), by_iam, *map(os.environ.get, _ENVIRONMENT))
    found = _made.get(key)
    if found is None:
        with _lock:
            found = _made.get(key)
            if found is None:
                # The credentials too: another's could get the same id.
                found = credentials, _connect(project, credentials, by_iam)
                _made[key] = found
    return found[1]


def _connect(project: str | None, credentials: Any, by_iam: bool) -> GCSConnection:
    if credentials is None and not os.environ.get(_EMULATOR):
        credentials, _ = google.auth.default()
    if credentials is not None and (by_iam or not isinstance(credentials, Signing)):
        credentials = with_scopes_if_required(credentials, _FOR_IAM)
    client = Client(project=project, credentials=credentials)
    # It would ask for the bucket in a thread of its own, to tell traces about it.
    client._bucket_metadata_cache = None
    # Its session is made when first used, and by two threads twice.
    for adapter in client._http.adapters.values():
        adapter.init_poolmanager(_HOSTS, _CONNECTIONS)
        adapter.send = _counting(adapter.send)
    request = functools.partial(Request(), timeout=TIMEOUT)
    return GCSConnection(client, request, {}, threading.Lock())


def _counting(send: Callable[..., Any]) -> Callable[..., Any]:
    """Return what sends a request, and counts it."""

    @functools.wraps(send)
    def counted(request: Any, *arguments: Any, **options: Any) -> Any:
        started, status = time.perf_counter(), "failed"
        try:
            response = send(request, *arguments, **options)
            status = str(response.status_code)
            return response
        finally:
            if metering.is_used:
                seconds = time.perf_counter() - started
                verb = _verb_of(request.method, request.url)
                metering.meter.asked_store("gcs", verb, status, seconds)

    return counted


def _verb_of(method: str, url: str) -> str:
    """Return what a request does, without what it does it to."""
    first = urlsplit(url).path.lstrip("/").partition("/")[0]
    return f"{method} {first}" if first in ("upload", "download") else method
