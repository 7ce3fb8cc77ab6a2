"""Writing to S3: to a name that is free, or over what has it where that is asked."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from tahoestorage.backends.s3.conditions import (
    Operation,
    is_amazon,
    is_modelled,
    refuses,
)
from tahoestorage.backends.s3.errors import NotImplementedThere
from tahoestorage.backends.s3.objects import S3Objects
from tahoestorage.backends.s3.reading import entry_of
from tahoestorage.backends.s3.sources import Source, source_of
from tahoestorage.backends.s3.transfers import (
    COPIED_AT_ONCE,
    Demand,
    Sending,
    copy_in_parts,
    upload,
)
from tahoestorage.entries import Entry
from tahoestorage.exceptions import FileMissing, NameTaken, NotConditional, StoreError

MARK = "tahoestorage-token"
"""The user metadata by which a save knows its own object."""
PROBE = ".tahoestorage-probe-"
PACKED = 1 << 20
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
_OF_THE_SOURCE = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
Answer = Mapping[str, Any]


class S3Writing(S3Objects):
    """A bucket of S3 that is written to."""

    # Conditions

    def conditional(self, *, thorough: bool = False) -> bool:
        """Return whether the store can refuse to overwrite, as saves ask it to.

        It is tried once for each process, with an object of its own. Raises StoreError
        where the store can't be asked.
        """
        operations: tuple[Operation, ...] = ("PutObject", "CompleteMultipartUpload")
        what = "a trial of conditional writes"
        return all(self._honours(operation, what) for operation in operations)

    def _honours(self, operation: Operation, what: str) -> bool:
        known = self._clients.honoured
        place = (self.bucket_name, operation)
        if place not in known:
            known[place] = self._find_out(operation, what)
        return known[place]

    def _find_out(self, operation: Operation, what: str) -> bool:
        client = self._client
        if not is_modelled(client, operation):
            return False
        if is_amazon(client):
            return True
        return self._try_out(operation, what)

    def _try_out(self, operation: Operation, what: str) -> bool:
        key = self._key(PROBE + secrets.token_hex(8))
        parameters = self._get_write_parameters(key)
        ask = functools.partial(self._call, what)
        return refuses(ask, self._client, self._object(key), operation, parameters)

    def _demand(self, operation: Operation, what: str) -> None:
        """Raise NotConditional where ``operation`` could overwrite a file."""
        if not self._honours(operation, what):
            advice = "use a store that can"
            if not self._overwrites:
                advice += ", or set allow_overwrite where saves are meant to overwrite"
            raise NotConditional(
                f"{what}: {self._place} can't refuse to overwrite (If-None-Match on "
                f"{operation}), so that this could cost another file; {advice}"
            )

    # Files

    def _put(self, key: str, content: Any, what: str, *, replace: bool) -> Entry:
        source = source_of(content)
        parameters = self._get_write_parameters(key, content)
        pack = self.gzip and parameters["ContentType"] in self.gzip_content_types
        if pack and "ContentEncoding" not in parameters:
            source = self._packed(source)
            parameters["ContentEncoding"] = "gzip"
        if replace:
            answer = self._send(key, source, what, None, parameters)
        else:
            answer = self._send_new(key, source, what, parameters)
        size = source.taken if source.size is None else source.size
        return entry_of({"ETag": answer.get("ETag", "")}, size)

    def _packed(self, source: Source) -> Source:
        packed = self._compress_content(source)
        pieces = iter(functools.partial(packed.read, PACKED), b"")
        return Source(pieces)

    def _send(
        self,
        key: str,
        source: Source,
        what: str,
        demand: Demand | None,
        parameters: dict[str, Any],
    ) -> Answer:
        sending = Sending(self._client, demand)
        place, config = self._object(key), self.transfer_config
        self._call(what, upload, sending, source, place, parameters, config)
        return sending.answer

    def _send_new(
        self, key: str, source: Source, what: str, parameters: dict[str, Any]
    ) -> Answer:
        demand = functools.partial(self._demand, what=what)
        send = functools.partial(self._send, key, source, what, demand)
        return self._create(key, what, parameters, send)

    def _create(
        self,
        key: str,
        what: str,
        parameters: dict[str, Any],
        send: Callable[[dict[str, Any]], Answer],
    ) -> Answer:
        """Return the answer to ``send``, or the head of the object that it made.

        A request that is repeated after its answer was lost is refused for the object
        that it has made itself.
        """
        token = secrets.token_hex(16)
        metadata = {**parameters.get("Metadata", {}), MARK: token}
        try:
            return send({**parameters, "Metadata": metadata})
        except NotConditional:
            raise
        except (NameTaken, StoreError):
            with contextlib.suppress(StoreError):
                head = self._head(key, what)
                if head is not None and head["Metadata"].get(MARK) == token:
                    return head
            raise

    def _copy(self, source: str, target: str, what: str) -> str:
        head = self._head(source, what)
        if head is None:
            raise FileMissing(f"{what}: there is no such file")
        written = self._get_write_parameters(target)
        parameters = {k: v for k, v in written.items() if k not in _CARRIED}
        parameters |= {k: head[k] for k in _CARRIED if k in head}
        asked: dict[str, Any] = {
            "CopySource": self._object(source),
            "CopySourceIfMatch": head["ETag"],
        }
        asked |= {
            f"CopySource{k}": v for k, v in written.items() if k in _OF_THE_SOURCE
        }
        size = head["ContentLength"]

        def copy(parameters: dict[str, Any]) -> Answer:
            return self._copy_to(target, what, size, asked, parameters)

        try:
            self._create(target, what, parameters, copy)
        except NameTaken:
            if self._head(target, what) is not None:
                raise
        else:
            return entry_of(head, size).reference
        # Not the name was refused, but the source.
        raise StoreError(f"{what}: the file was changed while it was copied; try again")

    def _copy_to(
        self,
        target: str,
        what: str,
        size: int,
        source: dict[str, Any],
        parameters: dict[str, Any],
    ) -> Answer:
        client, place = self._client, self._object(target)
        new = {**place, **parameters, "IfNoneMatch": "*"}
        if size <= COPIED_AT_ONCE and self._honours("CopyObject", what):
            with contextlib.suppress(NotImplementedThere):
                return self._call(
                    what,
                    client.copy_object,
                    MetadataDirective="REPLACE",
                    **source,
                    **new,
                )
        if not size:
            self._demand("PutObject", what)
            return self._call(what, client.put_object, Body=b"", **new)
        self._demand("CompleteMultipartUpload", what)
        ask = functools.partial(self._call, what)
        copy_in_parts(ask, client, place, source, size, parameters)
        return {}
