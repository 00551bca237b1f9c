"""What is said of a trace in lines of text, on recorded traces and on one of which little is known."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from analysis.account_lines import lines
from analysis.summary import summarise
from tests import traces


@cache
def _summary(path: Path) -> dict[str, Any]:
    return summarise(path)


def _line(summary: dict[str, Any], begin: str) -> str:
    (found,) = [line for line in lines(summary) if line.startswith(begin)]
    return found


def test_a_served_trace_says_what_its_steps_were_and_why_those_left_out_are_not_kept() -> None:
    said = _line(_summary(traces.served("vllm_on_tp2")), "steps: ")
    assert said.startswith("steps: 99 decode, 1 prefill, 7 mixed; kept 56 of batch 4; left out ")
    assert "7 (prefill and decode at once), 34 (decoded another number of sequences than most), 5 (first after" in said
    assert said.endswith("1 (an end of the capture without an anchor)")


def test_as_many_steps_are_kept_or_left_out_as_there_were() -> None:
    steps = _summary(traces.served("sglang_off_tp1"))["steps"]
    told = steps["kept"] + sum(steps["dropped"].values()) + steps["open_ends"]
    assert told == steps["decode"] + steps["prefill"] == 114


def test_the_law_is_shown_with_its_constants_and_its_fit() -> None:
    said = _line(_summary(traces.recorded("vllm", 1, "off")), "law of launching")
    assert "holds within 2 us for 99.9% of 7958 operations outside graphs" in said
    assert said.endswith("lag, us: kernel 2.23, copy 1.54, set 1.80; delta, us: queued 1.09, dependent launch -0.10")


def test_slow_call_sites_are_shown_by_what_was_launched_around_them() -> None:
    found = [line for line in lines(_summary(traces.recorded("sglang", 2, "off"))) if "slow call site" in line]
    assert found[0] == (
        "slow call site: 64 times an iteration, 96 us between launches (median), 6262 us an iteration in all (mean): "
        "after all_reduce_kernel, before FusedAddRMSNormKernel"
    )
    assert found[1].startswith(
        "slow call site: once an iteration, 1192 us between launches (median), 1513 us an iteration in all (mean): "
    )
    assert len(found) == 4 and found[3] == "and 2 more slow call sites: --json"


def test_where_no_call_was_slow_nothing_is_said_of_sites() -> None:
    summary = deepcopy(_summary(traces.recorded("vllm", 1, "on")))
    summary["slow_sites"] = summary["slow_sites"][:3]
    assert len([line for line in lines(summary) if "slow call site" in line]) == 3
    summary["slow_sites"] = []
    assert not [line for line in lines(summary) if "slow call site" in line]


def test_of_a_trace_that_is_all_graphs_no_law_is_claimed(tmp_path: Path) -> None:
    said = _line(summarise(traces.decode(graphs=True).write(tmp_path / "a.sqlite")), "law of launching")
    assert "no operations outside graphs; lag, us: " in said


def test_a_trace_of_which_graphs_are_unseen_is_shown_without_what_is_not_known(tmp_path: Path) -> None:
    summary = summarise(traces.unseen().write(tmp_path / "a.sqlite"))
    assert summary["graph_tracing"] == "unseen"
    said = list(lines(summary))
    assert any(line.startswith("unfit, no verdict") for line in said)
    assert not [line for line in said if "None" in line or "nan" in line or "law of launching" in line]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_label_that_is_contradicted_is_said_before_all_else(tmp_path: Path, ranks: int) -> None:
    summary = summarise(traces.decode(ranks=ranks).write(tmp_path / "a.sqlite")) | {"contradictions": ["not so"]}
    assert list(lines(summary))[2] == "the trace contradicts the label: not so"
