"""Asking Google Cloud Storage for objects: a stat, a part, a page of a listing."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import Any

from google.api_core.exceptions import from_http_response

from tahoestorage.backends import digests
from tahoestorage.backends.gcs.clients import CALL, endpoint
from tahoestorage.backends.gcs.errors import ask, no_bucket
from tahoestorage.backends.gcs.objects import (
    FIELDS,
    GCSBody,
    content_hashes,
    encoding_in,
    encoding_of,
    entry_in,
    entry_of,
    generation_in,
    size_in,
    stored_md5,
)
from tahoestorage.backends.gcs.options import GCSOptions
from tahoestorage.backends.keys import Keys
from tahoestorage.backends.objectstore import PACKED
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    DamagedDownload,
    FileMissing,
    NameIsDirectory,
    NameTaken,
    StoreError,
)
from tahoestorage.parts import Part

PAGE = 1000


class GCSReading(Keys, GCSOptions):
    """Requests that read from a bucket; nothing is cached."""

    def identity(self) -> list[str]:
        # Without the location, which is a part of each key: so storages of one bucket
        # know of each other's writes.
        return ["gs", endpoint(), str(self.bucket_name)]

    def _blob(self, label: str, key: str, **options: Any) -> Any:
        """Return an object of the library's. No request is made.

        Raises NameIsDirectory for the location itself.
        """
        if key.rstrip("/") == self.key_of(""):
            raise NameIsDirectory(f"{label!r} is the root, a directory, and no file")
        return self.bucket.blob(key, **options)

    def _found(self, key: str, label: str) -> Any:
        """Return an object with its properties, by one request. Raises FileMissing."""
        blob = self._blob(label, key)
        ask(label, blob.reload, **CALL)
        return blob

    def stat_object(self, key: str, label: str) -> Entry:
        return entry_of(self._found(key, label))

    def list_pages(self, prefix: str) -> Iterator[list[tuple[str, Entry]]]:
        for page in self._listing(prefix, f"items({FIELDS}),nextPageToken"):
            yield [(blob.name, entry_of(blob)) for blob in page]

    def stored_digests(self, entry: Entry) -> dict[str, bytes]:
        digest = stored_md5(entry)
        return {} if digest is None else {digests.MD5: digest}

    def content_md5(self, entry: Entry) -> str | None:
        digest = content_hashes(entry).get("md5")
        return None if digest is None else digest.hex()

    def _listing(self, prefix: str, fields: str, **options: Any) -> Iterator[Any]:
        bucket, label = self.bucket, prefix or "the bucket"
        pages = self.client.list_blobs(
            bucket, prefix=prefix, fields=fields, page_size=PAGE, **options, **CALL
        ).pages
        try:
            while (page := ask(label, next, pages, None)) is not None:
                yield page
        except FileMissing as missing:
            raise no_bucket(label) from missing.__cause__

    def fetch_object(
        self, key: str, first: int, last: int, reference: str | None, label: str
    ) -> Part:
        url = self._blob(label, key)._get_download_url(
            self.client, if_generation_match=generation_in(reference)
        )
        try:
            response = ask(label, CALL["retry"](self._get), url, first, last)
        except (FileMissing, NameTaken) as error:
            if reference is None:
                raise
            raise _replaced(label) from error.__cause__
        try:
            return self._part(key, first, reference, label, response)
        except BaseException:
            response.close()
            raise

    def _part(
        self, key: str, first: int, reference: str | None, label: str, response: Any
    ) -> Part:
        headers = response.headers
        if response.status_code == 200 and first:
            raise StoreError(f"{label}: what responds for the store knows no ranges")
        entry = entry_in(headers)
        if entry is not None and reference is not None:
            # Not all that speaks as Google does looks at the condition.
            if generation_in(entry.reference) != generation_in(reference):
                raise _replaced(label)
        elif entry is None and reference is not None:
            entry = Entry(EntryKind.FILE, reference, size_in(headers))
        body, encoding = GCSBody(response, label), encoding_in(headers)
        beyond = response.status_code == 416
        if beyond:
            # There is nothing at that place, such as at the start of an empty object.
            body.close()
        if entry is None or (beyond and first and reference is None):
            # What is not Google's own may not say which object it is, and a refusal
            # does not say how it is encoded.
            entry = self.stat_object(key, label)
            encoding = encoding_of(entry)
        # This storage packs these types by now. Of others the metadata tell.
        kind = headers.get("content-type")
        if not beyond and kind is not None and kind not in self.gzip_content_types:
            asks = encoding == "gzip" and reference is None and self.gzip
            if not (asks and self._says_packed(key, entry, label)):
                encoding = None
        return Part(entry, body, encoding)

    def _says_packed(self, key: str, entry: Entry, label: str) -> bool:
        """Return whether an object's metadata say that the storage packed it."""
        if mimetypes.guess_type(key)[1] is not None:
            # It came packed, by its name.
            return False
        try:
            blob = self._found(key, label)
        except FileMissing as missing:
            raise _replaced(label) from missing.__cause__
        if blob.generation != generation_in(entry.reference):
            raise _replaced(label)
        return bool((blob.metadata or {}).get(PACKED) == "yes")

    def _get(self, url: str, first: int, last: int) -> Any:
        # Without the second the store unpacks what is packed, and knows no ranges.
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "gzip"}
        response = self.client._http.request(
            "GET", url, headers=headers, stream=True, timeout=CALL["timeout"]
        )
        if response.status_code in (200, 206, 416):
            return response
        with response:
            raise from_http_response(response)


def _replaced(label: str) -> DamagedDownload:
    return DamagedDownload(
        f"{label}: the file was replaced or deleted while it was read; open it again"
    )
