"""What a page does that it must not is noticed; the rest of the folder relies on it."""

import struct
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Opener
from tests.browser.pages import visit

POLICY = "default-src 'none'; script-src 'nonce-ours'; img-src data:"


def _page(folder: Path, body: str) -> Path:
    file = folder / "page.html"
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>t</title>'
    file.write_text(f"<!DOCTYPE html>{head}<body>{body}")
    return file


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script nonce=ours>console.error('broken')</script>", "console: broken"),
        ("<script nonce=ours>console.warn('soon')</script>", "console: soon"),
        ("<script nonce=ours>undefinedName()</script>", "error: undefinedName is not defined"),
        ("<script>alert(1)</script>", "refused: script-src-elem: inline"),
        ("<script nonce=ours>try { eval('1') } catch { }</script>", "refused: script-src: eval"),
        ("<img src='https://example.invalid/a.png'>", "request: https://example.invalid/a.png"),
    ],
)
def test_a_problem_of_a_page_is_noticed(browser: Browser, tmp_path: Path, body: str, problem: str) -> None:
    with visit(browser, _page(tmp_path, f"{body}<p>shown</p>")) as opened:
        assert problem in opened.problems()


def test_a_page_that_only_informs_has_no_problem(open_page: Opener, tmp_path: Path) -> None:
    body = (
        "<script nonce=ours>console.log('fine')</script><img alt='' src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
    )
    opened = open_page(_page(tmp_path, body))
    assert opened.requests[0].startswith("file:")
    assert opened.problems() == []


@pytest.mark.parametrize(("screen", "pixels"), [("desktop", (1280, 900)), ("phone", (780, 1688))])
def test_a_screenshot_is_as_large_as_the_screen(
    open_page: Opener, tmp_path: Path, screen: str, pixels: tuple[int, int]
) -> None:
    body = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    shot = open_page(_page(tmp_path, body), screen=screen).page.screenshot()
    assert struct.unpack(">II", shot[16:24]) == pixels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_told_what_scheme_the_reader_prefers(open_page: Opener, tmp_path: Path, scheme: str) -> None:
    page = open_page(_page(tmp_path, "x"), scheme=scheme).page
    assert page.evaluate(f"matchMedia('(prefers-color-scheme: {scheme})').matches") is True
