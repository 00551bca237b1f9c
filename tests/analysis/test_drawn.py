"""What a timeline is drawn from is what the analysis as a whole gives."""

import pytest

import analysis
from analysis import drawn, timeline_data
from tests.traces import recorded


@pytest.mark.parametrize(("engine", "tp", "graphs"), [("vllm", 1, "on"), ("sglang", 2, "off")])
def test_a_timeline_is_the_same_from_all_tables_and_from_those_it_is_drawn_from(
    engine: str, tp: int, graphs: str
) -> None:
    path = recorded(engine, tp, graphs)
    assert timeline_data.half(drawn.read(path), 2) == timeline_data.half(analysis.read(path), 2)
