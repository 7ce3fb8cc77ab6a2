"""Static files under hashed names, all of them worked out before anything is sent."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from django.contrib.staticfiles.storage import (
    ManifestFilesMixin,
    ManifestStaticFilesStorage,
)
from django.core.files.storage import Storage

from tahoestorage.backends.content import ContentOf
from tahoestorage.backends.names import normal, url_name
from tahoestorage.cache import from_the_store

JOBS = 8
# What a site may have set on its class, and is about how files are processed.
_OF_THE_CLASS = (
    "default_template",
    "keep_intermediate_files",
    "manifest_strict",
    "manifest_version",
    "max_post_process_passes",
    "patterns",
    "support_js_module_import_aggregation",
)

# Its types say less than it does, and it stands before one of our storages.
_Manifest: Any = ManifestFilesMixin


# It stands on Any, as said above.
class HashedFirst(_Manifest):  # type: ignore[misc]
    """Django's ManifestFilesMixin for a store that is asked by requests.

    Django's own saves each style sheet and script three times and deletes it twice,
    each time that ``collectstatic`` runs, and meanwhile a name that pages refer to is
    missing. Here all is worked out in a temporary folder. Then only the names that the
    store does not have are sent, by ``save_many``; the manifest comes last, and only
    if it changed. Nothing is deleted: pages of the release before find their files.

    The manifest is read when the first URL is made, not when the site starts.

    :param manifest_name: what it is called. With a name for each release a process of
        the one before never reads that of the new one, whose files may have others.
    """

    manifest_name: str
    _manifest: tuple[dict[str, str], str] | None = None

    def __init__(
        self, *arguments: Any, manifest_name: str | None = None, **options: Any
    ) -> None:
        # Before the mixin's own, which would read it.
        if manifest_name is not None:
            self.manifest_name = manifest_name
        super().__init__(*arguments, **options)

    def load_manifest(self) -> tuple[dict[str, str], str]:
        """Return the names by their originals, and the manifest's hash.

        The constructor gets nothing: it would ask the store, and so would each command.
        """
        if "manifest_hash" not in self.__dict__:
            return {}, ""
        loaded: tuple[dict[str, str], str] = super().load_manifest()
        return loaded

    def read_manifest(self) -> str | None:
        """Return the manifest as the store has it now, None where it has none.

        Another host may have written it a moment ago, and has a cache of its own.
        """
        with self._looking_afresh():
            content: str | None = super().read_manifest()
        return content

    def _looking_afresh(self) -> AbstractContextManager[None]:
        """Return a block in which the cache is not asked for the manifest.

        Stores of objects read a file by its name, and not by what is known of it, but
        where its content is kept here.
        """
        return from_the_store()

    def stored_name(self, name: str) -> str:
        """Return the hashed name. Slashes at the start of ``name`` count for nothing.

        Raises ValueError where the manifest does not have it and is strict.
        """
        stored: str = super().stored_name(url_name(name))
        return stored

    @property
    def hashed_files(self) -> dict[str, str]:
        """The names under which files are kept, by those that templates use."""
        if self._manifest is None:
            self._manifest = self.load_manifest()
        return self._manifest[0]

    @hashed_files.setter
    def hashed_files(self, value: dict[str, str]) -> None:
        # Only the constructors of Django's mixins say that there are none.
        self._manifest = (value, "") if value else None

    def post_process(
        self,
        paths: Mapping[str, tuple[Storage, str]],
        dry_run: bool = False,
        **options: Any,
    ) -> Iterator[tuple[str, str | None, Any]]:
        """Work out all names, send what is not there, and yield what Django yields."""
        if dry_run:
            return
        with tempfile.TemporaryDirectory(prefix="tahoestorage-static-") as folder:
            staging = self._staging(folder)
            for name, (storage, path) in paths.items():
                with storage.open(path) as source:
                    staging.save(name, source)
            done = list(staging.post_process(dict(paths), **options))
            if not any(isinstance(processed, Exception) for *_, processed in done):
                self._send_hashed(staging)
        yield from done

    def _staging(self, folder: str) -> ManifestStaticFilesStorage:
        """Return Django's storage on a folder, which processes as this class would."""
        # Of the class: a constructor may have added to what an instance has.
        mine: Any = type(self)
        own = {
            name: getattr(mine, name) for name in _OF_THE_CLASS if hasattr(mine, name)
        }
        own["manifest_name"] = self.manifest_name
        own["file_hash"] = staticmethod(self.file_hash)
        kind = type("Staging", (ManifestStaticFilesStorage,), own)
        staging: ManifestStaticFilesStorage = kind(location=folder)
        return staging

    def _send_hashed(self, staging: ManifestStaticFilesStorage) -> None:
        names = sorted(set(staging.hashed_files.values()))
        missing = [name for name in names if not self.exists(name)]
        pairs = ((name, ContentOf(staging, name)) for name in missing)
        for name, saved in zip(missing, self.save_many(pairs, jobs=JOBS), strict=True):
            if saved != normal(name):
                # Whoever else has sent it meanwhile has sent this content.
                self.delete(saved)
        self._manifest = dict(staging.hashed_files), staging.manifest_hash
        with staging.open(self.manifest_name) as file:
            manifest = file.read()
        if self.read_manifest() == manifest.decode():
            return
        if self.manifest_storage is self:
            # Replaced at once, when it is whole.
            with self.open(self.manifest_name, "wb") as target:
                target.write(manifest)
        else:
            self.save_manifest()
