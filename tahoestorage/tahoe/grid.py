"""The import path that ``LocalGrid`` had until 0.2."""

from __future__ import annotations

import warnings


def __getattr__(name: str) -> object:
    """Return what ``tahoestorage.testing.grid`` has, with a DeprecationWarning."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Django must not be needed for the client, and the client not for a private grid.
    from tahoestorage.testing import grid

    found: object = getattr(grid, name)
    warnings.warn(
        f"tahoestorage.tahoe.grid.{name} is in tahoestorage.testing.grid now",
        DeprecationWarning,
        stacklevel=2,
    )
    return found
