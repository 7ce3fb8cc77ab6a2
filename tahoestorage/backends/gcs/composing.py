"""Composing: the store makes a file of others, and no byte comes here."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from tahoestorage.backends.cached import Cached, check_file, saved_name
from tahoestorage.backends.gcs.clients import LONG
from tahoestorage.backends.gcs.errors import ask
from tahoestorage.backends.gcs.objects import entry_of
from tahoestorage.backends.gcs.writing import GCSWriting, add_token, new_token
from tahoestorage.exceptions import FileMissing, NameTaken, StoreError

MOST = 32
"""Files that one request takes (Google's documentation of ``Objects: compose``)."""


class Composing(Cached, GCSWriting):
    """Writing by composing."""

    def compose(self, name: str, sources: Sequence[str], content_type: str) -> None:
        """Make a file of others of this storage, one after another; they stay.

        Nothing is overwritten: raises NameTaken. Up to 32 are one request. Of more, the
        file grows under its name, by 31 with each further request: choose one by which
        nobody looks for it before this returns. Where it fails or is interrupted what
        was made is deleted, but remains where the store can't be reached for that, or
        carries out an interrupted request only later. The bytes are taken as they are
        stored, also where the storage packs (``gzip``).
        Raises FileMissing where one of them is not there, ValueError without any,
        NotConditional, and StoreError.
        """
        if not sources:
            raise ValueError("compose needs one file at least")
        name = saved_name(str(name))
        check_file(name)
        key = self.key_of(name)
        self._demand("compose", key, name)
        left = [self.key_of(saved_name(str(source))) for source in sources]
        made: Any = None
        token = ""
        with self._changing(name) as became:
            try:
                while left:
                    most = MOST if made is None else MOST - 1
                    some, left = left[:most], left[most:]
                    token = new_token()
                    made = self._composed(key, made, some, content_type, name, token)
            # A Ctrl-C, too: a half would have the name for ever.
            except BaseException:
                with contextlib.suppress(FileMissing, NameTaken, StoreError):
                    # The request under way may have been carried out as well.
                    half = self._with_token(key, token, name) or made
                    if half is not None:
                        self.delete_object(key, name, only=entry_of(half).reference)
                raise
            self._set_acl(made, key, name)
            became(entry_of(made))

    def _composed(
        self,
        key: str,
        start: Any,
        sources: Sequence[str],
        content_type: str,
        name: str,
        token: str,
    ) -> Any:
        """Return the object of ``start``, if there is one, and these sources."""
        blob, parameters = self._blob(name, key), self.get_object_parameters(key)
        for parameter, value in parameters.items():
            if parameter != "acl":
                setattr(blob, parameter, value)
        blob.content_type = parameters.get("content_type", content_type)
        add_token(blob, token)
        parts = [self._blob(name, source) for source in sources]
        before = 0 if start is None else start.generation
        if start is not None:
            parts.insert(0, start)
        try:
            ask(name, blob.compose, parts, if_generation_match=before, **LONG)
        except (NameTaken, StoreError):
            # The response was lost; sent again, it is refused for what it made itself.
            found = self._with_token(key, token, name)
            if found is None:
                raise
            return found
        return blob
