"""Pictures that anybody sent: opened within bounds, and made small."""

from __future__ import annotations

import io
import threading
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
BAND = 1 << 20
"""Pixels that are made smaller at a time: no second copy of the whole is made."""
LESS = {"WEBP": 3}
"""How many times fewer pixels are taken of a format: a WebP is unpacked into several
copies, 17 bytes a pixel, where others take 8 at most."""
_alone, _checking = threading.Lock(), threading.Lock()
"""Of several threads that make thumbnails one at a time has its picture in memory, and
one of those that check what was sent."""


class BadPicture(ValueError):
    """The file is no picture that is shown; the message says why, for people."""


class PictureTooLarge(BadPicture):
    """The picture unpacks to more pixels than are taken, or has too many bytes."""


def open_picture(file: Any) -> Image.Image:
    """Return the picture in a binary file, read from where the file stands.

    Only its header is decoded yet: the number of its pixels is at most
    ``settings.PICTURE_MAX_PIXELS``, of a WebP a third of that. Raises PictureTooLarge,
    BadPicture where it is no JPEG, PNG, GIF or WebP, and what reading the file raises.
    """
    content = _read(file)
    with _decoding():
        return _opened(content)


def check_size(size: int) -> None:
    """Raise PictureTooLarge where a file has more bytes than are taken of a picture."""
    if size > MAX_BYTES:
        raise _too_large()


def check_picture(file: Any, size: int) -> None:
    """Raise BadPicture, as PictureTooLarge, where a file is no picture to be taken.

    It has ``size`` bytes, can be sought in, and is on this host: whatever reading it
    raises becomes BadPicture, and others wait meanwhile. Of a WebP it is read whole, of
    others a little is held at a time.
    """
    check_size(size)
    with _checking, _decoding():
        file.seek(0)
        _opened(file).verify()


def _opened(file: Any) -> Image.Image:
    """Return the picture; raises PictureTooLarge where it has too many pixels."""
    image = Image.open(file, formats=FORMATS)
    times = LESS.get(image.format or "", 1)
    if image.width * image.height > settings.PICTURE_MAX_PIXELS // times:
        raise _too_large(times)
    return image


def thumbnail(file: Any, size: int) -> bytes:
    """Return the picture as a WebP of at most ``size`` pixels in width and in height.

    It is as a camera's orientation says, and has none of what else the file tells, as
    where it was taken. Of an animation it shows the first frame; a small picture stays
    small. Raises as ``open_picture``.

    The memory that it takes is that of the unpacked picture, and of little besides. One
    thread at a time makes one; others wait.
    """
    with _alone, open_picture(file) as image, _decoding():
        # A JPEG is unpacked to little more than is wanted.
        image.draft(None, (2 * size, 2 * size))
        small = _reduced(image, size)
        small.thumbnail((size, size))
        ImageOps.exif_transpose(small, in_place=True)
        content = io.BytesIO()
        small.save(content, "WEBP", quality=80)
    return content.getvalue()


def _reduced(image: Image.Image, size: int) -> Image.Image:
    """Return a copy of a fraction of the pixels, still twice ``size`` where it was so.

    Converting the whole, or resizing one with transparency, would copy all of it.
    """
    image.load()
    mode = "RGBA" if image.has_transparency_data else "RGB"
    width, height = image.size
    factor = max(1, max(width, height) // (2 * size))
    across, down = min(factor, width), min(factor, height)
    small = Image.new(mode, (-(-width // across), -(-height // down)))
    # The orientation is there; what is said of transparency is in the pixels now.
    small.info = {k: v for k, v in image.info.items() if k != "transparency"}
    rows = down * max(1, BAND // (down * width))
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height))).convert(mode)
        small.paste(band.reduce((across, down)), (0, top // down))
    return small


def _read(file: Any) -> io.BytesIO:
    """Return the file's bytes; raises PictureTooLarge."""
    content = io.BytesIO()
    while data := file.read(1 << 20):
        content.write(data)
        if content.tell() > MAX_BYTES:
            raise _too_large()
    content.seek(0)
    return content


def _too_large(times: int = 1) -> PictureTooLarge:
    pixels = settings.PICTURE_MAX_PIXELS // times
    return PictureTooLarge(
        str(_("The picture is too large: %d million pixels or %d MB at most."))
        % (pixels // 1_000_000, MAX_BYTES // 1_000_000)
    )


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn what Pillow raises into errors of ours; the bytes are here already."""
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
