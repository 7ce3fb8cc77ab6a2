"""Writing objects to Google Cloud Storage: created under a condition, or replaced.

The store refuses a taken name (status 412). A request whose response was lost is sent
again by Google's library, and then refused for the object that it made itself. So each
object bears a token of its save.
"""

from __future__ import annotations

import contextlib
import functools
import io
import mimetypes
import secrets
from collections.abc import Iterator
from typing import Any

from tahoestorage.backends import receipts
from tahoestorage.backends.content import BodyReader, body_of, media_type_of
from tahoestorage.backends.gcs.clients import CALL, LONG
from tahoestorage.backends.gcs.conditions import (
    OF_FILES,
    GCSTrial,
    Operation,
    is_google_s_own,
)
from tahoestorage.backends.gcs.errors import ask, no_bucket
from tahoestorage.backends.gcs.objects import content_hashes, entry_of, generation_in
from tahoestorage.backends.gcs.reading import GCSReading
from tahoestorage.backends.gcs.uploads import packed
from tahoestorage.backends.objectstore import PACKED, TRIAL
from tahoestorage.entries import Entry
from tahoestorage.exceptions import (
    FileMissing,
    NameTaken,
    NotConditional,
    StoreError,
    StoreUnreachable,
)

_METADATA_NAME = "tahoestorage-token"
# What is shorter is sent in one request; the rest in pieces as long.
PIECE = 8 << 20
ATTEMPTS = 5
_COPIED = (
    "cache_control",
    "content_disposition",
    "content_encoding",
    "content_language",
    "content_type",
    "custom_time",
    "storage_class",
)


class GCSWriting(GCSReading):
    """Requests that write to a bucket."""

    # Conditions

    def conditional(self, *, thorough: bool = False) -> bool:
        """Return whether the store refuses to overwrite: Google's own always does.

        Another one is tried. Raises StoreError where it can't be asked.
        """
        next(self._listing(self.key_of(""), "items(name)", max_results=1), None)
        label, key = "a trial of conditional writes", self.key_of("file")
        if thorough and not self.trusts_conditions:
            return all(self._try_out(each, key, label) for each in OF_FILES)
        return all(self._honours(each, key, label) for each in OF_FILES)

    @property
    def trusts_conditions(self) -> bool:
        """Whether no trial is needed: of Google's own, or by ``conditional_writes``."""
        return self.conditional_writes or is_google_s_own(self.client)

    def is_sent_whole(self, size: int) -> bool:
        return size < PIECE

    def _honours(self, operation: Operation, key: str, label: str) -> bool:
        """Return whether the condition holds; if need be by a trial beside ``key``."""
        if self.trusts_conditions:
            return True
        connection, place = self._connection, (str(self.bucket_name), operation)
        cached = connection.honoured
        if place not in cached:
            with connection.lock:
                if place not in cached:
                    cached[place] = self._try_out(operation, key, label)
        return cached[place]

    def _try_out(self, operation: Operation, key: str, label: str) -> bool:
        # Beside the file: the credentials may be for that place only.
        folder = key[: key.rfind("/") + 1]
        trial_key = f"{folder}{TRIAL}-{secrets.token_hex(8)}"
        trial = GCSTrial(
            functools.partial(ask, label),
            self.bucket,
            trial_key,
            {"predefined_acl": self._acl(trial_key)},
            functools.partial(self._put_by_url, trial_key, label),
        )
        try:
            return trial.refuses(operation)
        except FileMissing as missing:
            raise no_bucket(label) from missing.__cause__

    def _put_by_url(self, key: str, label: str) -> None:
        """Upload an object of one byte by a signed URL, as a visitor would."""
        raise NotImplementedError

    def _demand(self, operation: Operation, key: str, label: str) -> None:
        """Raise NotConditional where ``operation`` could cost a file."""
        if self._honours(operation, key, label):
            return
        advice = (
            "use Google's own store, or set conditional_writes where you know better"
        )
        if not self._overwrites:
            advice += ", or set allow_overwrite where saves are meant to overwrite"
        raise NotConditional(
            f"{label}: {self.client.api_endpoint} does not refuse what it is asked to "
            f"refuse (ifGenerationMatch: {operation}), so that this could cost another "
            f"file; {advice}"
        )

    # Files

    def _acl(self, key: str) -> str | None:
        """Return the ACL in the options; None for none, as uniform access needs it."""
        acl: str | None = self.get_object_parameters(key).get("acl", self.default_acl)
        return acl

    def put_object(self, key: str, content: Any, label: str, *, replace: bool) -> Entry:
        chunk_size = self.blob_chunk_size or PIECE
        blob = self._blob(label, key, chunk_size=chunk_size)
        body = body_of(content)
        chunks, content_type, parameters = self._made_ready(key, content, body.begin())
        for parameter, value in parameters.items():
            setattr(blob, parameter, value)
        token = new_token()
        add_token(blob, token)
        reader = BodyReader(chunks)
        whole = reader.is_shorter_than(PIECE)
        if not replace:
            self._demand("upload" if whole else "resumable upload", key, label)
        try:
            ask(
                label,
                blob.upload_from_file,
                io.BytesIO(reader.read()) if whole else reader,
                size=reader.size,
                content_type=content_type,
                predefined_acl=self._acl(key),
                if_generation_match=None if replace else 0,
                checksum="crc32c",
                **LONG,
            )
        except (FileMissing, NameTaken, StoreError) as error:
            if body.error is not None:
                raise body.error from None
            if isinstance(error, FileMissing):
                if whole or not reader.taken:
                    raise no_bucket(label) from error.__cause__
                raise StoreUnreachable(
                    f"{label}: its upload was dropped by the store; save it again"
                ) from error.__cause__
            if not isinstance(error, NameTaken):
                raise
            # Sent again after a lost response, it is refused for what it made itself.
            blob = self._with_token(key, token, label)
            if blob is None:
                raise
        except ValueError:
            if body.error is not None:
                raise body.error from None
            if whole or not reader.taken:
                raise
            # The library can't send again what it can't read again.
            raise StoreUnreachable(
                f"{label}: the store kept only a part of what was sent; try again"
            ) from None
        entry = entry_of(blob)
        receipts.keep(self, label, functools.partial(content_hashes, entry))
        return entry

    def _made_ready(
        self, key: str, content: Any, chunks: Iterator[bytes]
    ) -> tuple[Iterator[bytes], str | None, dict[str, Any]]:
        """Return the chunks, packed if need be, their media type, and properties."""
        parameters = dict(self.get_object_parameters(key))
        parameters.pop("acl", None)
        guessed, encoding = mimetypes.guess_type(key)
        brought = media_type_of(content)
        content_type = parameters.pop("content_type", brought or guessed)
        if encoding:
            parameters.setdefault("content_encoding", encoding)
        pack = self.gzip and content_type in self.gzip_content_types
        if pack and "content_encoding" not in parameters:
            parameters["content_encoding"] = "gzip"
            chunks = packed(chunks)
            note = {PACKED: "yes"}
            parameters["metadata"] = {**(parameters.get("metadata") or {}), **note}
        return chunks, content_type, parameters

    def as_stored(self, key: str, content: Any) -> Iterator[bytes]:
        return self._made_ready(key, content, body_of(content).begin())[0]

    def _unpacks(self, key: str) -> bool:
        """Return whether this storage packs a file on saving, and unpacks it again.

        It does not where the content came packed: by its name, or by an option.
        """
        if not self.gzip or mimetypes.guess_type(key)[1] is not None:
            return False
        return "content_encoding" not in self.get_object_parameters(key)

    def _with_token(self, key: str, token: str, label: str) -> Any:
        """Return the object if it has this token, None for another's or for none."""
        with contextlib.suppress(FileMissing):
            found = self._found(key, label)
            if (found.metadata or {}).get(_METADATA_NAME) == token:
                return found
        return None

    def delete_object(self, key: str, label: str, *, only: str | None = None) -> bool:
        delete, generation = self._blob(label, key).delete, generation_in(only)
        if generation is not None:
            self._demand("delete", key, label)
        try:
            ask(label, delete, if_generation_match=generation, **CALL)
        except FileMissing:
            return True
        except NameTaken:
            return False
        return True

    def copy_object(self, source: str, target: str, label: str) -> str:
        self._demand("rewrite", target, label)
        # Of one generation, so that content and properties belong together.
        for _ in range(ATTEMPTS):
            found = self._found(source, label)
            try:
                self._rewrite(found, target, label)
            except FileMissing:
                continue
            return entry_of(found).reference
        raise StoreError(f"{label}: the file is replaced all the time; try again")

    def _rewrite(self, source: Any, target: str, label: str) -> None:
        blob = self._blob(label, target)
        # With a token there are properties to send, and then the store copies none.
        carried = {name: getattr(source, name) for name in _COPIED}
        if self.gzip and source.content_encoding == "gzip":
            unpacked = self._unpacks(source.name), self._unpacks(target)
            if unpacked == (True, False):
                raise StoreError(
                    f"{label}: the file was packed by this storage (gzip), and by the "
                    "new name it would be one that came packed; choose another ending"
                )
            if unpacked == (False, True):
                # It came packed, and would be unpacked by its new name.
                del carried["content_encoding"]
        for name, value in carried.items():
            if value is not None:
                setattr(blob, name, value)
        blob.metadata = source.metadata
        token = new_token()
        add_token(blob, token)
        more: str | None = None
        try:
            while True:
                more, _, _ = ask(
                    label,
                    blob.rewrite,
                    source,
                    token=more,
                    if_generation_match=0,
                    **LONG,
                )
                if more is None:
                    break
        except NameTaken:
            blob = self._with_token(target, token, label)
            if blob is None:
                raise
        self._set_acl(blob, target, label)

    def _set_acl(self, made: Any, key: str, label: str) -> None:
        """Give a new object the ACL in the options; delete it where that fails.

        Else whoever tries again would find the name taken.
        """
        acl = self._acl(key)
        if not acl:
            return
        try:
            ask(label, made.acl.save_predefined, acl, **LONG)
        except BaseException:
            with contextlib.suppress(FileMissing, NameTaken, StoreError):
                self.delete_object(key, label, only=entry_of(made).reference)
            raise


def new_token() -> str:
    """Return what tells an object that one request made from all others."""
    return secrets.token_hex(16)


def add_token(blob: Any, token: str) -> None:
    """Put a token into an object's metadata."""
    blob.metadata = {**(blob.metadata or {}), _METADATA_NAME: token}
