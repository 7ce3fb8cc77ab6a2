"""Files made of parts that several processes may send, one after another.

A multipart upload of S3: its parts are in the store as they come, and there is a file
of them once it is completed.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import secrets
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from tahoestorage.backends.cached import Cached, check_file, saved_name
from tahoestorage.backends.s3.checksums import ALGORITHM, encoded
from tahoestorage.backends.s3.conditions import MARK
from tahoestorage.backends.s3.objects import entry_of, marked
from tahoestorage.backends.s3.uploads import of_each_part
from tahoestorage.backends.s3.writing import S3Response, S3Writing
from tahoestorage.backends.sentparts import SentPart
from tahoestorage.exceptions import FileMissing, NameTaken, StoreError, UploadEnded


class Multipart(Cached, S3Writing):
    """Uploads in parts whose caller says which parts there are."""

    def begin_parts(self, name: str, content_type: str) -> str:
        """Begin to make a file of parts, and return what the other methods know it by.

        Whoever has that may send parts, from any process, until it is completed or
        aborted. Until then there is no file, and the store keeps the parts: abort what
        nobody goes on with (``manage.py storage_uploads`` finds what was forgotten).
        The parts are stored as they are, also where the storage packs (``gzip``).
        """
        key, token = self._key_of_parts(name), secrets.token_hex(16)
        parameters = self.write_parameters(
            key, SimpleNamespace(content_type=content_type)
        )
        parameters = marked(parameters, packed=False)
        metadata = {**parameters.get("Metadata", {}), MARK: token}
        begun = self.call(
            name,
            self.client.create_multipart_upload,
            **self.address(key),
            **{**parameters, "Metadata": metadata},
        )
        return f"{token}:{begun['UploadId']}"

    def put_part(
        self, name: str, upload: str, number: int, content: bytes | mmap.mmap
    ) -> SentPart:
        """Send a part, from 1 on; one of that number that is there is replaced.

        All but the last must have 5 MiB or more (``sentparts.part_length`` is a good
        length). The store is sent its SHA-256 where ``object_parameters`` has
        ``ChecksumAlgorithm`` "SHA256". Raises UploadEnded.
        """
        digest = hashlib.sha256(content).digest()
        if not isinstance(content, bytes):
            content.seek(0)
        key = self._key_of_parts(name)
        checksum = self._checksum(key, digest)
        if checksum:
            checksum["ChecksumAlgorithm"] = ALGORITHM
        response: Any = self.call(
            name,
            self.client.upload_part,
            **self._upload(key, upload),
            **checksum,
            PartNumber=number,
            Body=content,
        )
        return SentPart(number, len(content), response["ETag"], digest)

    def complete_parts(self, name: str, upload: str, parts: Sequence[SentPart]) -> None:
        """Make the file of these parts, in this order; it is no error if it is made.

        Nothing is overwritten: raises NameTaken. As with ``create`` and ``unique``, a
        store that is not known to refuse is asked whether the name is free. Raises
        UploadEnded where the upload was aborted.
        """
        key, (token, _) = self._key_of_parts(name), _split(upload)
        if not self.trusts_conditions and self._is_made(key, name, token):
            return
        condition = {"IfNoneMatch": "*"} if self.trusts_conditions else {}
        told = [
            {
                "PartNumber": part.number,
                "ETag": part.etag,
                **self._checksum(key, part.sha256),
            }
            for part in parts
        ]
        size = sum(part.size for part in parts)
        with self._changing(saved_name(name)) as became:
            try:
                response: S3Response = self.call(
                    name,
                    self.client.complete_multipart_upload,
                    **self._upload(key, upload),
                    **condition,
                    MultipartUpload={"Parts": told},
                )
                became(entry_of({"ETag": response.get("ETag", "")}, size))
            except (NameTaken, StoreError):
                # It may be done, and the response lost.
                with contextlib.suppress(NameTaken, StoreError):
                    if self._is_made(key, name, token):
                        return
                raise

    def abort_parts(self, name: str, upload: str) -> None:
        """Delete what was sent of an upload that is not completed.

        It is no error if it has ended. A part that is being sent may remain: abort once
        more when nobody sends any.
        """
        with contextlib.suppress(UploadEnded, FileMissing):
            self.call(
                name,
                self.client.abort_multipart_upload,
                **self.whole_address(self._key_of_parts(name)),
                UploadId=_split(upload)[1],
            )

    def _is_made(self, key: str, name: str, token: str) -> bool:
        """Return whether the upload of that token was completed. Raises NameTaken."""
        head = self.head_if_there(key, name)
        if head is not None and head["Metadata"].get(MARK) != token:
            raise NameTaken(f"{name}: the name is taken")
        return head is not None

    def _key_of_parts(self, name: str) -> str:
        name = saved_name(str(name))
        check_file(name)
        return self.key_of(name)

    def _upload(self, key: str, upload: str) -> dict[str, Any]:
        each = of_each_part(self.get_object_parameters(key))
        return {**self.address(key), **each, "UploadId": _split(upload)[1]}

    def _checksum(self, key: str, digest: bytes) -> dict[str, Any]:
        """Return a part's digest as requests have it, if the options ask for that."""
        if self.get_object_parameters(key).get("ChecksumAlgorithm") != ALGORITHM:
            return {}
        return {"ChecksumSHA256": encoded(digest)}


def _split(upload: str) -> tuple[str, str]:
    token, _, upload_id = upload.partition(":")
    return token, upload_id
