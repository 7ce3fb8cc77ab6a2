"""Content on its way to S3, in bounded memory; the caller's file stays open."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from s3transfer.futures import NonThreadedExecutor
from s3transfer.manager import TransferManager
from s3transfer.utils import ChunksizeAdjuster

from tahoestorage.backends.content import BodyReader
from tahoestorage.backends.s3.checksums import with_sha256
from tahoestorage.exceptions import FileMissing, StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARTS = 3
"""Parts of 8 MiB that are sent at once, beside the one that is being read."""
AT_ONCE = 1 << 20  # bytes
COPIED_PART = 1 << 27
COPIED_AT_ONCE = 5 << 30
"""Bytes that CopyObject copies at most."""
SENT_AT_ONCE = 5 << 30
"""Bytes that PutObject takes at most."""
_MOST_PARTS = 10_000
_COPIERS = 8
_OF_THE_SOURCE = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
_OF_EACH_REQUEST = ("ExpectedBucketOwner", "RequestPayer")
_OF_EACH_PART = (*_OF_EACH_REQUEST, *_OF_THE_SOURCE)
Call = Callable[..., Any]


def usual_transfers(*, use_threads: bool, parts: int) -> TransferConfig:
    """Return the default ``transfer_config``.

    With 3 ``parts`` an upload takes some 40 MiB of memory, with one 20 MiB.
    """
    config = TransferConfig(use_threads=use_threads)
    config.max_in_memory_upload_chunks = parts
    return config


def is_sent_at_once(size: int, config: TransferConfig) -> bool:
    """Return whether ``upload`` sends so many bytes in one request, from memory."""
    return size <= AT_ONCE and size < config.multipart_threshold


def part_length(config: TransferConfig, size: int | None) -> int:
    """Return the length of an upload's parts, in bytes; ``size`` is None if unknown.

    It is the ``multipart_chunksize``, doubled until 10,000 parts suffice, as s3transfer
    does it.
    """
    adjuster = ChunksizeAdjuster(max_parts=_MOST_PARTS)
    return int(adjuster.adjust_chunksize(config.multipart_chunksize, size))


class Sending:
    """A client for one transfer, which keeps the response to its last request.

    With ``new`` the object is created under "If-None-Match: *". The SHA-256 of bodies
    is sent with them, where the parameters ask for it.
    """

    def __init__(self, client: S3Client, *, new: bool) -> None:
        self._client = client
        self._condition = {"IfNoneMatch": "*"} if new else {}
        self._of_each_request: dict[str, Any] = {}
        self.response: Mapping[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_object(self, **parameters: Any) -> Any:
        return self._last(self._client.put_object, with_sha256(parameters))

    def create_multipart_upload(self, **parameters: Any) -> Any:
        self._of_each_request = of_each_request(parameters)
        return self._client.create_multipart_upload(**parameters)

    def abort_multipart_upload(self, **parameters: Any) -> Any:
        # s3transfer sends nothing but the upload's names.
        each = self._of_each_request
        return self._client.abort_multipart_upload(**parameters, **each)

    def upload_part(self, **parameters: Any) -> Any:
        return self._client.upload_part(**with_sha256(parameters))

    def complete_multipart_upload(self, **parameters: Any) -> Any:
        return self._last(self._client.complete_multipart_upload, parameters)

    def _last(self, request: Call, parameters: dict[str, Any]) -> Any:
        self.response = request(**parameters, **self._condition)
        return self.response


def upload(
    client: Sending,
    reader: BodyReader,
    place: Mapping[str, str],
    parameters: dict[str, Any],
    config: TransferConfig,
    *,
    at_once: bool = False,
) -> None:
    """Upload content as boto3's upload_fileobj does, but read it in this thread.

    A thread that is made for it would take memory that is never given back. With
    ``at_once`` all is sent in one request.
    """
    limit = SENT_AT_ONCE + 1 if at_once else config.multipart_threshold
    # Of a stream, its start is read: to make a manager and its threads takes as long as
    # to send a small file.
    tiny = reader.is_shorter_than(min(AT_ONCE + 1, limit))
    if tiny and not config.max_bandwidth:
        client.put_object(**place, **parameters, Body=reader.read(reader.size))
        return
    config = copy.copy(config)
    config.multipart_threshold = limit
    config.max_submission_concurrency = 1
    known = reader.announced if reader.size is None else reader.size
    config.multipart_chunksize = part_length(config, known)
    small = reader.size is not None and reader.size < config.multipart_threshold
    alone = small or not config.use_threads
    executor: Any = NonThreadedExecutor if alone else _executor
    # Not boto3's own choice, which may be a client in C that knows no conditions.
    # s3transfer takes any class with these methods.
    with TransferManager(client, config, executor_cls=executor) as manager:  # type: ignore[arg-type]
        manager.upload(
            # And anything with read; the stubs want a file.
            reader,  # type: ignore[arg-type]
            place["Bucket"],
            place["Key"],
            extra_args=parameters,
        ).result()


def _executor(max_workers: int) -> Any:
    return NonThreadedExecutor() if max_workers == 1 else _Executor(max_workers)


class _Executor(ThreadPoolExecutor):
    """Threads for which s3transfer waits when a Ctrl-C has ended its reading.

    It then gives a KeyboardInterrupt to the parts that are being sent, and waits for
    them. There it expects no error but an Exception, be it one of a part's or another
    Ctrl-C: it would never say that the transfer is over, and wait for just that. So
    both become CancelledError. After another Ctrl-C no part is waited for: one that
    arrives while the upload is aborted can be left, for ``storage_uploads`` to end.
    """

    is_given_up = False

    def submit(self, fn: Call, /, *args: Any, **kwargs: Any) -> Any:
        return _Future(self, super().submit(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        given_up = self.is_given_up
        super().shutdown(
            wait and not given_up, cancel_futures=cancel_futures or given_up
        )


class _Future:
    """What s3transfer uses of a Future."""

    def __init__(self, executor: _Executor, future: Future[Any]) -> None:
        self._executor = executor
        self._future = future
        self.add_done_callback = future.add_done_callback

    def result(self) -> Any:
        """Wait for the result. Raises CancelledError where nobody does any more."""
        if self._executor.is_given_up and not self._future.done():
            raise CancelledError
        try:
            return self._future.result()
        except Exception:
            raise
        except BaseException as error:
            if not self._future.done():
                self._executor.is_given_up = True
            raise CancelledError from error


def copy_in_parts(
    ask: Call,
    client: S3Client,
    place: Mapping[str, str],
    source: Mapping[str, Any],
    size: int,
    parameters: Mapping[str, Any],
) -> None:
    """Copy ``size`` bytes on the server in parts, to a key that is free.

    ``source`` has UploadPartCopy's parameters of what is copied. Raises NameTaken.
    """
    started = ask(client.create_multipart_upload, **place, **parameters)
    whole = {**place, "UploadId": started["UploadId"]}
    each, any_request = of_each_part(parameters), of_each_request(parameters)
    length = max(COPIED_PART, -(-size // _MOST_PARTS))

    def copy_part(number: int) -> dict[str, Any]:
        first = (number - 1) * length
        response = ask(
            client.upload_part_copy,
            **whole,
            **source,
            **each,
            PartNumber=number,
            CopySourceRange=f"bytes={first}-{min(first + length, size) - 1}",
        )
        return {"PartNumber": number, "ETag": response["CopyPartResult"]["ETag"]}

    try:
        with ThreadPoolExecutor(_COPIERS) as threads:
            parts = [*threads.map(copy_part, range(1, -(-size // length) + 1))]
        done = {"MultipartUpload": {"Parts": parts}, "IfNoneMatch": "*"}
        ask(client.complete_multipart_upload, **whole, **each, **done)
    except BaseException:
        with contextlib.suppress(StoreError, FileMissing):
            ask(client.abort_multipart_upload, **whole, **any_request)
        raise


def of_each_request(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a write that every request to the bucket needs, too.

    They say whose bucket it must be, and that who asks pays.
    """
    return {k: v for k, v in parameters.items() if k in _OF_EACH_REQUEST}


def of_each_part(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a write that each part of an upload needs, too."""
    return {k: v for k, v in parameters.items() if k in _OF_EACH_PART}


def of_the_source(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters by which a copy reads what was written with these."""
    return {f"CopySource{k}": v for k, v in parameters.items() if k in _OF_THE_SOURCE}
