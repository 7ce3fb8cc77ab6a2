"""Asking S3 for objects: a stat, a part, a page of a listing."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tahoestorage.backends import digests
from tahoestorage.backends.keys import Keys
from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.backends.s3 import checksums
from tahoestorage.backends.s3.conditions import is_trusted
from tahoestorage.backends.s3.errors import BeyondTheEnd
from tahoestorage.backends.s3.objects import entry_of, is_packed, part_of
from tahoestorage.backends.s3.options import S3Options
from tahoestorage.backends.s3.uploads import of_each_request, part_length
from tahoestorage.entries import Entry
from tahoestorage.exceptions import DamagedDownload, FileMissing, NameTaken
from tahoestorage.parts import Part

_MD5 = re.compile("[0-9a-f]{32}")


class S3Reading(Keys, S3Options):
    """Requests that read from a bucket of S3; nothing is cached."""

    def identity(self) -> list[str]:
        # Without the location, which is a part of each key: so storages of one bucket
        # know of each other's writes.
        return [self.client.meta.endpoint_url, str(self.bucket_name)]

    @property
    def _packed_unmarked(self) -> Collection[str]:
        """The media types that count as packed where the metadata does not say."""
        types: Collection[str] = self.gzip_content_types if self.gzip else ()
        return types

    def address(self, key: str) -> dict[str, str]:
        """Return the parameters that name an object in each request."""
        return {"Bucket": self.bucket_name, "Key": key}

    def whole_address(self, key: str) -> dict[str, Any]:
        """Return the same for requests that neither read nor write an object.

        With whose bucket it must be, and who pays, if the options say so.
        """
        return {**self.address(key), **of_each_request(self.get_object_parameters(key))}

    def head_object(
        self, key: str, label: str, *, checksums: bool = False
    ) -> Mapping[str, Any]:
        """Return the response to HeadObject. Raises FileMissing.

        With ``checksums`` it has those with which the object was saved.
        """
        if not key:
            raise FileMissing(f"{label}: there is no such file")
        ask, asked = self.client.head_object, self._reading(key)
        if checksums:
            asked["ChecksumMode"] = "ENABLED"
        return self.call(label, ask, **self.address(key), **asked)

    def head_if_there(self, key: str, label: str) -> Mapping[str, Any] | None:
        """Return the response to HeadObject; None where there is no such object."""
        try:
            return self.head_object(key, label)
        except FileMissing:
            return None

    def stat_object(self, key: str, label: str) -> Entry:
        head = self.head_object(key, label)
        return entry_of(head, head["ContentLength"])

    def fetch_object(
        self, key: str, first: int, last: int, reference: str | None, label: str
    ) -> Part:
        asked = self._reading(key) | {"Range": f"bytes={first}-{last}"}
        if reference:
            asked["IfMatch"] = reference
        replaced = DamagedDownload(
            f"{label}: the download is not the file (it was replaced meanwhile); try "
            "again"
        )
        try:
            response = self.call(
                label, self.client.get_object, **self.address(key), **asked
            )
        except BeyondTheEnd:
            # Of an empty object each range is.
            head = self.head_object(key, label)
            entry = entry_of(head, head["ContentLength"])
            if reference and entry.reference != reference:
                raise replaced from None
            packed = is_packed(head, key, self._packed_unmarked)
            return Part(entry, io.BytesIO(), "gzip" if packed else None)
        except NameTaken as refusal:
            raise replaced from refusal.__cause__
        packed = is_packed(response, key, self._packed_unmarked)
        part = part_of(response, first, label, self._place, packed=packed)
        if reference and part.entry.reference != reference:
            part.body.close()
            raise replaced
        return part

    def list_pages(self, prefix: str) -> Iterator[list[tuple[str, Entry]]]:
        asked = of_each_request(self.get_object_parameters(prefix))
        paginator = self.client.get_paginator("list_objects_v2")
        pages = iter(
            paginator.paginate(Bucket=self.bucket_name, Prefix=prefix, **asked)
        )
        while page := self.call(prefix or "the root", next, pages, None):
            found = page.get("Contents", ())
            yield [(each["Key"], entry_of(each, each["Size"])) for each in found]

    def compared_checksums(
        self, response: Mapping[str, Any], size: int
    ) -> dict[str, bytes]:
        """Return the SHA-256 in a response to a save or a HeadObject, by algorithm.

        ``size`` is the object's, in bytes. Empty where there is none, or where the
        store was not seen to compare it with the bytes.
        """
        lengths = {*digests.PARTS, part_length(self.transfer_config, size)}
        found = checksums.sha256_in(response, size, lengths)
        return found if found and self._refuses_damage() else {}

    def _refuses_damage(self) -> bool:
        if is_trusted(self.client, self.bucket_name):
            return True
        seen = self._clients.refusing_damage
        if self.bucket_name not in seen:
            key = self.key_of(f"{TRIAL}-checksums")
            label = "a trial of checksums"
            seen[self.bucket_name] = checksums.refuses_damage(self, key, label)
        return seen[self.bucket_name]

    def stored_digests(self, entry: Entry) -> dict[str, bytes]:
        digest = entry.reference.strip('"')
        if _MD5.fullmatch(digest):
            return {digests.MD5: bytes.fromhex(digest)}
        size = entry.size or 0
        lengths = {*digests.PARTS, part_length(self.transfer_config, size)}
        return digests.of_parts(entry.reference, size, lengths)

    def content_md5(self, entry: Entry) -> str | None:
        # What is packed has another, and so has what was uploaded in parts.
        digest = entry.reference.strip('"')
        return None if self.gzip or not _MD5.fullmatch(digest) else digest
