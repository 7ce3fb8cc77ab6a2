"""What is known of the store, kept in memory and sealed on disk. No Django here."""

from tahoestorage.cache.changes import Change
from tahoestorage.cache.entrycache import EntryCache, Ticket
from tahoestorage.cache.flights import Flight, StillFlying
from tahoestorage.cache.glances import Glance
from tahoestorage.cache.locks import WriteLock
from tahoestorage.cache.pages import MISSING, Absent, Listing
from tahoestorage.cache.sealing import Namespace

__all__ = [
    "MISSING",
    "Absent",
    "Change",
    "EntryCache",
    "Flight",
    "Glance",
    "Listing",
    "Namespace",
    "StillFlying",
    "Ticket",
    "WriteLock",
]
