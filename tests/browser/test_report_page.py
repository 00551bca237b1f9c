"""The report in a real browser: whole, quiet, readable on both screens, and safe whatever a study is called."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from analysis import report
from tests.analysis.sections import made
from tests.analysis.studies import change_record, write_case, write_study
from tests.browser.conftest import Opener

HOSTILE = "<script>alert(1)</script>"
RENDERED = """Array.from(document.querySelectorAll('figure img')).map(
  (image) => image.complete && image.naturalWidth > 100 && image.getBoundingClientRect().width > 100)"""
# Contrast of text with what is behind it, by WCAG's formula; what is too small to be text is left out.
CONTRASTS = """
() => {
  const channel = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = parse(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = {};
  for (const element of document.querySelectorAll('main *, nav *, header *')) {
    const own = Array.from(element.childNodes).some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const [front, back] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) found[`${element.tagName}.${element.className}: ${element.textContent.slice(0, 30)}`] = ratio;
  }
  return found;
}
"""

# The colour that is drawn behind the spans of the timeline: the one that most of its dots have.
PAPER = """(() => {
  const found = new Map(), boxes = [document], canvases = [];
  while (boxes.length) {
    const box = boxes.pop();
    canvases.push(...box.querySelectorAll('canvas'));
    for (const one of box.querySelectorAll('*')) if (one.shadowRoot) boxes.push(one.shadowRoot);
  }
  for (const canvas of canvases.filter((one) => one.width > 300)) {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
      const colour = data.slice(at, at + 3).join();
      if (data[at + 3] === 255) found.set(colour, (found.get(colour) || 0) + 1);
    }
  }
  return [...found].sort((one, other) => other[1] - one[1])[0][0].split(',').map(Number);
})()"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Traces of both kinds, several batches, a load served; model, kernel, reason, log and study have hostile names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        folder = tmp_path_factory.mktemp("studies") / "<i>study"
        for graphs, times_ms in (("off", {1: 8.0, 16: 8.5}), ("on", {1: 4.0, 16: 5.0})):
            for repeat in (1, 2):
                made.measured(folder, graphs, times_ms, repeat=repeat, resolved={"graphs": graphs, "kv_tokens": 1000})
            _hostile_trace(write_case(folder, graphs=graphs, tp=2, traced_graphs=graphs))
            made.measured(folder, graphs, {1: times_ms[1]}, tp=2, resolved={"graphs": graphs})
        for graphs, gap_us in (("off", 10_000), ("on", 5_000)):
            _renamed(made.serving(folder / "served", graphs, gap_us), folder)
        failed = write_case(folder, graphs="on", repeat=9)
        change_record(failed, {"outcome": "failed", "reason": HOSTILE, "log_tail": [HOSTILE], "argv": [HOSTILE]})
        for case in (folder / "cases").iterdir():
            asked = json.loads((case / "case.json").read_text())["asked"]
            change_record(case, {"asked": {**asked, "model": HOSTILE}})
        about = {"host": HOSTILE, "date": "2026-11-21", "note": HOSTILE}
        return report.build([write_study(folder, recording=about)], folder / "report")


def _hostile_trace(case: Path) -> None:
    with sqlite3.connect(case / "trace_b1.sqlite") as db:
        db.execute("UPDATE StringIds SET value = ? WHERE value = 'norm'", (HOSTILE,))
    db.close()


def _renamed(case: Path, folder: Path) -> None:
    """Put a case beside those of another folder that have its name."""
    name = case.name.replace("_trace", "_served_trace")
    change_record(case.rename(folder / "cases" / name), {"name": name})


@pytest.fixture
def shown(open_page: Opener, page_file: Path) -> Callable[..., Page]:
    def show(**how: str) -> Page:
        page = open_page(page_file, **how).page
        page.wait_for_function(f"({RENDERED}).every(Boolean)")
        return page

    return show


@pytest.mark.parametrize("screen", ["desktop", "phone"])
def test_every_figure_is_rendered_and_the_page_is_no_wider_than_the_screen(
    shown: Callable[..., Page], screen: str
) -> None:
    page = shown(screen=screen)
    assert len(page.evaluate(RENDERED)) >= 12
    for folded in page.query_selector_all("details"):
        folded.evaluate("(element) => { element.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_names_are_text(shown: Callable[..., Page]) -> None:
    page = shown()
    assert page.locator(f"text={HOSTILE}").count() > 20
    assert page.evaluate("Array.from(document.scripts).filter((one) => one.text === 'alert(1)').length") == 0
    assert page.evaluate("document.querySelectorAll('main i').length") == 0


def test_a_script_that_came_in_would_not_run(shown: Callable[..., Page], page_file: Path, open_page: Opener) -> None:
    text = page_file.read_text(encoding="utf-8")
    broken = page_file.with_name("broken.html")
    broken.write_text(text.replace("<main>", "<main><script>document.title = 'ran'</script>", 1), encoding="utf-8")
    opened = open_page(broken)
    assert opened.page.title() != "ran"
    assert [found for found in opened.problems() if found.startswith("refused: script-src")]
    opened.refused.clear()
    opened.said.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(shown: Callable[..., Page], scheme: str) -> None:
    assert shown(scheme=scheme).evaluate(CONTRASTS) == {}


def test_the_theme_follows_the_system_until_the_reader_chooses(shown: Callable[..., Page]) -> None:
    page = shown(scheme="dark")
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    page.evaluate("document.addEventListener('themechange', () => { document.title = 'told'; })")
    button = page.locator("[data-theme-switch]")
    assert button.get_attribute("aria-pressed") == "true"
    button.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != dark
    assert page.title() == "told" and button.get_attribute("aria-pressed") == "false"


def test_the_language_switch_shows_each_sentence_once_in_either_language(shown: Callable[..., Page]) -> None:
    page = shown()
    heading = page.locator("#verdict h2")
    english = heading.inner_text()
    assert english == "Should CUDA graphs be on?"
    page.locator("[data-language-switch]").click()
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert heading.inner_text() != english and "CUDA" in heading.inner_text()
    alts = page.evaluate("Array.from(document.querySelectorAll('figure img')).map((image) => image.alt)")
    assert any(any(ord(letter) > 0x4E00 for letter in alt) for alt in alts)
    page.locator("[data-language-switch]").click()
    assert heading.inner_text() == english
    assert page.evaluate("document.querySelectorAll('[data-said]').length") > 100


def test_tables_and_contents_are_reached_by_keyboard_and_links_lead_somewhere(shown: Callable[..., Page]) -> None:
    page = shown(screen="phone")
    assert page.locator("nav details").get_attribute("open") is None
    assert page.evaluate(
        "Array.from(document.querySelectorAll('a[href^=\"#\"]')).every((link) => document.querySelector(link.hash))"
    )
    scrolled = page.evaluate(
        """Array.from(document.querySelectorAll('.scroll')).filter((box) => box.scrollWidth > box.clientWidth)
        .every((box) => box.tabIndex === 0 && box.getAttribute('aria-label'))"""
    )
    assert scrolled


def test_cautions_are_on_the_screen_on_both_sizes(shown: Callable[..., Page]) -> None:
    for screen, shape in (("desktop", "td.caution"), ("phone", "tr.caution div")):
        page = shown(screen=screen)
        box = page.locator(f"#table-headline {shape}").first.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= page.viewport_size["width"]


@pytest.mark.alone
def test_the_page_opens_in_less_than_two_seconds(shown: Callable[..., Page]) -> None:
    loaded_ms = shown().evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert 0 < loaded_ms < 2000


def test_a_printed_page_is_dark_on_white_without_switches(shown: Callable[..., Page]) -> None:
    page = shown(scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("[data-theme-switch]").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('figure img')).filter") == "none"


def test_what_is_printed_is_light_though_the_reader_chose_dark_and_dark_again_afterwards(
    shown: Callable[..., Page],
) -> None:
    page = shown()
    page.wait_for_selector("#timeline-block[data-shown='0']")
    page.locator("[data-theme-switch]").click()
    page.emulate_media(media="print")
    asked = "getComputedStyle(document.getElementById('timeline-block')).getPropertyValue('--tl-paper')"
    dark, dark_drawn = page.evaluate(asked), page.evaluate(PAPER)
    # Twice, as when a preview is made anew: the theme of before is not forgotten. Paper waits for no frame.
    twice = "for (const _ of [1, 2]) dispatchEvent(new Event('beforeprint'));"
    drawn = page.evaluate(f"(() => {{ {twice} return {PAPER}; }})()")
    assert drawn == [255, 255, 255] != dark_drawn
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate(asked) == "#ffffff" != dark
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate(asked) == dark


def test_a_printed_timeline_says_what_it_shows_and_where_it_was_recorded(shown: Callable[..., Page]) -> None:
    page = shown()
    page.wait_for_selector("#timeline-block[data-shown='0']")
    assert not page.locator(".tl-printed").is_visible()
    page.emulate_media(media="print")
    chosen = page.evaluate("document.querySelector('#timeline-block select').selectedOptions[0].textContent")
    assert page.locator(".tl-printed").inner_text() == chosen != ""
    assert page.locator(".tl-printed").is_visible() and page.locator(".tl-mark").is_visible()
    assert "RECORDED" in page.locator(".tl-mark").inner_text()


def test_the_report_of_a_recording_that_ships_is_whole_and_quiet(open_page: Opener, root: Path, tmp_path: Path) -> None:
    file = report.build([root / "data" / "recordings" / "h200x1-2026-11-21"], tmp_path)
    page = open_page(file, screen="phone", scheme="dark").page
    page.wait_for_function(f"({RENDERED}).every(Boolean)")
    assert "RECORDED" in page.inner_text(".banner")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
