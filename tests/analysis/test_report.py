import os
import re
import shutil
import sqlite3
import xml.etree.ElementTree as ET
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import unquote

import pandas as pd
import pytest

from analysis import figures, pictures, report, timeline, timeline_figure
from analysis.errors import TraceError
from analysis.timeline_pack import packed_text
from tests.analysis.languages import in_one
from tests.analysis.studies import HOST, change_record, write_case, write_study

RECORDING = {"host": "2x Test GPU", "date": "2026-11-21", "note": "Made by hand."}
EVIL = '<script>alert(1)</script> | `x` "y"'


@pytest.fixture(autouse=True)
def one_processor(monkeypatch):
    """Small traces are read sooner than a second process starts."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def whole_study(folder, **changes):
    """Graphs double the speed, 1.9 to 2.1 times from repeat to repeat; one trace of either kind."""
    for graphs, times_ms in (("off", (8.4, 8.2, 8.0)), ("on", (4.0, 4.1, 4.2))):
        for repeat, time_ms in enumerate(times_ms, start=1):
            write_case(folder, graphs=graphs, repeat=repeat, tpot_ms=[time_ms] * 2, **changes)
        write_case(folder, graphs=graphs, traced_graphs=graphs, **changes)
    return write_study(folder, recording=RECORDING)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = whole_study(tmp_path_factory.mktemp("studies") / "testgpu-2026-11-21")
    return folder, report.build([folder], folder / "report")


def the_case(folder, pattern):
    return next((folder / "cases").glob(pattern))


def page_of(*folders, out):
    """The text of a page; how figures are rendered is tested with the first report alone, which takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        return report.build(list(folders), out).read_text()


def undrawn(patch):
    patch.setattr(figures, "png", lambda figure: b"png")
    patch.setattr(figures, "svg", lambda figure, name: b"<svg/>")


class Page(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        """What stands in a script that runs or in a style, in the order of the page."""
        if self.tags and self.tags[-1][0] in ("script", "style") and self.cdata_elem and "type" not in self.tags[-1][1]:
            self.texts.setdefault(self.tags[-1][0], []).append(data)


def test_the_report_is_a_page_a_summary_figures_and_tables(shared):
    _, page = shared
    assert page.name == "report.html"
    names = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*") if path.is_file()}
    traced = ("critical_path", "gap_causes", "hosts", "kernels", "launch_gaps", "ranks")
    drawn = {"gain", "predictions", "room", "iteration_time_llama3-8b_b1"} | {
        f"{name}_llama3-8b_b1_node" for name in traced
    }
    tables = {"samples", "cases", "headline", "capacity", "paths", "differences", "traces", "overhead"}
    assert {name for name in names if "/" not in name} == {"report.html", "report.md"}
    assert {name for name in names if name.startswith("figures/")} == {
        f"figures/{name}.{form}" for name in drawn for form in ("png", "svg")
    }
    assert {f"tables/{name}.{form}" for name in {*drawn, *tables} for form in ("csv", "parquet")} <= names


def test_every_table_says_the_same_as_csv_and_as_parquet(shared):
    for file in (shared[1].parent / "tables").glob("*.csv"):
        text, typed = pd.read_csv(file), pd.read_parquet(file.with_suffix(".parquet"))
        assert list(text.columns) == list(typed.columns), file.name
        assert len(text) == len(typed), file.name
        numbers = typed.select_dtypes("float64")
        pd.testing.assert_frame_equal(text[numbers.columns].astype("float64"), numbers)


def test_page_and_summary_give_the_answer_with_its_interval(shared):
    _, page = shared
    sentence = "vLLM, llama3-8b, TP1: on: 2.00x faster decode at batch 1 [1.90, 2.10]."
    assert sentence in page.read_text()
    assert sentence.replace("[", "\\[").replace("]", "\\]") in (page.parent / "report.md").read_text()


def test_the_page_needs_no_network(shared):
    text = shared[1].read_text()
    page = Page(text)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    # The library of the timeline puts style elements into the page, and names addresses that it never asks for.
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "unsafe" not in policy.partition("script-src")[2]
    own = text.replace(packed_text(timeline_figure.library()), "")
    assert len(own) < len(text)
    assert "http" not in re.sub(r'"data:[^"]*"', "", own).replace("http-equiv", "")
    assert all(attrs["src"].startswith("data:image/svg+xml,") for tag, attrs in page.tags if tag == "img")
    assert not {"link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not any(name == "style" or name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert len(text) < 1_500_000


def test_the_policy_allows_each_script_by_its_hash_and_no_other(shared):
    page = Page(shared[1].read_text())
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    allowed = re.search("script-src ([^;]*)", policy).group(1).split()
    running = [*page.texts["script"], timeline_figure.library()]
    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in running]
    assert sorted(allowed) == sorted(f"'sha256-{found}'" for found in hashes)


def test_the_embedded_figures_are_whole_and_described(shared):
    images = [attrs for tag, attrs in Page(shared[1].read_text()).tags if tag == "img"]
    assert len(images) == 10
    assert all(len(image["alt"]) > 40 for image in images)
    for image in images:
        assert ET.fromstring(unquote(image["src"].partition(",")[2])).tag.endswith("svg")


def test_the_banners_of_several_studies_are_folded_under_their_names(tmp_path):
    folders = []
    for name in ("a", "b"):
        write_case(tmp_path / name, tpot_ms=[4.0])
        folders.append(write_study(tmp_path / name, **({"recording": {"host": "there"}} if name == "b" else {})))
    text = report.build(folders, tmp_path / "report").read_text()
    (folded,) = re.findall(r'<details class="banner"><summary>(.*?)</summary>(.*?)</details>', text, re.DOTALL)
    assert re.sub("<[^>]*>", "", folded[0]).split() == ["MEASURED", "HERE", "a", "RECORDED", "b"]
    assert folded[1].count('class="banner"') == 2


def test_recorded_is_said_in_the_banner_every_table_and_every_figure(shared):
    folder, page = shared
    text = page.read_text()
    banner = re.search(r'<div class="banner".*?</div>', text, re.DOTALL).group()
    for fact in (
        "RECORDED",
        "2x Test GPU",
        "2026-11-21",
        "580.1",
        "CUDA 13.0",
        "2025.3.1",
        "vLLM 0.25.1",
        "torch 2.11.0",
    ):
        assert fact in banner
    about_cases = text.index('<section id="cases">')
    captions = re.findall(
        r'<(?:p class="caption"|figcaption|summary)>(.*?)</(?:p|figcaption|summary)>', text[:about_cases], re.DOTALL
    )
    told = [caption for caption in captions if "as a table" not in caption and "Contents" not in caption]
    assert len(told) > 20
    assert [caption for caption in told if "RECORDED 2026-11-21, 2x Test GPU" not in caption] == []
    tables = (page.parent / "report.md").read_text().split("\n|")[0::1]
    assert "> **RECORDED**" in tables[0]
    assert report.gather([folder]).mark.startswith(
        "RECORDED 2026-11-21 on 2x Test GPU (testgpu-2026-11-21): driver 580.1"
    )


def test_a_live_study_is_measured_here(tmp_path):
    folder = whole_study(tmp_path / "live")
    (folder / "recording.json").unlink()
    text = page_of(folder, out=tmp_path / "out")
    assert "RECORDED" not in text
    assert "MEASURED HERE</strong>\n2026-11-21 on 2x Test GPU" in in_one(text)


def test_a_study_of_which_no_case_has_finished_says_what_is_planned(tmp_path):
    skip = {"engine": "sglang", "model": "m", "tp": 8, "graphs": "on", "reason": "too few GPUs"}
    folder = write_study(
        tmp_path / "begun", planned=["a", "b"], skips=[skip], spec={"engines": ["vllm"], "models": ["m"]}
    )
    text = page_of(folder, out=tmp_path / "out")
    assert (
        "<strong>NOTHING MEASURED YET</strong>\nbegun: cases planned: 2 (vLLM, m), finished: 0, skipped: 1; "
        "study.sweep with the same --out goes on."
    ) in in_one(text)
    assert "已计划 2 个 case（vLLM, m），完成 0 个" in text
    assert "undated" not in text and "MEASURED HERE" not in text


def test_tables_hold_the_numbers_and_their_provenance(shared):
    folder = shared[1].parent / "tables"
    samples, traces = pd.read_csv(folder / "samples.csv"), pd.read_csv(folder / "traces.csv")
    assert len(samples) == 12
    assert set(samples["study"] + samples["made_by"] + samples["driver"].astype(str)) == {
        "testgpu-2026-11-21study.sweep580.1"
    }
    assert samples["recorded"].all()
    assert list(traces["graphs"]) == ["off", "on"]
    assert list(traces["iter_median_ms"]) == [0.115, 0.0574]
    assert len(pd.read_csv(folder / "cases.csv")) == 8


def test_the_same_folder_gives_the_same_report(shared, tmp_path):
    folder, page = shared
    again = report.build([folder], tmp_path / "out")
    for path in page.parent.rglob("*.*"):
        assert (again.parent / path.relative_to(page.parent)).read_bytes() == path.read_bytes(), path.name


def test_swapped_traces_void_the_answer_and_are_shown_in_place(tmp_path):
    folder = whole_study(tmp_path / "swapped")
    off, on = the_case(folder, "*off_trace-node*"), the_case(folder, "*on_trace-node*")
    (off / "trace_b1.sqlite").rename(tmp_path / "kept")
    (on / "trace_b1.sqlite").rename(off / "trace_b1.sqlite")
    (tmp_path / "kept").rename(on / "trace_b1.sqlite")
    text = page_of(folder, out=tmp_path / "out")
    assert "no answer at batch 1, a trace contradicts the label" in text
    assert "faster decode" not in text
    assert text.count("Excluded: INVALID: rank 0: graphs are") == 2
    assert f'{on.name} (swapped): <span class="bad">INVALID</span>' in in_one(text)
    drawn = [attrs["alt"] for tag, attrs in Page(text).tags if tag == "img"]
    assert [alt for alt in drawn if "iteration" in alt or "faster" in alt] == []


def test_a_case_whose_engine_resolved_other_graphs_does_not_count(tmp_path):
    folder = whole_study(tmp_path / "study")
    change_record(the_case(folder, "*on_trace-off_r3"), {"resolved": {"graphs": "off"}})
    assert report.gather([folder]).pairs["on_starts_count"].to_list() == [2]
    assert "asked for graphs on, the engine resolved off" in page_of(folder, out=tmp_path / "out")


def test_failed_cases_skips_and_what_was_not_run_are_listed_with_reasons(tmp_path):
    folder = whole_study(tmp_path / "study")
    change_record(
        the_case(folder, "*on_trace-off_r3"),
        {"outcome": "failed", "reason": "out of memory", "log_tail": ["CUDA error", "last line"]},
    )
    skip = {"engine": "vllm", "model": "qwen2-7b", "tp": 8, "graphs": "on", "reason": "28 heads are not divisible by 8"}
    write_study(folder, skips=[skip], planned=["case_to_come"], recording=RECORDING)
    text = page_of(folder, out=tmp_path / "out")
    for words in (
        "out of memory",
        "CUDA error\nlast line",
        "28 heads are not divisible by 8",
        "case_to_come",
        "NOT RECORDED",
    ):
        assert words in text


def test_every_case_shows_its_command_and_what_was_asked_beside_what_was_resolved(shared):
    text = in_one(shared[1].read_text())
    assert text.count('<details class="case">') == 8 + 1
    assert text.count("python drive.py --set &#39;{&#34;a&#34;: 1}&#39;") == 8
    assert text.count('<th scope="row">graphs</th><td>off</td><td>off</td>') == 4
    # What all have in common stands there once.
    assert text.count('<th scope="row">kv_tokens</th><td>-</td><td>1000</td>') == 1
    assert text.index("kv_tokens") < text.index("<summary>llama3-8b_vllm_tp1_graphs-off_trace-node_r1")


def test_text_from_cases_is_escaped(tmp_path):
    folder = whole_study(tmp_path / "study")
    case = the_case(folder, "*on_trace-off_r3")
    change_record(
        case, {"outcome": "failed", "reason": EVIL, "log_tail": [EVIL], "argv": [EVIL], "resolved": {"x": EVIL}}
    )
    text = page_of(folder, out=tmp_path / "out")
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text
    summary = (tmp_path / "out" / "report.md").read_text()
    assert "<script" not in summary
    assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\`x\\`" in summary


def test_vllm_carries_the_caveat_of_its_switch(shared, tmp_path):
    caveat = "which turns torch.compile off as well"
    assert caveat in shared[1].read_text()
    assert caveat not in page_of(whole_study(tmp_path / "study", engine="sglang"), out=tmp_path / "out")


def test_several_folders_merge_and_rows_keep_their_provenance(shared, tmp_path):
    probe = tmp_path / "probe-2026-11-20"
    for graphs, time_ms in (("off", 8.0), ("on", 2.0)):
        write_case(
            probe, graphs=graphs, tp=2, tpot_ms=[time_ms] * 3, made_by="probe script", host=HOST | {"driver": "570.9"}
        )
    write_study(probe, recording=RECORDING | {"date": "2026-11-20"})
    text = page_of(shared[0], probe, out=tmp_path / "out")
    assert "TP1 (testgpu-2026-11-21): on: 2.00x" in text
    assert "TP2 (probe-2026-11-20, by probe script): on: 4.00x" in text
    assert "the rows for TP2 were recorded by probe script, not by study.sweep (1 engine start(s) each)" in text
    assert "label not proven (no trace of this configuration)" in text
    assert "driver 570.9" in text
    cases = pd.read_csv(tmp_path / "out" / "tables" / "cases.csv")
    assert cases.groupby("study").size().to_dict() == {"probe-2026-11-20": 2, "testgpu-2026-11-21": 8}


def test_folders_of_the_same_name_are_told_apart(tmp_path):
    for parent in ("a", "b"):
        write_study(tmp_path / parent / "study")
    gathered = report.gather([tmp_path / "a" / "study", tmp_path / "b" / "study"])
    assert [source.name for source in gathered.sources] == ["a/study", "b/study"]


def test_a_study_with_nothing_in_it_still_has_a_report(tmp_path):
    assert "No answer: nothing was measured" in page_of(write_study(tmp_path / "study"), out=tmp_path / "out")


def test_a_study_of_traces_alone_shows_them(tmp_path):
    write_case(tmp_path / "study", graphs="on", traced_graphs="on")
    text = page_of(write_study(tmp_path / "study"), out=tmp_path / "out")
    assert "No answer" in text
    assert "proven" in text


def test_the_command_writes_beside_the_study_or_where_it_is_told(shared, tmp_path, capsys, monkeypatch):
    undrawn(monkeypatch)
    folder = tmp_path / "study"
    shutil.copytree(shared[0], folder, ignore=shutil.ignore_patterns("report"))
    assert report.main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder / 'report' / 'report.html'}\n"
    assert report.main([str(folder), "--out", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere" / "report.html").is_file()


def test_the_command_says_what_is_wrong_in_one_message(tmp_path, capsys):
    assert report.main([str(tmp_path)]) == 1
    assert "is not a study folder" in capsys.readouterr().err


def test_a_place_that_cannot_hold_the_report_is_refused(shared, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TraceError, match=r"cannot be written \(it is no folder\); name another folder with --out"):
        report.build([shared[0]], tmp_path / "file")


def test_an_unfit_trace_gives_no_verdict_and_is_listed_with_its_remedy(tmp_path):
    folder = whole_study(tmp_path / "study")
    with sqlite3.connect(the_case(folder, "*on_trace-node*") / "trace_b1.sqlite") as db:
        db.execute("UPDATE CUPTI_ACTIVITY_KIND_KERNEL SET graphNodeId = NULL, correlationId = 0 WHERE rowid = 200")
    db.close()
    text = page_of(folder, out=tmp_path / "out")
    assert "graphs on: label not proven (launches joined: 1 of " in text
    assert "UNFIT" in text
    assert "nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true" in text


def test_what_differs_between_graphs_off_and_on_is_shown_by_group(shared):
    text = shared[1].read_text()
    table = re.search(r'<div class="table" id="table-differences">.*?</table>', text, re.DOTALL).group()
    assert "attention (us)" in in_one(table)
    assert "<td>5 / 5</td>" in table


def test_figures_beyond_their_room_in_the_page_are_dots_and_stay_vectors_in_files(shared, tmp_path, monkeypatch):
    before = _images(shared[1])
    room_bytes = len(shared[1].read_bytes()) - sum(map(len, before)) + timeline.MOST_BYTES + 300_000
    monkeypatch.setattr(report, "PAGE_MOST_BYTES", room_bytes)
    page = report.build([shared[0]], tmp_path)
    sources = _images(page)
    kinds = [source.partition(",")[0] for source in sources]
    assert {"data:image/svg+xml", "data:image/webp;base64"} == set(kinds)
    assert sum(map(len, sources)) <= 300_000
    assert len(list((tmp_path / "figures").glob("*.svg"))) == len(sources)


def _images(page):
    return [attrs["src"] for tag, attrs in Page(page.read_text()).tags if tag == "img"]


def test_files_beside_folders_are_left_out_and_files_alone_refused(shared, tmp_path, capsys):
    file = tmp_path / "README.md"
    file.write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "build", lambda folders, out, language: folders)
        assert report.main([str(file), str(shared[0])]) == 0
    told = capsys.readouterr()
    assert told.out == f"[{shared[0]!r}]\n"
    assert told.err == f"{file}: a file, no study folder; left out\n"
    assert report.main([str(file)]) == 1
    error = capsys.readouterr().err
    assert (
        error.startswith(f"error: {file}: a file; expected a folder that study.sweep wrote") and error.count("\n") == 1
    )


@pytest.mark.parametrize(
    ("locale", "flags", "language"),
    [("zh_CN", [], "zh"), ("zh_CN", ["--language", "en"], "en"), ("C", ["--language", "zh"], "zh"), ("C", [], "en")],
)
def test_the_report_is_in_the_language_asked_for_else_the_locales(tmp_path, monkeypatch, locale, flags, language):
    monkeypatch.setenv("LC_ALL", locale)
    monkeypatch.setattr(report, "build", lambda folders, out, asked: pytest.fail(asked) if asked != language else out)
    assert report.main([str(tmp_path), *flags]) == 0


def test_a_language_that_there_is_not_is_refused_with_those_that_there_are(tmp_path, capsys):
    with pytest.raises(SystemExit, match="1"):
        report.main([str(tmp_path), "--language", "fr"])
    error = capsys.readouterr().err
    assert error.startswith("error: --language: unknown value 'fr'; expected one of en, zh") and error.count("\n") == 1


def test_a_study_is_not_compared_with_itself(shared, capsys):
    assert report.main([str(shared[0]), str(shared[0] / "cases" / "..")]) == 1
    assert "given twice" in capsys.readouterr().err


def test_missing_values_and_text_in_one_column_become_text_or_missing():
    given = pd.DataFrame({"mixed": [1, "one", None], "number": [1.5, float("nan"), 2.0]})
    told = report.plain(given)
    assert told["mixed"].tolist()[:2] == ["1", "one"] and told["mixed"].isna().tolist() == [False, False, True]
    assert told["number"].dtype == "float64" and given["mixed"].tolist()[0] == 1


def test_the_timeline_takes_the_room_that_the_rest_of_the_page_leaves(shared, tmp_path, monkeypatch):
    whole = len(shared[1].read_bytes())
    monkeypatch.setattr(pictures, "fitted", lambda found, out, room_bytes: found)
    monkeypatch.setattr(report, "PAGE_MOST_BYTES", whole // 2)
    text = page_of(shared[0], out=tmp_path)
    assert 'id="timeline"' in shared[1].read_text() and 'id="timeline"' not in text
    assert len(text.encode()) < whole // 2


def test_the_timeline_stands_after_where_the_time_goes(shared):
    parts = re.findall(r'<section id="(\w+)">', shared[1].read_text())
    assert parts[:4] == ["verdict", "paths", "timeline", "iterations"]


def test_no_two_elements_share_an_id_and_every_link_leads_to_one(shared):
    tags = Page(shared[1].read_text()).tags
    ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"][1:] for tag, attrs in tags if tag == "a"}
    assert len(links) > 8 and links <= set(ids)
