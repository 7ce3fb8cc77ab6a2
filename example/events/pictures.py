"""Pictures for the demonstration data, drawn here so that none need be shipped."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]


def portrait(back: Colour, coat: Colour, skin: Colour, hair: Colour) -> bytes:
    """A JPEG of 600 by 600 pixels: somebody's head and shoulders, simply drawn."""
    scale = 2  # Drawn larger and then reduced, which smooths the edges.
    image = Image.new("RGB", (600 * scale, 600 * scale), back)
    draw = ImageDraw.Draw(image)

    def oval(left: int, top: int, right: int, bottom: int, fill: Colour) -> None:
        draw.ellipse([scale * n for n in (left, top, right, bottom)], fill)

    oval(90, 400, 510, 900, coat)
    oval(168, 95, 432, 400, hair)
    draw.rectangle([scale * n for n in (255, 330, 345, 430)], skin)
    oval(255, 395, 345, 465, skin)
    oval(195, 140, 405, 395, skin)
    draw.pieslice([scale * n for n in (180, 100, 420, 330)], 180, 360, hair)
    for eye in (248, 332):
        oval(eye, 258, eye + 20, 282, (40, 40, 48))
    draw.arc([scale * n for n in (255, 280, 345, 350)], 30, 150, (205, 92, 84), 9)
    return encode([image.resize((600, 600))], "JPEG")


def presentation(title: str, pages: list[str], colour: Colour) -> bytes:
    """A PDF: the title on a coloured page, then a page for each of `pages`."""
    drawn = [page(title, (255, 255, 255), colour)]
    drawn += [page(text, (30, 36, 48), (250, 250, 247)) for text in pages]
    return encode(drawn, "PDF")


def page(text: str, ink: Colour, back: Colour) -> Image.Image:
    image = Image.new("RGB", (1280, 720), back)
    font = ImageFont.load_default(64)
    ImageDraw.Draw(image).multiline_text((100, 240), text, ink, font, spacing=24)
    return image


def encode(images: list[Image.Image], format: str) -> bytes:
    content = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if images[1:] else {}
    images[0].save(content, format, quality=88, **more)
    return content.getvalue()
