"""What every figure promises: a newcomer in analysis/plots is held to it without being named here."""

import importlib
import pkgutil

import pandas as pd
import pytest

from analysis import figures, plots
from analysis.language import Text
from analysis.lettering import lettered
from tests.analysis.plots.texts import english, unreadable

NAMES = [module.name for module in pkgutil.iter_modules(plots.__path__)]
UNITS = (
    "(ms)", ", ms", "(us)", "(ratio)", "(GPUs)", "(GiB)", "(%)", "(count)", "(s)", "(tokens/s)", "(requests/s)",
    "(million tokens)", "(rank)",
)  # fmt: skip
# A value for each row of a column that a figure may ask for, by the column's name.
ROWS = [
    (engine, tp, graphs, rank)
    for engine in ("vllm", "sglang")
    for tp in (1, 2)
    for graphs in ("off", "on")
    for rank in (0, 1)
]
COLUMNS = {
    "study": ["here"] * 16,
    "made_by": ["study.sweep"] * 16,
    "gpu": ["H200"] * 16,
    "engine": [row[0] for row in ROWS],
    "tp": [row[1] for row in ROWS],
    "graphs": [row[2] for row in ROWS],
    "rank": [row[3] for row in ROWS],
    "case": [f"{engine}{tp}{graphs}" for engine, tp, graphs, _ in ROWS],
    "batch": [1, 2] * 8,
    "model": ["llama3-8b"] * 16,
    "at": ["batch 1", "4 requests/s"] * 8,
    "rate": [2.0, float("nan")] * 8,
    "concurrency": [float("nan"), 16.0] * 8,
    "compile": ["off", "on"] * 8,
    "settings": ["pinned"] * 16,
    "split": [""] * 16,
    "gain_ratio": [2.0, 3.0] * 8,
    "gain_low_ratio": [1.8, 2.5] * 8,
    "gain_high_ratio": [2.2, 3.5] * 8,
    "captured_batch": [1.0] * 16,
    "captured": [2] * 16,
    "cause": ["launch", "graph"] * 8,
    "gaps_count": [3.0, 5.0] * 8,
    "idle_us": [60.0, 2.0] * 8,
    "t_launch_us": [25.0] * 16,
    "group": ["GEMM", "norm"] * 8,
    "direction": ["graphs on from off", "graphs off from on"] * 8,
    "covered": [True] * 16,
    "claimed": [True, False] * 8,
    "output_tok_s": [100.0, 200.0] * 8,
    **{f"{end}_ms_p50": [10.0, 20.0] * 8 for end in ("ttft", "tpot")},
    **{f"predicted{end}_ms": [size] * 16 for end, size in (("", 5.0), ("_low", 4.0), ("_high", 6.0))},
    "measured_ms": [4.5, 5.5] * 8,
    **{f"{half}_{what}": [1.0, 2.0] * 8 for half in ("off", "on") for what in ("us", "kv_tokens", "ready_s")},
    **{f"host_{what}_us": [500.0, 900.0] * 8 for what in ("framework", "launch_call", "other_call", "wait")},
    **{f"{what}_ms": [1.0, 2.0] * 8 for what in ("useful", "wait", "idle")},
    "repeat": [index % 4 for index in range(16)],
    "tpot_ms": [8.0 + index for index in range(16)],
    "gap_us": [0.0, 20.0] * 8,
    "share_ratio": [0.0, 1.0] * 8,
    **{f"{part}_ms": [1.0, 2.0] * 8 for part in ("compute", "collective", "launch_idle", "graph_gap", "other_gap")},
}


@pytest.fixture(params=NAMES)
def module(request):
    return importlib.import_module(f"analysis.plots.{request.param}")


@pytest.fixture
def frame(module):
    return pd.DataFrame({column: COLUMNS[column] for column in module.COLUMNS})


def test_the_folder_holds_figures():
    assert {"critical_path", "gain", "gap_causes", "iteration_time", "launch_gaps", "ranks"} <= set(NAMES)


def test_every_axis_is_labelled_with_its_unit(module, frame):
    figure = module.draw(frame, mark="RECORDED")
    labels = [label for axes in figure.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
    assert labels
    assert [label for label in labels if not label.endswith(UNITS)] == []
    assert all(axes.get_title() for axes in figure.axes)


def test_the_mark_is_in_the_figure(module, frame):
    texts = [text.get_text() for text in module.draw(frame, mark="RECORDED on a host").texts]
    assert "RECORDED on a host" in texts


def test_equal_data_give_equal_files(module, frame):
    first, second = (module.draw(frame, mark="m") for _ in range(2))
    assert figures.png(first) == figures.png(second)
    assert figures.svg_uri(first, "n") == figures.svg_uri(second, "n")


def test_the_data_are_left_alone(module, frame):
    before = frame.copy()
    module.draw(frame, mark="m")
    pd.testing.assert_frame_equal(frame, before)


def test_off_and_on_differ_in_more_than_colour(module, frame):
    figure = module.draw(frame, mark="m")
    styles = {line.get_label(): line.get_linestyle() for line in figure.legends[0].get_lines()}
    # Figures of gains and of predictions have no halves.
    assert module.__name__.endswith((".gain", ".foretold")) or styles["graphs off"] != styles["graphs on"]


def test_no_text_overlaps_another_or_leaves_the_figure(module, frame):
    mark = "\n".join(
        ["RECORDED 2026-11-21 on 8x NVIDIA H200 (h200x8-2026-11-21): driver 580.159.04, CUDA 13.0" + ", x 1.2.3" * 9]
        * 2
    )
    figure = module.draw(frame, mark=mark, title="llama3-8b, batch 1: a title")
    assert unreadable(figure) == []


def test_in_chinese_every_word_is_in_the_catalogue_and_none_overlaps_another(module, frame):
    title = Text("llama3-8b, batch 1: a title", "llama3-8b，batch 1：标题")
    with lettered("zh"):
        drawn = [module.draw(frame, mark="手工", title=title)]
        if "graphs" in frame and frame["graphs"].nunique() > 1:
            lacking = (frame["graphs"] == "off") & (frame["tp"] == 2) & (frame["engine"] == "vllm")
            drawn.append(module.draw(frame[~lacking], mark="手工", title=title))
            drawn.append(module.draw(frame[frame["graphs"] == "on"], mark="手工", title=title))
    problems = [[*unreadable(one), *english(one, ["llama3-8b", "here"])] for one in drawn]
    assert [found for found in problems if found] == []
