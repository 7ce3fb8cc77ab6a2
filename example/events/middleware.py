"""What a visitor sees when the file store cannot be used."""

from __future__ import annotations

from accounts.stores import StoreGone
from tahoestorage.middleware import StoreErrorMiddleware


class StoreErrors(StoreErrorMiddleware):
    """Answers with a page of this site's, also where the store is a full disk."""

    errors = (OSError,)
    template_name = "events/store_away.html"


class StoreGoneErrors(StoreErrorMiddleware):
    """Answers with a page that does not say to try again: somebody has to act first."""

    errors = (StoreGone,)
    template_name = "events/store_gone.html"
