"""Which figures the section of iteration times draws."""

from pathlib import Path

import pytest

from analysis.gathered import gather
from analysis.sections import iterations
from tests.analysis.sections import made
from tests.analysis.studies import write_study


def test_a_batch_that_only_one_tp_was_measured_at_is_drawn_by_batch_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    for tp, times_ms in ((1, {1: 9.0, 64: 12.0}), (2, {1: 8.0})):
        for graphs in ("off", "on"):
            made.measured(tmp_path, graphs, times_ms, tp=tp, resolved={"graphs": graphs})
    section = iterations.build(gather([write_study(tmp_path)]))
    assert section is not None
    drawn = [graphic.name for graphic in section.graphics]
    assert drawn == ["iteration_time_llama3-8b_b1", "batches_llama3-8b"]
