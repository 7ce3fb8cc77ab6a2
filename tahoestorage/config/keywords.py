"""The keywords of each storage's constructor, which editors complete and mypy checks.

Those of S3 and Google Cloud Storage are django-storages' options, and ours. Beside each
stand the variables of the environment that may hold it, the first ones first; they are
called as django-storages' settings are. How a text is read follows from the type. The
defaults are django-storages', but for those in ``backends/s3/options.py`` and
``backends/gcs/options.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from tahoestorage.config.validators import Network
from tahoestorage.tahoe.caps import Cap


class CacheKeywords(TypedDict, total=False):
    """What ``cache`` may be a mapping of; ``CacheOptions`` says what each means."""

    directory: str | Path | None
    size_limit: int | None
    lifetime: float | None
    memory_entries: int | None
    redis: str | None
    content_size_limit: int | None


Cache = bool | CacheKeywords | Mapping[str, Any] | None


class TahoeKeywords(TypedDict, total=False):
    """The keywords of TahoeStorage; ``Options`` says what each means.

    None, and an empty text, mean that an option is not given: then the setting counts.
    """

    base_url: str | Sequence[str] | None
    base_cap: Cap | str | None
    base_cap_file: str | Path | None
    public_base_url: str | None
    url_style: Literal["cap", "path"] | None
    media_url: str | None
    allow_overwrite: bool | None
    connect_timeout: float | None
    read_timeout: float | None
    min_rate: int | None
    retries: int | None
    cache: Cache
    directory_format: Literal["SDMF", "MDMF"] | None
    server_count: int | None
    retired_servers: Sequence[str] | None
    trusted_hosts: Sequence[str | Network] | None


class ObjectKeywords(TypedDict, total=False):
    """The keywords that S3Storage and GCSStorage share."""

    cache: Cache
    """As TahoeStorage has it."""
    allow_overwrite: bool | None
    """Another name of ``file_overwrite``, and with it False by default."""
    gzip_content_types: Annotated[Sequence[str], "GZIP_CONTENT_TYPES"]


class S3Keywords(ObjectKeywords, total=False):
    """The keywords of S3Storage."""

    access_key: Annotated[str | None, "AWS_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"]
    secret_key: Annotated[
        str | None, "AWS_S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"
    ]
    security_token: Annotated[str | None, "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]
    session_profile: Annotated[str | None, "AWS_S3_SESSION_PROFILE"]
    bucket_name: Annotated[str | None, "AWS_STORAGE_BUCKET_NAME"]
    location: Annotated[str, "AWS_LOCATION"]
    file_overwrite: Annotated[bool | None, "AWS_S3_FILE_OVERWRITE"]
    object_parameters: Annotated[dict[str, Any], "AWS_S3_OBJECT_PARAMETERS"]
    querystring_auth: Annotated[bool, "AWS_QUERYSTRING_AUTH"]
    querystring_expire: Annotated[int, "AWS_QUERYSTRING_EXPIRE"]
    signature_version: Annotated[str | None, "AWS_S3_SIGNATURE_VERSION"]
    custom_domain: Annotated[str | None, "AWS_S3_CUSTOM_DOMAIN"]
    cloudfront_key_id: Annotated[str | None, "AWS_CLOUDFRONT_KEY_ID"]
    cloudfront_key: Annotated[str | None, "AWS_CLOUDFRONT_KEY"]
    cloudfront_signer: Any
    addressing_style: Annotated[str | None, "AWS_S3_ADDRESSING_STYLE"]
    file_name_charset: Annotated[str, "AWS_S3_FILE_NAME_CHARSET"]
    gzip: Annotated[bool, "AWS_IS_GZIPPED"]
    url_protocol: Annotated[str, "AWS_S3_URL_PROTOCOL"]
    endpoint_url: Annotated[str | None, "AWS_S3_ENDPOINT_URL"]
    proxies: Annotated[dict[str, Any] | None, "AWS_S3_PROXIES"]
    region_name: Annotated[str | None, "AWS_S3_REGION_NAME"]
    use_ssl: Annotated[bool, "AWS_S3_USE_SSL"]
    verify: Annotated[bool | str | None, "AWS_S3_VERIFY"]
    max_memory_size: Annotated[int, "AWS_S3_MAX_MEMORY_SIZE"]
    default_acl: Annotated[str | None, "AWS_DEFAULT_ACL"]
    use_threads: Annotated[bool, "AWS_S3_USE_THREADS"]
    transfer_config: Annotated[Any, "AWS_S3_TRANSFER_CONFIG"]
    client_config: Annotated[Any, "AWS_S3_CLIENT_CONFIG"]
    conditional_writes: Annotated[bool, "AWS_S3_CONDITIONAL_WRITES"]
    """Whether the operator says that the store refuses to overwrite when asked."""
    parts_in_memory: Annotated[int, "AWS_S3_PARTS_IN_MEMORY"]
    """Parts of an upload that are sent at once, beside the one that is being read."""


class GCSKeywords(ObjectKeywords, total=False):
    """The keywords of GCSStorage."""

    project_id: Annotated[str | None, "GS_PROJECT_ID"]
    credentials: Annotated[Any, "GS_CREDENTIALS"]
    bucket_name: Annotated[str | None, "GS_BUCKET_NAME"]
    custom_endpoint: Annotated[str | None, "GS_CUSTOM_ENDPOINT"]
    location: Annotated[str, "GS_LOCATION"]
    default_acl: Annotated[str | None, "GS_DEFAULT_ACL"]
    querystring_auth: Annotated[bool, "GS_QUERYSTRING_AUTH"]
    expiration: Annotated[timedelta, "GS_EXPIRATION"]
    gzip: Annotated[bool, "GS_IS_GZIPPED"]
    file_overwrite: Annotated[bool | None, "GS_FILE_OVERWRITE"]
    object_parameters: Annotated[dict[str, Any], "GS_OBJECT_PARAMETERS"]
    max_memory_size: Annotated[int, "GS_MAX_MEMORY_SIZE"]
    blob_chunk_size: Annotated[int | None, "GS_BLOB_CHUNK_SIZE"]
    iam_sign_blob: Annotated[bool, "GS_IAM_SIGN_BLOB"]
    sa_email: Annotated[str | None, "GS_SA_EMAIL"]
    conditional_writes: Annotated[bool, "GS_CONDITIONAL_WRITES"]
    """Whether the operator says that the store refuses to overwrite when asked."""
