"""Blocks of code in the documents, for tests that run what they tell to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str) -> dict[tuple[str, str, int], str]:
    """Return a document's blocks by document, language and number from 1 on."""
    found: dict[tuple[str, str, int], str] = {}
    for language, text in FENCE.findall((ROOT / document).read_text("utf-8")):
        number = sum(known[1] == language for known in found) + 1
        found[document, language, number] = text
    return found


def block(
    document: str,
    language: str,
    number: int,
    replacing: Mapping[str, str] | None = None,
) -> str:
    """Return one block, with texts replaced; each of them must be there."""
    text = blocks(document)[document, language, number]
    for old, new in (replacing or {}).items():
        assert old in text
        text = text.replace(old, new)
    return text
