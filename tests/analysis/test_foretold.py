"""What a report foretells: pairs found in what was gathered, predicted from one another where there are enough."""

import os
from pathlib import Path

import pytest

from analysis import foretold
from analysis.figures import SWEEP
from analysis.gathered import Gathered, gather
from tests.analysis.sections import made
from tests.analysis.studies import write_case, write_study
from tests.analysis.test_pairs import made as made_pair
from tests.analysis.test_pairs import of_study


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def study(folder: Path, **traces: str) -> Gathered:
    for graphs, time_ms in (("off", 8.0), ("on", 4.0)):
        made.measured(folder, graphs, {1: time_ms}, resolved={"graphs": graphs})
    for graphs, traced in traces.items():
        write_case(folder, graphs=graphs, traced_graphs=traced, made_by="another program")
    return gather([write_study(folder)])


def test_a_pair_is_a_trace_without_graphs_and_times_of_both_halves_whoever_traced(tmp_path: Path) -> None:
    (pair,) = foretold.recorded(study(tmp_path, off="off", on="on"))
    assert (pair.off_ms, pair.on_ms, pair.made_by) == (8, 4, SWEEP)
    assert pair.on is not None and not pair.off.graphs


def test_without_a_trace_without_graphs_there_is_no_pair(tmp_path: Path) -> None:
    assert foretold.recorded(study(tmp_path, on="on")) == []


def test_a_trace_that_contradicts_its_label_makes_no_pair(tmp_path: Path) -> None:
    assert foretold.recorded(study(tmp_path, off="on", on="on")) == []


def test_few_pairs_are_foretold_by_the_model_that_ships_and_say_so() -> None:
    found, apart = foretold.predictions([made_pair(0), made_pair(1)])
    assert not apart
    directions = [foretold.ON_FROM_OFF, foretold.OFF_FROM_ON, foretold.OFF_ALONE, foretold.OFF_BY_ANOTHER]
    assert found["direction"].tolist() == directions * 2
    alone, _ = foretold.predictions([made_pair(0)])
    assert foretold.OFF_BY_ANOTHER not in set(alone["direction"])
    assert (found["predicted_low_ms"] <= found["predicted_ms"]).all()
    row = found[found["direction"] == foretold.ON_FROM_OFF].iloc[0]
    assert row["error_ratio"] == pytest.approx(row["predicted_ms"] / row["measured_ms"] - 1)


def test_many_pairs_are_each_foretold_by_the_others() -> None:
    found, apart = foretold.predictions([made_pair(number) for number in range(11)])
    assert apart and set(found["direction"].value_counts()) == {11} and found["direction"].nunique() == 4


def test_directions_are_told_apart_by_whose_launches_are_known() -> None:
    """Elsewhere 20 us a launch; on the host 40 at batch 60, and 30 at batch 61."""
    mine, other = of_study("host", 60, host_us=40.0), of_study("host", 61, host_us=30.0)
    found, apart = foretold.predictions([*(made_pair(number) for number in range(11)), mine, other])
    rows = found[(found["study"] == "host") & (found["batch"] == 60)].set_index("direction")["predicted_ms"]
    by_host = [rows[name] for name in (foretold.OFF_FROM_ON, foretold.OFF_BY_ANOTHER, foretold.OFF_ALONE)]
    assert apart and by_host == sorted(by_host, reverse=True)
    shipped, _ = foretold.predictions([mine, other])
    rows = shipped[shipped["batch"] == 60].set_index("direction")["predicted_ms"]
    assert rows[foretold.OFF_FROM_ON] == pytest.approx(rows[foretold.OFF_BY_ANOTHER] * 4 / 3, rel=0.02)


def test_break_evens_are_of_batch_one() -> None:
    rows = foretold.breakeven_table(foretold.breakevens([made_pair(1)]))
    assert set(rows["gpu"]) == {"h200", "h100", "a800", "rtx4090"}
    assert (rows["predicted_low_us"] <= rows["predicted_breakeven_us"]).all()
    assert set(rows["batch"]) == {1}
