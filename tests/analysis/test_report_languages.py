"""A report of a small study in both languages: every sentence of the page's own is there in each, and is counted."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis import report
from analysis.language import read
from tests.analysis.languages import in_both
from tests.analysis.studies import change_record, write_case, write_study, write_trace
from tests.analysis.test_served import served_rows

SENTENCE = re.compile(r"(?:[A-Za-z][a-z']+,? ){3}[a-z]+")
# What is no prose of the page's own: programs, and what engines and captures were found to say.
NOT_OURS = ("script", "style", "pre", "code")
PROBE = "probe script (nsys attached, not capturing)"
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
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a report that was made in Chinese, its summary and figures beside it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "cpu_count", lambda: 1)
        folder = tmp_path_factory.mktemp("languages") / "small"
        for graphs, times_ms in (("off", (8.4, 8.2, 6.0)), ("on", (4.0, 4.1))):
            for repeat, time_ms in enumerate(times_ms, start=1):
                write_case(folder, graphs=graphs, repeat=repeat, tpot_ms=[time_ms] * 2)
            traced = write_case(folder, graphs=graphs, traced_graphs=graphs, made_by=PROBE) / "trace_b1.sqlite"
            traced.unlink()
            write_trace(traced, graphs=graphs, slow_every=7)
            _serve(folder, graphs)
        notes = {"note": "By hand.", "note_zh": "手工编写。"}
        write_study(folder, planned=["another"], recording={"host": "2x Test GPU", "date": "2026-11-21", **notes})
        return report.build([folder], folder / "report", "zh")


@pytest.fixture(scope="module")
def texts(page: Path) -> Texts:
    return Texts(in_both(page.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def summary(page: Path) -> str:
    return (page.parent / "report.md").read_text(encoding="utf-8")


def _serve(folder: Path, graphs: str) -> None:
    """A start that served with a client that was late, beside another."""
    case = write_case(folder, graphs=graphs, repeat=9)
    (case / "requests.jsonl").write_text(served_rows(5_600))
    loads = [{"load": 0, "client_cpu_ratio": 0.95, "client_lag_p99_ms": 0.2}]
    asked = {**json.loads((case / "case.json").read_text())["asked"], "serving": {"rates": [4.0]}}
    files = {"log": "engine.log", "samples": None, "traces": [], "requests": "requests.jsonl"}
    change_record(case, {"asked": asked, "loads": loads, "beside_count": 1, "files": files})


def test_no_sentence_stands_there_in_english_alone(texts: Texts) -> None:
    assert [text for text in texts.found[""] if SENTENCE.search(text)] == []


def test_both_languages_say_as_much(texts: Texts) -> None:
    english, chinese = texts.found["en"], texts.found["zh-Hans"]
    assert len(english) == len(chinese) > 100
    assert [text for text in chinese if not re.search(r"[\u4e00-\u9fff]", text) and SENTENCE.search(text)] == []


def test_what_holds_no_spans_is_in_english_until_the_script_runs(texts: Texts) -> None:
    assert texts.title == "CUDA graphs off and on: decode iteration time"


def test_the_answer_and_its_doubts_are_in_chinese(texts: Texts) -> None:
    assert "vLLM，llama3-8b，TP1：该开：batch 1 decode 提速至 2.05 倍 [2.00, 2.10]。" in texts.found["zh-Hans"]
    assert "手工编写。" in texts.found["zh-Hans"] and "By hand." in texts.found["en"]
    assert "CUDA Graph 开：只启动 2 次；CUDA Graph 关：各次启动相差 29 %" in texts.found["zh-Hans"]


def test_serving_is_in_chinese(texts: Texts) -> None:
    load = "vLLM，llama3-8b，TP1，serving，负载为每秒 4 个请求：差异在噪声之内；"
    load += "CUDA Graph 关 / 开：27.7 / 27.7 tokens/s"
    # With the numbers of the table.
    assert load + "（算到最后一个回答），TTFT 20 / 20 ms，TPOT 5.60 / 5.60 ms（中位数）。" in texts.found["zh-Hans"]
    case = "small，llama3-8b_vllm_tp1_graphs-on_trace-off_r9"
    assert f"{case}：负载 0：压测客户端占用了一个核的 95%，读取响应最多晚 0.2 ms (p99)。" in texts.found["zh-Hans"]
    assert any(text.startswith("small：2 个 serving case 中，有 2 个加压时") for text in texts.found["zh-Hans"])


def test_what_is_wrong_with_a_capture_is_in_chinese(texts: Texts) -> None:
    row = ["平稳性", "15% 的迭代处于成段变慢 (burst) 之中", "迭代时间从第一次到最后一次保持同一水平"]
    assert {*row, "录更长的窗口，并离引擎启动更久"} <= {*texts.found["zh-Hans"]}


def test_the_banner_and_what_is_yet_to_run_are_in_chinese(texts: Texts) -> None:
    (banner,) = (text for text in texts.found["zh-Hans"] if text.startswith("2026-11-21，2x Test GPU（small）：GPU "))
    assert "，驱动 580.1，" in banner and banner.endswith("，测量程序 探测脚本（挂着 nsys，未采集），study.sweep。")
    assert "已计划，但不在录制中" in texts.found["zh-Hans"]


def test_a_page_that_was_made_in_chinese_opens_in_chinese(page: Path) -> None:
    assert '<html lang="zh-Hans" data-lang="zh">' in page.read_text(encoding="utf-8")


def test_the_summary_has_no_sentence_in_english(summary: str) -> None:
    assert summary.startswith("# CUDA Graph 关与开：decode 迭代时间\n")
    assert [line for line in summary.splitlines() if SENTENCE.search(line)] == []


def test_the_summary_says_what_the_page_says(texts: Texts, summary: str) -> None:
    said = [
        line[2:].replace("\\", "") for line in summary.partition("\n## 全部 case")[0].splitlines() if line[:2] == "- "
    ]
    assert len(said) > 10
    assert set(said) - {*texts.found["zh-Hans"]} == set()


def test_figures_have_chinese_letters(page: Path) -> None:
    vectors = sorted((page.parent / "figures").glob("*.svg"))
    assert len(vectors) > 5
    assert [file.name for file in vectors if file.read_text(encoding="utf-8").count('<path id="d-') < 10] == []


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "ranks: 2 processes launched work of which no GPU operation was recorded",
            "rank 齐全：2 processes 发出过 launch",
        ),
        (
            "launches joined: 3 of 9 operations without the call that launched them",
            "launch 对应：9 个操作中有 3 个找不到",
        ),
        (
            "32 launches of 2 graphs, 3 to 4 nodes each; 1 graph ran 3 nodes once and 4 another time",
            "2 graphs 共 32 launches",
        ),
        ("TP 8 needs 8 GPUs, there are 4", "TP 8 需要 8 张 GPU，这里只有 4 张"),
        ("made by study.sweep → probe script (nsys attached, not capturing)", "测量程序 study.sweep → 探测脚本（挂着"),
    ],
)
def test_what_tables_keep_as_english_is_read(english: str, chinese: str) -> None:
    assert read(english).zh.startswith(chinese)
