"""Uploads in a browser whose network is cut, whose page is reloaded, or whose site is
away behind a web server that says so.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import requests
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Request,
    Response,
    expect,
)

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
    taken_at: list[int] = field(default_factory=list)
    """Where in the file each PATCH began that the site took to its end, in bytes."""


def upload_with_cuts(browser: Browser, address: str, file: Path) -> Outcome:
    """Upload a file to the folder ``cut`` by ann's page, and return what became of it.

    The connection breaks off after a quarter of the file, and again after another
    quarter; then the site is away until the page was reloaded, and the file is chosen
    again.
    """
    size, outcome, is_away = file.stat().st_size, Outcome(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"

    def after_cut(made: int) -> None:
        if made == 2:
            relay.target = nobody
            # None that the browser still has leads to the site.
            relay.hang_up()
            is_away.set()

    relay = Relay(address, after_cut)
    with relay, browser.new_context(base_url=relay.url) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: _note(outcome, request))
        page.on("response", lambda response: _note_taken(outcome, response))
        # Leaving the page while it uploads is asked about.
        page.on("dialog", lambda dialog: dialog.accept())
        choose = _sign_in(page, "cut")
        cut = size // 4
        page.wait_for_load_state("networkidle")
        relay.hang_up()
        # Each piece of the file may go by a connection of its own.
        relay.cuts, relay.counts_all = [cut, cut], True
        relay.passed = 0
        choose.set_input_files(file)
        item = page.get_by_role("region", name="Uploads").get_by_role("listitem")
        expect(item).to_contain_text("The connection is lost", timeout=PATIENCE)
        while not is_away.is_set():
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


def upload_through_restart(browser: Browser, address: str, file: Path) -> Outcome:
    """Upload a file to the folder ``restarted``, and return what became of it.

    After half of it the site starts again: the connection breaks off, and a web server
    before the site answers until it was asked twice how far the upload is.
    """
    outcome = Outcome()

    def after_cut(made: int) -> None:
        relay.target = f"http://127.0.0.1:{alone.server_address[1]}"
        # None that the browser still has leads past it.
        relay.hang_up()

    def asked() -> None:
        if not alone.left:
            relay.target = address

    with Alone([502, 429], asked) as alone, Relay(address, after_cut) as relay:
        with browser.new_context(base_url=relay.url) as context:
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.on("request", lambda request: _note(outcome, request))
            choose = _sign_in(page, "restarted")
            page.wait_for_load_state("networkidle")
            relay.hang_up()
            relay.cuts = [file.stat().st_size // 2]
            choose.set_input_files(file)
            item = page.get_by_role("region", name="Uploads").get_by_role("listitem")
            expect(item).to_contain_text("Uploaded", timeout=60_000)
            link = page.get_by_role("link", name=re.compile(f"^{re.escape(file.name)}"))
            path = link.get_attribute("href")
            outcome.sha256 = _downloaded(f"{address}{path}download/", context)
        assert not alone.left
    return outcome


class Alone(ThreadingHTTPServer):
    """A web server whose site is away: each HEAD gets the next of these statuses.

    ``asked`` is called after each. Other requests get 502.
    """

    daemon_threads = False

    def __init__(self, statuses: list[int], asked: Callable[[], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.left, self.asked = statuses, asked
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    server: Alone

    def do_HEAD(self) -> None:
        self._say(self.server.left.pop(0) if self.server.left else 502)
        self.server.asked()

    def do_GET(self) -> None:
        self._say(502)

    do_POST = do_PATCH = do_GET

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _sign_in(page: Page, folder: str) -> Locator:
    """Sign ann in, open the folder, and return where files are chosen."""
    page.goto(f"/accounts/sign-in/?next=/files/?folder={folder}")
    page.get_by_label("Username").fill("ann")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Sign in").click()
    choose = page.get_by_label("Upload files")
    expect(choose).to_be_visible()
    return choose


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


def _note_taken(outcome: Outcome, response: Response) -> None:
    if response.request.method == "PATCH" and response.status == 204:
        outcome.taken_at.append(int(response.request.headers["upload-offset"]))
