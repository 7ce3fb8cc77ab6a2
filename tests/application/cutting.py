"""An upload in a browser whose network is cut twice and whose page is reloaded once."""

from __future__ import annotations

import hashlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path

import requests
from playwright.sync_api import Browser, BrowserContext, Request, expect

from tests.application.site import PASSWORD
from tests.support.relay import Relay

PATIENCE = 300_000  # milliseconds, for the largest


@dataclass
class Outcome:
    """What was sent and what was stored."""

    sha256: str = ""
    begun: int = 0
    """Uploads that were begun: POSTs."""
    sent_twice: int = 0
    """Bytes that went over the network beyond the file's own, headers too."""


def upload_with_cuts(browser: Browser, address: str, file: Path) -> Outcome:
    """Upload a file to the folder ``cut`` by ann's page, and return what became of it.

    The connection breaks off after a quarter of the file, and again after another
    quarter; then the site is away until the page was reloaded, and the file is chosen
    again.
    """
    size, outcome = file.stat().st_size, Outcome()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"

    def after_cut(made: int) -> None:
        if made == 2:
            relay.target = nobody

    relay = Relay(address, after_cut)
    with relay, browser.new_context(base_url=relay.url) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: _note(outcome, request))
        # Leaving the page while it uploads is asked about.
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto("/accounts/sign-in/?next=/files/?folder=cut")
        page.get_by_label("Username").fill("ann")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        choose = page.get_by_label("Upload files")
        expect(choose).to_be_visible()
        cut = size // 4
        page.wait_for_load_state("networkidle")
        relay.hang_up()
        relay.cuts = [cut, cut]
        relay.passed = 0
        choose.set_input_files(file)
        item = page.get_by_role("region", name="Uploads").get_by_role("listitem")
        expect(item).to_contain_text("The connection is lost", timeout=PATIENCE)
        while relay.made < 2:
            page.wait_for_timeout(100)
        item.get_by_role("button", name=re.compile("Pause")).click()
        relay.target = address
        page.reload()
        interrupted = page.get_by_role("region", name="Uploads that were interrupted")
        expect(interrupted).to_contain_text(file.name)
        choose.set_input_files(file)
        expect(item).to_contain_text("Uploaded", timeout=PATIENCE)
        outcome.sent_twice = relay.passed - size
        link = page.get_by_role("link", name=re.compile(f"^{re.escape(file.name)}"))
        path = link.get_attribute("href")
        outcome.sha256 = _downloaded(f"{address}{path}download/", context)
    return outcome


def _downloaded(url: str, context: BrowserContext) -> str:
    """Return the SHA-256 of what the signed-in browser would get."""
    cookies = {one["name"]: one["value"] for one in context.cookies()}
    hashed = hashlib.sha256()
    with requests.Session() as session:
        session.trust_env = False
        with session.get(url, cookies=cookies, stream=True, timeout=60) as response:
            response.raise_for_status()
            for piece in response.iter_content(1 << 20):
                hashed.update(piece)
    return hashed.hexdigest()


def _note(outcome: Outcome, request: Request) -> None:
    if request.method == "POST" and request.url.endswith("/files/uploads/"):
        outcome.begun += 1
