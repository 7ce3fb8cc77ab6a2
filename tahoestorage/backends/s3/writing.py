"""Writing objects to S3: created under a condition, or replaced where asked.

A request that is repeated after its response was lost is refused for the object that
it made itself. So each object bears a token of its save.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tahoestorage.backends import receipts
from tahoestorage.backends.content import CHUNK, BodyReader, reader_of, sized
from tahoestorage.backends.objectreader import ObjectReader
from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.backends.s3.conditions import (
    MARK,
    Operation,
    S3Trial,
    is_modelled,
    is_trusted,
)
from tahoestorage.backends.s3.errors import NotImplementedThere
from tahoestorage.backends.s3.objects import encoding_in, entry_of, is_packed, marked
from tahoestorage.backends.s3.reading import S3Reading
from tahoestorage.backends.s3.uploads import (
    COPIED_AT_ONCE,
    SENT_AT_ONCE,
    Sending,
    copy_in_parts,
    is_sent_at_once,
    of_the_source,
    upload,
)
from tahoestorage.entries import Entry
from tahoestorage.exceptions import FileMissing, NameTaken, NotConditional, StoreError
from tahoestorage.parts import Part

_CARRIED = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
    "WebsiteRedirectLocation",
)
_OF_SAVES: tuple[Operation, ...] = ("PutObject", "CompleteMultipartUpload")
S3Response = Mapping[str, Any]


class S3Writing(S3Reading):
    """Requests that write to a bucket of S3."""

    # Conditions

    def conditional(self, *, thorough: bool = False) -> bool:
        """Return whether the store can refuse to overwrite, as saves ask it to.

        It is tried once in a process, below the location; a ``thorough`` trial is made
        each time. Only PutObject is tried: where the condition of uploads in parts
        does not hold, large files are sent whole. Raises StoreError where the store
        can't be asked.
        """
        label = "a trial of conditional writes"
        return self._honours("PutObject", label, self.key_of(TRIAL), thorough=thorough)

    @property
    def trusts_conditions(self) -> bool:
        """Whether no trial is needed: of Amazon's own, or by ``conditional_writes``."""
        client = self.client
        if not all(is_modelled(client, operation) for operation in _OF_SAVES):
            return False
        return self.conditional_writes or is_trusted(client, self.bucket_name)

    def refuses_at_once(self, name: str, content: Any) -> bool:
        size = getattr(content, "size", None)
        if size is None or not is_sent_at_once(size, self.transfer_config):
            return False
        # Where it can't be tried, content can be stored all the same.
        with contextlib.suppress(StoreError):
            return self._honours("PutObject", name, self.key_of(name))
        return False

    def is_sent_whole(self, size: int) -> bool:
        threshold: int = self.transfer_config.multipart_threshold
        return size < threshold

    def _honours(
        self, operation: Operation, label: str, key: str, *, thorough: bool = False
    ) -> bool:
        """Return whether the condition holds; if need be by a trial beside ``key``."""
        client = self.client
        if not is_modelled(client, operation):
            return False
        whole: Operation = "PutObject"
        if operation != whole and not self._honours(whole, label, key):
            # Who looks first and writes later does so with parts, too, and is found out
            # by them less often (Swift).
            return False
        cached, place = self._clients.honoured, (self.bucket_name, operation)
        if self.conditional_writes:
            # Whether copies work at all their failure tells.
            return operation != "CopyObject" or cached.get(place, True)
        if is_trusted(client, self.bucket_name):
            return True
        if thorough or place not in cached:
            with self._clients.trying:
                if thorough or place not in cached:
                    beside = key[: key.rfind("/") + 1] + TRIAL
                    cached[place] = self._try_out(operation, label, beside, thorough)
        return cached[place]

    def _try_out(
        self, operation: Operation, label: str, key: str, thorough: bool
    ) -> bool:
        return S3Trial(self, key, label).honours(operation, thorough=thorough)

    def _demand(self, operation: Operation, label: str, key: str) -> None:
        """Raise NotConditional where ``operation`` could overwrite a file."""
        if not self._honours(operation, label, key):
            raise self._would_overwrite(operation, label)

    def _would_overwrite(self, operation: Operation, label: str) -> NotConditional:
        advice = (
            f"use a store that can, let {TRIAL} beside the file be deleted, without "
            "which nothing is proven, or set conditional_writes where you know better"
        )
        if not self._overwrites:
            advice += ", or set allow_overwrite where saves are meant to overwrite"
        return NotConditional(
            f"{label}: {self._place} can't refuse to overwrite (If-None-Match on "
            f"{operation}, also by several at once), so that this could cost another "
            f"file; {advice}"
        )

    # Files

    def put_object(self, key: str, content: Any, label: str, *, replace: bool) -> Entry:
        reader, parameters = self._made_ready(key, content)
        if replace:
            response = self._send(key, reader, label, parameters)
        else:
            send = partial(self._send_new, key, reader, label)
            response = self._create(key, label, parameters, send)
        size = reader.taken if reader.size is None else reader.size
        if "ContentEncoding" not in parameters:  # Else it may be of packed bytes.
            digests = partial(self.compared_checksums, response, size)
            # The file is stored, also where the store can't be tried now.
            with contextlib.suppress(StoreError):
                receipts.keep(self, label, digests)
        return entry_of({"ETag": response.get("ETag", "")}, size)

    def _made_ready(self, key: str, content: Any) -> tuple[BodyReader, dict[str, Any]]:
        """Return a reader, packed if the options say so, and the parameters."""
        reader = reader_of(content)
        parameters = self.write_parameters(key, content)
        types = self.gzip_content_types
        pack = self.gzip and parameters["ContentType"] in types
        if pack := pack and "ContentEncoding" not in parameters:
            reader = self._packed(reader)
            parameters["ContentEncoding"] = "gzip"
        return reader, marked(parameters, packed=pack)

    def as_stored(self, key: str, content: Any) -> Iterator[bytes]:
        reader, _ = self._made_ready(key, content)
        return iter(partial(reader.read, CHUNK), b"")

    def _packed(self, reader: BodyReader) -> BodyReader:
        packed = self._compress_content(reader)
        pieces = iter(partial(packed.read, CHUNK), b"")
        made = BodyReader(pieces)
        made.announced = reader.announced if reader.size is None else reader.size
        return made

    def _send(
        self,
        key: str,
        reader: BodyReader,
        label: str,
        parameters: dict[str, Any],
        *,
        new: bool = False,
        at_once: bool = False,
    ) -> S3Response:
        sending = Sending(self.client, new=new)
        send = partial(upload, at_once=at_once)
        place, config = self.address(key), self.transfer_config
        try:
            self.call(label, send, sending, reader, place, parameters, config)
        except StoreError:
            if reader.error is not None:
                raise reader.error from None
            raise
        return sending.response

    def _send_new(
        self, key: str, reader: BodyReader, label: str, parameters: dict[str, Any]
    ) -> S3Response:
        """Create an object, in parts only where the condition holds for parts."""
        large = not reader.is_shorter_than(self.transfer_config.multipart_threshold)
        operation: Operation = "CompleteMultipartUpload"
        if large and self._honours(operation, label, key):
            return self._send(key, reader, label, parameters, new=True)
        self._demand("PutObject", label, key)
        with sized(reader) as reader:
            if reader.size is not None and reader.size > SENT_AT_ONCE:
                self._demand(operation, label, key)
            return self._send(key, reader, label, parameters, new=True, at_once=True)

    def _create(
        self,
        key: str,
        label: str,
        parameters: dict[str, Any],
        send: Callable[[dict[str, Any]], S3Response],
    ) -> S3Response:
        """Return the response to ``send``, or the head of the object that it made."""
        token = secrets.token_hex(16)
        metadata = {**parameters.get("Metadata", {}), MARK: token}
        try:
            return send({**parameters, "Metadata": metadata})
        except NotConditional:
            raise
        except (NameTaken, StoreError):
            with contextlib.suppress(StoreError):
                head = self.head_if_there(key, label)
                if head is not None and head["Metadata"].get(MARK) == token:
                    return head
            raise

    def delete_object(self, key: str, label: str, *, only: str | None = None) -> bool:
        condition = {} if only is None else {"IfMatch": only}
        ask, place = self.client.delete_object, self.whole_address(key)
        try:
            try:
                self.call(label, ask, **place, **condition)
            except NotImplementedThere:
                # Such a store can't be kept from deleting what has come meanwhile.
                self.call(label, ask, **place)
        except FileMissing:
            return True
        except NameTaken:
            if only is None:
                raise
            return False
        return True

    def copy_object(self, source: str, target: str, label: str) -> str:
        head = self.head_object(source, label)
        made = Copying(source, target, label, head, self._copied(source, target, head))
        for way in self._ways(made):
            try:
                self._create(target, label, made.parameters, partial(way, made))
            except NotImplementedThere:
                continue
            except NameTaken:
                if self.head_if_there(target, label) is not None:
                    raise
                now = self.head_if_there(source, label)
                if now is None or now["ETag"] != head["ETag"]:
                    break
                # Neither changed: what is copied so is refused here, as Swift does with
                # all objects, or with the parts of those that have parts.
                if way == self._copy_at_once:
                    self._clients.honoured[self.bucket_name, "CopyObject"] = False
            else:
                return entry_of(head, made.size).reference
        else:
            raise self._would_overwrite("CopyObject", label)
        raise StoreError(
            f"{label}: the file was changed while it was copied; try again"
        )

    def _copied(
        self, source: str, target: str, head: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the parameters of a copy: the properties of the object are kept."""
        written = self.write_parameters(target)
        parameters = {k: v for k, v in written.items() if k not in _CARRIED}
        parameters |= {k: head[k] for k in _CARRIED if k in head}
        encoding = encoding_in(head)
        parameters.pop("ContentEncoding", None)
        if encoding is not None:
            parameters["ContentEncoding"] = encoding
        packed = is_packed(head, source, self._packed_unmarked)
        return marked(parameters, packed=packed)

    def _ways(self, made: Copying) -> Iterator[Callable[..., S3Response]]:
        """Yield the ways of copying that do not overwrite, the cheapest first."""
        honours = partial(self._honours, label=made.label, key=made.target)
        if made.size <= COPIED_AT_ONCE and honours("CopyObject"):
            yield self._copy_at_once
        in_parts = honours("CompleteMultipartUpload")
        if made.size and in_parts:
            yield self._copy_in_parts
        if in_parts or (made.size <= SENT_AT_ONCE and honours("PutObject")):
            yield self._copy_through
        # Who lets saves overwrite has copies do so that come at the same moment.
        elif self.file_overwrite:
            if self.head_if_there(made.target, made.label) is not None:
                raise NameTaken(f"{made.label}: the name is taken")
            if made.size:
                yield self._copy_in_parts
            yield self._copy_through

    def _copy_at_once(self, made: Copying, parameters: dict[str, Any]) -> S3Response:
        return self.call(
            made.label,
            self.client.copy_object,
            **self.address(made.target),
            **self._source(made),
            **_without_checksum(parameters),
            MetadataDirective="REPLACE",
            IfNoneMatch="*",
        )

    def _copy_in_parts(self, made: Copying, parameters: dict[str, Any]) -> S3Response:
        ask, place = partial(self.call, made.label), self.address(made.target)
        source, parameters = self._source(made), _without_checksum(parameters)
        copy_in_parts(ask, self.client, place, source, made.size, parameters)
        return {}

    def _copy_through(self, made: Copying, parameters: dict[str, Any]) -> S3Response:
        """Read the object and upload it to the other key."""

        def fetch(first: int, last: int, reference: str | None) -> Part:
            tag = made.head["ETag"]
            return self.fetch_object(made.source, first, last, tag, made.label)

        with ObjectReader(fetch, made.label, entry_of(made.head, made.size)) as file:
            reader = BodyReader(iter(partial(file.read, CHUNK), b""))
            reader.announced = made.size
            if self.file_overwrite:
                return self._send(made.target, reader, made.label, parameters, new=True)
            return self._send_new(made.target, reader, made.label, parameters)

    def _source(self, made: Copying) -> dict[str, Any]:
        return {
            "CopySource": self.address(made.source),
            "CopySourceIfMatch": made.head["ETag"],
            **of_the_source(made.parameters),
        }


def _without_checksum(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a copy that the store makes itself.

    With an algorithm it would have to be told the digests of the copy's parts.
    """
    return {k: v for k, v in parameters.items() if k != "ChecksumAlgorithm"}


@dataclass(frozen=True)
class Copying:
    """A copy: the keys, the head of the source, and the parameters of the write."""

    source: str
    target: str
    label: str
    head: S3Response
    parameters: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes to be copied."""
        return int(self.head["ContentLength"])
