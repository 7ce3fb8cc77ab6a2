"""What a store of objects can do, as the cache needs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tahoestorage.backends.objectreader import Part
from tahoestorage.backends.saving import Saving
from tahoestorage.entries import Entry

TRIAL = ".tahoestorage-trial"
"""How the key begins by which a store is tried, beside a file that is to be saved."""
_TRIAL_OF_BEFORE = ".tahoestorage-probe-"


def is_hidden(key: str) -> bool:
    """Whether a key is of this package's own, and no file: no listing shows it."""
    return key[key.rfind("/") + 1 :].startswith((TRIAL, _TRIAL_OF_BEFORE))


class Signed(NamedTuple):
    """A URL, and for how many seconds it is good at least, also by its credentials."""

    url: str
    seconds: float


class ObjectStore(Saving):
    """A store of objects. Each method but the first two is one request if it can be.

    They raise a StoreError where the store does not do it, and FileMissing
    or NameTaken where they say so. Keys are whole, as ``_key`` gives them; ``label`` is
    what errors call the file.
    """

    file_overwrite: bool
    conditional_writes: bool
    """Whether the operator says that conditions hold, so that none need be tried."""

    @property
    def _overwrites(self) -> bool:
        return self.file_overwrite

    def conditional(self, *, thorough: bool = False) -> bool:
        """Return whether the store can refuse to overwrite, as saves ask it to.

        What is known of it is believed, unless it is to be ``thorough``: then the store
        is tried again, and more often. Raises StoreError where it can't be asked.
        """
        raise NotImplementedError

    def identity(self) -> list[str]:
        """Return which store this is: endpoint, bucket, location. No secrets."""
        raise NotImplementedError

    def key_of(self, name: str) -> str:
        """Return the key of the object called ``name``."""
        raise NotImplementedError

    def stat_object(self, key: str, label: str) -> Entry | None:
        """Ask for an object's entry; None where there is no such object."""
        raise NotImplementedError

    def fetch_object(
        self, key: str, first: int, last: int, reference: str | None, label: str
    ) -> Part:
        """Ask for a part of an object, as ``objectreader.Fetch`` says."""
        raise NotImplementedError

    def put_object(self, key: str, content: Any, label: str, *, replace: bool) -> Entry:
        """Store content, and return the entry as far as it is known.

        Without ``replace`` NameTaken where an object has the key, whoever made it
        when. The caller's content is not closed.
        """
        raise NotImplementedError

    def delete_object(self, key: str, label: str, *, only: str | None = None) -> bool:
        """Delete an object, if there is one; return whether there is none now.

        Another than that of the reference ``only`` stays, and False is returned, where
        the store can delete under a condition.
        """
        raise NotImplementedError

    def copy_object(self, source: str, target: str, label: str) -> str:
        """Copy an object within the store, and return the reference of what was copied.

        Raises FileMissing, and NameTaken.
        """
        raise NotImplementedError

    def list_pages(self, prefix: str) -> Iterable[Iterable[tuple[str, Entry]]]:
        """Yield the objects whose keys begin with ``prefix``, a request a page."""
        raise NotImplementedError

    def download_url(
        self, name: str, *, method: str, content_type: str, disposition: str
    ) -> str:
        """Return a URL by which somebody else reads a file: GET, or HEAD.

        The store answers with that Content-Type and Content-Disposition where it signs
        the URL.
        """
        raise NotImplementedError

    def stored_digests(self, entry: Entry) -> dict[str, bytes]:
        """Return the digests of an object as it is stored, packed or in parts."""
        raise NotImplementedError

    def as_stored(self, key: str, content: Any) -> Iterator[bytes]:
        """Yield a content as it would be stored at ``key``."""
        raise NotImplementedError

    def content_md5(self, entry: Entry) -> str | None:
        """Return the MD5 of an object's content, in hex, if the store says it."""
        raise NotImplementedError
