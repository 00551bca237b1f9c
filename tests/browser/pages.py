"""A page in a real browser, with all that it complained of and asked for on its way.

Owns how a page is opened and what counts as a problem; where the browser comes from is left to conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

# Nothing is reached: what a page may use is in its own file.
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "phone": {
        "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True,
    },
}  # fmt: skip
LOCAL = ("file:", "data:", "blob:", "about:")
COMPLAINTS = ("warning", "error", "assert")
# Runs before anything of the page, so that no refusal of its policy is missed.
_WATCH_POLICY = """
document.addEventListener('securitypolicyviolation',
  (event) => reportRefusal(`${event.effectiveDirective}: ${event.blockedURI || 'inline'}`));
"""


@dataclass(kw_only=True)
class Visit:
    """An opened page. said: console warnings and errors; failed: uncaught errors; refused: what its
    Content-Security-Policy stopped; requests: every address it asked for, its own included."""

    page: Page
    said: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Everything that the page did and must not, a line each."""
        self.page.evaluate("new Promise((done) => setTimeout(done))")  # what was on its way arrives before the answer
        asked = [address for address in self.requests if not address.startswith(LOCAL)]
        return [
            *(f"console: {text}" for text in self.said),
            *(f"error: {text}" for text in self.failed),
            *(f"refused: {text}" for text in self.refused),
            *(f"request: {address}" for address in asked),
        ]

    def note_console(self, message: ConsoleMessage) -> None:
        """Keep what the page says that is more than information."""
        if message.type in COMPLAINTS:
            self.said.append(message.text)

    def note_refusal(self, text: str) -> None:
        """Keep what the page's own policy stopped."""
        self.refused.append(text)

    def note_request(self, request: Request) -> None:
        """Keep what the page asks for."""
        self.requests.append(request.url)


@contextmanager
def visit(
    browser: Browser, file: Path, *, screen: str = "desktop", scheme: str = "light", language: str = "en-US"
) -> Iterator[Visit]:
    """Open a local file in a window of its own, which is closed afterwards.

    screen: a key of SCREENS; scheme: what prefers-color-scheme tells, "light" or "dark"; language: the browser's.
    """
    context = browser.new_context(offline=True, color_scheme=scheme, locale=language, **SCREENS[screen])
    context.set_default_timeout(20_000)
    try:
        page = context.new_page()
        opened = Visit(page=page)
        page.on("console", opened.note_console)
        page.on("pageerror", lambda error: opened.failed.append(str(error)))
        page.on("request", opened.note_request)
        page.expose_function("reportRefusal", opened.note_refusal)
        page.add_init_script(_WATCH_POLICY)
        page.goto(file.absolute().as_uri())
        yield opened
    finally:
        context.close()
