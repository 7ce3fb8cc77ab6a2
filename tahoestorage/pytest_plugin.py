"""The import path that the pytest plugin had until 0.2, for ``pytest -p``."""

import warnings

from tahoestorage.testing.pytest_plugin import pytest_addoption, tahoe_grid

__all__ = ["pytest_addoption", "tahoe_grid"]

warnings.warn(
    "tahoestorage.pytest_plugin is tahoestorage.testing.pytest_plugin now; "
    "it is loaded by itself where the package is installed",
    DeprecationWarning,
    stacklevel=2,
)
