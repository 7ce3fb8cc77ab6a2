"""The cache: what is known of a store, in memory, and sealed on disk or in Redis.

It knows no Django, and of stores only what ``entries`` has. ``entrycache`` is what
stores use; below it are its ``tiers``.
"""

from tahoestorage.cache.changes import Change
from tahoestorage.cache.entrycache import EntryCache, Ticket
from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.pages import MISSING, Absent, Listing
from tahoestorage.cache.revalidation import Revalidation
from tahoestorage.cache.sealing import Namespace
from tahoestorage.cache.singleflight import Flight, FlightTimeout

__all__ = [
    "MISSING",
    "Absent",
    "Change",
    "EntryCache",
    "Flight",
    "FlightTimeout",
    "Listing",
    "Namespace",
    "Revalidation",
    "Ticket",
    "WriteLock",
]
