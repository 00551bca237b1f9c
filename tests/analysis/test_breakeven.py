"""Break-evens of hand-made pairs, batches by hand-made windows, and the map that shows them."""

from dataclasses import replace

import pandas as pd
import pytest

from analysis import breakeven, claims, launch_map, predict
from analysis.language import say
from analysis.lettering import lettered
from tests.analysis.plots.texts import english, unreadable
from tests.analysis.test_pairs import made

KEYS = {"engine": "vllm", "model": "llama", "tp": 1, "compile": "engine", "settings": "pinned", "split": ""}


def windows(off_ms: dict[int, float], on_ms: dict[int, float]) -> pd.DataFrame:
    rows = [
        {**KEYS, "graphs": graphs, "batch": batch, "case": graphs, "repeat": 1, "tpot_ms": ms}
        for graphs, times in (("off", off_ms), ("on", on_ms))
        for batch, ms in times.items()
    ]
    return pd.DataFrame(rows)


def test_each_gpu_has_a_row_and_the_recorded_one_comes_first() -> None:
    rows = breakeven.rows([made(0)], predict.recorded())
    assert [row["gpu"] for row in rows] == ["h200", "h100", "a800", "rtx4090"]
    assert {row["recorded_on"] for row in rows} == {"h200"}
    values = [row["predicted_breakeven_us"]["value"] for row in rows]
    assert values == sorted(values)
    # 100 operations of 5 us with a gap of 1: launches of up to 6.
    assert values[0] == pytest.approx(6, rel=0.03)


def test_a_host_is_held_against_the_interval() -> None:
    [row, *_] = breakeven.rows([made(0)], predict.recorded())
    assert row["measured_launch_us"] == pytest.approx(16)
    assert row["predicted_bound"] == "launch"


def test_hosts_that_gpus_hid_were_not_measured() -> None:
    [row, *_] = breakeven.rows([made(50, host_us=6.0)], predict.recorded())
    assert (row["measured_launch_us"], row["predicted_bound"]) == (None, None)


def test_a_batch_is_large_enough_where_the_line_meets_the_host() -> None:
    # 4 ms and 0.1 more for each sequence; launching takes 10.
    [row] = breakeven.batches(windows({1: 10.0, 21: 10.0}, {1: 4.1, 21: 6.1}))
    assert row["predicted_batch"] == 60
    assert (row["measured_up_to"], row["measured_ratio"]) == (21, pytest.approx(10 / 6.1))
    assert row["mark"] == "PREDICTED"


def test_of_engines_that_are_not_claimed_what_was_measured_stands_and_nothing_is_foretold() -> None:
    [row] = breakeven.batches(windows({1: 10.0, 21: 10.0}, {1: 4.1, 21: 6.1}).assign(engine="hf"))
    assert (row["claimed"], row["predicted_batch"], row["measured_up_to"]) == (False, None, 21)
    pair = made(3, engine="hf")
    [left] = breakeven.left_out([made(1), pair])
    assert (left["study"], left["engine"], left["batch"], left["claimed"]) == ("made", "hf", 3, False)
    shown = list(breakeven.lines({"launches": [], "batches": [{"study": "made", **row}], "left_out": [left]}))
    assert shown[-3].endswith(" not claimed") and shown[-3].startswith("hf llama TP1 ")
    assert shown[-2:] == ["left out: made hf llama TP1 b3, not claimed", f"  not claimed: {left['why_not_claimed']}"]


def test_of_a_mixture_nothing_is_foretold_by_its_kernels_or_its_configuration() -> None:
    [row] = breakeven.batches(windows({1: 10.0, 21: 10.0}, {1: 4.1, 21: 6.1}).assign(model="qwen2-57b"))
    assert (row["claimed"], row["predicted_batch"], row["measured_up_to"]) == (False, None, 21)
    by_kernels, by_name = made(3, experts=True), made(4)
    by_name = replace(by_name, key=("vllm", "qwen2-57b", *by_name.key[2:]))
    left = breakeven.left_out([made(1), by_kernels, by_name])
    assert [one["batch"] for one in left] == [3, 4]
    assert {one["why_not_claimed"] for one in (row, *left)} == {claims.why_not("vllm", True)}
    shown = list(breakeven.lines({"launches": [], "batches": [{"study": "made", **row}], "left_out": left}))
    assert shown[-2:] == [
        "left out: made vllm qwen2-57b TP1 b4, not claimed",
        f"  not claimed: {row['why_not_claimed']}",
    ]


def test_the_gain_is_that_of_pairs_of_starts_as_everywhere_else() -> None:
    # Off / on 2, 4 and 3 in the repeats; of the medians, 10 and 4 ms, it would be 2.5.
    halves = [windows({1: off, 8: off}, {1: on, 8: on}) for off, on in ((8, 4), (20, 5), (10, 10 / 3))]
    repeats = [half.assign(repeat=number, case=half["graphs"] + str(number)) for number, half in enumerate(halves)]
    [row] = breakeven.batches(pd.concat(repeats))
    assert row["measured_ratio"] == pytest.approx(3)


def test_of_several_studies_each_row_says_which() -> None:
    [row] = breakeven.batches(windows({1: 10.0, 21: 10.0}, {1: 4.1, 21: 6.1}))
    one, two = ({"study": study, **row} for study in ("one", "a-name-of-more-than-thirty-four-letters"))
    alone = list(breakeven.lines({"launches": [], "batches": [one], "left_out": []}))
    assert alone[-1].startswith("vllm llama TP1 ")
    *_, head, first, second = breakeven.lines({"launches": [], "batches": [one, two], "left_out": []})
    assert first.startswith("one vllm llama TP1 ") and second.startswith(f"{two['study']} vllm llama TP1 ")
    assert len({*map(len, (head, first, second))}) == 1


def test_one_batch_makes_no_line() -> None:
    assert breakeven.batches(windows({1: 10.0}, {1: 4.0})) == []
    assert breakeven.batches(windows({1: 10.0, 2: 10.0}, {})) == []


def test_an_iteration_that_does_not_grow_never_meets_the_host() -> None:
    [row] = breakeven.batches(windows({1: 10.0, 16: 10.0}, {1: 5.0, 16: 4.9}))
    assert row["predicted_batch"] is None


def test_where_graphs_stop_gaining_among_the_batches_measured_that_is_told_and_nothing_foretold() -> None:
    off, on = {1: 12.0, 128: 12.0, 512: 18.0}, {1: 4.0, 128: 6.0, 512: 17.8}
    [row] = breakeven.batches(windows(off, on))
    assert (row["measured_between"], row["predicted_batch"]) == ([128, 512], None)
    [row] = breakeven.batches(windows({1: 12.0, 128: 12.0}, {1: 4.0, 128: 6.0}))
    assert (row["measured_between"], row["predicted_batch"]) == (None, 509)


def test_where_graphs_gain_at_no_batch_there_is_no_end_of_their_gain() -> None:
    [row] = breakeven.batches(windows({1: 5.0, 16: 5.1}, {1: 5.0, 16: 5.0}))
    assert (row["measured_between"], row["predicted_batch"]) == (None, None)


def test_the_end_of_the_gain_lies_beyond_the_largest_batch_that_gains() -> None:
    [row] = breakeven.batches(windows({1: 5.0, 8: 10.0, 64: 9.0}, {1: 5.0, 8: 5.0, 64: 8.9}))
    assert row["measured_between"] == [8, 64]


def test_the_map_marks_what_is_predicted_and_what_is_measured() -> None:
    figure = launch_map.draw(breakeven.rows([made(1)], predict.recorded()), mark="RECORDED there", title="a model")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [*(f"{gpu}, PREDICTED" for gpu in ("h200", "h100", "a800", "rtx4090")), "host, MEASURED"]
    assert any("Bars: PREDICTED" in text.get_text() and "MEASURED" in text.get_text() for text in figure.texts)
    assert any("RECORDED there" in text.get_text() for text in figure.texts)
    assert "a model" in [text.get_text() for text in figure.texts]
    [panel] = figure.axes
    assert panel.get_ylabel() == "host time for each launch (us)"
    # A bar a GPU, and the line of the host.
    assert len(panel.patches) == 4
    assert launch_map.png(breakeven.rows([made(0)], predict.recorded())).startswith(b"\x89PNG")


def test_the_map_can_be_read_in_chinese() -> None:
    rows = breakeven.rows([made(1)], predict.recorded())
    with lettered("zh"):
        figure = launch_map.draw(rows, mark="手工", title=say("{model}: break-even, PREDICTED", model="a model"))
    gpus = ["h200", "h100", "a800", "rtx4090", "a model"]
    assert [*unreadable(figure), *english(figure, gpus)] == []


def test_bars_are_of_the_engines_own_switch_and_lines_of_all() -> None:
    usual = breakeven.rows([made(1)], predict.recorded())
    apart = [
        {
            **row,
            "compile": "off",
            "measured_launch_us": 99.0,
            "predicted_breakeven_us": {"value": 1, "low": 1, "high": 1},
        }
        for row in usual
    ]
    (panel,) = launch_map.draw([*apart, *usual]).axes
    values = [row["predicted_breakeven_us"]["value"] for row in usual]
    assert sorted(bar.get_height() for bar in panel.patches) == pytest.approx(sorted(values))
    heights = {round(float(line.get_segments()[0][0][1]), 6) for line in panel.collections}
    assert {99.0, round(usual[0]["measured_launch_us"], 6)} <= heights
