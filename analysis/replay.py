"""A typical iteration played again, launch by launch, with another host, another memory, or as a graph.

Of each launch the host takes its time, and goes on: up to QUEUE_LAUNCHES may wait for the GPU, and the host may be
`depth` iterations ahead, no further, because it needs the tokens. On the GPU an operation starts once it was launched
and the one before it has ended; a collective starts when the last rank has come to it. Nothing else is assumed: which
side is the longer one, and on which rank, comes out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.grouped import Floats
from analysis.issuing import QUEUE_LAUNCHES
from analysis.typical import Strand, Typical

# Launching a graph whose nodes are not traced takes the host 82 to 100 us for 437 to 509 nodes.
NODE_US = 0.2
# What a matrix product takes beyond the streaming of its weights, by how their times fall with TP.
PRODUCT_US = 2.6
# From return of a launch call to start on an idle GPU: 2.0 to 2.2 us on all recorded traces.
LAG_US = 2.1
# Both engines launch the next iteration while one runs.
DEPTH = 2
# The queue and the iterations ahead are full, or the slower side leads, after a few; the last ones count.
_PLAYED, _COUNTED = 10, 4


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a graph does to an iteration: its body is one launch."""

    gap_us: float | None
    """Between two nodes; None leaves the gaps as between launches."""
    node_us: float = NODE_US
    """Host time of the launch call, for each node."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Track:
    """A strand as it is played: lists, a value an operation; None for what is launched with an operation before it."""

    launch_us: list[float | None]
    gap_us: list[float]
    own_us: list[float]
    bounds: list[int]
    """Where stretches begin, and where the last ends."""


def iteration_us(
    typical: Typical, *, graph: Graph | None = None, depth: int = DEPTH, queue: int = QUEUE_LAUNCHES
) -> float:
    """How long an iteration lasts once they follow one another steadily."""
    tracks = [_track(strand, graph) for strand in typical.strands]
    ends_us = list(_ends_us(tracks, depth, queue))
    return (ends_us[-1] - ends_us[-1 - _COUNTED]) / _COUNTED


def host_us(strand: Strand, graph: Graph) -> float:
    """What the host takes for the launches of an iteration whose body is a graph."""
    return sum(us for us in _graph_launches(strand.only(~strand.staged), graph) if us is not None)


def with_host(typical: Typical, times: float) -> Typical:
    """The iteration on a host that takes so many times as long; 0 is an infinitely fast one."""
    return _each(typical, lambda s: replace(s, think_us=s.think_us * times, call_us=s.call_us * times))


def with_launches(typical: Typical, launch_us: float) -> Typical:
    """The iteration launched one by one, each taking the host as long; the copies that this needs add to the host."""
    each_us = launch_us * typical.launches / max(len(s.own_us) for s in typical.strands)
    return replace(
        _each(typical, lambda s: replace(s, think_us=np.zeros(len(s.own_us)), call_us=np.full(len(s.own_us), each_us))),
        graphs=False,
    )


def with_memory(typical: Typical, times: float, product_us: float = PRODUCT_US) -> Typical:
    """The iteration on a memory so many times as fast, `inf` allowed: matrix products but for product_us of each."""

    def faster(strand: Strand) -> Strand:
        streaming_us = np.where(strand.product, np.maximum(strand.own_us - product_us, 0), 0)
        return replace(strand, own_us=strand.own_us - streaming_us + streaming_us / times)

    return _each(typical, faster)


def _each(typical: Typical, change: Callable[[Strand], Strand]) -> Typical:
    return replace(typical, strands=tuple(change(strand) for strand in typical.strands))


def _track(strand: Strand, graph: Graph | None) -> _Track:
    launch_us = (strand.think_us + strand.call_us).tolist()
    gap_us = strand.gap_us
    if graph is not None:
        strand = strand.only(~strand.staged)
        launch_us = _graph_launches(strand, graph)
        gap_us = strand.gap_us
        if graph.gap_us is not None:
            gap_us = np.where(strand.body, graph.gap_us, gap_us)
    met = np.flatnonzero(strand.meets) + 1
    bounds = [0, *met.tolist(), len(strand.own_us)]
    return _Track(launch_us=launch_us, gap_us=gap_us.tolist(), own_us=strand.own_us.tolist(), bounds=bounds)


def _graph_launches(strand: Strand, graph: Graph) -> list[float | None]:
    """The body is launched with its first operation, in place of that one's call."""
    alone_us: Floats = strand.think_us + strand.call_us
    found: list[float | None] = [None if inside else us for us, inside in zip(alone_us, strand.body, strict=True)]
    at = np.flatnonzero(strand.body)
    if len(at):
        found[at[0]] = float(strand.think_us[at[0]]) + graph.node_us * len(at)
    return found


def _ends_us(tracks: list[_Track], depth: int, queue: int) -> Iterator[float]:
    """When each iteration has ended on all ranks."""
    places = [_Place(queue=queue) for _ in tracks]
    stretches = len(tracks[0].bounds) - 1
    ended_us = [0.0] * depth
    for _ in range(_PLAYED):
        for place in places:
            place.host_us = max(place.host_us, ended_us[-depth])
        for stretch in range(stretches):
            for track, place in zip(tracks, places, strict=True):
                place.play(track, stretch)
            if stretch < stretches - 1:
                # Each has come to its end as if it had met nobody; it ends when the last does.
                met_us = max(place.gpu_us for place in places)
                for place in places:
                    place.gpu_us = met_us
        ended_us.append(max(place.gpu_us for place in places))
        yield ended_us[-1]


class _Place:
    """How far a rank has come: its host, its GPU, and when each launch began on that."""

    def __init__(self, queue: int) -> None:
        self.host_us = self.gpu_us = 0.0
        self._queue = queue
        self._begun_us: list[float] = []

    def play(self, track: _Track, stretch: int) -> None:
        """Go through a stretch; a collective at its end is gone through as if the others were there."""
        host_us, gpu_us, begun_us = self.host_us, self.gpu_us, self._begun_us
        for at in range(track.bounds[stretch], track.bounds[stretch + 1]):
            launch_us = track.launch_us[at]
            if launch_us is not None:
                host_us += launch_us
                if len(begun_us) >= self._queue:
                    host_us = max(host_us, begun_us[-self._queue])
            gpu_us = max(host_us + LAG_US, gpu_us + track.gap_us[at])
            if launch_us is not None:
                begun_us.append(gpu_us)
            gpu_us += track.own_us[at]
        self.host_us, self.gpu_us = host_us, gpu_us
