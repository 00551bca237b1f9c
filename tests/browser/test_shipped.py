"""The report of all that ships: made in time, small, quick to open, with the answer on the first screen."""

import pytest

from tests.browser.conftest import Opener
from tests.sweeps import Replayed

MOST_S, MOST_BYTES = 60, 5_000_000


def test_it_is_made_in_a_minute_and_below_five_megabytes(replayed: Replayed) -> None:
    assert replayed.seconds < MOST_S
    assert replayed.page.stat().st_size < MOST_BYTES


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_the_answer_is_on_the_first_screen(replayed: Replayed, open_page: Opener, screen: str) -> None:
    page = open_page(replayed.page, screen=screen).page
    assert 0 < page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    parts = [page.locator(f"#verdict {part}").first for part in ("li", "table", "img")]
    assert all(part.is_visible() for part in parts)
    assert page.locator("#verdict li").nth(1).inner_text().startswith("vLLM, llama3-8b, TP1")
    tops = [part.bounding_box() for part in parts]
    starts = [box["y"] for box in tops if box is not None]
    assert starts[0] < starts[1] < page.viewport_size["height"]
    assert screen == "phone" or starts[2] < page.viewport_size["height"] / 2
    assert page.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)(document.querySelector('#verdict .scroll'))"
    )


def test_a_printed_table_is_no_wider_than_the_paper(replayed: Replayed, open_page: Opener) -> None:
    """A4 with the margins that browsers leave, at 96 dots an inch."""
    page = open_page(replayed.page).page
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    wide = page.evaluate(
        """Array.from(document.querySelectorAll('table')).filter((one) => one.getClientRects().length)
        .map((one) => [one.closest('[id]').id, one.querySelectorAll('thead th').length, one.scrollWidth])"""
    )
    assert max(columns for _, columns, _ in wide) >= 17
    assert [one for one in wide if one[2] > 718] == []
