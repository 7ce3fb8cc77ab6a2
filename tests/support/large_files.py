"""Files that are read by seeking, as their readers do: an archive and a picture."""

from __future__ import annotations

import io
import os
import zipfile

from PIL import Image


def archive(size: int) -> tuple[bytes, bytes]:
    """A zip of some size, of many members, and what is in that of the middle."""
    buffer, members = io.BytesIO(), {}
    with zipfile.ZipFile(buffer, "w") as file:
        for number in range(size // 100_000):
            members[f"{number}.bin"] = os.urandom(100_000)
            file.writestr(f"{number}.bin", members[f"{number}.bin"])
    return buffer.getvalue(), members[f"{size // 200_000}.bin"]


def picture() -> tuple[bytes, list[bytes]]:
    """A TIFF of 7 MB, and the points of each of its five frames."""
    buffer, size = io.BytesIO(), (800, 750)
    frames = [Image.frombytes("RGB", size, os.urandom(1_800_000)) for _ in range(5)]
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    return buffer.getvalue(), [frame.tobytes() for frame in frames]
