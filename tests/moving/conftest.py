"""What all tests of moving files share."""

import pytest


@pytest.fixture(autouse=True)
def settled_at_once(no_waiting: None) -> None:
    """Wait for no file to settle."""
