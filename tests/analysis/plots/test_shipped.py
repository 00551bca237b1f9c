"""The figures of the recordings that ship can be read: real names, real numbers, many panels."""

import pytest

from analysis import sections
from analysis.gathered import Gathered
from analysis.sections import breakeven
from tests.analysis.plots.texts import unreadable

# Break-evens take longer to find than all the others to draw.
DRAWN = [build for build in sections.DRAWN if build is not breakeven.build]


@pytest.fixture(scope="module")
def shown(gathered: Gathered) -> dict[str, list[str]]:
    """What cannot be read, by figure."""
    return {one.name: unreadable(one.figure) for section in sections.every(gathered, DRAWN) for one in section.graphics}


def test_no_text_of_a_shipped_figure_lies_on_another_or_leaves_it(shown: dict[str, list[str]]) -> None:
    assert {name: found for name, found in shown.items() if found} == {}


def test_figures_of_every_kind_were_looked_at(shown: dict[str, list[str]]) -> None:
    kinds = ("gain", "critical_path", "iteration_time", "batches", "switches", "gap_causes", "launch_gaps", "ranks")
    kinds += ("hosts", "load", "room", "predictions", "kernels")
    assert [kind for kind in kinds if not any(name.startswith(kind) for name in shown)] == []
