"""The options of GCSStorage, and the client that follows from them.

The defaults are django-storages' own, but for those in ``get_default_settings``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Self

from django.core.exceptions import ImproperlyConfigured
from storages.backends.gcloud import GoogleCloudStorage
from storages.utils import setting

from tahoestorage.backends.credentials import HiddenCredentials
from tahoestorage.backends.gcs.clients import (
    CREDENTIALS_FILE,
    GCSConnection,
    connection,
)
from tahoestorage.backends.gcs.errors import ask
from tahoestorage.config.secrets import KeyFile
from tahoestorage.once import made_once

# What tells the accounts of credentials apart, and is no secret.
_TELLING = ("service_account_email", "client_id", "audience", "_target_principal")


# django-storages has no types.
class GCSOptions(HiddenCredentials, GoogleCloudStorage):  # type: ignore[misc]
    """The storage of django-storages, with one client for all that are configured
    alike, and overwriting only where that is asked.
    """

    _SHOWN = ("custom_endpoint",)
    _OF_THE_PROCESS = ("_entries", "_names", "_namespace", "_signs")

    def get_default_settings(self) -> dict[str, Any]:
        """Return the value of each option in the settings, else its default."""
        return {
            # Older versions of the parent have no IAM.
            "iam_sign_blob": setting("GS_IAM_SIGN_BLOB", False),
            "sa_email": setting("GS_SA_EMAIL"),
            **super().get_default_settings(),
            "file_overwrite": setting("GS_FILE_OVERWRITE", False),
            "conditional_writes": setting("GS_CONDITIONAL_WRITES", False),
        }

    # Credentials

    @classmethod
    def _secret_names(cls, options: Mapping[str, Any]) -> set[str]:
        return {"credentials"}

    def _is_once_given(self, name: str, value: object) -> bool:
        if name != "credentials":
            return super()._is_once_given(name, value)
        return self._given_once.get(name) == _account(value)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        given: str | None = self._given_once.get("credentials")
        if isinstance(self.credentials, KeyFile):
            # It travels as the path of the file.
            state["credentials"] = self.credentials
        elif given is None and "credentials" in self._by_hand:
            given = _account(self.credentials)
        state["_given_once"] = {"credentials": given} if given else {}
        return state

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The same ones: some hold keys and connections that can't be copied.
        memo[id(self.credentials)] = self.credentials
        return super().__deepcopy__(memo)

    def _check_credentials(self) -> None:
        given = self._given_once.get("credentials")
        if given is not None and given != _account(self.credentials):
            raise ImproperlyConfigured(
                "This storage was given credentials by hand, which do not travel with "
                "it, and GS_CREDENTIALS are not of the same account."
            )

    @made_once
    def _signs(self) -> str:
        """A text that differs where signed URLs would: the part of a cache key."""
        if self.credentials is None:
            return os.environ.get(CREDENTIALS_FILE, "")
        signer = getattr(self.credentials, "signer", None)
        return _account(self.credentials) + str(getattr(signer, "key_id", ""))

    # Clients

    @property
    def _connection(self) -> GCSConnection:
        self._check_credentials()
        by_iam = bool(self.iam_sign_blob)
        label = f"the bucket {self.bucket_name}"
        return ask(label, connection, self.project_id, self.credentials, by_iam=by_iam)

    @property
    def client(self) -> Any:
        """The client, which all storages with the same options share."""
        return self._connection.client

    @property
    def bucket(self) -> Any:
        """The bucket; no request is made for it."""
        if not self.bucket_name:
            raise ImproperlyConfigured(
                "No bucket is set: give bucket_name, or set GS_BUCKET_NAME."
            )
        return self.client.bucket(self.bucket_name)


def _account(credentials: Any) -> str:
    """Return a text that is equal for credentials of one account. No secret."""
    telling = [str(getattr(credentials, name, "")) for name in _TELLING]
    text = "\n".join([credentials.__class__.__qualname__, *telling])
    return sha256(text.encode()).hexdigest()[:32]
