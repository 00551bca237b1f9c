"""Two studies compared: put together by hand, every time chosen here."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from analysis import changes, headline
from analysis.changes import APART, BEYOND, FIRST, OPEN, SECOND, VOID, WITHIN, environment, find
from analysis.served import FIGURES, POINT_COLUMNS

ABOUT = {
    "engine": "vllm", "model": "llama3-8b", "tp": 1, "compile": "engine", "settings": "pinned", "split": "",
    "made_by": "study.sweep",
}  # fmt: skip
NO_POINTS = pd.DataFrame(columns=list(POINT_COLUMNS))
NO_PAIRS = pd.DataFrame(columns=list(headline.PAIR_COLUMNS))
HOST = {"label": "1x Test GPU", "gpu_name": "Test GPU", "cpu": "Test CPU", "driver": "580.1", "engine_version": "1.0"}


def windows(study: str, off: Sequence[float] = (), on: Sequence[float] = (), **changed: Any) -> pd.DataFrame:
    """One window of so many ms for every start."""
    rows = [
        {**ABOUT, "study": study, "batch": 1, "graphs": graphs, "case": f"{graphs} r{repeat}", "repeat": repeat,
         "tpot_ms": time_ms, **changed}
        for graphs, starts in (("off", off), ("on", on))
        for repeat, time_ms in enumerate(starts, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def points(study: str, off: Sequence[float], on: Sequence[float] = ()) -> pd.DataFrame:
    """A start for each throughput at 4 requests a second; TPOT is 40 ms over it."""
    rows = [
        {**ABOUT, "study": study, "rate": 4.0, "concurrency": float("nan"), "graphs": graphs,
         "case": f"{graphs} r{repeat}", "repeat": repeat, **dict.fromkeys(FIGURES), "qps": qps, "tpot_ms_p50": 40 / qps}
        for graphs, starts in (("off", off), ("on", on))
        for repeat, qps in enumerate(starts, start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(POINT_COLUMNS))


def compared(*frames: pd.DataFrame, **given: Any) -> pd.DataFrame:
    every = {f"{graphs} r{repeat}": record() for graphs in ("off", "on") for repeat in range(1, 5)}
    given = {"studies": (("a", every), ("b", every)), "points": NO_POINTS, "pairs": NO_PAIRS, **given}
    return find(windows=pd.concat(frames), **given)


def row(table: pd.DataFrame, quantity: str = "tpot_ms", graphs: str = "off") -> dict[Any, Any]:
    (found,) = table[(table["quantity"] == quantity) & (table["graphs"] == graphs)].to_dict("records")
    return found


def record(engine: str = "vllm", *, host: dict[str, Any] | None = None, **asked: Any) -> dict[str, Any]:
    return {"host": {**HOST, **(host or {})}, "asked": {"engine": engine, **asked}}


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        pytest.param([10, 11, 12, 13], [5, 5.2, 5.4, 5.5], BEYOND, id="four apart from four"),
        pytest.param([10, 11, 12], [5, 5.2, 5.4], APART, id="three apart from three: chance does that in 1 of 10"),
        pytest.param([10, 11, 12, 13], [5, 5.2, 5.4, 10.5], WITHIN, id="one of them in between"),
        pytest.param([10, 11, 12], [5, 5.2, 10.5], OPEN, id="three could not have been beyond noise"),
        pytest.param([10, 11, 12, 13], [5], OPEN, id="a single start says nothing of the next"),
    ],
)
def test_a_change_is_judged_by_the_spread_over_starts(first: list[float], second: list[float], verdict: str) -> None:
    assert row(compared(windows("a", first), windows("b", second)))["verdict"] == verdict


def test_a_change_is_the_ratio_of_medians_with_the_extreme_quotients_of_few_starts() -> None:
    found = row(compared(windows("a", [10, 8, 12]), windows("b", [5, 6, 4])))
    assert (found["first"], found["second"], found["first_starts_count"]) == (10, 5, 3)
    change = (found["change_ratio"], found["change_low_ratio"], found["change_high_ratio"], found["coverage_ratio"])
    assert change == pytest.approx((0.5, 4 / 12, 6 / 8, 0.9))


def test_off_over_on_is_compared_over_pairs_of_starts_of_one_repeat() -> None:
    # Pairs give 2, 3 and 2.5 times before, 1 and 2 after: the third start of graphs on has no other half.
    table = compared(windows("a", [8, 15, 10], [4, 5, 4]), windows("b", [4, 8], [4, 4, 9]))
    found = row(table, "gain_ratio", changes.HALVES)
    assert (found["first"], found["second"], found["second_starts_count"]) == (2.5, 1.5, 2)


def test_what_one_study_alone_measured_is_said_and_not_compared() -> None:
    table = compared(windows("a", [8]), windows("b", [8], batch=16), windows("b", [], [4]))
    assert list(table["verdict"]) == [FIRST, SECOND, SECOND] and table["change_ratio"].isna().all()


def test_of_several_programs_only_the_sweeps_starts_are_taken() -> None:
    probe = windows("a", [99, 99], made_by="probe script")
    assert row(compared(windows("a", [8]), probe, windows("b", [4])))["first"] == 8


def test_what_another_program_measured_is_marked_as_different() -> None:
    table = compared(windows("a", [8]), windows("b", [4], made_by="probe script"))
    assert row(table)["differs"] == "made by study.sweep → probe script"


def test_another_workload_and_other_kernels_are_named() -> None:
    first = record(prompt_tokens=128, windows=3) | {"resolved": {"attention_backend": "fa3", "kv_tokens": 1}}
    second = record(prompt_tokens=512, windows=5) | {"resolved": {"attention_backend": "triton", "kv_tokens": 2}}
    studies = (("a", {"off r1": first}), ("b", {"off r1": second}))
    table = compared(windows("a", [8]), windows("b", [4]), studies=studies)
    assert row(table)["differs"] == "prompt_tokens 128 → 512; attention_backend fa3 → triton"


def test_of_what_was_asked_of_serving_that_alone_is_named_that_differs_and_is_no_load() -> None:
    asked = {"rates": [11.0], "concurrency": [64], "lengths": "sharegpt", "load_s": 20}
    studies = (
        ("a", {"off r1": record(serving=asked)}),
        ("b", {"off r1": record(serving={**asked, "rates": [12.0], "load_s": 60})}),
    )
    assert row(compared(windows("a", [8]), windows("b", [4]), studies=studies))["differs"] == "load_s 20 → 60"


def test_off_over_on_differs_in_whatever_either_half_differs_in() -> None:
    first = {"off r1": record(seed=0), "on r1": record(seed=0, captured=[1])}
    studies = (("a", first), ("b", {"off r1": record(seed=1), "on r1": record(seed=0)}))
    table = compared(windows("a", [8], [4]), windows("b", [8], [4]), studies=studies)
    assert row(table, "gain_ratio", changes.HALVES)["differs"] == "captured [1] → none; seed 0 → 0, 1"


def test_a_contradicted_label_excludes_its_configuration() -> None:
    void = pd.DataFrame([{**ABOUT, "study": "b", "batch": 1, "contradiction": "graphs off: graphs were launched"}])
    table = compared(windows("a", [8], [4]), windows("b", [8], [4]), windows("b", [8], batch=16), pairs=void)
    assert list(table["verdict"]) == [VOID, VOID, VOID, SECOND]


def test_figures_under_load_are_compared_load_by_load() -> None:
    given = pd.concat([points("a", [4, 4, 5, 4], [8, 8, 8, 8]), points("b", [5, 5.5, 6, 6.5], [8, 8, 8, 8])])
    table = compared(windows("a", [1]), points=given)
    found = row(table[table["rate"] == 4], "qps")
    assert (found["first"], found["second"], found["verdict"]) == (4, 5.75, WITHIN)
    assert row(table, "tpot_ratio", changes.HALVES)["first"] == 2


def test_studies_without_a_time_have_no_rows() -> None:
    table = compared(windows("a", [1]).iloc[:0])
    assert table.empty and list(table.columns) == list(changes.COLUMNS)


def test_the_environment_tells_what_differs_in_machine_and_software_and_of_engines_that_both_ran() -> None:
    first = {"one": record(), "two": record("sglang", host={"engine_version": "0.5"})}
    second = {"one": record(host={"cpu": "Other CPU", "driver": None, "engine_version": "1.1"})}
    found = environment((("a", first), ("b", second)))
    assert [tuple(line) for line in found.itertuples(index=False)] == [
        ("machine", "cpu", "Test CPU", "Other CPU"),
        ("software", "vLLM: engine_version", "1.0", "1.1"),
    ]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        pytest.param(["GPU-1", "GPU-2"], ["GPU-2"], [], id="one in both: the same machine"),
        pytest.param(["GPU-1", "GPU-2"], ["GPU-3"], [("machine", "gpu_uuids", "GPU-1, GPU-2", "GPU-3")], id="others"),
        pytest.param(["GPU-1"], None, [], id="not told"),
    ],
)
def test_machines_alike_are_told_apart_by_their_gpus(
    first: list[str], second: list[str] | None, told: list[tuple[str, ...]]
) -> None:
    studies = (("a", {"one": record(host={"gpu_uuids": first})}), ("b", {"one": record(host={"gpu_uuids": second})}))
    assert [tuple(line) for line in environment(studies).itertuples(index=False)] == told
    assert changes.share_gpus(studies) == (second == ["GPU-2"])
