"""Public download URLs, made from read caps only."""

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


# For more names than the cache has in memory by default.
@functools.lru_cache(maxsize=1 << 14)
def public_url(base: str, reference: str, filename: str) -> str:
    """Return the URL where visitors download a file: ``BASE/named/READCAP/FILENAME``.

    ``base`` is a URL without a slash at its end, ``reference`` a read or write cap of
    the file; only the read cap is in the URL. ``filename`` is the name under which it
    is saved; characters that a strict proxy refuses become "_". The URL is a secret,
    as the cap is. Raises InvalidCap where ``reference`` is not a cap of a file.

    Source: the web API, "Viewing/Downloading a File".
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
