"""A stored file as a response."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import IO

from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404

BLOCK = 64 * 1024  # bytes

# Image types that a browser draws and never runs; SVG is not one of them.
PLAIN_IMAGES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


class Begun:
    """A file whose first block has been read.

    After the headers there is no way to say that the store is away, so it is asked
    before them.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.first = file.read(BLOCK)

    def read(self, size: int = -1) -> bytes:
        first, self.first = self.first, b""
        return first or self.file.read(size)

    def close(self) -> None:
        self.file.close()


class Download(FileResponse):
    """Streams the file to the visitor; 404 where the store has no such file.

    It is a download, except that plain images may be shown in a page. Its type is
    never guessed from its content, and should a browser show it all the same,
    nothing in it runs.
    """

    block_size = BLOCK

    def __init__(self, stored: FieldFile, *, images_inline: bool = False) -> None:
        name = PurePosixPath(stored.name or "")
        image = PLAIN_IMAGES.get(name.suffix.lower()) if images_inline else None
        try:
            file = stored.storage.open(str(name))
        except FileNotFoundError as missing:
            raise Http404("The store has no such file.") from missing
        try:
            begun, size = Begun(file), file.size
        except BaseException:
            file.close()
            raise
        super().__init__(
            begun,
            as_attachment=image is None,
            filename=name.name,
            content_type=image or "application/octet-stream",
        )
        self["Content-Length"] = str(size)
        self["Content-Security-Policy"] = "default-src 'none'; sandbox"
        self["X-Content-Type-Options"] = "nosniff"
