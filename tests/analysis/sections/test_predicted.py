"""In every section of a report what is predicted stands apart from what was measured, and says PREDICTED.

A report is built twice, the second time with all that predictions rest on changed: whatever reads otherwise then is
predicted, whatever it is called.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.text
import pandas as pd
import pytest

from analysis import breakeven, predict, sections
from analysis.blocks import Graphic, Section, Table
from analysis.gathered import gather

MARK = "PREDICTED"
# How far a prediction was off, and whether its interval held: of both.
BOTH = {"error (%)", "within its interval"}
BOTH_DATA = {"error_ratio", "covered"}
STUDIES = ("h100x1-2026-11-21", "h100x1-hf-2026-11-21")


@dataclass(frozen=True, kw_only=True)
class Twice:
    """The same section of both reports."""

    first: Section
    second: Section

    def tables(self) -> Iterator[tuple[Table, Table]]:
        yield from zip(self.first.tables, self.second.tables, strict=True)


@pytest.fixture(scope="module")
def built(root: Path) -> list[Twice]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        found = gather([root / "data" / "recordings" / name for name in STUDIES])
        first = sections.every(found, sections.DRAWN)
        model, meeting = predict.recorded(), breakeven._meeting
        other = replace(
            model, gap_us=3 * model.gap_us, host_ratio=2 * model.host_ratio, on_error=2 * model.on_error,
            launch_us={key: 2 * value for key, value in model.launch_us.items()},
        )  # fmt: skip
        patch.setattr(predict, "recorded", lambda: other)
        patch.setattr(breakeven, "_meeting", lambda by_batch: (meeting(by_batch) or 0) + 1000)
        second = sections.every(found, sections.DRAWN)
    return [Twice(first=one, second=two) for one, two in zip(first, second, strict=True)]


def test_what_predictions_change_is_in_columns_that_say_so(built: list[Twice]) -> None:
    changed = {(one.name, heading) for pair in built for one, two in pair.tables() for heading in _headings(one, two)}
    assert {name for name, _ in changed} >= {"predictions", "breakeven", "breakeven_batches"}
    assert [(name, heading) for name, heading in changed if MARK not in heading and heading not in BOTH] == []


def test_columns_that_say_so_hold_nothing_that_was_measured(built: list[Twice]) -> None:
    """Every cell but those that say why there is none is another one where predictions are."""
    for one, two in (pair for twice in built for pair in twice.tables()):
        for column, heading in enumerate(one.columns):
            cells = [(row[column], other[column]) for row, other in zip(one.rows, two.rows, strict=True)]
            numbers = [(cell, other) for cell, other in cells if any(sign.isdigit() for sign in cell)]
            if MARK in heading:
                assert all(cell != other for cell, other in numbers), (one.name, heading)


def test_tables_and_figures_of_what_is_predicted_say_so(built: list[Twice]) -> None:
    changed = [one for pair in built for one, two in pair.tables() if _headings(one, two)]
    assert [one.name for one in changed if MARK not in f"{one.caption} {one.mark}"] == []
    names = {one.name for one in changed}
    graphics = [graphic for pair in built for graphic in pair.first.graphics if graphic.table.name in names]
    assert graphics
    assert [graphic.name for graphic in graphics if MARK not in graphic.mark or MARK not in graphic.alt] == []
    assert [graphic.name for graphic in graphics if MARK not in _drawn(graphic)] == []


def test_files_name_what_is_predicted(built: list[Twice]) -> None:
    changed = {
        column
        for pair in built
        for one, two in pair.tables()
        for column in one.data.columns
        if not _same(one.data[column], two.data[column])
    }
    assert {column for column in changed if not column.startswith("predicted_")} == BOTH_DATA
    assert len(changed - BOTH_DATA) >= 6


def test_sentences_that_predictions_change_say_so(built: list[Twice]) -> None:
    pairs = [(pair.first.leads + pair.first.notes, pair.second.leads + pair.second.notes) for pair in built]
    changed = [text for first, second in pairs for text in first if text not in second]
    assert len(changed) >= 3
    assert [text for text in changed if MARK not in text and not text.startswith("Not claimed: ")] == []


def _headings(one: Table, two: Table) -> set[str]:
    """Which columns of a table are not the same in both."""
    assert one.columns == two.columns
    rows = zip(one.rows, two.rows, strict=True)
    return {
        heading for row, other in rows for heading, a, b in zip(one.columns, row, other, strict=True) if a != b
    }  # fmt: skip


def _same(one: "pd.Series[float]", two: "pd.Series[float]") -> bool:
    return one.astype(str).tolist() == two.astype(str).tolist()


def _drawn(graphic: Graphic) -> str:
    return " ".join(text.get_text() for text in graphic.figure.findobj(matplotlib.text.Text))
