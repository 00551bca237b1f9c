"""The figure of gains: what stands where."""

import pandas as pd

from analysis.plots.gain import COLUMNS, draw

MADE = {
    "study": "s",
    "made_by": "study.sweep",
    "gpu": "H200",
    "model": "m",
    "compile": "engine",
    "settings": "pinned",
    "split": "",
}


def gains(*rows: tuple[str, int, str, float]) -> pd.DataFrame:
    found = [
        {**MADE, "engine": engine, "tp": tp, "at": at, "gain_ratio": gain, "gain_low_ratio": gain / 2,
         "gain_high_ratio": gain * 2}
        for engine, tp, at, gain in rows
    ]  # fmt: skip
    return pd.DataFrame(found, columns=list(COLUMNS))


def test_every_gain_is_a_mark_at_its_ratio_within_its_interval() -> None:
    (panel,) = draw(gains(("vllm", 1, "batch 1", 2.5), ("vllm", 2, "batch 1", 0.8)), mark="m").axes
    marks = [line.get_xdata()[0] for line in panel.lines if line.get_marker() == "o"]
    assert marks == [2.5, 0.8]
    spans = [tuple(path.vertices[:, 0]) for lines in panel.collections for path in lines.get_paths()]
    assert spans == [(1.25, 5.0), (0.4, 1.6)]


def test_rows_are_as_high_as_their_marks_need_and_marks_of_a_row_do_not_meet() -> None:
    many = [("vllm", 1, f"batch {batch}", 2.0) for batch in range(9)]
    (panel,) = draw(gains(*many, ("vllm", 2, "batch 0", 3.0)), mark="m").axes
    heights = [line.get_ydata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
    assert len(set(heights)) == 10
    assert max(heights[:9]) < heights[9]
    least, most = sorted(panel.get_ylim())
    assert all(least < height < most for height in heights)
    assert len({line.get_marker() for line in panel.lines[:9]}) == 9


def names(found: pd.DataFrame) -> list[str]:
    (panel,) = draw(found, mark="m").axes
    return [label.get_text() for label in panel.get_yticklabels()]


def test_gpus_are_named_where_they_differ_and_studies_where_two_measured_the_same() -> None:
    one = gains(("vllm", 1, "batch 1", 2.0), ("vllm", 2, "batch 1", 3.0))
    assert names(one) == ["vLLM TP1", "vLLM TP2"]
    another_gpu = pd.concat([one, one.assign(gpu="H100", study="t")], ignore_index=True)
    assert names(another_gpu) == ["vLLM TP1 H200", "vLLM TP2 H200", "vLLM TP1 H100", "vLLM TP2 H100"]
    further = pd.concat([one, one.assign(at="batch 8", study="t")], ignore_index=True)
    assert names(further) == ["vLLM TP1", "vLLM TP2"]
    again = pd.concat([one, one.assign(study="t")], ignore_index=True)
    assert names(again) == ["vLLM TP1 s", "vLLM TP2 s", "vLLM TP1 t", "vLLM TP2 t"]
