"""What the host does, drawn: halves that were not traced are named."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.plots.hosts import COLUMNS, PARTS, draw


def rank(graphs: str, part_us: float, *, tp: int = 1) -> dict[str, Any]:
    about = {
        "study": "s", "made_by": "study.sweep", "engine": "vllm", "tp": tp, "batch": 1, "graphs": graphs,
        "case": f"{graphs}{tp}", "rank": 0, "t_launch_us": 5.0,
    }  # fmt: skip
    return about | dict.fromkeys(PARTS, part_us)


def drawn(*ranks: dict[str, Any]) -> Figure:
    return draw(pd.DataFrame(ranks, columns=list(COLUMNS)), mark="m", title="a title")


def wholes_ms(figure: Figure) -> list[float]:
    return [bar.get_height() for bar in figure.axes[0].patches if not bar.get_fill()]  # type: ignore[attr-defined]


def test_the_parts_of_a_bar_stack_up_to_the_whole_iteration() -> None:
    assert wholes_ms(drawn(rank("off", 1000.0), rank("on", 500.0))) == [4.0, 2.0]


def test_a_half_that_was_not_traced_is_named_in_its_place_or_where_all_lack_it_in_the_title() -> None:
    mixed = drawn(rank("off", 1000.0), rank("on", 500.0), rank("off", 1000.0, tp=2))
    assert ([text.get_text() for text in mixed.axes[0].texts], mixed.get_suptitle()) == (["on: not traced"], "a title")
    alone = drawn(rank("off", 1000.0))
    assert (wholes_ms(alone), list(alone.axes[0].texts)) == ([4.0], [])
    assert alone.get_suptitle() == "a title\ngraphs off only: graphs on was not traced"
