"""A WebM video in which a browser can seek, made of pictures.

A lossy WebP picture is one key frame of VP8 (RFC 9649), which is what a block of WebM
holds (https://www.matroska.org/technical/elements.html).
"""

from __future__ import annotations

import functools
import io
import random
import struct

from PIL import Image

SIZE = 320, 240


def element(identity: int, content: bytes) -> bytes:
    """Return an element of EBML, its length told in eight bytes."""
    name = identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content


def number(identity: int, value: int) -> bytes:
    return element(identity, value.to_bytes(8, "big"))


@functools.cache
def frame(seed: int) -> bytes:
    """Return a key frame of noise, of some 40 kB."""
    noise = random.Random(seed).randbytes(SIZE[0] * SIZE[1] * 3)
    picture = io.BytesIO()
    Image.frombytes("RGB", SIZE, noise).save(picture, "WEBP", quality=50)
    webp = picture.getvalue()
    assert webp[12:16] == b"VP8 "
    return webp[20 : 20 + int.from_bytes(webp[16:20], "little")]


def video(seconds: int) -> bytes:
    """Return a video of a picture a second, each of them one that can be sought."""
    duration = element(0x4489, struct.pack(">d", seconds * 1000.0))
    info = element(0x1549A966, number(0x2AD7B1, 1_000_000) + duration)
    shape = number(0xB0, SIZE[0]) + number(0xBA, SIZE[1])
    track = number(0xD7, 1) + number(0x73C5, 1) + number(0x83, 1)
    track += element(0x86, b"V_VP8") + element(0xE0, shape)
    tracks = element(0x1654AE6B, element(0xAE, track))
    clusters = [
        element(
            0x1F43B675,
            number(0xE7, second * 1000)
            + element(0xA3, b"\x81\x00\x00\x80" + frame(second % 20)),
        )
        for second in range(seconds)
    ]

    def cues(at: int) -> bytes:
        points = b""
        for second, cluster in enumerate(clusters):
            place = number(0xF7, 1) + number(0xF1, at)
            points += element(0xBB, number(0xB3, second * 1000) + element(0xB7, place))
            at += len(cluster)
        return element(0x1C53BB6B, points)

    before = len(info + tracks + cues(0))
    header = element(0x4282, b"webm") + number(0x4287, 4) + number(0x4285, 2)
    segment = info + tracks + cues(before) + b"".join(clusters)
    return element(0x1A45DFA3, header) + element(0x18538067, segment)
