"""GCSStorage: its listings and its URLs; the rest is in ``backends/cached.py``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Unpack
from urllib.parse import quote

from google.api_core.exceptions import from_http_status
from google.cloud.storage.acl import ACL

from tahoestorage.backends import digests
from tahoestorage.backends.cached import check_file, saved_name
from tahoestorage.backends.directupload import DirectUpload
from tahoestorage.backends.gcs.composing import Composing
from tahoestorage.backends.gcs.errors import ask
from tahoestorage.backends.gcs.objects import content_hashes
from tahoestorage.backends.gcs.signing import seconds_of, seconds_until, signer_for
from tahoestorage.backends.names import path_of, url_name
from tahoestorage.backends.objectreader import ObjectReader
from tahoestorage.backends.objectstore import Signed, is_hidden, is_named_as_packed
from tahoestorage.backends.storedfile import Reader
from tahoestorage.backends.unpacked import Unpacked
from tahoestorage.config.keywords import GCSKeywords
from tahoestorage.entries import Entry
from tahoestorage.exceptions import StoreError

# Who brings credentials along gets what they sign, and nobody else does.
_CREDENTIALS = ("access_token", "client", "credentials")
_XML_ACLS = {name: xml for xml, name in ACL.PREDEFINED_XML_ACLS.items()}
_XML_HEADERS = ("cache_control", "content_disposition", "content_language")


class GCSStorage(Composing):
    """Keeps files in a bucket of Google Cloud Storage, with a cache.

    Takes the options and settings of django-storages' GoogleCloudStorage, and ``cache``
    as TahoeStorage does. One default differs: ``file_overwrite``, also to be called
    ``allow_overwrite``, is False. IAM signs URLs where the credentials have no key.
    """

    # Where it is imported from, by migrations and pickles too.
    __module__ = "tahoestorage.backends.gcs"

    always_tells_packing = False

    def __init__(self, **options: Unpack[GCSKeywords]) -> None:
        super().__init__(**options)

    def get_created_time(self, name: str) -> datetime:
        """Return when the object was created. Each write creates it anew."""
        return self._time(self._whole(str(name), "created"))

    def content_hashes(self, entry: Entry) -> dict[str, bytes]:
        """Return the digests of a file's content that the store told, by algorithm."""
        return content_hashes(entry)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of the directories and of the files in a directory.

        1,000 names a request. Directories are prefixes that end in "/".
        """
        path_of(str(path))
        start = self.key_of(str(path)).rstrip("/")
        start = f"{start}/" if start else ""
        directories: set[str] = set()
        files: list[str] = []
        fields = "items(name),prefixes,nextPageToken"
        for page in self._listing(start, fields, delimiter="/"):
            files += [
                blob.name[len(start) :] for blob in page if not is_hidden(blob.name)
            ]
            directories.update(page.raw_page.get("prefixes", ()))
        below = (directory[len(start) : -1] for directory in directories)
        # A folder may be an object too, with a name that ends with the slash.
        return sorted(filter(None, below)), sorted(filter(None, files))

    def _reader(self, name: str, size: int | None = None) -> Reader:
        reader = super()._reader(name, size)
        if self._unpacks(self.key_of(name)) and isinstance(reader, ObjectReader):
            return Unpacked(reader, name)
        return reader

    # URLs

    def url(self, name: str | None, parameters: Mapping[str, Any] | None = None) -> str:
        """Return the URL of a file; the file need not exist.

        Within half of the time that a signed URL works (GS_EXPIRATION), the same one is
        returned again, unless the file changes. ``parameters`` are those of
        ``Blob.generate_signed_url``.
        """
        name = url_name(str(name or "").replace("\\", "/"))
        if path_of(name):
            name = self._shown(name)
        key = self._normalize_name(name)
        if not self.signs_url(key):
            if self.custom_endpoint:
                return f"{self.custom_endpoint}/{quote(key, safe='/~')}"
            return str(self.bucket.blob(key).public_url)
        check_file(name)
        asked = dict(parameters or {})
        if self.custom_endpoint:
            asked.setdefault("bucket_bound_hostname", self.custom_endpoint)
        if self.expiration:
            asked.setdefault("expiration", self.expiration)
        asked.setdefault("version", "v4")
        if parameters and not asked.keys().isdisjoint(_CREDENTIALS):
            return self._signed(key, asked, name).url
        return self._stable_url(
            name,
            [
                self._signs,
                self.sa_email,
                self.custom_endpoint,
                self.expiration,
                asked if parameters else None,
            ],
            seconds_until(asked),
            lambda: self._signed(key, asked, name),
        )

    def signs_url(self, key: str) -> bool:
        return bool(self.querystring_auth) and self._acl(key) != "publicRead"

    def download_url(
        self, name: str, *, method: str, content_type: str, disposition: str
    ) -> str | None:
        """Return ``url``, with the headers of the response where it is signed.

        None for a file that was packed before it was saved, such as ``a.tar.gz``: the
        store sends it with its Content-Encoding, whatever a URL says.
        """
        if is_named_as_packed(name):
            return None
        headers = {"response_type": content_type, "response_disposition": disposition}
        return self.url(name, {"method": method, **headers})

    def _signed(self, key: str, asked: Mapping[str, Any], label: str) -> Signed:
        parameters, seconds = dict(asked), seconds_until(asked)
        # The library adds to them.
        parameters["headers"] = dict(parameters.get("headers") or {})
        if "credentials" not in parameters and "access_token" not in parameters:
            by_iam = bool(self.iam_sign_blob)
            signer = ask(
                label, signer_for, self._connection, self.sa_email, by_iam=by_iam
            )
            parameters["credentials"] = signer
            seconds = min(seconds, seconds_of(signer))
        blob = self.bucket.blob(key)
        return Signed(ask(label, blob.generate_signed_url, **parameters), seconds)

    def stored_checksums(self, name: str) -> dict[str, bytes]:
        """Return the digests of a file's stored bytes that the store vouches for.

        By algorithm: "crc32c" (4 bytes, big-endian), and "md5" but of composed objects.
        One request. Empty where they are told of packed bytes. Raises FileMissing.
        """
        name = self._spelled(str(name))
        return content_hashes(self.stat_object(self.key_of(name), name))

    def content_algorithms(self, size: int) -> tuple[str, ...]:
        """Return by which algorithms ``stored_checksums`` tells of a saved content."""
        return (digests.CRC32C,)

    def upload_url(self, name: str, content_type: str, size: int) -> DirectUpload:
        """Return a signed PUT request by which a visitor uploads a file.

        Its body must have ``size`` bytes, and all ``headers`` must be sent unchanged:
        the store refuses anything else, and a name that is taken (status 412). It works
        as long as the URLs of this storage (GS_EXPIRATION). Raises NotConditional where
        the store could overwrite.
        """
        name = saved_name(str(name))
        check_file(name)
        key = self._blob(name, self.key_of(name)).name
        self._demand("signed upload", key, name)
        upload = self._direct_upload(key, name, content_type, size)
        good = seconds_until({"expiration": self.expiration})
        self._expect(name, good)
        return upload

    def _put_by_url(self, key: str, label: str) -> None:
        upload = self._direct_upload(key, label, "text/plain", 1)
        # Without credentials: the signature is all that somebody else has.
        response = self._connection.request(
            upload.url, "PUT", body=b"x", headers=upload.headers
        )
        if response.status == 404:
            raise StoreError(
                f"{label}: {self.client.api_endpoint} knows nothing of uploads by "
                "signed URLs"
            )
        if response.status >= 300:
            raise from_http_status(response.status, "an upload by a signed URL")

    def _direct_upload(
        self, key: str, label: str, content_type: str, size: int
    ) -> DirectUpload:
        # A form can bound the size too, but not say that nothing is overwritten.
        headers = {
            "Content-Type": content_type,
            "x-goog-content-length-range": f"{size},{size}",
            "x-goog-if-generation-match": "0",
        }
        acl, parameters = self._acl(key), self.get_object_parameters(key)
        if acl:
            headers["x-goog-acl"] = _XML_ACLS.get(acl, acl)
        for each in _XML_HEADERS:
            if each in parameters:
                headers[each.replace("_", "-").title()] = str(parameters[each])
        asked = {
            "version": "v4",
            "method": "PUT",
            "expiration": self.expiration,
            "headers": headers,
        }
        return DirectUpload("PUT", self._signed(key, asked, label).url, {}, headers)
