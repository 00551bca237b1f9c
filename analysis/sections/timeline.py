"""A few iterations launch by launch: the interactive timeline, graphs off above graphs on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis import evidence, timeline
from analysis.blocks import Section
from analysis.gathered import Gathered
from analysis.language import say
from analysis.timeline import Pair


@dataclass(frozen=True, kw_only=True, eq=False)
class Begun:
    """What the timeline shows, and the data of it that other processes are at."""

    pairs: Sequence[Pair]
    data: Iterator[str | None]


def begin(gathered: Gathered) -> Begun:
    """Choose what to show, and have the first of it read."""
    jobs = [job for name, study in gathered.studies for job in evidence.jobs(study, name)]
    marks = {source.name: source.short_mark for source in gathered.sources}
    pairs = timeline.chosen(jobs, gathered.evidence, marks)
    return Begun(pairs=pairs, data=timeline.begin(pairs))


def most_bytes(begun: Begun) -> int:
    """What of a page the timeline may come to take."""
    return timeline.most_bytes() if begun.pairs else 0


def build(gathered: Gathered, room_bytes: int | None = None, begun: Begun | None = None) -> Section | None:
    """None where no configuration has traces of both halves, node by node, that prove their labels; or no room."""
    begun = begun or begin(gathered)
    block = timeline.page(begun.pairs, room_bytes, begun.data)
    if block is None:
        return None
    return Section(
        id="timeline",
        title=say("Launch by launch"),
        leads=(
            say(
                "Every operation of a few traced iterations, graphs off above graphs on, on one time scale: which call "
                "launched it, how long the GPU stood idle before it, and why."
            ),
        ),
        html=block.html,
        scripts=block.scripts,
        loaded=block.loaded,
        styles=block.styles,
        inline_styles=True,
    )
