"""Gains by pairs of starts made by hand: repeat beside repeat, and what is told where there are no two of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import paired

KEYS = ["engine", "tp"]
Start = tuple[str, int, float]


def windows(*starts: Start, tp: int = 1) -> pd.DataFrame:
    """Three windows a start, of which the median is its time: (graphs, repeat, ms)."""
    return pd.DataFrame(
        [
            {"engine": "vllm", "tp": tp, "graphs": graphs, "repeat": repeat, "case": f"{graphs}{repeat}", "tpot_ms": ms}
            for graphs, repeat, time_ms in starts
            for ms in (time_ms, time_ms / 2, time_ms * 9)
        ]
    )


def told(frame: pd.DataFrame) -> dict[str, float]:
    [row] = paired.gains(frame, KEYS).to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_the_gain_is_the_median_over_repeats_and_not_the_ratio_of_the_medians() -> None:
    # Off / on 2, 4 and 3; of the medians, 10 and 4 ms, it would be 2.5.
    three = windows(
        ("off", 1, 8.0), ("on", 1, 4.0), ("off", 2, 20.0), ("on", 2, 5.0), ("off", 3, 10.0), ("on", 3, 10 / 3)
    )
    assert told(three) == pytest.approx({"gain_ratio": 3.0, "gain_low_ratio": 2.0, "gain_high_ratio": 4.0})


@pytest.mark.parametrize(
    "starts",
    [
        pytest.param([("off", 1, 8.0), ("on", 1, 2.0)], id="a single pair"),
        pytest.param([("off", 1, 8.0), ("on", 2, 2.0)], id="starts of other repeats"),
        pytest.param([("off", 1, 7.0), ("off", 2, 9.0), ("on", 2, 2.0)], id="one repeat in common, of two"),
    ],
)
def test_without_two_pairs_it_is_the_ratio_of_the_medians_and_has_no_interval(starts: list[Start]) -> None:
    found = told(windows(*starts))
    assert found["gain_ratio"] == 4.0
    assert pd.isna([found["gain_low_ratio"], found["gain_high_ratio"]]).all()


def test_times_beside_those_of_a_study_without_any_are_numbers_still() -> None:
    pairs = windows(("off", 1, 8.0), ("on", 1, 2.0), ("off", 2, 8.0), ("on", 2, 2.0))
    found = paired.gains(pairs.astype({"tpot_ms": object}), KEYS)
    assert set(found.dtypes) == {np.dtype("float64")} and found["gain_ratio"].tolist() == [4.0]


def test_what_lacks_a_half_has_no_gain() -> None:
    both = windows(("off", 1, 8.0), ("on", 1, 2.0))
    found = paired.gains(pd.concat([both, windows(("off", 1, 8.0), tp=2)]), KEYS)
    assert found.index.tolist() == [("vllm", 1)]
    assert paired.gains(windows(("on", 1, 2.0)), KEYS).empty
    assert paired.gains(both.iloc[:0], KEYS).empty and paired.times_ms(both.iloc[:0], KEYS).empty


def test_commands_without_figures_tell_gains_without_what_draws() -> None:
    code = "import sys, analysis.whatif, analysis.breakeven; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
