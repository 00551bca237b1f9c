"""Figures of many panels stay readable: no empty panels, no more across than a page has room for."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.grids import by_size, grid, nice_ticks, number_axis, sizes


def rows(engine: str, found: list[tuple[int, int]]) -> pd.DataFrame:
    frame = pd.DataFrame(found, columns=["tp", "batch"])
    return frame.assign(engine=engine, study="here", made_by="study.sweep")


@pytest.fixture
def frame() -> pd.DataFrame:
    """One engine at batch 1, the other at batches that only TP1 was traced at, too."""
    tps = [(tp, 1) for tp in (1, 2, 4, 8)]
    return pd.concat([rows("sglang", [*tps, (1, 32), (1, 128), (1, 512)]), rows("vllm", tps)], ignore_index=True)


def test_a_grid_has_four_panels_across_each_with_data_the_tps_of_a_batch_side_by_side(frame: pd.DataFrame) -> None:
    figure, cells = grid(frame, sizes(frame), width=2.6, height=2.0, sharex=True)
    places = [cell.panel.get_subplotspec() for cell in cells]
    assert [place and (place.rowspan.start, place.colspan.start) for place in places] == [
        *((0, across) for across in range(4)),
        *((1, across) for across in range(4)),
        *((2, across) for across in range(3)),
    ]
    assert len(figure.axes) == len(cells) == 11 and all(len(cell.rows) for cell in cells)
    assert [cell.panel.get_title() for cell in cells[4:9]] == [
        "SGLang TP1, batch 1", "SGLang TP2, batch 1", "SGLang TP4, batch 1", "SGLang TP8, batch 1",
        "SGLang TP1, batch 32",
    ]  # fmt: skip


def test_the_lowest_panel_of_each_column_has_its_numbers(frame: pd.DataFrame) -> None:
    _, cells = grid(frame, sizes(frame), width=2.6, height=2.0, sharex=True)
    assert [cell.bottom for cell in cells] == [False] * 7 + [True] * 4
    assert [cell.panel.xaxis.get_tick_params()["labelbottom"] for cell in cells] == [cell.bottom for cell in cells]


def test_no_figure_is_wider_than_twelve_inches(frame: pd.DataFrame) -> None:
    assert grid(frame, sizes(frame), width=9.0, height=2.0)[0].get_figwidth() == pytest.approx(12)
    many = rows("vllm", [(1, batch) for batch in range(1, 40)])
    assert by_size(many, height=4.0)[0].get_figwidth() == 12


def test_an_axis_of_sizes_has_a_place_for_those_of_its_engine_alone(frame: pd.DataFrame) -> None:
    figure, places = by_size(frame, height=4.0)
    assert [len(place.columns) for place in places] == [4, 7]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["1\nb1", "2\nb1", "4\nb1", "8\nb1"]


def test_what_was_traced_while_serving_is_called_served_and_comes_last() -> None:
    _, places = by_size(rows("vllm", [(1, 0), (1, 1), (2, 1)]), height=4.0)
    assert [label.get_text() for label in places[0].panel.get_xticklabels()] == ["1\nb1", "2\nb1", "1\nserved"]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.9, 110, [1, 2, 5, 10, 20, 50, 100]),
        (0.9, 600, [1, 3, 10, 30, 100, 300]),
        (0.9, 2e6, [1, 10, 100, 1e3, 1e4, 1e5, 1e6]),
        (4, 11, [4, 5, 7, 10]),
        (23.7, 47.8, [25, 30, 35, 40, 45]),
        (2.9, 3.45, [3.0, 3.2, 3.4]),
        (1.006, 1.021, [1.01, 1.015, 1.02]),
    ],
)
def test_an_axis_has_a_few_nice_numbers_however_long_or_short_it_is(
    low: float, high: float, shown: list[float]
) -> None:
    assert nice_ticks(low, high) == pytest.approx(shown)


@pytest.mark.parametrize(
    ("values", "shown"),
    [([8, 9, 16, 17], [8, 9, 16, 17]), ([1, 8, 9, 128, 512], [1, 8, 128, 512]), ([4], [4])],
)
def test_of_numbers_that_would_be_written_over_each_other_the_first_is_there(
    values: list[float], shown: list[float]
) -> None:
    panel = Figure().subplots()
    panel.set_xscale("log")
    number_axis(panel.xaxis, values)
    assert list(panel.xaxis.get_majorticklocs()) == shown


def test_a_panel_that_shows_one_half_alone_says_so_where_others_show_both() -> None:
    both = pd.concat([rows("vllm", [(1, 1), (2, 1)]).assign(graphs=graphs) for graphs in ("off", "on")])
    more = pd.concat([both, rows("vllm", [(4, 1)]).assign(graphs="on")], ignore_index=True)
    titles = {
        len(frame): [cell.panel.get_title() for cell in grid(frame, sizes(frame), width=2.6, height=2.0)[1]]
        for frame in (both, more, both[both["graphs"] == "off"])
    }
    assert titles == {4: ["vLLM TP1", "vLLM TP2"], 5: ["vLLM TP1", "vLLM TP2", "vLLM TP4 (on only)"],
                      2: ["vLLM TP1", "vLLM TP2"]}  # fmt: skip


def test_panels_of_several_gpus_say_which_theirs_is() -> None:
    one = rows("vllm", [(1, 1), (2, 1)]).assign(gpu="H200")
    two = one.assign(gpu=["H100", "H200"])
    cells = [grid(each, sizes(each), width=2.6, height=2.0)[1] for each in (one, two)]
    titles = [[cell.panel.get_title() for cell in each] for each in cells]
    assert titles == [["vLLM TP1", "vLLM TP2"], ["vLLM TP1, H100", "vLLM TP2, H200"]]


def test_the_only_size_of_an_engine_stands_in_the_middle_of_its_panel() -> None:
    panel = by_size(rows("vllm", [(2, 1)]), height=4.0)[1][0].panel
    low, high = panel.get_xlim()
    assert (low + high) / 2 == pytest.approx(0.0)
