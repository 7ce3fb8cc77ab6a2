"""The options of S3Storage, and the client that follows from them.

The defaults are django-storages' own, but for those in ``get_default_settings``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from botocore.config import Config
from django.core.exceptions import ImproperlyConfigured
from s3transfer.constants import ALLOWED_DOWNLOAD_ARGS
from storages.backends import s3
from storages.utils import setting

from tahoestorage.backends.content import media_type_of
from tahoestorage.backends.credentials import HiddenCredentials, has_login
from tahoestorage.backends.s3.clients import Clients, clients
from tahoestorage.backends.s3.errors import Place, call
from tahoestorage.backends.s3.uploads import PARTS, usual_transfers
from tahoestorage.once import made_once
from tahoestorage.redaction import Secret, SecretBytes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client, S3ServiceResource
    from mypy_boto3_s3.service_resource import Bucket

T = TypeVar("T")
# All threads share a client, and each upload has several connections.
CONNECTIONS = 50
KEY = "SSECustomerKey"


# django-storages has no types.
class S3Options(HiddenCredentials, s3.S3Storage):  # type: ignore[misc]
    """The storage of django-storages, with one client for all that are configured
    alike, and overwriting only where that is asked.
    """

    object_parameters: dict[str, Any]
    parts_in_memory: int
    """Parts of an upload that are sent at once, beside the one that is being read."""
    _SHOWN = ("endpoint_url", "custom_domain")
    _OF_THE_PROCESS = (
        "_bucket",
        "_clients",
        "_connections",
        "_entries",
        "_names",
        "_namespace",
        "_unsigned_connections",
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self._has_keys():
            self.object_parameters = {
                name: _hidden(value) if KEY in name else value
                for name, value in self.object_parameters.items()
            }
        if self.config is None and self._is_left_to_us("client_config", options):
            self.client_config = self._usual_config()
        if self._is_left_to_us("transfer_config", options):
            self.transfer_config = usual_transfers(
                use_threads=self.use_threads, parts=self.parts_in_memory
            )

    def _is_left_to_us(self, name: str, options: dict[str, Any]) -> bool:
        if name in options:
            return options[name] is None
        return getattr(type(self), name, setting(f"AWS_S3_{name.upper()}")) is None

    def _usual_config(self) -> Config:
        return Config(
            s3={"addressing_style": self.addressing_style},
            signature_version=self.signature_version,
            proxies=self.proxies,
            max_pool_connections=CONNECTIONS,
        )

    def get_default_settings(self) -> dict[str, Any]:
        """Return the value of each option in the settings, else its default."""
        defaults: dict[str, Any] = super().get_default_settings()
        return {
            **defaults,
            "file_overwrite": setting("AWS_S3_FILE_OVERWRITE", False),
            "conditional_writes": setting("AWS_S3_CONDITIONAL_WRITES", False),
            "parts_in_memory": setting("AWS_S3_PARTS_IN_MEMORY", PARTS),
        }

    # Credentials

    def _has_keys(self) -> bool:
        return any(KEY in name for name in self.object_parameters)

    @classmethod
    def _secret_names(cls, options: Mapping[str, Any]) -> set[str]:
        secrets = {"access_key", "secret_key", "security_token"}
        secrets |= {"cloudfront_key_id", "cloudfront_key", "cloudfront_signer"}
        if any(KEY in name for name in options.get("object_parameters") or ()):
            secrets.add("object_parameters")
        of_client = getattr(options.get("client_config"), "proxies", None)
        proxies = {**(options.get("proxies") or {}), **(of_client or {})}
        if any(has_login(str(proxy)) for proxy in proxies.values()):
            secrets |= {"proxies", "client_config"}
        return secrets

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.client_config is None:
            self.client_config = self._usual_config()
        if not hasattr(self, "cloudfront_signer"):
            key_id, key = self.cloudfront_key_id, self.cloudfront_key
            both = key_id and key
            self.cloudfront_signer = (
                self.get_cloudfront_signer(key_id, key) if both else None
            )

    # Clients

    @made_once
    def _clients(self) -> Clients:
        self._check_credentials()
        if not self.bucket_name:
            raise ImproperlyConfigured(
                "No bucket is set: give bucket_name, or set AWS_STORAGE_BUCKET_NAME."
            )
        credentials = (self.access_key, self.secret_key, self.security_token)
        options = {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region_name,
            "use_ssl": self.use_ssl,
            "verify": self.verify,
        }
        return clients(
            (type(self)._create_session, self.session_profile, *credentials),
            self._create_session,
            options,
            self.client_config,
        )

    @property
    def client(self) -> S3Client:
        """The client, which all storages with the same options share."""
        return self._clients.client()

    @property
    def connection(self) -> S3ServiceResource:
        """A resource; its client is that of all storages with the same options."""
        return self._clients.resource()

    @property
    def unsigned_connection(self) -> S3ServiceResource:
        """A resource that signs nothing."""
        return self._clients.resource("unsigned")

    @property
    def bucket(self) -> Bucket:
        """The bucket."""
        return self.connection.Bucket(self.bucket_name)

    # Requests

    @property
    def _place(self) -> Place:
        endpoint = urlsplit(self.client.meta.endpoint_url)
        host = endpoint.netloc.rpartition("@")[2]
        return Place(str(self.bucket_name), f"{endpoint.scheme}://{host}")

    def call(self, label: str, ask: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return what ``ask`` returns. Raises errors of this package."""
        return call(label, self._place, ask, *args, **kwargs)

    def write_parameters(self, key: str, content: Any = None) -> dict[str, Any]:
        """Return the parameters of a request that writes an object.

        They are those of ``object_parameters``, of ``default_acl``, and, with a
        ``content``, its media type and encoding. A media type that an upload brings
        counts only in its usual form.
        """
        if media_type_of(content) is None:
            # Else a wrong one would be taken as it is.
            content = None
        return dict(self._get_write_parameters(key, content))

    def _reading(self, key: str) -> dict[str, Any]:
        """Return the parameters of requests that read an object, such as its key."""
        parameters = self.get_object_parameters(key)
        return {k: v for k, v in parameters.items() if k in ALLOWED_DOWNLOAD_ARGS}


def _hidden(key: str | bytes) -> str | bytes:
    return SecretBytes(key) if isinstance(key, bytes) else Secret(key)
