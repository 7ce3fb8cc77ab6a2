"""Pictures that anybody sent: opened within bounds, and made small."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
THUMBNAIL_TYPE = "image/webp"
MAX_BYTES = 64 << 20
"""Of a file: it is held in memory, as Pillow holds a WebP in any case."""


class BadPicture(ValueError):
    """The file is no picture that is shown; the message says why, for people."""


class PictureTooLarge(BadPicture):
    """The picture unpacks to more pixels than are taken, or has too many bytes."""


def open_picture(file: Any) -> Image.Image:
    """Return the picture in a binary file, read from where the file stands.

    Only its header is decoded yet: the number of its pixels is at most
    ``settings.PICTURE_MAX_PIXELS``. Raises PictureTooLarge, BadPicture where it is no
    JPEG, PNG, GIF or WebP, and what reading the file raises.
    """
    content = _read(file)
    with _decoding():
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        check_pixels(image)
    return image


def check_pixels(image: Image.Image) -> None:
    """Raise PictureTooLarge where the picture unpacks to more than is taken."""
    if image.width * image.height > settings.PICTURE_MAX_PIXELS:
        raise _too_large()


def thumbnail(file: Any, size: int) -> bytes:
    """Return the picture as a WebP of at most ``size`` pixels in width and in height.

    It is as a camera's orientation says, and has none of what else the file tells, as
    where it was taken. Of an animation it shows the first frame; a small picture stays
    small. Raises as ``open_picture``.
    """
    image = open_picture(file)
    with _decoding():
        # A JPEG is unpacked to little more than is wanted.
        image.draft(None, (2 * size, 2 * size))
        small = image.convert("RGBA" if image.has_transparency_data else "RGB")
        small.thumbnail((size, size))
        ImageOps.exif_transpose(small, in_place=True)
        content = io.BytesIO()
        small.save(content, "WEBP", quality=80)
    return content.getvalue()


def _read(file: Any) -> bytes:
    """Return the file's bytes; raises PictureTooLarge."""
    content = bytearray()
    while data := file.read(1 << 20):
        content += data
        if len(content) > MAX_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> PictureTooLarge:
    return PictureTooLarge(
        str(_("The picture is too large: %d million pixels or %d MB at most."))
        % (settings.PICTURE_MAX_PIXELS // 1_000_000, MAX_BYTES // 1_000_000)
    )


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn what Pillow raises into errors of ours; the bytes are in memory already."""
    try:
        yield
    except BadPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large() from None
    except Exception as error:  # Decoders raise of many kinds, for damaged files.
        raise BadPicture(
            str(_("The file is no JPEG, PNG, GIF or WebP, or is damaged."))
        ) from error
