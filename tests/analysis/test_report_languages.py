"""A report of a small study in both languages: every sentence of the page's own stands there twice, and is counted."""

import os
import re
from html.parser import HTMLParser

import pytest

from analysis import report
from tests.analysis.studies import write_case, write_study

SENTENCE = re.compile(r"(?:[A-Za-z][a-z']+,? ){3}[a-z]+")
# What is no prose of the page's own: programs, and what engines and captures were found to say.
NOT_OURS = ("script", "style", "pre", "code")
VOID = ("meta", "img", "br", "input", "link", "hr", "col")


class Texts(HTMLParser):
    """The texts of a page by the language that the nearest element above tells: en, zh-Hans, or "" for both alike."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside: list[tuple[str, str]] = []
        self.found: dict[str, list[str]] = {"en": [], "zh-Hans": [], "": []}
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        above = self.inside[-1][1] if self.inside else ""
        told = dict(attrs).get("lang") or above
        if tag not in VOID:
            self.inside.append((tag, "" if tag == "html" else told))

    def handle_endtag(self, tag: str) -> None:
        assert self.inside.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1][0] == "title":
            self.title += data
        elif data.strip() and not any(tag in NOT_OURS for tag, _ in self.inside):
            self.found[self.inside[-1][1]].append(data.strip())


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "cpu_count", lambda: 1)
        folder = tmp_path_factory.mktemp("languages") / "small"
        for graphs, times_ms in (("off", (8.4, 8.2, 6.0)), ("on", (4.0, 4.1))):
            for repeat, time_ms in enumerate(times_ms, start=1):
                write_case(folder, graphs=graphs, repeat=repeat, tpot_ms=[time_ms] * 2)
            write_case(folder, graphs=graphs, traced_graphs=graphs)
        notes = {"note": "By hand.", "note_zh": "手工编写。"}
        write_study(folder, recording={"host": "2x Test GPU", "date": "2026-11-21", **notes})
        return Texts(report.build([folder], folder / "report").read_text(encoding="utf-8"))


def test_no_sentence_stands_there_in_english_alone(texts: Texts) -> None:
    assert [text for text in texts.found[""] if SENTENCE.search(text)] == []


def test_both_languages_say_as_much(texts: Texts) -> None:
    english, chinese = texts.found["en"], texts.found["zh-Hans"]
    assert len(english) == len(chinese) > 100
    assert [text for text in chinese if not re.search(r"[\u4e00-\u9fff]", text) and SENTENCE.search(text)] == []


def test_what_holds_no_spans_is_in_english_until_the_script_runs(texts: Texts) -> None:
    assert texts.title == "CUDA graphs off and on: decode iteration time"


def test_the_answer_and_its_doubts_are_in_chinese(texts: Texts) -> None:
    assert "vLLM，llama3-8b，TP1：该开：batch 1 decode 提速至 2.0 倍 [2.00, 2.10]。" in texts.found["zh-Hans"]
    assert "手工编写。" in texts.found["zh-Hans"] and "By hand." in texts.found["en"]
    assert "CUDA Graph 开：只启动 2 次；CUDA Graph 关：各次启动相差 29 %" in texts.found["zh-Hans"]
