"""An event's export, from its page to the file on somebody's disk: on a real grid, with
a worker that runs.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tahoestorage.testing.grid import LocalGrid
from tests.application.browser import MakePage
from tests.application.site import (
    EVENT,
    ORGANISER,
    Environment,
    Site,
    grid_environment,
    make_thumbnails,
    served,
    working,
)
from tests.support.proxy import HoldRequest, Proxy


@pytest.fixture
def environment(tahoe_grid: LocalGrid, tmp_path: Path) -> Environment:
    return grid_environment(tahoe_grid, tmp_path)


@pytest.fixture
def site(environment: Environment, tmp_path: Path) -> Iterator[Site]:
    with served(environment, tmp_path / "site.log") as site:
        # No other job is in the way of the export then.
        make_thumbnails(environment, site)
        yield site


@pytest.fixture
def before_worker(
    environment: Environment, site: Site, proxy: Proxy, tmp_path: Path
) -> Iterator[Proxy]:
    """What stands between the grid and the worker, which runs."""
    with working(
        environment | {"TAHOE_STORAGE_BASE_URL": proxy.url}, tmp_path / "worker.log"
    ):
        yield proxy


def test_an_event_is_exported_while_its_page_is_watched(
    site: Site, before_worker: Proxy, browser_page: MakePage, tmp_path: Path
) -> None:
    go_on = threading.Event()
    before_worker.rule(lambda seen: seen.method == "PUT", HoldRequest(go_on))
    watched = browser_page(site.address)
    watched.sign_in(ORGANISER)
    page = watched.page
    page.goto(EVENT)
    page.get_by_role("button", name="Export", exact=True).click()
    button = page.get_by_role("button", name="Download")
    page.evaluate("window.same = true")
    try:
        # The worker has all but what it may not send yet.
        expect(page.get_by_text(re.compile(r"\d+ % of ")).first).to_be_visible()
        expect(page.get_by_role("progressbar")).to_be_visible()
        expect(button).to_be_disabled()
    finally:
        go_on.set()

    expect(button).to_be_enabled()
    assert page.evaluate("window.same")
    with page.expect_download() as fetched:
        button.click()
    fetched.value.save_as(tmp_path / "event.zip")
    with zipfile.ZipFile(tmp_path / "event.zip") as zipped:
        found = {name: zipped.read(name) for name in zipped.namelist()}
    said = json.loads(found.pop("manifest.json"))
    event = json.loads(found.pop("event.json"))
    assert event["name"] == said["label"] == "Open Storage Day"
    shown = site.get(EVENT).text
    assert all(speaker["name"] in shown for speaker in event["speakers"])
    assert all(session["title"] in shown for session in event["sessions"])
    media = re.findall(r'href="(/(?:speakers|sessions)/\d+/\w+/)', shown)
    stored = sorted(hashlib.sha256(site.get(one).content).hexdigest() for one in media)
    assert stored
    assert stored == sorted(hashlib.sha256(one).hexdigest() for one in found.values())
    assert sorted(one["path"] for one in said["files"]) == sorted(found)
