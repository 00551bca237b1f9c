"""What a terminal of 80 columns shows: every number whole, every heading there."""

import io
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from rich.console import Console

from analysis import compare, terminal
from analysis.summary import summarise
from tests import traces

RECORDED = [("sglang", 2, "off"), ("sglang", 8, "on"), ("vllm", 8, "off"), ("vllm", 1, "on")]
HEADINGS = (
    "rank  GPU  median     p10     p90    busy  useful    wait    idle",
    "rank  ops  launches  graphs  overlap %  gap p50    p90    p99  last %",
    "rank  launches  others  waits  framework  t_launch  lead  graph lead  queued",
)


@cache
def _summary(engine: str, tp: int, graphs: str) -> dict[str, Any]:
    return summarise(traces.recorded(engine, tp, graphs), "case")


def _shown(show: Callable[[Console], None], width: int = 80) -> str:
    buffer = io.StringIO()
    show(Console(file=buffer, force_terminal=True, color_system=None, width=width, highlight=False))
    return buffer.getvalue()


def _words(line: str) -> list[str]:
    return line.split()


@pytest.mark.parametrize("key", RECORDED)
def test_at_80_columns_nothing_of_a_summary_is_elided_or_too_long(key: tuple[str, int, str]) -> None:
    shown = _shown(lambda where: terminal.show([_summary(*key)], where))
    assert "\u2026" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    lines = [_words(line) for line in shown.splitlines()]
    assert all(_words(headings) in lines for headings in HEADINGS)


@pytest.mark.parametrize("key", RECORDED)
@pytest.mark.parametrize("width", [80, 200])
def test_every_figure_of_a_rank_stands_below_its_heading(key: tuple[str, int, str], width: int) -> None:
    summary = _summary(*key)
    lines = [_words(line) for line in _shown(lambda where: terminal.show([summary], where), width).splitlines()]
    gpu, operations, host = (lines.index(_words(headings)) + 1 for headings in HEADINGS)
    for number, rank in enumerate(summary["ranks"]):
        middle = [f"{rank['iter_ms'][name]:.3f}" for name in ("median", "p10", "p90")]
        spent = [f"{rank[name]:.3f}" for name in ("busy_ms", "useful_ms", "wait_ms", "idle_ms")]
        assert lines[gpu + number] == [str(number), str(rank["device"]), *middle, *spent]
        gaps = [f"{rank['gap_us'][name]:.2f}" for name in ("p50", "p90", "p99")]
        ran = [f"{rank[name]:g}" for name in ("operations", "launches", "graph_launches")]
        last = "-" if rank["straggler_ratio"] is None else f"{100 * rank['straggler_ratio']:.1f}"
        assert lines[operations + number] == [str(number), *ran, f"{100 * rank['overlap_ratio']:.1f}", *gaps, last]
        us = [*list(rank["host_us"].values())[:-1], rank["t_launch_us"], rank["lead_us"], rank["graph_lead_us"]]
        told = ["-" if value is None else f"{value:.{1 if abs(value) < 1000 else 0}f}" for value in us]
        assert lines[host + number] == [str(number), *told, f"{rank['queue_median_launches']:g}"]


def test_below_the_calls_of_the_host_stands_what_an_older_recording_leaves_out() -> None:
    told = "others: without calls that only ask, which this recording leaves out"
    older = summarise(traces.older("vllm", 1, "on"))
    assert _shown(lambda where: terminal.show([older], where)).splitlines()[-1].strip() == told
    assert told not in _shown(lambda where: terminal.show([_summary("vllm", 8, "off")], where))


def test_numbers_of_a_slow_engine_fit_too() -> None:
    summary = _summary("vllm", 8, "off")
    many = {"median": 123456.789, "p10": 12345.678, "p90": 234567.891}
    slow = {"iter_ms": many, "idle_ms": 12345.6, "lead_us": 1234567.8, "operations": 123456.5, "launches": 123456.5}
    summary = summary | {"ranks": [rank | slow for rank in summary["ranks"]]}
    shown = _shown(lambda where: terminal.show([summary], where))
    assert "\u2026" not in shown
    assert ["123456.8", "12345.7", "234567.9"] in [_words(line)[2:5] for line in shown.splitlines()]


@cache
def _comparison() -> compare.Comparison:
    off, on = (traces.found(traces.recorded("vllm", 1, graphs)) for graphs in ("off", "on"))
    return compare.compare(off, on)


def test_at_80_columns_nothing_of_a_comparison_is_elided_or_too_long() -> None:
    shown = _shown(lambda where: terminal.show_comparison(_comparison(), where))
    assert "\u2026" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    lines = [_words(line) for line in shown.splitlines()]
    assert _words("per iteration, by group n off n on us off us on saved") in lines
    assert _words("kernels that differ what, how n off n on us off us on saved") in lines
    for row in _comparison().measures.to_dict("records"):
        assert [row["quantity"], *(f"{row[side]:.1f}" for side in ("off", "on", "saved"))] in lines


def test_kernels_that_differ_have_names_that_tell_them_apart() -> None:
    shown = _shown(lambda where: terminal.show_comparison(_comparison(), where), 170)
    rows = re.findall(r"^(\S.*?)  +(\S.*?, (?:only off|only on|variant|count|time))  ", shown, re.MULTILINE)
    assert ("vectorized_elementwise_kernel<FillFunctor>", "copy, count") in rows
    assert not [name for name, _ in rows if "std::array" in name or name.startswith("...")]


def test_a_table_of_nothing_is_not_shown() -> None:
    off, on = (traces.found(traces.steady(f"vllm_{mode}_tp1")) for mode in ("compiled", "whole-graphs"))
    shown = _shown(lambda where: terminal.show_comparison(compare.compare(off, on), where))
    assert "iteration_median_us" in shown
    assert "kernels that differ" not in shown and "by group" not in shown


@pytest.mark.parametrize(("columns", "width"), [("40", 80), ("200", 200)])
def test_a_narrow_terminal_breaks_lines_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setattr(Console, "is_terminal", property(lambda _: True))
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.console().width == width


def test_what_is_no_terminal_gets_lines_whole() -> None:
    buffer = io.StringIO()
    terminal.show([_summary("vllm", 1, "off")], Console(file=buffer, width=80, highlight=False))
    (law,) = [line for line in buffer.getvalue().splitlines() if "law of launching" in line]
    assert law.endswith("dependent launch -0.10")
