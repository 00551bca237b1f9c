"""Which language a page shows, in a real browser: its own, the reader's, and the one that is asked for."""

from pathlib import Path

import jinja2
import pytest
from playwright.sync_api import Browser, Page

from analysis import language
from analysis.language import Text
from tests.browser.conftest import Opener

TEMPLATES = Path(language.__file__).parent / "templates"
PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<title {{ attributes(text=title) }}>{{ title | english }}</title>
<style>{% include "language.css" %}</style></head><body>
<button type="button" data-language-switch hidden></button>
<p>{{ text }}</p><img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" {{ attributes(title=text) }}>
<script>document.addEventListener("languagechange", () => { document.body.dataset.told = pageLanguage(); });
const both = {{ gap | both | tojson }};</script>
<script>{% include "language.js" %}</script></body></html>"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    language.install(environment)
    page = environment.from_string(PAGE).render(
        title=Text("A title", "标题"),
        text=Text("Graphs are <on>", "已开 <CUDA Graph>"),
        gap=Text("gap {us}", "空隙 {us}"),
    )
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    return tmp_path / "page.html"


def shown(page: Page) -> list[str | None]:
    """The text, the attribute, the title, the language of the page and what a script says."""
    script = page.evaluate("inLanguage(both, { us: 7 })")
    tag = page.evaluate("document.documentElement.lang")
    return [page.inner_text("p"), page.get_attribute("img", "title"), page.title(), tag, script]


ENGLISH = ["Graphs are <on>", "Graphs are <on>", "A title", "en", "gap 7"]
CHINESE = ["已开 <CUDA Graph>", "已开 <CUDA Graph>", "标题", "zh-Hans", "空隙 7"]


def test_a_page_changes_its_language_and_back_at_a_click(open_page: Opener, file: Path) -> None:
    page = open_page(file).page
    assert shown(page) == ENGLISH and page.inner_text("button") == "中文"
    page.click("button")
    assert shown(page) == CHINESE and page.inner_text("button") == "English"
    assert page.get_attribute("body", "data-told") == "zh"
    page.click("button")
    assert shown(page) == ENGLISH and page.get_attribute("button", "lang") == "zh-Hans"


def test_a_reader_whose_browser_is_in_chinese_begins_in_chinese(open_page: Opener, file: Path) -> None:
    assert shown(open_page(file, language="zh-CN").page) == CHINESE


def test_a_choice_is_kept_until_the_next_time(open_page: Opener, file: Path) -> None:
    page = open_page(file, language="zh-CN").page
    page.click("button")
    page.reload()
    assert shown(page) == ENGLISH


def test_a_page_that_was_made_in_chinese_opens_in_it_until_its_reader_takes_another(
    open_page: Opener, file: Path
) -> None:
    made = file.read_text(encoding="utf-8").replace('<html lang="en">', '<html lang="zh-Hans" data-lang="zh">')
    file.write_text(made, encoding="utf-8")
    page = open_page(file, language="en-US").page
    assert shown(page) == CHINESE
    page.click("button")
    page.reload()
    assert shown(page) == ENGLISH


def test_without_scripts_a_page_is_in_english_and_shows_no_dead_button(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("p").inner_text() == "Graphs are <on>" and not page.locator("button").is_visible()
    context.close()
