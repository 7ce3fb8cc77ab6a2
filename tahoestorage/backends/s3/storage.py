"""S3Storage: its listings and its URLs; the rest is in ``backends/cached.py``."""

from __future__ import annotations

import functools
import mimetypes
import posixpath
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack
from urllib.parse import urlencode, urlsplit

from django.utils.encoding import filepath_to_uri

from tahoestorage.backends import digests
from tahoestorage.backends.cached import check_file, saved_name
from tahoestorage.backends.directupload import DirectUpload
from tahoestorage.backends.names import path_of, url_name
from tahoestorage.backends.objectreader import ObjectReader
from tahoestorage.backends.objectstore import (
    Signed,
    is_hidden,
    is_named_as_packed,
)
from tahoestorage.backends.s3.conditions import Operation, is_at_amazon
from tahoestorage.backends.s3.multipart import Multipart
from tahoestorage.backends.s3.objects import encoding_in, is_packed, marked
from tahoestorage.backends.s3.signing import direct_upload, seconds_left
from tahoestorage.backends.s3.uploads import of_each_request, part_length
from tahoestorage.backends.storedfile import Reader
from tahoestorage.backends.unpacked import Unpacked
from tahoestorage.config.keywords import S3Keywords

DAY = 86_400.0


class S3Storage(Multipart):
    """Keeps files in a bucket of S3, or of a compatible store, with a cache.

    Takes the options and settings of django-storages' S3Storage, and ``cache`` as
    TahoeStorage does. One default differs: ``file_overwrite``, also to be called
    ``allow_overwrite``, is False. Raises FileMissing and NameTaken, which are
    FileNotFoundError and FileExistsError, and a StoreError where the store can't be
    asked.
    """

    # Where it is imported from, by migrations and pickles too.
    __module__ = "tahoestorage.backends.s3"

    def __init__(self, **options: Unpack[S3Keywords]) -> None:
        super().__init__(**options)

    def _try_out(
        self, operation: Operation, label: str, key: str, thorough: bool
    ) -> bool:
        namespace = self._namespace.item("conditions:")
        # What was tried one after another only, or had to be met by chance.
        text_key = f"{operation}, one during another"
        if not thorough and self._entries.text(namespace, text_key, DAY) is not None:
            return True
        ticket = self._entries.ticket()
        honoured = super()._try_out(operation, label, key, thorough)
        if honoured:
            self._entries.keep_text(ticket, namespace, text_key, "honoured", DAY)
        elif thorough:
            self._entries.forget(namespace)
        return honoured

    def _reader(self, name: str, size: int | None = None) -> Reader:
        reader = super()._reader(name, size)
        if isinstance(reader, ObjectReader):
            # Another storage of the bucket may pack what it saves, and mark it.
            likely = mimetypes.guess_type(name)[0] in self.gzip_content_types
            return Unpacked(reader, name, rarely=not self.gzip, likely=likely)
        return reader

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the files in a directory.

        1,000 names a request. Directories are prefixes that end in "/".
        """
        path = str(path)
        path_of(path)
        start = self.key_of(path).rstrip("/")
        start = f"{start}/" if start else ""
        directories: dict[str, None] = {}
        files: list[str] = []
        # That of django-storages does not say whose bucket it must be, nor who pays.
        paginator = self.client.get_paginator("list_objects")
        asked = of_each_request(self.get_object_parameters(start))
        pages = iter(
            paginator.paginate(
                Bucket=self.bucket_name, Delimiter="/", Prefix=start, **asked
            )
        )
        while page := self.call(path or "the root", next, pages, None):
            for each in page.get("CommonPrefixes", ()):
                # moto tells a prefix on each page that has a name of it.
                directories[posixpath.relpath(each["Prefix"], start)] = None
            for found in page.get("Contents", ()):
                if found["Key"] != start:
                    files.append(posixpath.relpath(found["Key"], start))
        return [*directories], [name for name in files if not is_hidden(name)]

    # URLs

    def url(
        self,
        name: str | None,
        parameters: dict[str, Any] | None = None,
        expire: int | None = None,
        http_method: str | None = None,
    ) -> str:
        """Return the URL of a file; the file need not exist.

        A signed URL works for ``expire`` seconds (querystring_expire). Within half of
        that time the same URL is returned again, unless the file changes.
        """
        name = url_name(str(name or "").replace("\\", "/"))
        if not self._is_at_plain_domain or path_of(name):
            name = self._shown(name)
        if not self._signs_urls:
            url: Any = super().url
            ask = functools.partial(url, name, parameters, expire, http_method)
            return str(ask() if self.custom_domain else self.call(name, ask))
        return self._signed_url(name, parameters or {}, expire, http_method)

    def _signed_url(
        self,
        name: str,
        parameters: dict[str, Any],
        expire: int | None,
        http_method: str | None,
        also: Callable[[], dict[str, Any]] = dict,
    ) -> str:
        """Return the signed URL; a new one with the parameters of ``also`` besides."""
        seconds: int = self.querystring_expire if expire is None else expire
        asked = [
            self._clients.signature,
            self.custom_domain,
            self.url_protocol,
            self.cloudfront_key_id,
            parameters or None,
            seconds,
            http_method,
        ]

        def sign() -> Signed:
            if self.custom_domain:
                return self._sign_for_cloudfront(name, parameters, seconds)
            return self._sign(name, {**parameters, **also()}, seconds, http_method)

        return self._stable_url(name, asked, seconds, sign)

    def signs_url(self, key: str) -> bool:
        return self._signs_urls

    @property
    def _signs_urls(self) -> bool:
        return bool(self.querystring_auth) and not self._is_at_plain_domain

    @property
    def _is_at_plain_domain(self) -> bool:
        """Whether URLs lead to a domain for which nothing signs them."""
        return bool(self.custom_domain) and not self.cloudfront_signer

    def download_url(
        self, name: str, *, method: str, content_type: str, disposition: str
    ) -> str | None:
        """Return ``url``, with the headers of the response where S3 signs it.

        A file that was packed before it was saved, such as ``a.tar.gz``, is sent
        without its Content-Encoding, so that browsers do not unpack it. None for such a
        file where S3 does not sign the URL: only signed ones can ask for that.
        """
        if self.custom_domain or not self.querystring_auth:
            return None if is_named_as_packed(name) else self.url(name)
        name = self._shown(name)
        headers = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
        }
        also = functools.partial(self._encoding_header, name)
        return self._signed_url(name, headers, None, method, also)

    def _encoding_header(self, name: str) -> dict[str, Any]:
        """Return the parameter that sets the response's Content-Encoding, if needed."""
        if is_named_as_packed(name):
            return {"ResponseContentEncoding": "identity"}
        endpoint = urlsplit(self.client.meta.endpoint_url)
        if endpoint.scheme == "https" and not is_at_amazon(self.client):
            # It may have kept how the body was framed on its way.
            head = self.head_if_there(self.key_of(name), name) or {}
            encoding = encoding_in(head)
            if head.get("ContentEncoding") not in (None, "", encoding):
                return {"ResponseContentEncoding": encoding or "identity"}
        return {}

    def _sign(
        self,
        name: str,
        parameters: dict[str, Any],
        expire: int,
        http_method: str | None,
    ) -> Signed:
        # Before: what is signed now is good for as long, or longer.
        left = self.call(name, seconds_left, self._clients)
        url = self.call(
            name,
            self.client.generate_presigned_url,
            "get_object",
            Params={**parameters, **self.address(self.key_of(name))},
            ExpiresIn=expire,
            HttpMethod=http_method,
        )
        return Signed(url, min(expire, left))

    def _sign_for_cloudfront(
        self, name: str, parameters: dict[str, Any], expire: int
    ) -> Signed:
        uri = filepath_to_uri(self.key_of(name))
        query = f"?{urlencode(parameters)}" if parameters else ""
        url = f"{self.url_protocol}//{self.custom_domain}/{uri}{query}"
        end = datetime.now(UTC) + timedelta(seconds=expire)
        signer: Any = self.cloudfront_signer
        return Signed(signer.generate_presigned_url(url, date_less_than=end), expire)

    def stored_checksums(self, name: str) -> dict[str, bytes]:
        """Return the digests of a file's stored bytes that the store vouches for.

        By algorithm: "sha256", where it was saved with one (``object_parameters`` with
        ``ChecksumAlgorithm`` "SHA256"), or "sha256 of LENGTH", which is of the digests
        of parts of so many bytes. Outside of Amazon's own endpoints the store is
        believed only once it was seen to refuse a body of another SHA-256 and to take
        the right one, which is three requests in each process. Empty where nothing is
        told, or of bytes that the storage packed (``gzip``). Raises FileMissing.
        """
        name = self._spelled(str(name))
        key = self.key_of(name)
        head = self.head_object(key, name, checksums=True)
        if is_packed(head, key, self._packed_unmarked):
            return {}
        return self.compared_checksums(head, head["ContentLength"])

    def content_algorithms(self, size: int) -> tuple[str, ...]:
        """Return by which algorithms ``stored_checksums`` tells of a saved content.

        ``size`` is in bytes.
        """
        config = self.transfer_config
        if size < config.multipart_threshold:
            return (digests.SHA256,)
        parts = digests.of_length(digests.SHA256, part_length(config, size))
        return (digests.SHA256, parts)

    def upload_url(self, name: str, content_type: str, size: int) -> DirectUpload:
        """Return a signed PUT request by which a visitor uploads a file.

        Its body must have ``size`` bytes, and all ``headers`` must be sent unchanged:
        S3 refuses anything else, and a name that is taken (status 412). It works for
        querystring_expire seconds. Raises NotConditional where the store could
        overwrite.
        """
        name = saved_name(str(name))
        check_file(name)
        key = self.key_of(name)
        self._demand("PutObject", name, key)
        parameters = {**self.get_object_parameters(key), "ContentType": content_type}
        if self.default_acl:
            parameters.setdefault("ACL", self.default_acl)
        # A visitor's client need not know of any.
        parameters.pop("ChecksumAlgorithm", None)
        parameters = marked(parameters, packed=False)
        seconds = self.querystring_expire
        upload = self.call(
            name,
            direct_upload,
            self._clients.client("s3v4"),
            self.address(key),
            size,
            seconds,
            parameters,
        )
        self._expect(name, seconds)
        return upload
