"""The site in a real browser: pages are opened, signed in to, and looked at closely."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.application.site import PASSWORD, ROOT

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")
PHONE, DESK = 375, 1280
WIDTHS = (PHONE, DESK)
LOOKS: list[tuple[Theme, int]] = [("light", DESK), ("dark", PHONE)]
"""Themes and widths in which every page is looked at.

All four for SCREENSHOTS, and for EVERY_LOOK; for that the other two with motion.
"""
MOVING: set[tuple[Theme, int]] = set()
if os.environ.get("SCREENSHOTS") or os.environ.get("EVERY_LOOK"):
    every: list[tuple[Theme, int]] = [
        (one, width) for one in THEMES for width in WIDTHS
    ]
    if os.environ.get("EVERY_LOOK"):
        MOVING = set(every) - set(LOOKS)
    LOOKS = every
HEIGHT = 800
SHIFT = 0.05  # of the layout, while a page loads
PICTURES = ROOT / "docs" / "application" / "pages"
"""Where screenshots go when SCREENSHOTS is set."""

# What moves without somebody having touched the page, added up.
_OBSERVE = """
window.layoutShift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.layoutShift += entry.value;
  }
}).observe({ type: "layout-shift", buffered: true });
"""

_REPLACE = """([text, shown]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { currentNode: node } = texts;
    node.data = node.data.replaceAll(text, shown);
  }
}"""

MakePage = Callable[..., "WatchedPage"]


class WatchedPage:
    """A page of the browser, and what was wrong in it so far."""

    def __init__(self, page: Page, theme: Theme, width: int) -> None:
        self.page, self.theme, self.width = page, theme, width
        self.errors: list[str] = []
        self.instead: dict[str, str] = {}
        """What pictures show in the place of what only a run of the tests has."""
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            where = message.location.get("url", "")
            self.errors.append(f"{message.type}: {message.text} ({where})")

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Sign in by the page for that."""
        page = self.page
        page.goto("/accounts/sign-in/?next=/files/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Files", exact=True)).to_be_visible()

    def look(self, name: str) -> None:
        """Assert that the page is sound, and take a picture of it.

        No violation that axe finds, no error on the console, nothing that moves while
        it loads, nothing wider than the window.
        """
        page = self.page
        page.wait_for_load_state("networkidle")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("layoutShift") < SHIFT
        wide = "document.documentElement.scrollWidth"
        assert page.evaluate(wide) <= self.width, f"{name} is wider than the window"
        self.picture(name)
        assert self.errors == [], self.errors

    def picture(self, name: str) -> None:
        """Take one, which loads what is further down; keep it for SCREENSHOTS."""
        for text, shown in self.instead.items():
            self.page.evaluate(_REPLACE, [text, shown])
        content = self.page.screenshot(full_page=True)
        if not os.environ.get("SCREENSHOTS"):
            return
        PICTURES.mkdir(parents=True, exist_ok=True)
        taken = Image.open(io.BytesIO(content))
        # The method that keeps colours of few pixels.
        small = taken.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
        size = "phone" if self.width == PHONE else "desk"
        small.save(PICTURES / f"{name}-{size}-{self.theme}.png", optimize=True)


@contextmanager
def opening_pages(browser: Browser) -> Iterator[MakePage]:
    """Give what opens pages, each with cookies of its own.

    At the end none may have an error on its console.
    """
    made: list[WatchedPage] = []
    with ExitStack() as stack:

        def make(
            address: str, theme: Theme = "light", width: int = DESK
        ) -> WatchedPage:
            moves = (theme, width) in MOVING
            context = browser.new_context(
                base_url=address,
                color_scheme=theme,
                viewport={"width": width, "height": HEIGHT},
                locale="en-GB",
                reduced_motion="no-preference" if moves else "reduce",
            )
            stack.callback(context.close)
            context.add_init_script(_OBSERVE)
            made.append(WatchedPage(context.new_page(), theme, width))
            return made[-1]

        yield make
        errors = [error for one in made for error in one.errors]
        assert errors == [], errors


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders of this machine, as somebody's mouse does."""
    devtools = page.context.new_cdp_session(page)
    data = {
        "items": [],
        "files": [str(path) for path in paths],
        "dragOperationsMask": 1,
    }
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 200, "y": 200, "data": data}
        devtools.send("Input.dispatchDragEvent", event)
