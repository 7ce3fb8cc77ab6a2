"""Whether a store of S3's kind refuses to overwrite, when it is asked to."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from tahoestorage.backends.s3.errors import NotImplementedThere
from tahoestorage.exceptions import NameTaken, StoreError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Operation = Literal["PutObject", "CompleteMultipartUpload", "CopyObject"]
_AMAZON = (".amazonaws.com", ".amazonaws.com.cn")


def is_modelled(client: S3Client, operation: Operation) -> bool:
    """Return whether this botocore can send the condition."""
    shape = client.meta.service_model.operation_model(operation).input_shape
    return shape is not None and "IfNoneMatch" in shape.members


def is_amazon(client: S3Client) -> bool:
    """Return whether it speaks to Amazon's own S3, in the way that has conditions."""
    host = urlsplit(client.meta.endpoint_url).hostname or ""
    signature = client.meta.config.signature_version  # type: ignore[attr-defined]
    return host.endswith(_AMAZON) and signature != "s3"


def refuses(
    ask: Callable[..., Any],
    client: S3Client,
    place: Mapping[str, Any],
    operation: Operation,
    parameters: Mapping[str, Any],
) -> bool:
    """Return whether an operation on a key, which nobody else uses, is refused.

    It is tried with an object there, which is deleted afterwards. ``ask`` does what it
    is given, with errors of ours.
    """
    put = functools.partial(client.put_object, **place, **parameters)

    def copy() -> object:
        return client.copy_object(
            **place,
            CopySource={"Bucket": place["Bucket"], "Key": place["Key"]},
            MetadataDirective="REPLACE",
            IfNoneMatch="*",
            **parameters,
        )

    def upload() -> None:
        started = ask(client.create_multipart_upload, **place, **parameters)
        whole: dict[str, Any] = {**place, "UploadId": started["UploadId"]}
        try:
            part = ask(client.upload_part, **whole, PartNumber=1, Body=b"x")
            parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
            done: Any = {"MultipartUpload": {"Parts": parts}, "IfNoneMatch": "*"}
            ask(client.complete_multipart_upload, **whole, **done)
        finally:
            with contextlib.suppress(StoreError, FileNotFoundError):
                ask(client.abort_multipart_upload, **whole)

    try:
        if operation == "PutObject":
            ask(put, IfNoneMatch="*")
            return _is_refused(functools.partial(ask, put, IfNoneMatch="*"))
        ask(put)
        if operation == "CopyObject":
            return _is_refused(functools.partial(ask, copy))
        return _is_refused(upload)
    except NotImplementedThere:
        return False
    finally:
        # Who may not delete leaves an empty object there.
        with contextlib.suppress(StoreError):
            ask(client.delete_object, **place)


def _is_refused(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except NameTaken:
        return True
    return False
