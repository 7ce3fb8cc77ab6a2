"""The cache: what is known of a store, in memory, and sealed on disk or in Redis.

It knows no Django, and of stores only what ``entries`` has. ``entrycache`` is what
stores use; below it are its ``tiers``.

How long things are kept: listings and entries for ``lifetime`` (300 s), or until a
change is told; where nobody tells of changes ``tiers.UNSHARED_SECONDS`` (2 s), and not
at all while a shared Redis is away, which keeps them an hour longer for outages of the
store (``redistiers.KEEP_SECONDS``). The contents of small files, until they are the
oldest (``contents.py``). A signed URL, half of the time for which it works; that
somebody may upload a file by one, so that it is never "missing", for that time and an
hour (``backends/lookups.py``). That a store refuses to overwrite, a day
(``backends/s3/storage.py``), or as long as the process lives (``backends/gcs``). Which
storage servers are there, 1 s (``tahoe/serverlist.py``); that a gateway is away, 5 s
(``tahoe/presence.py``), and that one of several comes last, 30 s
(``tahoe/gateways.py``). ``docs/architecture.md`` has this as a table.
"""

from tahoestorage.cache.changes import Change, ManyChanges
from tahoestorage.cache.contents import Contents, KeptContent, from_the_store
from tahoestorage.cache.entrycache import EntryCache
from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.pages import MISSING, Absent, Listing
from tahoestorage.cache.revalidation import Latest, Revalidation
from tahoestorage.cache.sealing import Namespace
from tahoestorage.cache.singleflight import Flight, FlightTimeout
from tahoestorage.cache.tiers import Ticket

__all__ = [
    "MISSING",
    "Absent",
    "Change",
    "Contents",
    "EntryCache",
    "Flight",
    "FlightTimeout",
    "KeptContent",
    "Latest",
    "Listing",
    "ManyChanges",
    "Namespace",
    "Revalidation",
    "Ticket",
    "WriteLock",
    "from_the_store",
]
