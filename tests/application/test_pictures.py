"""Pictures of anybody are opened within bounds; thumbnails tell nothing besides."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.files.storage import InMemoryStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image, ImageFile

from events.forms import SpeakerForm
from objects import pictures
from objects.pictures import LESS, BadPicture, PictureTooLarge, open_picture, thumbnail
from tests.application.site import EXAMPLE, image

FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
TURNED = 0x0112
"""EXIF's orientation; 6 is a quarter to the right."""


def drawn(size: tuple[int, int], format: str = "PNG", **options: Any) -> io.BytesIO:
    """Return a plain picture: red, and blue on its left half."""
    picture = Image.new("RGB", size, "red")
    picture.paste("blue", (0, 0, size[0] // 2, size[1]))
    content = io.BytesIO()
    picture.save(content, format, **options)
    content.seek(0)
    return content


def colour(image: Image.Image, x: int, y: int) -> str:
    """Return which of the two a pixel is, whatever a format made of it."""
    red, _, blue = image.convert("RGB").crop((x, y, x + 1, y + 1)).tobytes()
    return "blue" if blue > 200 > 60 > red else "red" if red > 200 > blue else ""


def exif(**more: Any) -> Image.Exif:
    found = Image.Exif()
    found[0x010E] = "taken at home"
    found[TURNED] = more.get("orientation", 1)
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_a_thumbnail_is_within_its_size_and_in_proportion(format: str) -> None:
    made = Image.open(io.BytesIO(thumbnail(drawn((400, 200), format), 100)))

    assert (made.format, made.size) == ("WEBP", (100, 50))
    assert (colour(made, 10, 25), colour(made, 90, 25)) == ("blue", "red")


def test_a_small_picture_stays_small() -> None:
    made = Image.open(io.BytesIO(thumbnail(drawn((40, 20)), 100)))

    assert made.size == (40, 20)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_turned_picture_is_shown_upright_and_tells_nothing_else(format: str) -> None:
    told = drawn((400, 200), format, exif=exif(orientation=6), icc_profile=b"a profile")

    content = thumbnail(told, 100)

    made = Image.open(io.BytesIO(content))
    assert made.size == (50, 100)
    assert (colour(made, 25, 10), colour(made, 25, 90)) == ("blue", "red")
    assert b"taken at home" not in content
    assert b"a profile" not in content
    assert not made.getexif()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_pictures_of_all_kinds_of_pixels_have_thumbnails(mode: str) -> None:
    content = io.BytesIO()
    Image.new(mode, (40, 30)).save(content, "PNG")
    content.seek(0)

    made = Image.open(io.BytesIO(thumbnail(content, 20)))

    assert made.size == (20, 15)
    assert made.has_transparency_data == (mode in {"LA", "RGBA"})


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("size", [(1601, 799), (799, 1601), (4001, 3), (3, 4001)])
def test_a_reduced_picture_shows_the_whole(mode: str, size: tuple[int, int]) -> None:
    content = io.BytesIO()
    Image.open(drawn(size)).convert(mode).save(content, "PNG")
    content.seek(0)

    with mock.patch.object(pictures, "BAND", 20_000):  # In many pieces.
        made = Image.open(io.BytesIO(thumbnail(content, 100)))

    width, height = made.size
    scale = 100 / max(size)
    assert max(made.size) == 100
    assert min(made.size) == max(1, round(min(size) * scale))
    if width > 3:
        middle = height // 2
        assert colour(made, width // 4, middle) == "blue"
        assert colour(made, 3 * width // 4, middle) == "red"
    assert not made.has_transparency_data


_PROBE = """
import io, resource, sys
from django.conf import settings
from PIL import Image
settings.configure(PICTURE_MAX_PIXELS=int(sys.argv[3]))
from objects.pictures import thumbnail
def of(side):
    content = io.BytesIO()
    picture = Image.new(sys.argv[2], (side, side), "red")
    picture.save(content, sys.argv[1], **eval(sys.argv[4]))
    content.seek(0)
    return content
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
thumbnail(of(9), 4)
# Not in this process, whose peak it would raise.
import os
path, child = sys.argv[5], os.fork()
if not child:
    open(path, "wb").write(of(int(sys.argv[6])).read())
    os._exit(0)
os.waitpid(child, 0)
before = peak()
thumbnail(open(path, "rb"), 384)
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("PNG", "RGBA", {"compress_level": 1}),
        ("PNG", "P", {"compress_level": 1}),
        ("WEBP", "RGBA", {"method": 0}),
        ("JPEG", "CMYK", {"progressive": True, "subsampling": 0}),
    ],
)
def test_a_thumbnail_takes_no_more_memory_than_is_said(
    format: str, mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    side = 3000 if format != "WEBP" else 1732  # 9 and 3 million pixels

    done = subprocess.run(
        [
            *(sys.executable, "-c", _PROBE),
            *(format, mode, "9000000", repr(options), str(tmp_path / "x"), str(side)),
        ],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) < 8 * 9_000_000 + (16 << 20)


def test_a_process_makes_one_thumbnail_at_a_time() -> None:
    reduce, seen = pictures._reduced, list[bool]()

    def look(*given: Any) -> Image.Image:
        seen.append(pictures._alone.locked())
        return reduce(*given)

    with mock.patch.object(pictures, "_reduced", look):
        thumbnail(drawn((40, 30)), 20)

    assert seen == [True]
    assert not pictures._alone.locked()


def test_an_animation_shows_its_first_frame() -> None:
    content = io.BytesIO()
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    content.seek(0)

    assert colour(Image.open(io.BytesIO(thumbnail(content, 20))), 10, 7) == "red"


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(
    format: str, settings: Any
) -> None:
    settings.PICTURE_MAX_PIXELS = 400 * 200 * LESS.get(format, 1) - 1
    for call in (open_picture, lambda file: thumbnail(file, 100)):
        with (
            mock.patch.object(ImageFile.ImageFile, "load") as load,
            pytest.raises(PictureTooLarge, match="too large"),
        ):
            call(drawn((400, 200), format))
        load.assert_not_called()

    settings.PICTURE_MAX_PIXELS += 1
    assert open_picture(drawn((400, 200), format)).size == (400, 200)


def test_what_pillow_takes_for_a_bomb_is_told_as_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)

    with pytest.raises(PictureTooLarge):
        thumbnail(drawn((400, 200)), 100)


def test_a_file_of_too_many_bytes_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 1 << 20)
    content = io.BytesIO(bytes(5 << 20))

    with pytest.raises(PictureTooLarge):
        open_picture(content)

    assert content.tell() == 2 << 20


@pytest.mark.parametrize("format", ["BMP", "TIFF", "ICO", "PPM"])
def test_other_formats_are_refused(format: str) -> None:
    with pytest.raises(BadPicture, match="no JPEG, PNG, GIF or WebP"):
        open_picture(drawn((40, 30), format))


@pytest.mark.parametrize("format", FORMATS)
def test_a_damaged_picture_is_refused(format: str) -> None:
    content = io.BytesIO()
    Image.effect_noise((400, 200), 50).convert("RGB").save(content, format)
    cut = content.getvalue()[: len(content.getvalue()) // 2]

    with pytest.raises(BadPicture, match="damaged"):
        thumbnail(io.BytesIO(cut), 100)


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(BadPicture):
        open_picture(io.BytesIO(content))


def test_an_error_of_the_store_is_no_bad_picture() -> None:
    storage = InMemoryStorage()
    storage.save("a.png", drawn((40, 30)))
    with storage.open("a.png") as file:
        assert len(thumbnail(file, 20)) > 0
    broken = mock.Mock()
    broken.read.side_effect = OSError("the store is away")

    with pytest.raises(OSError, match="away"):
        thumbnail(broken, 20)


def test_a_photo_of_too_many_pixels_is_refused_by_its_form(settings: Any) -> None:
    settings.PICTURE_MAX_PIXELS = 40 * 30

    def form(content: bytes) -> SpeakerForm:
        file = SimpleUploadedFile("ann.png", content)
        return SpeakerForm({"name": "Ann"}, {"photo": file})

    assert form(image("PNG")).is_valid()
    refused = form(drawn((41, 30)).getvalue())
    assert "too large" in refused.errors["photo"][0]


@pytest.mark.parametrize("format", FORMATS)
def test_a_photo_is_taken_whole(format: str) -> None:
    content = drawn((40, 30), format).getvalue()
    form = SpeakerForm(
        {"name": "Ann"}, {"photo": SimpleUploadedFile("ann.png", content)}
    )

    assert form.is_valid(), form.errors
    assert form.file is not None
    assert form.file.read() == content


def test_a_photo_of_too_many_bytes_is_not_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = drawn((40, 30), "WEBP").getvalue()
    opened = mock.Mock(side_effect=Image.open)
    monkeypatch.setattr(Image, "open", opened)

    def form() -> SpeakerForm:
        file = SimpleUploadedFile("ann.webp", content)
        return SpeakerForm({"name": "Ann"}, {"photo": file})

    monkeypatch.setattr(pictures, "MAX_BYTES", len(content) - 1)
    refused = form()
    assert "too large" in refused.errors["photo"][0]
    opened.assert_not_called()
    monkeypatch.setattr(pictures, "MAX_BYTES", len(content))
    assert form().is_valid()


@pytest.mark.parametrize("format", ["BMP", "TIFF", "ICO", "PPM"])
def test_a_photo_of_another_format_is_not_decoded(format: str) -> None:
    file = SimpleUploadedFile("ann.png", drawn((40, 30), format).getvalue())
    form = SpeakerForm({"name": "Ann"}, {"photo": file})

    assert form.errors["photo"] == [
        "The file is no JPEG, PNG, GIF or WebP, or is damaged."
    ]
