"""Signs URLs by a key, or by IAM where there is none; and how long they work."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from google.auth import crypt, iam
from google.auth.credentials import AnonymousCredentials, Signing
from google.auth.exceptions import TransportError

from tahoestorage.backends.gcs.clients import RETRY, GCSConnection
from tahoestorage.exceptions import StoreForbids, StoreUnreachable

BY_IAM_SECONDS = 12 * 3600.0
"""Seconds for which a signature by IAM is valid at least (IAM, signBlob)."""
# Its text is all that the library tells of a response.
_UNAVAILABLE = re.compile(r"exhausted|[\"']code[\"']: 5")


class RemoteSigning(Signing):
    """Signs as a service account by a request to IAM for each signature."""

    def __init__(self, email: str, sign: Callable[[bytes], bytes]) -> None:
        self._email = email
        self._sign = RETRY(sign)

    @property
    def signer_email(self) -> str:
        return self._email

    @property
    def signer(self) -> Any:
        return self

    def sign_bytes(self, message: bytes) -> bytes:
        """Return the signature. Raises StoreForbids and StoreUnreachable."""
        try:
            return bytes(self._sign(message))
        except TransportError as error:
            reason = error.args[0] if error.args else ""
            if not isinstance(reason, str):
                raise
        if _UNAVAILABLE.search(reason):
            raise StoreUnreachable(f"IAM cannot sign for {self._email} now; try again")
        raise StoreForbids(
            f"IAM does not sign for {self._email}: enable the IAM Service Account "
            "Credentials API, and grant the account that asks the role Service "
            "Account Token Creator on it; or set GS_QUERYSTRING_AUTH to False"
        )


def signer_for(
    connection: GCSConnection, email: str | None, *, by_iam: bool
) -> Signing:
    """Return what signs URLs: the connection's credentials, or IAM.

    IAM signs where they have no key, or with ``by_iam``. ``email`` is the service
    account that it signs as, by default that of the credentials. Raises
    ImproperlyConfigured where there is no such account.
    """
    credentials = connection.client._credentials
    if isinstance(credentials, Signing) and not by_iam:
        signer = credentials.signer
        if isinstance(signer, crypt.Signer) and not isinstance(signer, iam.Signer):
            return credentials
        return RemoteSigning(credentials.signer_email, credentials.sign_bytes)
    if isinstance(credentials, AnonymousCredentials):
        raise ImproperlyConfigured(
            "Without credentials no URL can be signed: set GS_CREDENTIALS, or "
            "GS_QUERYSTRING_AUTH to False."
        )
    if not email:
        email = getattr(credentials, "service_account_email", None)
    if email == "default":
        # The name in full comes with a token.
        credentials.refresh(connection.request)
        email = credentials.service_account_email
    if not email:
        raise ImproperlyConfigured(
            "The credentials are not those of a service account, and only one can sign "
            "URLs: name it by GS_SA_EMAIL (the option sa_email), or set "
            "GS_QUERYSTRING_AUTH to False."
        )
    signer = iam.Signer(connection.request, credentials, email)
    return RemoteSigning(email, signer.sign)


def seconds_of(signing: Signing) -> float:
    """Return the seconds for which a signature is valid at least."""
    return BY_IAM_SECONDS if isinstance(signing, RemoteSigning) else math.inf


def seconds_until(parameters: Mapping[str, Any]) -> float:
    """Return the seconds for which a URL with these parameters will work.

    They are those of ``Blob.generate_signed_url``.
    """
    expiration = parameters.get("expiration")
    if isinstance(expiration, datetime):
        if expiration.tzinfo is None:
            expiration = expiration.replace(tzinfo=UTC)
        expiration = expiration - datetime.now(UTC)
    if isinstance(expiration, timedelta):
        return expiration.total_seconds()
    if not isinstance(expiration, int):
        return 0.0
    # In the older version it is a time, and not a duration.
    at = datetime.now(UTC).timestamp() if parameters.get("version") == "v2" else 0.0
    return expiration - at
