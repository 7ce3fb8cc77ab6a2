"""Whether an S3 store honours "If-None-Match: *" (RFC 9110, section 13.1.2).

Not all do, so it is tried before it is relied on. Seen in November 2026: s3rver
ignores the condition, moto ignores it for copies. OpenStack Swift looks before it takes
a body, and not again: it refuses one request after another, but of several at once it
lets some through, at times just one. It refuses copies to names that are free.
SeaweedFS lets several through that end uploads in parts at once.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from tahoestorage.backends.s3.errors import NotImplementedThere
from tahoestorage.backends.s3.heldbody import HeldBody
from tahoestorage.backends.s3.uploads import of_each_part, of_the_source
from tahoestorage.exceptions import FileMissing, NameTaken, StoreError, StoreForbids

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tahoestorage.backends.s3.reading import S3Reading

Operation = Literal["PutObject", "CompleteMultipartUpload", "CopyObject"]
S3Response = Mapping[str, Any]
Attempt = Callable[[str, threading.Barrier], S3Response]
"""Create the object of a key once all attempts are ready. Raises NameTaken."""
MARK = "tahoestorage-token"
"""The user metadata by which a save, or a trial, knows its own object."""
# How many requests are sent at once, round for round, after those of a held body. Two
# at once are let through by Swift in one round of four, eight in three of four. They
# cost SeaweedFS a second.
_ROUNDS: Mapping[Operation, Sequence[int]] = {
    "PutObject": (2, 2, 2, 8),
    "CompleteMultipartUpload": (4,) * 6,
    "CopyObject": (4,) * 2,
}
_THOROUGH = (8,) * 4
_CERTAIN = 3
# Seconds for which a body is held: longer than another object takes, as a rule. A store
# that locks the key meanwhile, as MinIO does, lets the other one wait for so long.
_HELD = 2.0
# How often a body is held if the other object is refused meanwhile, for one of another
# process it may be.
_HOLDS = 3
# Bytes of each object.
_SIZE = 16
# In every response of Swift's (its middleware catch_errors), in no other store's.
_OF_SWIFT = "x-openstack-request-id"
# Seconds after which what a trial left behind is nobody's any more.
_LEFT_BEHIND = 20.0
# How often a name is looked at that the trial of another process has: longer than that.
_LOOKS = 500
# How many rounds others may win instead.
_BUSY = 100
# Seconds that those who are ready wait for the others of a round.
_TOGETHER = 120.0
# Also of Europe's own. Its other partitions are no places that can be tried out.
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu")


def is_modelled(client: S3Client, operation: Operation) -> bool:
    """Return whether this version of botocore can send the condition."""
    shape = client.meta.service_model.operation_model(operation).input_shape
    return shape is not None and "IfNoneMatch" in shape.members


def is_at_amazon(client: S3Client) -> bool:
    """Return whether a client's endpoint is one of Amazon's own."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    return host.endswith(_AMAZON)


def is_trusted(client: S3Client, bucket: str) -> bool:
    """Return whether Amazon's documentation promises that conditions hold.

    It does for buckets in all regions and at all endpoints (dual-stack, FIPS, of a
    VPC), but not on Outposts, and not by signatures of version 2.
    """
    # botocore sets it by what it was given, so the stubs lack it.
    signature = client.meta.config.signature_version  # type: ignore[attr-defined]
    outposts = bucket.startswith("arn:") and ":s3-outposts:" in bucket
    return is_at_amazon(client) and not outposts and signature != "s3"


class S3Trial:
    """A trial: writes a small object at ``key``, several requests at a time.

    In each round just one of the requests may succeed. All trials use one key, so that
    at most one object remains where nothing may be deleted. None remains where objects
    and their versions may be. Processes may run trials at the same time.
    """

    def __init__(self, store: S3Reading, key: str, label: str) -> None:
        self._store = store
        self._key = key
        self._label = label
        self._client = store.client
        self._ask = functools.partial(store.call, label)
        self._token = secrets.token_hex(16)
        self._deletes = False
        self._is_swift = False
        self._refused = 0
        parameters = store.write_parameters(key)
        parameters.pop("ChecksumAlgorithm", None)
        metadata = {**parameters.get("Metadata", {}), MARK: self._token}
        self._parameters: dict[str, Any] = {**parameters, "Metadata": metadata}

    def honours(self, operation: Operation, *, thorough: bool = False) -> bool:
        """Return whether in every round just one request succeeded.

        Also False where that can't be shown: where the object may not be deleted, or
        the key has a file of somebody's, there is no further round. Raises StoreError
        where the store can't be asked, or other trials never end.
        """
        rounds = [*_ROUNDS[operation], *(_THOROUGH if thorough else ())]
        try:
            if operation == "CopyObject":
                return self._honours_copies(rounds)
            if operation == "CompleteMultipartUpload":
                return self._is_one_each(self._upload, rounds)
            # What lies between this host and Swift may wait for whole bodies, so that
            # none can be held.
            looks = self._looks_last() and not self._is_swift
            return looks and self._is_one_each(self._put, rounds)
        except NotImplementedThere:
            return False

    def _looks_last(self) -> bool:
        """Return whether a put is refused for an object that came during its body.

        A store that looks before the body alone lets both through, each time.
        """
        for _ in range(_HOLDS):
            won: list[S3Response] = []
            while not won:
                body = HeldBody(secrets.token_bytes(_SIZE), _HELD)
                overtaken = threading.Event()
                attempt = functools.partial(self._put_between, body, overtaken)
                won = self._race(attempt, self._key, 2)
                if not won and not self._makes_room():
                    return False
            if len(won) > 1 or not self._delete(self._key, won[0]):
                return False
            if overtaken.is_set() or body.is_overdue:
                break
        return True

    def _is_one_each(self, attempt: Attempt, rounds: Sequence[int]) -> bool:
        """Return whether just one attempt of each round succeeds.

        It takes three rounds in which several do to say no, so that all processes say
        the same: moto lets two through once in some hundred rounds, Swift in most.
        """
        several, pending = 0, [*rounds]
        while pending:
            won = self._race(attempt, self._key, pending[0])
            if not won:
                if not self._makes_room():
                    return False
            elif len(won) == 1:
                pending.pop(0)
                if not self._delete(self._key, won[0]):
                    return False
            else:
                several += 1
                if several == _CERTAIN:
                    return False
                if several == 1:
                    # It is suspect: many at once tell it apart.
                    pending += [*rounds, *_THOROUGH]
        return True

    def _honours_copies(self, rounds: Sequence[int]) -> bool:
        # Other names are used only where they will not remain.
        if not (self._is_one_each(self._put, [1]) and self._deletes):
            return False
        source = f"{self._key}-{self._token}"
        response = self._put(source, threading.Barrier(1))
        try:
            attempt = functools.partial(self._copy, source)
            for count in rounds:
                won = self._race(attempt, f"{source}-copy", count)
                # Some refuse all, also where the name is free. Copies can be made
                # otherwise, so that nothing needs to be confirmed.
                if len(won) != 1:
                    return False
                self._delete(f"{source}-copy", won[0])
        finally:
            self._delete(source, response)
        return True

    def _race(self, attempt: Attempt, key: str, count: int) -> list[S3Response]:
        """Make ``count`` attempts at once; return the responses of the successful ones.

        Where there are several, what they wrote is deleted.
        """
        won: list[S3Response] = []
        failed: list[Exception] = []
        start = threading.Barrier(count, timeout=_TOGETHER)

        def run(number: int) -> None:
            try:
                won.append(attempt(key, start))
            except NameTaken:
                pass
            except threading.BrokenBarrierError:
                failed.append(self._alone())
            except Exception as error:
                # What went wrong first is what is told.
                failed.insert(0, error)
                start.abort()

        with ThreadPoolExecutor(count) as threads:
            try:
                [*threads.map(run, range(count))]
            except RuntimeError:
                # A thread can't be started. The others are not to wait for it.
                start.abort()
                failed.append(self._alone())
        if not won:
            # It may have been done, its response lost, and the request repeated.
            head = self._store.head_if_there(key, self._label)
            if head is not None and head["Metadata"].get(MARK) == self._token:
                won.append(head)
        if len(won) > 1 or failed:
            for response in won:
                # Which of them is there now nobody knows.
                self._delete(key, {"VersionId": response.get("VersionId")})
        if failed:
            raise failed[0]
        return won

    def _put(self, key: str, start: threading.Barrier) -> S3Response:
        start.wait()
        return self._create(key, secrets.token_bytes(_SIZE))

    def _put_between(
        self,
        body: HeldBody,
        overtaken: threading.Event,
        key: str,
        start: threading.Barrier,
    ) -> S3Response:
        """Put the held body, or, as the other of two, a whole one between its halves.

        The event is set if the whole one is not refused.
        """
        if start.wait() == 0:
            with body.sent_by_this_thread():
                return self._create(key, body)
        try:
            body.begun.wait(_TOGETHER)
            response = self._create(key, secrets.token_bytes(_SIZE))
            overtaken.set()
            return response
        finally:
            body.release()

    def _create(self, key: str, body: bytes | HeldBody) -> S3Response:
        response: S3Response = self._ask(
            self._client.put_object,
            **self._store.address(key),
            Body=body,
            IfNoneMatch="*",
            **self._parameters,
        )
        self._is_swift |= _OF_SWIFT in response["ResponseMetadata"]["HTTPHeaders"]
        return response

    def _upload(self, key: str, start: threading.Barrier) -> S3Response:
        client, place = self._client, self._store.address(key)
        begun = self._ask(client.create_multipart_upload, **place, **self._parameters)
        whole: dict[str, Any] = {**place, "UploadId": begun["UploadId"]}
        each = of_each_part(self._parameters)
        try:
            body = secrets.token_bytes(_SIZE)
            part = self._ask(
                client.upload_part, **whole, **each, PartNumber=1, Body=body
            )
            parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
            start.wait()
            return self._ask(
                client.complete_multipart_upload,
                **whole,
                **each,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
        except BaseException:
            with contextlib.suppress(StoreError, FileMissing):
                abort = {
                    **self._store.whole_address(key),
                    "UploadId": whole["UploadId"],
                }
                self._ask(client.abort_multipart_upload, **abort)
            raise

    def _copy(self, source: str, key: str, start: threading.Barrier) -> S3Response:
        start.wait()
        return self._ask(
            self._client.copy_object,
            **self._store.address(key),
            CopySource=self._store.address(source),
            **of_the_source(self._parameters),
            MetadataDirective="REPLACE",
            IfNoneMatch="*",
            **self._parameters,
        )

    def _makes_room(self) -> bool:
        """Wait until no other trial has the key; delete what an old one left behind.

        For when all were refused, as by an object that was there before. Return whether
        the key is free. It is not where deleting is forbidden, or where it has a file
        of somebody's. Raises StoreError where other trials never end.
        """
        self._refused += 1
        if self._refused > _BUSY:
            raise self._busy()
        for _ in range(_LOOKS):
            head = self._store.head_if_there(self._key, self._label)
            if head is None:
                return True
            if MARK not in head["Metadata"]:
                # It is a file of somebody's.
                return False
            date = head["ResponseMetadata"]["HTTPHeaders"].get("date")
            now = parsedate_to_datetime(date) if date else datetime.now(UTC)
            if (now - head["LastModified"]).total_seconds() > _LEFT_BEHIND:
                return self._delete(self._key, head)
            # Not in step with the other.
            time.sleep((20 + secrets.randbelow(80)) / 1000)
        raise self._busy()

    def _busy(self) -> StoreError:
        return StoreError(
            f"{self._label}: others try at this moment whether the store can refuse to "
            "overwrite; try again"
        )

    def _alone(self) -> StoreError:
        return StoreError(
            f"{self._label}: whether the store can refuse to overwrite could not be "
            "tried by several at once (a thread could not be started, or was too "
            "slow); try again"
        )

    def _delete(self, key: str, response: S3Response) -> bool:
        """Delete the object of a response; return False where that is forbidden.

        In a bucket with versions just its version: otherwise a delete marker would
        remain for ever.
        """
        condition: dict[str, Any] = {}
        if response.get("VersionId"):
            condition["VersionId"] = response["VersionId"]
        elif response.get("ETag"):
            # Not the object of another process.
            condition["IfMatch"] = response["ETag"]
        ask = functools.partial(
            self._ask, self._client.delete_object, **self._store.whole_address(key)
        )
        try:
            try:
                ask(**condition)
            except NotImplementedThere:
                ask()
        except StoreForbids:
            return False
        except (StoreError, FileMissing, NameTaken):
            # It was done before, or will be by the next one.
            pass
        self._deletes = True
        return True
