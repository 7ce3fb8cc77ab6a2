"""``manage.py collectstatic``: Django's, with fewer requests to our own storages."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import repeat
from typing import Any

from django.contrib.staticfiles.management.commands import collectstatic
from django.core.files.storage import Storage
from django.core.management.base import CommandError, CommandParser

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.content import CHUNK, ContentOf
from tahoestorage.backends.names import normal
from tahoestorage.exceptions import (
    NotAllSaved,
    StoreError,
    StoreUnreachable,
    printable,
)
from tahoestorage.management.storecommand import add_jobs
from tahoestorage.storage import TahoeStorage


class Command(collectstatic.Command):
    """Uploads only what changed, many files at a time; for other storages Django's.

    Contents are compared by the hashes in one listing of the store. A grid tells none:
    there a file of the same size that is newer here is compared by reading it. A file
    is replaced without being deleted first, so none is missing meanwhile. What a save
    may write, which is what is new, goes by ``save_many``.
    """

    _uploads: list[tuple[str, Future[bool]]]
    _times_away: float
    _saves: list[tuple[str, str, Storage]]
    _pool: ThreadPoolExecutor | None = None
    _post_process = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --jobs to Django's arguments."""
        super().add_arguments(parser)
        add_jobs(
            parser,
            "How many files are uploaded at a time to a grid, to S3 or Google Cloud",
            default=8,
            most=256,
        )

    def set_options(self, **options: Any) -> None:
        """Set the options. Raises CommandError for --jobs below 1."""
        super().set_options(**options)
        self._jobs = options.get("jobs") or 8
        if self._jobs < 1:
            raise CommandError("--jobs must be 1 or more.")

    def log(self, msg: str, level: int = 2) -> None:
        """Print what is done with a file, whose name may have any character in it."""
        super().log(printable(msg), level)

    def collect(self) -> dict[str, list[str]]:
        """Collect the files; return the paths by what was done, as Django does."""
        if not isinstance(self.storage, Cached | TahoeStorage) or self.symlink:
            return super().collect()
        self._uploads, self._saves, self._times_away = [], [], 0
        with self.storage.prefetch(), ThreadPoolExecutor(self._jobs) as pool:
            self._pool = pool
            try:
                collected = super().collect()
                self._finish()
                return collected
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None

    @property
    def post_process(self) -> bool:
        """Whether files are processed after all were copied.

        Django asks this just before it does so: by then they have to be there.
        """
        if self._pool is not None:
            self._finish()
        return self._post_process

    @post_process.setter
    def post_process(self, value: bool) -> None:
        self._post_process = value

    def _finish(self) -> None:
        """Wait for the uploads. Raises CommandError with what failed."""
        errors = self._save_all()
        errors += self._end_uploads()
        if errors:
            failed = [printable(f"{path}: {error}") for path, error in errors]
            raise CommandError(
                "\n".join(
                    ["These files were not uploaded; run collectstatic again:", *failed]
                )
            )

    def _save_all(self) -> list[tuple[str, Exception]]:
        """Save what can be saved; return what could not, and why."""
        errors: list[tuple[str, Exception]] = []
        saves, self._saves = self._saves, []
        while saves:
            done: dict[int, str] = {}
            pairs = ((name, ContentOf(source, path)) for path, name, source in saves)
            try:
                for saved in self.storage.save_many(pairs, jobs=self._jobs):
                    done[len(done)] = saved
            except NotAllSaved as error:
                done |= error.saved
                for number, (_, reason) in error.errors.items():
                    if not isinstance(reason, OSError):
                        raise reason from None
                    errors.append((saves[number][0], reason))
                    done[number] = ""
                reasons = [reason for _, reason in error.errors.values()]
                if not any(done.values()) and _are_of_a_store_away(reasons):
                    # The others would wait as long, one round after another.
                    errors += _not_begun(len(saves) - len(done))
                    break
            for number, saved in done.items():
                path, name, source = saves[number]
                if saved and saved != normal(name):
                    # Somebody has saved another file by this name meanwhile.
                    self._begin(path, name, source)
                    self.storage.delete(saved)
            saves = [save for n, save in enumerate(saves) if n not in done]
        return errors

    def _end_uploads(self) -> list[tuple[str, Exception]]:
        """Wait for the files that are replaced; return which were not, and why."""
        errors: list[tuple[str, Exception]] = []
        left = 0
        uploads, self._uploads = self._uploads, []
        for path, upload in uploads:
            try:
                left += not upload.result()
            except OSError as error:
                errors.append((path, error))
        return errors + _not_begun(left)

    def clear_dir(self, path: str) -> None:
        """Delete all files below a path; with --dry-run name them only."""
        if self._pool is None or not isinstance(self.storage, Cached):
            super().clear_dir(path)
            return
        names = [name for name, _ in self.storage.listed(path)]
        for name in names:
            doing = "Pretending to delete" if self.dry_run else "Deleting"
            self.log(f"{doing} '{name}'", level=1)
        if not self.dry_run:
            # In this context, so that the listing learns of it.
            runs = [copy_context().run for _ in names]
            for _ in self._pool.map(_call, runs, repeat(self.storage.delete), names):
                pass

    def copy_file(self, path: str, prefixed_path: str, source_storage: Storage) -> None:
        """Upload a file, unless the store has the same content by that name."""
        if self._pool is None:
            super().copy_file(path, prefixed_path, source_storage)
        elif prefixed_path in self.copied_files:
            self.log(f"Skipping '{path}' (already copied earlier)")
        elif self._is_unmodified(path, prefixed_path, source_storage):
            self.unmodified_files.append(prefixed_path)
            self.log(f"Skipping '{path}' (not modified)")
        else:
            self.copied_files.append(prefixed_path)
            if self.dry_run:
                self.log(f"Pretending to copy '{path}'", level=1)
            else:
                self.log(f"Copying '{path}'", level=2)
                if self.storage.is_name_available(prefixed_path):
                    self._saves.append((path, prefixed_path, source_storage))
                else:
                    self._begin(path, prefixed_path, source_storage)

    def _begin(self, path: str, prefixed_path: str, source_storage: Storage) -> None:
        """Begin to upload a file in the place of what is there."""
        if self._pool is None:
            raise RuntimeError("nothing is uploaded but while files are collected")
        # In this context, so that the listing learns of it.
        copying = copy_context().run
        upload = self._pool.submit(
            copying, self._upload, path, prefixed_path, source_storage
        )
        self._uploads.append((path, upload))

    def _upload(self, path: str, prefixed_path: str, source_storage: Storage) -> bool:
        """Upload a file; return False, and do nothing, once the store is away.

        That is where it could be reached for none of the first files.
        """
        if self._times_away >= 2 * self._jobs:
            return False
        try:
            with (
                source_storage.open(path) as source,
                self.storage.open(prefixed_path, "wb") as target,
            ):
                for chunk in source.chunks():
                    target.write(chunk)
        except StoreUnreachable:
            self._times_away += 1
            raise
        self._times_away = -math.inf
        return True

    def _is_unmodified(
        self, path: str, prefixed_path: str, source_storage: Storage
    ) -> bool:
        if not self.storage.exists(prefixed_path):
            return False
        if isinstance(self.storage, Cached):
            with source_storage.open(path) as source:
                same = self.storage.has_content(prefixed_path, source)
            if same is not None:
                return same
        elif self.storage.size(prefixed_path) != source_storage.size(path):
            return False
        # The store has no hash of it. As Django does it, to the second.
        with contextlib.suppress(NotImplementedError):
            there = self.storage.get_modified_time(prefixed_path)
            here = source_storage.get_modified_time(path)
            if there.replace(microsecond=0) >= here.replace(microsecond=0):
                return True
        # A fresh checkout has new times, and the same files.
        return self._is_equal(path, prefixed_path, source_storage)

    def _is_equal(self, path: str, prefixed_path: str, source_storage: Storage) -> bool:
        """Whether both files have the same content, read up to what differs."""
        # What can't be read there is sent again.
        with (
            contextlib.suppress(StoreError),
            source_storage.open(path) as here,
            self.storage.open(prefixed_path) as there,
        ):
            while (some := here.read(CHUNK)) == there.read(CHUNK):
                if not some:
                    return True
        return False


def _are_of_a_store_away(reasons: list[Exception]) -> bool:
    return all(isinstance(reason, StoreUnreachable) for reason in reasons)


def _not_begun(count: int) -> list[tuple[str, Exception]]:
    reason = StoreUnreachable("not begun, as the store is away")
    return [(f"{count} more", reason)] if count else []


def _call(run: Callable[..., None], delete: Callable[[str], None], name: str) -> None:
    run(delete, name)
