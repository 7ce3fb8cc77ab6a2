"""Public download URLs, made of read caps and of nothing else."""

from __future__ import annotations

import functools
import re
from urllib.parse import quote

from tahoestorage.exceptions import InvalidCap
from tahoestorage.redaction import Secret
from tahoestorage.tahoe.caps import Access, Cap, Kind

# What could be read in two ways on its way to a gateway: control characters, "/", "\\",
# and a "%" that begins the quoting of one of these, or of a dot or another "%".
_AMBIGUOUS = re.compile(
    r"[\x00-\x1f\x7f-\x9f/\\]|%(?=[01][0-9A-Fa-f]|2[5EFef]|5[Cc]|7[Ff])"
)


@functools.lru_cache(maxsize=4096)
def public_url(base: str, reference: str, filename: str) -> str:
    """Return where visitors download a file: ``BASE/named/READCAP/FILENAME``.

    The name only says what the download is called. In place of what a careful proxy, as
    ours, does not let through in it there is "_".

    Raises InvalidCap for what is not known to be the read cap of a file.
    """
    # Tracebacks show variables.
    reference = Secret(reference)
    cap = Cap.parse(reference)
    if cap.kind is Kind.UNKNOWN or cap.is_directory:
        raise InvalidCap(f"{filename}: its cap is not one of a file, and is not shown")
    if cap.access is not Access.READ:
        cap = cap.read_only
    shown = quote(_AMBIGUOUS.sub("_", filename), safe="")
    return f"{base}/named/{quote(cap.uri, safe='')}/{shown}"
