"""A few iterations launch by launch: the interactive timeline, graphs off above graphs on."""

from __future__ import annotations

from analysis import evidence, timeline
from analysis.blocks import Section
from analysis.gathered import Gathered
from analysis.language import say


def build(gathered: Gathered, room_bytes: int | None = None) -> Section | None:
    """None where no configuration has traces of both halves, node by node, that prove their labels; or no room."""
    jobs = [job for name, study in gathered.studies for job in evidence.jobs(study, name)]
    marks = {source.name: source.short_mark for source in gathered.sources}
    block = timeline.block(jobs, gathered.evidence, marks, room_bytes)
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
