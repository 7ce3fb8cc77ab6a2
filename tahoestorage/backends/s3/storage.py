"""Django's storage on S3, and on what speaks as S3 does."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.utils.encoding import filepath_to_uri

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.directupload import DirectUpload
from tahoestorage.backends.names import path_of, url_name
from tahoestorage.backends.objectreader import ObjectReader
from tahoestorage.backends.objectstore import Signed
from tahoestorage.backends.s3.conditions import Operation
from tahoestorage.backends.s3.urls import direct_upload, seconds_left
from tahoestorage.backends.s3.writing import S3Writing
from tahoestorage.backends.storedfile import Reader
from tahoestorage.backends.unpacked import Unpacked
from tahoestorage.exceptions import NameIsDirectory

DAY = 86_400.0


class S3Storage(Cached, S3Writing):
    """Keeps files in a bucket of S3, and remembers what it was told of them.

    Takes the options and settings of django-storages' S3Storage, and ``cache`` as
    TahoeStorage does. One default differs: ``file_overwrite``, also to be called
    ``allow_overwrite``, is False. Raises FileMissing and NameTaken, which are
    FileNotFoundError and FileExistsError, and a StoreError where the store can't be
    asked.
    """

    # Where it is imported from, by migrations and pickles too.
    __module__ = "tahoestorage.backends.s3"

    def _try_out(self, operation: Operation, what: str) -> bool:
        scope = self._scope.item("conditions:")
        if self._entries.text(scope, operation, DAY) is not None:
            return True
        ticket = self._entries.ticket()
        honoured = super()._try_out(operation, what)
        if honoured:
            self._entries.keep_text(ticket, scope, operation, "honoured", DAY)
        return honoured

    def _reader(self, name: str) -> Reader:
        reader = super()._reader(name)
        if self.gzip and isinstance(reader, ObjectReader):
            return Unpacked(reader, name)
        return reader

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the files below a prefix."""
        path = str(path)
        path_of(path)
        found: tuple[list[str], list[str]]
        found = self._call(path or "the root", super().listdir, path)
        return found

    # URLs

    def url(
        self,
        name: str | None,
        parameters: dict[str, Any] | None = None,
        expire: int | None = None,
        http_method: str | None = None,
    ) -> str:
        """Return where a file is downloaded, whether or not there is one.

        A signed URL is good for ``expire`` seconds (querystring_expire), and stays the
        same for half of that time, or until the file is changed.
        """
        name = url_name(str(name or "").replace("\\", "/"))
        path_of(name)
        signed = not self.custom_domain or self.cloudfront_signer
        if not (self.querystring_auth and signed):
            url: Any = super().url
            ask = functools.partial(url, name, parameters, expire, http_method)
            return str(ask() if self.custom_domain else self._call(name, ask))
        if expire is None:
            expire = self.querystring_expire
        asked = [
            self._clients.signature,
            self.custom_domain,
            self.url_protocol,
            self.cloudfront_key_id,
            parameters or {},
            expire,
            http_method,
        ]

        def sign() -> Signed:
            if self.custom_domain:
                return self._sign_for_cloudfront(name, parameters or {}, expire)
            return self._sign(name, parameters or {}, expire, http_method)

        return self._stable_url(name, asked, expire, sign)

    def download_url(
        self, name: str, *, method: str, content_type: str, disposition: str
    ) -> str:
        """Return ``url``, with what the store is to answer where it signs it itself."""
        if self.custom_domain or not self.querystring_auth:
            return self.url(name)
        told = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
        }
        return self.url(name, told, http_method=method)

    def _sign(
        self,
        name: str,
        parameters: dict[str, Any],
        expire: int,
        http_method: str | None,
    ) -> Signed:
        # Before: what is signed now is good for as long, or longer.
        left = self._call(name, seconds_left, self._clients)
        url = self._call(
            name,
            self._client.generate_presigned_url,
            "get_object",
            Params={**parameters, **self._object(self._key(name))},
            ExpiresIn=expire,
            HttpMethod=http_method,
        )
        return Signed(url, min(expire, left))

    def _sign_for_cloudfront(
        self, name: str, parameters: dict[str, Any], expire: int
    ) -> Signed:
        uri = filepath_to_uri(self._key(name))
        query = f"?{urlencode(parameters)}" if parameters else ""
        url = f"{self.url_protocol}//{self.custom_domain}/{uri}{query}"
        end = datetime.now(UTC) + timedelta(seconds=expire)
        signer: Any = self.cloudfront_signer
        return Signed(signer.generate_presigned_url(url, date_less_than=end), expire)

    def upload_url(self, name: str, content_type: str, size: int) -> DirectUpload:
        """Return a request by which somebody else uploads a file: a signed PUT.

        Its body has to be of just ``size`` bytes, and all ``headers`` have to be
        sent as they are; S3 refuses anything else, and a name that is taken (412). It
        is good for querystring_expire seconds. Raises NotConditional where the store
        could overwrite.
        """
        name = "/".join(path_of(str(name)))
        if not name:
            raise NameIsDirectory("the root is a directory, and no file")
        self._demand("PutObject", name)
        key = self._key(name)
        parameters = {**self.get_object_parameters(key), "ContentType": content_type}
        if self.default_acl:
            parameters.setdefault("ACL", self.default_acl)
        seconds = self.querystring_expire
        upload = self._call(
            name,
            direct_upload,
            self._clients.client("s3v4"),
            self._object(key),
            size,
            seconds,
            parameters,
        )
        self._expect(name, seconds)
        return upload
