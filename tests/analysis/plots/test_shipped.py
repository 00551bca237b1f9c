"""The figures of the recordings that ship can be read: real names, real numbers, many panels; also in Chinese."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from analysis import sections
from analysis.lettering import lettered
from analysis.sections import breakeven
from tests.analysis.plots.texts import english, unreadable

if TYPE_CHECKING:
    from analysis.blocks import Graphic
    from analysis.gathered import Gathered

# Break-evens take longer to find than all the others to draw.
DRAWN = [build for build in sections.DRAWN if build is not breakeven.build]


KINDS = ("gain", "critical_path", "iteration_time", "batches", "switches", "gap_causes", "launch_gaps", "ranks")
KINDS += ("hosts", "load", "room", "predictions", "kernels")
# Those whose words come from recordings too; what others say does not depend on them.
OF_RECORDINGS = ("gain", "critical_path", "iteration_time", "launch_gaps", "load", "room", "predictions")


@pytest.fixture(scope="module")
def graphics(gathered: Gathered) -> list[Graphic]:
    return [one for section in sections.every(gathered, DRAWN) for one in section.graphics]


@pytest.fixture(scope="module")
def shown(graphics: list[Graphic]) -> dict[str, list[str]]:
    """What cannot be read, by figure."""
    return {one.name: unreadable(one.figure) for one in graphics}


def test_no_text_of_a_shipped_figure_lies_on_another_or_leaves_it(shown: dict[str, list[str]]) -> None:
    assert {name: found for name, found in shown.items() if found} == {}


def test_figures_of_every_kind_were_looked_at(shown: dict[str, list[str]]) -> None:
    assert [kind for kind in KINDS if not any(name.startswith(kind) for name in shown)] == []


def test_figures_with_words_of_recordings_are_in_chinese_and_can_be_read(
    graphics: list[Graphic], gathered: Gathered
) -> None:
    chosen = [next(one for one in graphics if one.name.startswith(kind)) for kind in OF_RECORDINGS]
    with lettered("zh"):
        drawn = {one.name: one.figure for one in chosen}
    models = {*gathered.windows["model"], *gathered.served["model"]}
    told = " ".join([*models, *(f"{source.mark} {source.gpu}" for source in gathered.sources)])
    names = {word for word in re.split(r"[\s(),:]+", told) if re.search(r"[A-Za-z]", word) and re.search(r"\d", word)}
    problems = {name: [*unreadable(figure), *english(figure, names)] for name, figure in drawn.items()}
    assert {name: found for name, found in problems.items() if found} == {}
