"""A page of made sections: what it allows, what it escapes, and where a section of its own goes."""

import html
import json
import re
from base64 import b64encode
from hashlib import sha256

import pytest
from markupsafe import Markup

from analysis import page
from analysis.blocks import Section, Table
from analysis.language import Text, say
from tests.analysis.languages import in_both

EVIL = "</title><script>alert(1)</script>"


def shown(*sections: Section) -> dict[str, object]:
    return {"sources": (), "sections": list(sections), "pictures": {}, "cases": [], "alike": [], "language": "en"}


def section(**changes: object) -> Section:
    return Section(**{"id": "one", "title": say("Every case"), **changes})  # type: ignore[arg-type]


def test_a_section_is_reached_from_the_contents() -> None:
    text = page.html(shown(section()))
    assert '<a href="#one">' in text and '<section id="one">' in text


def test_texts_of_a_section_are_escaped_everywhere() -> None:
    table = Table(name="t", caption=EVIL, columns=(EVIL,), rows=((EVIL,),), mark=EVIL, void=(EVIL,), cautions=(EVIL,))
    text = page.html(shown(section(leads=(EVIL,), notes=(EVIL,), blocks=(table,))))
    assert EVIL not in text and text.count("&lt;script&gt;alert(1)") >= 8
    assert "<script>alert" not in page.markdown(shown(section(leads=(EVIL,), notes=(EVIL,), blocks=(table,))))


def test_what_a_section_brings_is_in_the_page_and_in_its_policy() -> None:
    own = section(html=Markup("<p id=mine></p>"), scripts=("run()",), styles=("#mine {}",))
    text = page.html(shown(own))
    assert "<p id=mine></p>" in text and "<script>run()</script>" in text and "<style>#mine {}</style>" in text
    assert page.policy([], [], ["run()"]).count("'sha256-") == 1
    assert re.search(r"script-src ('sha256-[^']+' ?){3};", html.unescape(text))


def test_each_sentence_stands_once_in_the_language_of_the_page_and_once_in_a_list_in_the_other() -> None:
    told = Text("Graphs <on>", "已开 <图>")
    page_of = {**shown(section(leads=(told,) * 3, notes=("plain",)))}
    english = page.html(page_of)
    assert english.count("Graphs &lt;on&gt;</span>") == 3 and english.count("已开") == 1
    assert json.loads(re.search(r'id="said">(.*?)</script>', english)[1]).count("已开 <图>") == 1  # type: ignore[index]
    chinese = page.html({**page_of, "language": "zh"})
    assert chinese.count("已开 &lt;图&gt;</span>") == 3 and chinese.count("Graphs") == 1
    assert in_both(chinese) == in_both(english).replace('lang="en">', 'lang="zh-Hans" data-lang="zh">', 1)
    assert "<on>" not in english + chinese


def test_a_script_that_another_puts_there_is_allowed_and_not_in_the_page() -> None:
    text = page.html(shown(section(scripts=("run()",), loaded=("loaded()",))))
    assert "loaded()" not in text and f"'sha256-{_hash('loaded()')}'" in html.unescape(text)


def _hash(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize(("needed", "allowed"), [(False, False), (True, True)])
def test_style_elements_are_allowed_where_a_section_needs_them_alone(needed: bool, allowed: bool) -> None:
    policy = page.policy([section(inline_styles=needed)], ["a {}"], ["b()"])
    assert ("style-src 'unsafe-inline'" in policy) == allowed
    assert "unsafe" not in policy.partition("script-src")[2]


def test_a_markdown_cell_ends_neither_its_cell_nor_its_line() -> None:
    assert page.markdown_cell("a | b\n*c* <i>") == "a \\| b \\*c\\* &lt;i&gt;"


def test_every_line_of_a_markdown_table_has_as_many_cells() -> None:
    table = Table(
        name="t", caption="c", columns=("a", "b"), rows=(("1", "x | y"), ("2", "z")), cautions=("few", ""),
        void=("", "wrong"),
    )  # fmt: skip
    lines = [line for line in page.markdown(shown(section(blocks=(table,)))).splitlines() if line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [4] * 4
    assert lines[2].endswith("| few |") and lines[3].endswith("z **Excluded: wrong** | - |")
