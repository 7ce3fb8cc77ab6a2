"""The SHA-256 that S3 compares with a body, keeps, and returns.

It is sent where ``object_parameters`` has ``ChecksumAlgorithm`` "SHA256", in a header.
By https boto3 itself would send it behind the body, which some stores take for content.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

from tahoestorage.backends import digests
from tahoestorage.backends.content import CHUNK
from tahoestorage.exceptions import FileMissing, StoreError, StoreForbids

if TYPE_CHECKING:
    from tahoestorage.backends.s3.reading import S3Reading

ALGORITHM = "SHA256"
BY_CHECKSUM = "tahoestorage-s3v4"
"""The version of signatures that ``_SignedByChecksum`` makes."""
_HEADER = "x-amz-checksum-sha256"
_COMPOSITE = re.compile(r"([A-Za-z0-9+/]{43}=)-([0-9]+)")


def with_sha256(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of PutObject or UploadPart, with the body's SHA-256.

    They are as they were where they do not ask for one. The body is bytes, or can be
    read twice, as botocore needs it for its signature.
    """
    body = parameters.get("Body", b"")
    if parameters.get("ChecksumAlgorithm") != ALGORITHM:
        return dict(parameters)
    made = hashlib.sha256()
    if isinstance(body, bytes):
        made.update(body)
    else:
        start = body.tell()
        while some := body.read(CHUNK):
            made.update(some)
        body.seek(start)
    return {**parameters, "ChecksumSHA256": encoded(made.digest())}


def encoded(digest: bytes) -> str:
    """Return a digest as S3's headers have it."""
    return base64.b64encode(digest).decode()


class _SignedByChecksum(S3SigV4Auth):
    """A signature of version 4, of a body by the SHA-256 that is sent with it.

    The body is not hashed once more.
    """

    def payload(self, request: Any) -> str:
        digest = request.headers.get(_HEADER)
        if digest is not None:
            return base64.b64decode(digest).hex()
        signed: str = super().payload(request)
        return signed


AUTH_TYPE_MAPS[BY_CHECKSUM] = _SignedByChecksum


def sha256_in(
    head: Mapping[str, Any], size: int, lengths: Iterable[int]
) -> dict[str, bytes]:
    """Return the SHA-256 in a response of HeadObject, by algorithm.

    ``lengths`` are those that parts may have, in bytes. See ``digests`` for the names.
    """
    text = str(head.get("ChecksumSHA256", ""))
    parts = _COMPOSITE.fullmatch(text)
    if parts is None:
        return {digests.SHA256: base64.b64decode(text)} if text else {}
    digest, count = base64.b64decode(parts[1]), int(parts[2])
    fitting = (part for part in lengths if -(-size // part) == count)
    return {digests.of_length(digests.SHA256, part): digest for part in fitting}


def refuses_damage(store: S3Reading, key: str, label: str) -> bool:
    """Return whether the store refuses a body that is not of its SHA-256.

    It is sent one, by ``key``, with all parameters of a save, and then the right one:
    a store that refuses both, or forbids them, shows nothing. Raises StoreError where
    it can't be asked.
    """
    asked = {**store.write_parameters(key), "ChecksumAlgorithm": ALGORITHM}
    asked |= {**store.address(key), "Body": b"a trial of checksums"}
    wrong = encoded(secrets.token_bytes(32))
    try:
        made = _put(store, label, {**asked, "ChecksumSHA256": wrong})
        refused = made is None
        if refused:
            made = _put(store, label, with_sha256(asked))
    except StoreForbids:
        return False
    if made is None:
        return False
    # What may not be deleted is replaced by the next trial.
    with contextlib.suppress(FileMissing, StoreError):
        version = {k: v for k, v in made.items() if k == "VersionId"}
        place = store.whole_address(key)
        store.call(label, store.client.delete_object, **place, **version)
    return refused


def _put(
    store: S3Reading, label: str, asked: dict[str, Any]
) -> Mapping[str, Any] | None:
    """Return the response to PutObject; None where the store refuses it."""
    made: Mapping[str, Any]
    try:
        made = store.call(label, store.client.put_object, **asked)
    except StoreError as error:
        if type(error) is not StoreError:
            raise
        return None
    return made
