"""Files of forms, under the whole names that they were sent under."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import (
    FileUploadHandler,
    MemoryFileUploadHandler,
    TemporaryFileUploadHandler,
)


class WholeNames(FileUploadHandler):
    """Leaves it to the site to refuse long names.

    Django cuts them to 255 characters: of two names one is made, and the second file
    becomes a new version of the first.
    """

    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        found = super().file_complete(file_size)
        if found is not None:
            # Not `name`, which cuts; type stubs know only that.
            found._name = self.file_name  # type: ignore[attr-defined]
        return found


class InMemory(WholeNames, MemoryFileUploadHandler):
    """Keeps small files in memory."""


class OnDisk(WholeNames, TemporaryFileUploadHandler):
    """Keeps others in temporary files."""
