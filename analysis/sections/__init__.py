"""The sections of a report, one a file: each takes what was gathered and gives its part, or None where it has no data.

`every` is the list, in the order in which a reader meets them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from analysis.blocks import Section
from analysis.gathered import Gathered
from analysis.sections import (
    breakeven,
    capacity,
    changes,
    excluded,
    gaps,
    hosts,
    iterations,
    kernels,
    paths,
    predictions,
    ranks,
    serving,
    switches,
    timeline,
    traces,
    verdict,
)
from analysis.sections.timeline import Begun

ORDER = (
    verdict.build,
    changes.build,
    paths.build,
    timeline.build,
    iterations.build,
    switches.build,
    gaps.build,
    ranks.build,
    hosts.build,
    serving.build,
    capacity.build,
    breakeven.build,
    predictions.build,
    kernels.build,
    traces.build,
    excluded.build,
)


DRAWN = tuple(build for build in ORDER if build is not timeline.build)
"""Those whose figures are drawn here; the timeline draws itself in the page, of traces that it reads once more."""


def every(gathered: Gathered, builds: Sequence[Callable[[Gathered], Section | None]] = ORDER) -> list[Section]:
    """The sections that there are data for, of all or of these."""
    return in_order(each(gathered, builds))


def each(gathered: Gathered, builds: Sequence[Callable[[Gathered], Section | None]]) -> Iterator[Section]:
    """The same one by one, as they are made: last the one that waits for other processes, which draw the others."""
    in_turn = sorted(builds, key=lambda build: build is breakeven.build)
    return (section for build in in_turn if (section := build(gathered)) is not None)


def with_timeline(drawn: Sequence[Section], gathered: Gathered, room_bytes: int, begun: Begun) -> list[Section]:
    """The sections of DRAWN with the timeline in its place, as far as it has room."""
    found = timeline.build(gathered, room_bytes, begun)
    return in_order([*drawn, *([found] if found else [])])


def in_order(found: Iterable[Section]) -> list[Section]:
    """The sections as a reader meets them."""
    names = [build.__module__.rpartition(".")[2] for build in ORDER]
    return sorted(found, key=lambda section: names.index(section.id))
