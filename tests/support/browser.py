"""Debian's Chromium for tests, without a window, run by Playwright."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def running_chromium(*arguments: str) -> Iterator[Browser]:
    """Run a browser within the block; skip the test where there is none to run."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt-get install chromium")
    expect.set_options(timeout=30_000)  # milliseconds; only an error takes so long
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        ) as browser,
    ):
        yield browser
