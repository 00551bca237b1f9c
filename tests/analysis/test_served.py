"""Load points with graphs off and on side by side: put together by hand, and from a folder."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import report, served
from analysis.language import read
from analysis.recordings import open_study
from analysis.served import FIGURES, KEYS, POINT_COLUMNS, answers, beside
from tests.analysis.studies import change_record, write_case, write_study

ABOUT = {
    "study": "here", "made_by": "study.sweep", "engine": "vllm", "model": "llama3-8b", "tp": 1, "compile": "engine",
    "settings": "pinned", "split": "", "rate": 4.0, "concurrency": float("nan"),
}  # fmt: skip


def points(graphs: str, tpot_ms: list[float], **changes: Any) -> pd.DataFrame:
    """A start for each TPOT; every other figure is 10."""
    rows = [
        {**ABOUT, **dict.fromkeys(FIGURES, 10.0), "graphs": graphs, "case": f"{graphs} r{repeat}", "repeat": repeat,
         "load": 0, "requests": 8, "ok": 8, "failures": "", "saturated": False, "offered_qps": 4.0,
         "tpot_ms_p50": time_ms, **changes}
        for repeat, time_ms in enumerate(tpot_ms, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(POINT_COLUMNS))


def only(table: pd.DataFrame) -> dict[Any, Any]:
    (row,) = table.to_dict("records")
    return row


def test_halves_are_medians_over_starts_and_their_ratio_is_over_pairs_of_a_repeat() -> None:
    row = only(beside(pd.concat([points("off", [8, 15, 10]), points("on", [4, 5, 4])])))
    assert (row["off_tpot_ms_p50"], row["on_tpot_ms_p50"], row["on_starts_count"]) == (10, 4, 3)
    assert (row["tpot_ratio"], row["tpot_low_ratio"], row["tpot_high_ratio"]) == (2.5, 2, 3)
    assert row["caution"] == ""


def test_rates_and_requests_in_flight_are_rows_of_their_own() -> None:
    closed = points("off", [5], rate=float("nan"), concurrency=16.0)
    table = beside(pd.concat([points("off", [8]), points("off", [9], rate=8.0), closed]))
    assert len(table) == 3 and list(table.columns) == list(served.COLUMNS)
    assert set(table["off_tpot_ms_p50"]) == {8, 9, 5}


def test_a_half_that_is_missing_has_no_ratio_and_no_answer() -> None:
    table = beside(points("off", [8]))
    assert pd.isna(only(table)["tpot_ratio"]) and only(table)["on_starts_count"] == 0
    assert answers(table) == []


def test_saturation_and_failures_are_cautions_of_their_half() -> None:
    off = points("off", [8], saturated=True)
    on = points("on", [4], failures="2 stalled, 1 http 500", saturated=None)
    found = only(beside(pd.concat([off, on])))
    assert found["caution"] == (
        "graphs off: saturated; graphs on: requests failed (2 stalled); graphs on: requests failed (1 http 500)"
    )


def test_failures_of_several_starts_are_counted_together_by_their_kind() -> None:
    starts = [points("on", [4], failures=text) for text in ("1 dropped, 1 stalled", "2 stalled", "")]
    assert only(beside(pd.concat(starts)))["caution"] == (
        "graphs on: requests failed (3 stalled); graphs on: requests failed (1 dropped)"
    )


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ("1 dropped", "CUDA Graph 开：1 个请求失败（连接中断）"),
        ("2 stalled", "CUDA Graph 开：2 个请求失败（久无数据）"),
        ("1 short", "CUDA Graph 开：1 个请求失败（输出的 token 不足）"),
        ("3 malformed", "CUDA Graph 开：3 个请求失败（回答格式不对）"),
        ("4 http 500", "CUDA Graph 开：4 个请求失败（http 500）"),
        ("5 unheard-of", "CUDA Graph 开：5 个请求失败（unheard-of）"),
    ],
)
def test_failures_are_told_in_chinese_too(failures: str, told: str) -> None:
    found = only(beside(points("on", [4], failures=failures, saturated=None)))
    assert read(found["caution"]).zh == told


def test_the_answer_names_what_was_asked_and_both_halves() -> None:
    (sentence,) = answers(beside(pd.concat([points("off", [8.2]), points("on", [4.11], output_tok_s=1234.4)])))
    assert sentence == (
        "vLLM, llama3-8b, TP1 serving 4 requests/s: turn on; graphs off / on: 10 / 1234 tokens/s until the last "
        "answer, TTFT 10 / 10 ms, TPOT 8.20 / 4.11 ms (medians)."
    )


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ({"tpot_ms_p50": 8.2}, "no difference beyond noise"), ({"tpot_ms_p50": 16.4}, "turn off"),
        ({"tpot_ms_p50": 4.1, "ttft_ms_p50": 20.0}, "undecided"),
    ],
)  # fmt: skip
def test_the_answer_begins_with_what_to_do(on: dict[str, float], said: str) -> None:
    (sentence,) = answers(beside(pd.concat([points("off", [8.2]), points("on", [on.pop("tpot_ms_p50")], **on)])))
    assert f"serving 4 requests/s: {said}; graphs off / on:" in sentence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two starts that served three requests each, one token every 10 and 5 ms after the first at 20 ms."""
    for graphs, gap_us in (("off", 10_000), ("on", 5_000)):
        case = write_case(tmp_path, graphs=graphs)
        (case / "requests.jsonl").write_text(served_rows(gap_us))
        record = json.loads((case / "case.json").read_text())
        loads = [{"load": 0, "client_cpu_ratio": 0.95 if graphs == "on" else 0.1, "client_lag_p99_ms": 0.2}]
        change_record(case, {
            "asked": {**record["asked"], "serving": {"rates": [4.0]}}, "loads": loads,
            "files": {**record["files"], "requests": "requests.jsonl"},
        })  # fmt: skip
    return write_study(tmp_path)


def served_rows(gap_us: int) -> str:
    """Three requests, a line each."""
    return "".join(json.dumps(_request(number, gap_us)) + "\n" for number in range(3))


def _request(number: int, gap_us: int) -> dict[str, Any]:
    sent_s = 0.25 * number
    return {
        "load": 0, "rate": 4.0, "concurrency": None, "request": number, "prompt_tokens": 8, "output_tokens_asked": 5,
        "output_tokens": 5, "scheduled_s": sent_s, "sent_s": sent_s, "first_s": sent_s + 0.02,
        "last_s": sent_s + 0.02 + 4 * gap_us / 1e6, "ended_s": sent_s + 0.021 + 4 * gap_us / 1e6,
        "chunk_us": [20_000, *[gap_us] * 4], "chunk_tokens": None, "status": "ok", "error": None,
    }  # fmt: skip


def test_a_study_that_served_is_read_from_its_folder(folder: Path) -> None:
    row = only(beside(served.points(open_study(folder), "here")))
    assert (row["off_ttft_ms_p50"], row["off_tpot_ms_p50"], row["on_tpot_ms_p50"]) == pytest.approx((20, 10, 5))
    assert row["tpot_ratio"] == pytest.approx(2)
    assert {key: row[key] for key in KEYS[2:5]} == {"engine": "vllm", "model": "llama3-8b", "tp": 1}


def test_a_client_that_measures_itself_is_a_caveat_of_its_start(folder: Path) -> None:
    (caveat,) = served.caveats(open_study(folder), "here")
    assert caveat.startswith("here, llama3-8b_vllm_tp1_graphs-on_trace-off_r1: load 0: the client took 95% of a core")


def test_starts_that_were_loaded_beside_others_are_a_caveat(folder: Path) -> None:
    case = next((folder / "cases").glob("*graphs-off*"))
    change_record(case, {"beside_count": 3})
    found = served.caveats(open_study(folder), "here")
    assert found[-1].startswith("here: 1 of 2 served cases were under load while up to 3 other(s) were")


def test_the_report_shows_serving_with_its_answer_and_its_table(folder: Path, tmp_path: Path) -> None:
    page = report.build([folder], tmp_path / "report")
    text = page.with_suffix(".md").read_text()
    assert "TP1 serving 4 requests/s: turn on; graphs off / on:" in text and "## Under load" in text
    assert "TPOT 10 / 5 ms" in text and "the client took 95% of a core" in text
    assert (tmp_path / "report" / "tables" / "serving.csv").read_text().count("\n") == 2


def test_a_study_that_served_nothing_has_no_such_section(tmp_path: Path) -> None:
    write_case(tmp_path, tpot_ms=[4.0])
    page = report.build([write_study(tmp_path)], tmp_path / "report")
    assert "Under load" not in page.read_text()
