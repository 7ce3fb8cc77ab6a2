"""Files of forms, under the whole names that they were sent under."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import (
    FileUploadHandler,
    MemoryFileUploadHandler,
    TemporaryFileUploadHandler,
)
from django.http.multipartparser import MultiPartParser


class FormParser(MultiPartParser):
    """Reads a form, and leaves the names of its files as they were sent.

    Django takes ``&amp;`` for ``&``, and drops what is not printable: of two names one
    is made, as by cutting them.
    """

    def sanitize_file_name(self, file_name: str) -> str | None:
        """Return the name without the folders that some clients send; None for none."""
        name = file_name.replace("\\", "/").rpartition("/")[2]
        return None if name in {"", ".", ".."} else name


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

    def new_file(
        self, field_name: str, file_name: str, *given: Any, **named: Any
    ) -> None:
        # Django's name of a temporary file ends as this one, which may be no end.
        super().new_file(field_name, "file", *given, **named)
        self.file_name = file_name
