"""A real headless Chromium for the tests of this folder, and pages opened in it that must not complain."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.pages import FLAGS, Visit, visit

NAMES = ("chromium", "chromium-browser", "google-chrome")
Opener = Callable[..., Visit]


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser of this machine or $CHROMIUM; where one is promised its absence is a failure, not a skip."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        absent = "no Chromium on this machine: install the distribution's (Debian: apt-get install chromium)"
        if os.environ.get("CHROMIUM_EXPECTED"):
            pytest.fail(absent)
        pytest.skip(absent)
    return Path(found)


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """A browser for the tests of one file, with a new empty profile.

    No longer than that: while it is there, its event loop runs on this thread, and other tests start their own.
    """
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, headless=True, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a file: `open_page(path, screen="phone", scheme="dark")`. At the end no page may have had a problem."""
    visits: list[Visit] = []
    with ExitStack() as stack:

        def opener(file: Path, **how: Any) -> Visit:
            visits.append(stack.enter_context(visit(browser, file, **how)))
            return visits[-1]

        yield opener
        assert [problem for opened in visits for problem in opened.problems()] == []
