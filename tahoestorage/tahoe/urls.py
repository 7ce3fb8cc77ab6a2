"""Public download URLs, made of read caps and of nothing else."""

from __future__ import annotations

import functools
from urllib.parse import quote

from tahoestorage.exceptions import InvalidCap
from tahoestorage.tahoe.caps import Access, Cap, Kind
from tahoestorage.tahoe.redaction import Secret


@functools.lru_cache(maxsize=4096)
def public_url(base: str, reference: str, filename: str) -> str:
    """Return where visitors download a file: ``BASE/named/READCAP/FILENAME``.

    Raises InvalidCap for what is not known to be the read cap of a file.
    """
    # Tracebacks show variables.
    reference = Secret(reference)
    cap = Cap.parse(reference)
    if cap.kind is Kind.UNKNOWN or cap.is_directory:
        raise InvalidCap(f"{filename}: its cap is not one of a file, and is not shown")
    if cap.access is not Access.READ:
        cap = cap.read_only
    return f"{base}/named/{quote(cap.uri, safe='')}/{quote(filename, safe='')}"
