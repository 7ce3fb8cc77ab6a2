"""The S3 clients of this process: shared by storages with the same options."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import boto3.session
import botocore
from botocore.config import Config
from botocore.credentials import RefreshableCredentials
from django.core.exceptions import ImproperlyConfigured

from tahoestorage import forks, metering
from tahoestorage.backends.credentials import fingerprint
from tahoestorage.backends.s3.checksums import BY_CHECKSUM
from tahoestorage.backends.s3.conditions import is_at_amazon
from tahoestorage.backends.s3.errors import ERRORS, NO_CREDENTIALS, no_credentials
from tahoestorage.backends.s3.heldbody import begins_a_held_body

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.credentials import Credentials
    from mypy_boto3_s3 import S3Client, S3ServiceResource

ClientKind = Literal["usual", "unsigned", "s3v4"]
_SIGNATURES: dict[ClientKind, dict[str, Any]] = {
    "usual": {},
    "unsigned": {"signature_version": botocore.UNSIGNED},
    "s3v4": {"signature_version": "s3v4"},
}
# Bytes. Botocore waits for "100 Continue" before each body; Amazon's newer clients do
# so from 2 MiB on.
SMALL = 1 << 20
# With a checksum behind it, a body is framed on its way by https: some stores keep the
# word for it (SeaweedFS), some the frames (s3rver). Signatures guard the body as well.
PLAIN: Literal["when_required"] = "when_required"
_STARTED = "tahoestorage_started"
_all: dict[tuple[Any, ...], Clients] = {}
_lock = forks.Lock()


class Clients:
    """The clients of one configuration, each made when it is first needed.

    Threads may share one. A forked child makes its own.
    """

    def __init__(
        self,
        key: tuple[Any, ...],
        session: Callable[[], boto3.session.Session],
        options: Mapping[str, Any],
        config: Config,
    ) -> None:
        self._key = key
        self._make_session = session
        self._options = options
        self._config = config
        self.honoured: dict[tuple[str, str], bool] = {}
        """By bucket and operation: whether the condition was seen to hold."""
        self.refusing_damage: dict[str, bool] = {}
        """By bucket: whether a body of another SHA-256 was seen to be refused."""
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """Drop all clients, connections and locks, as after a fork."""
        self._lock = threading.RLock()
        self.trying = threading.Lock()
        """Held during a trial, so that one thread of a process makes it."""
        self._session: boto3.session.Session | None = None
        self._made: dict[ClientKind, S3ServiceResource] = {}

    def resource(self, kind: ClientKind = "usual") -> S3ServiceResource:
        """Return a new resource, for one thread; the client in it is shared.

        Raises ImproperlyConfigured where the options make no client.
        """
        made = self._resource(kind)
        return type(made)(client=made.meta.client)

    def client(self, kind: ClientKind = "usual") -> S3Client:
        """Return the shared client. Raises what ``resource`` does."""
        return self._resource(kind).meta.client

    # Threads may make it several times: it is the same text, and asking for credentials
    # can take long.
    @functools.cached_property
    def signature(self) -> str:
        """A text that differs where signed URLs would: the part of a cache key.

        It is no secret.
        """
        credentials = self.credentials
        signer: object = None
        # Those that renew themselves sign for as long as they say.
        if not isinstance(credentials, RefreshableCredentials | None):
            signer = (credentials.access_key, credentials.token)
        # Functions have other addresses in other processes.
        key = [getattr(each, "__qualname__", each) for each in self._key]
        return fingerprint([key, signer])

    @property
    def credentials(self) -> Credentials | None:
        """The credentials that the clients sign with; None where there are none."""
        with self._lock:
            return self._opened().get_credentials()

    def _opened(self) -> boto3.session.Session:
        if self._session is None:
            self._session = self._make_session()
        return self._session

    def _resource(self, kind: ClientKind) -> S3ServiceResource:
        made = self._made.get(kind)
        if made is not None:
            return made
        with self._lock:
            made = self._made.get(kind)
            if made is None:
                made = self._made[kind] = self._make(kind)
            return made

    def _make(self, kind: ClientKind) -> S3ServiceResource:
        config = self._config.merge(Config(**_SIGNATURES[kind]))
        failure: Exception
        try:
            made = self._opened().resource("s3", config=config, **self._options)
            client = made.meta.client
            if not is_at_amazon(client) and not self._says_when(config):
                # Read with each request; a second client takes as long as the first.
                # botocore sets it by what it was given, so the stubs lack it.
                client.meta.config.request_checksum_calculation = PLAIN  # type: ignore[attr-defined]
            events: Any = made.meta.client.meta.events
            events.register("before-send.s3.PutObject", _send_at_once)
            events.register("request-created.s3", _note_start)
            events.register("response-received.s3", _count_request)
            events.register_first("choose-signer.s3", _keep_version_4)
            events.register_first("choose-signer.s3.UploadPart", _sign_by_checksum)
            return made
        except NO_CREDENTIALS as error:
            failure = no_credentials(error, "a client of S3", "it")
        except (*ERRORS, ValueError) as error:
            failure = ImproperlyConfigured(
                f"No client of S3 can be made ({type(error).__name__}); check "
                "endpoint_url, region_name, session_profile and client_config."
            )
        raise failure

    def _says_when(self, config: Config) -> bool:
        """Whether the site has set when requests carry a checksum."""
        name = "request_checksum_calculation"
        if getattr(config, name, None) or os.environ.get(f"AWS_{name.upper()}"):
            return True
        return name in self._opened()._session.get_scoped_config()


def _keep_version_4(signature_version: object, **others: object) -> str | None:
    """Have botocore sign URLs by version 4, also where it would by version 2."""
    for kind in ("query", "presign-post"):
        # Not of access points of several regions, nor of S3 Express: they have another.
        if signature_version in (f"v4-{kind}", f"s3v4-{kind}"):
            return f"s3v4-{kind}"
    return None


def _sign_by_checksum(signature_version: object, **others: object) -> str | None:
    """Have the body of a part hashed once: for its checksum, and not to sign it too."""
    return BY_CHECKSUM if signature_version in {"v4", "s3v4"} else None


def _send_at_once(request: AWSPreparedRequest, **others: object) -> None:
    """Send a small body without "Expect: 100-continue" (RFC 9110, 10.1.1).

    It saves a round trip. A body that is held needs it: so the store has looked at the
    condition, if it does so before it takes the body.
    """
    if begins_a_held_body():
        return
    headers = request.headers
    # What is sent in chunks has the length of the content in the first.
    size = headers.get("X-Amz-Decoded-Content-Length") or headers.get("Content-Length")
    if "Expect" in headers and size is not None and int(size) <= SMALL:
        del headers["Expect"]


def clients(
    key: tuple[Any, ...],
    session: Callable[[], boto3.session.Session],
    options: Mapping[str, Any],
    config: Config,
) -> Clients:
    """Return the clients with these options; ``key`` says how sessions are made."""
    whole = (*key, *sorted(options.items()), fingerprint(config))
    with _lock:
        found = _all.get(whole)
        if found is None:
            found = _all[whole] = Clients(whole, session, options, config)
        return found


def _note_start(request: Any, **others: Any) -> None:
    request.context[_STARTED] = time.perf_counter()


def _count_request(
    context: dict[str, Any],
    event_name: str,
    response_dict: dict[str, Any] | None = None,
    **others: Any,
) -> None:
    """Count an attempt. botocore names the operation in the event's last part."""
    if metering.is_used:
        seconds = time.perf_counter() - context.get(_STARTED, time.perf_counter())
        status = "failed" if response_dict is None else response_dict["status_code"]
        verb = event_name.rpartition(".")[2]
        metering.meter.asked_store("s3", verb, str(status), seconds)
