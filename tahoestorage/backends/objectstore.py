"""The protocol of object stores: what S3 and Google Cloud Storage do alike.

Where they differ, files of one name in ``s3/`` and ``gcs/`` stand side by side:

========== ============================== ======================================
file       S3                             Google Cloud Storage
========== ============================== ======================================
objects    a reference is an ETag         a reference is a generation
conditions If-None-Match, If-Match        ifGenerationMatch
writing    parts, and copies in parts     resumable uploads, rewrites
signing    its own keys, or CloudFront's  a key file, or IAM
errors     botocore's                     google-api-core's
options    AWS_…                          GS_…
========== ============================== ======================================

Only S3 has ``checksums`` of what is sent, ``heldbody`` for its trials, ``multipart``
(files that several requests make) and ``unfinished`` (uploads in parts that nobody
ended). Only Google Cloud Storage has ``composing``: files made of others.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

from tahoestorage.backends.saving import Saving
from tahoestorage.entries import Entry
from tahoestorage.parts import Part

TRIAL = ".tahoestorage-trial"
"""The last part of a key begins so if a trial of the store's conditions made it."""
PACKED = "tahoestorage-packed"
"""User metadata, "yes" or "no": whether the storage packed the content (gzip)."""
_TRIAL_OF_BEFORE = ".tahoestorage-probe-"


def is_hidden(key: str) -> bool:
    """Whether a key is one of a trial, and no file. No listing shows such a key."""
    return key[key.rfind("/") + 1 :].startswith((TRIAL, _TRIAL_OF_BEFORE))


def is_named_as_packed(name: str) -> bool:
    """Whether a file came packed, by its name, as ``a.tar.gz`` did.

    django-storages gives such a file a Content-Encoding, by which clients unpack it.
    """
    return mimetypes.guess_type(name)[1] is not None


class Signed(NamedTuple):
    """A signed URL, and the seconds for which it works at least.

    Credentials may expire before the URL does; then that counts.
    """

    url: str
    seconds: float


class ObjectStore(Saving):
    """A store of objects, without a cache. A new store overrides each method.

    A method that asks the store sends one request where that is enough (a page of a
    listing is one). All raise a StoreError when the store can't be asked or refuses,
    and FileMissing or NameTaken where their docstrings say so.

    ``key`` is the whole key of an object, as ``key_of`` returns it. ``label`` is what
    errors call the file. A reference names one content of an object: what an ETag is
    on S3 (RFC 9110, section 8.8.3), and a generation on Google Cloud Storage.
    """

    makes_keys: ClassVar[tuple[str, ...]] = ("key_of",)
    """The methods that make a key, of the name and ``location`` alone."""

    location: str
    file_overwrite: bool
    conditional_writes: bool
    """Whether the operator says that conditions hold, so that none need be tried."""

    @property
    def _overwrites(self) -> bool:
        return self.file_overwrite

    @property
    def trusts_conditions(self) -> bool:
        """Whether the store is known to refuse to overwrite, without a trial."""
        raise NotImplementedError

    def refuses_at_once(self, name: str, content: Any) -> bool:
        """Whether the content goes in one request, and the store refuses a taken name.

        A store that is not trusted may have been tried.
        """
        return False

    def is_sent_whole(self, size: int) -> bool:
        """Whether so many bytes go in one request, so that a save need not ask before.

        The store then refuses them where the name is taken.
        """
        return False

    def conditional(self, *, thorough: bool = False) -> bool:
        """Return whether the store refuses to overwrite when a save asks it to.

        The result of an earlier trial is used, unless ``thorough``: then the store is
        tried again, with more requests. Raises StoreError where it can't be asked.
        """
        raise NotImplementedError

    def identity(self) -> list[str]:
        """Return what tells this store from others: endpoint and bucket. No secrets.

        Storages with equal identities share what the cache has of their objects.
        """
        raise NotImplementedError

    def key_of(self, name: str) -> str:
        """Return the key of the object called ``name``, below the location.

        Raises SuspiciousFileOperation for a name that leads out of the location.
        """
        raise NotImplementedError

    def stat_object(self, key: str, label: str) -> Entry:
        """Return an object's entry, from the store. Raises FileMissing."""
        raise NotImplementedError

    def fetch_object(
        self, key: str, first: int, last: int, reference: str | None, label: str
    ) -> Part:
        """Return the bytes ``first`` to ``last`` of an object (RFC 9110, section 14.2).

        Both are counted from 0 and included; there may be fewer at the end. With a
        ``reference`` DamagedDownload where the object has another one by now. Raises
        FileMissing.
        """
        raise NotImplementedError

    def put_object(self, key: str, content: Any, label: str, *, replace: bool) -> Entry:
        """Store content, and return its entry, as far as the store told it.

        Without ``replace`` raises NameTaken where an object has the key, also one that
        is made at the same moment. ``content`` is not closed.
        """
        raise NotImplementedError

    def delete_object(self, key: str, label: str, *, only: str | None = None) -> bool:
        """Delete an object; return True if there is none any more.

        With ``only`` just the content of that reference is deleted: where the object
        has another one, it stays, and False is returned. A store that knows no
        condition for deletes deletes it all the same.
        """
        raise NotImplementedError

    def copy_object(self, source: str, target: str, label: str) -> str:
        """Copy an object to another key; return the reference of what was copied.

        Nothing is overwritten. Raises FileMissing, and NameTaken.
        """
        raise NotImplementedError

    def list_pages(self, prefix: str) -> Iterable[Iterable[tuple[str, Entry]]]:
        """Yield the keys that begin with ``prefix``, and their entries, page by page.

        A page is one request, and has up to 1,000 of them.
        """
        raise NotImplementedError

    def signs_url(self, key: str) -> bool:
        """Whether the URL of an object is signed, so that it changes with time."""
        raise NotImplementedError

    def download_url(
        self, name: str, *, method: str, content_type: str, disposition: str
    ) -> str | None:
        """Return a URL by which a visitor reads a file; ``method`` is GET or HEAD.

        Where the URL is signed, the store sends this Content-Type and this
        Content-Disposition (RFC 6266) with the file. None for a file that came packed,
        such as ``a.tar.gz``, where the store would send it with its Content-Encoding:
        clients would unpack it.
        """
        raise NotImplementedError

    def stored_digests(self, entry: Entry) -> dict[str, bytes]:
        """Return the digests of an object's stored bytes, by algorithm.

        Empty where the entry tells none. See ``digests`` for the names.
        """
        raise NotImplementedError

    def as_stored(self, key: str, content: Any) -> Iterator[bytes]:
        """Yield the bytes that would be stored for ``content`` at ``key``."""
        raise NotImplementedError

    def content_md5(self, entry: Entry) -> str | None:
        """Return the MD5 of a file's content, in hex; None where none is told."""
        raise NotImplementedError
