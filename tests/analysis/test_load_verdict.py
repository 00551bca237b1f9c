"""What graphs do to a workload, of load points whose figures are chosen here."""

from typing import Any

import pandas as pd
import pytest

from analysis import load_verdict
from analysis.served import beside
from tests.analysis.test_served import points

SAME = {"output_tok_s": 100.0, "ttft_ms_p50": 20.0, "ttft_ms_p99": 40.0}
# As many requests in flight as there may be: then throughput is the engine's.
CLOSED = {"rate": float("nan"), "concurrency": 4.0}


def judged(off: dict[str, Any], on: dict[str, Any]) -> dict[str, Any]:
    sides = [points(graphs, [10.0], **SAME | CLOSED | figures) for graphs, figures in (("off", off), ("on", on))]
    [found] = load_verdict.verdicts(beside(pd.concat(sides)))
    return found


@pytest.mark.parametrize(
    ("on", "said", "why"),
    [
        ({"output_tok_s": 120.0}, "turn on", "better output tokens/s"),
        ({"ttft_ms_p99": 80.0}, "turn off", "worse 99th percentile of TTFT"),
        ({"output_tok_s": 120.0, "ttft_ms_p50": 30.0}, "undecided", "better output tokens/s; worse median TTFT"),
        ({"output_tok_s": 104.0}, "undecided", "no difference beyond 5%"),
        ({"tpot_ms_p50": 5.0, "output_tok_s": 97.0}, "turn on", "better median TPOT"),
    ],
)
def test_better_and_nothing_worse_turns_on(on: dict[str, Any], said: str, why: str) -> None:
    found = judged({}, on)
    assert (found["verdict"], found["why"]) == (said, why)


def test_the_published_serving_at_tp1_is_a_trade() -> None:
    """5006 and 5029 tokens/s, TTFT 0.421 and 0.776 s: nothing gained, and later first tokens."""
    found = judged({"output_tok_s": 5006.0, "ttft_ms_p50": 421.0}, {"output_tok_s": 5029.0, "ttft_ms_p50": 776.0})
    assert found["verdict"] == "turn off"
    assert found["measured_gain"]["ttft_ms_p50"] == pytest.approx(421 / 776, rel=1e-4)


def test_tokens_a_second_of_a_rate_that_both_halves_bear_are_the_arrivals() -> None:
    rate = {"rate": 4.0, "concurrency": float("nan")}
    faster = {"output_tok_s": 120.0, **rate}
    borne = judged(rate, faster)
    assert (borne["verdict"], borne["measured_gain"]["output_tok_s"]) == ("undecided", None)
    assert borne["measured_on"]["output_tok_s"] == 120.0
    too_much = judged({**rate, "saturated": True}, faster)
    assert (too_much["verdict"], too_much["measured_gain"]["output_tok_s"]) == ("turn on", 1.2)


def test_the_gain_in_tpot_is_that_of_pairs_of_starts() -> None:
    """Off / on 2, 4 and 3 in the repeats; of the medians, 10 and 4 ms, it would be 2.5."""
    sides = [points(graphs, times_ms) for graphs, times_ms in (("off", [8.0, 20.0, 10.0]), ("on", [4.0, 5.0, 10 / 3]))]
    [found] = load_verdict.verdicts(beside(pd.concat(sides)))
    assert (found["measured_off"]["tpot_ms_p50"], found["measured_on"]["tpot_ms_p50"]) == (10.0, 4.0)
    assert found["measured_gain"]["tpot_ms_p50"] == pytest.approx(3)


def test_a_half_that_is_missing_has_no_verdict() -> None:
    assert load_verdict.verdicts(beside(points("off", [10.0]))) == []


def test_figures_that_nobody_got_say_nothing() -> None:
    found = judged({"ttft_ms_p99": float("nan")}, {"ttft_ms_p99": 80.0})
    assert found["measured_gain"]["ttft_ms_p99"] is None
    assert found["verdict"] == "undecided"


def test_words_say_the_load_the_verdict_and_both_halves() -> None:
    late = {"ttft_ms_p99": 10482.6}
    lines = list(load_verdict.lines(judged(late, {"output_tok_s": 120.0, "failures": "1 stalled"} | late)))
    assert lines[0] == "  serving 4 requests in flight (1 start): turn on: better output tokens/s"
    assert "      output tokens/s: off 100, on 120" in lines
    assert "      99th percentile of TTFT: off 10483, on 10483 ms" in lines
    assert lines[-1] == "      caution: graphs on: requests failed (1 stalled)"
