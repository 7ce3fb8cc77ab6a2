"""What is known of the store, kept in memory and sealed on disk. No Django here."""

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
