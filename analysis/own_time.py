"""What each operation takes of a GPU alone, and the GPUs together for an iteration: no instant twice, no spinning."""

from dataclasses import dataclass

import numpy as np

from analysis import collectives
from analysis.collectives import Matched
from analysis.errors import TraceError
from analysis.grouped import Floats
from analysis.intervals import Ints, Mask
from analysis.iterations import Trace

_STAGED = "copy DtoD"


@dataclass(frozen=True, kw_only=True, eq=False)
class Own:
    """A value an operation of the trace, in its order."""

    own_us: Floats
    """Its own time: what it shares with earlier ones is theirs; a collective's is the intrinsic one."""
    meets: Mask
    """Whether it is a collective of a steady iteration."""
    staged: Mask
    """Whether it is a copy on the GPU right before a collective, which reads the buffers in place in a graph."""


def find(trace: Trace, matched: Matched) -> Own:
    """The own times. `matched` is what collectives.match returns for the trace, and must not disagree."""
    operations = trace.operations
    start_ns, end_ns, before_ns, iteration, rank = (
        operations[name].to_numpy(np.int64) for name in ("start_ns", "end_ns", "latest_end_ns", "iteration", "rank")
    )
    own_ns = np.maximum(end_ns - np.maximum(start_ns, before_ns), 0)
    collective = collectives.among(trace)
    meets = collective & (iteration >= 0)
    own_ns[matched.rows] = np.minimum(own_ns[matched.rows], matched.instances["intrinsic_ns"].to_numpy(np.int64))
    copies = (trace.activity.signatures["name"] == _STAGED).to_numpy(bool)[operations["signature"].to_numpy(np.int64)]
    # The next of the rank's on the same stream; operations lie rank by rank in order of start.
    follows = (rank[1:] == rank[:-1]) & (np.diff(operations["stream"].to_numpy(np.int64)) == 0)
    staged = copies & np.append(collective[1:] & follows, False)
    return Own(own_us=own_ns / 1e3, meets=meets, staged=staged)


def per_iteration(trace: Trace, own: Own, numbers: Ints) -> tuple[Floats, Mask]:
    """What the GPUs alone take for each of the iterations, and which are usual, in us.

    Between two collectives that is what the slowest rank takes. Usual are those with the number of collectives, the
    same on all ranks, that most have; the others have no time. Raises TraceError where there are none.
    """
    iteration, rank = (trace.operations[name].to_numpy(np.int64) for name in ("iteration", "rank"))
    ranks = len(trace.ranks)
    counts = np.stack([_tally(iteration[own.meets & (rank == r)], numbers) for r in range(ranks)])
    even = (counts == counts[0]).all(axis=0)
    most = int(np.bincount(counts[0][even]).argmax()) if even.any() else 0
    usual: Mask = even & (counts[0] == most)
    if not usual.any():
        raise TraceError(
            "no iteration has as many collectives on all ranks; expected the same in each; record all ranks"
        )
    spent_us = np.zeros((ranks, len(numbers), most + 1))
    for r in range(ranks):
        rows = np.flatnonzero((rank == r) & (iteration >= 0))
        at = np.searchsorted(numbers, iteration[rows])
        earlier = np.concatenate(([0], np.cumsum(counts[r])[:-1]))[at]
        stretch = stretches(own.meets[rows]) - earlier
        ours = usual[at] & ~own.staged[rows]
        np.add.at(spent_us[r], (at[ours], np.clip(stretch[ours], 0, most)), own.own_us[rows[ours]])
    found: Floats = spent_us.max(axis=0).sum(axis=1)
    return found, usual


def stretches(meets: Mask) -> Ints:
    """Number of the stretch that each operation is of; a collective ends its own."""
    found: Ints = np.cumsum(meets) - meets
    return found


def _tally(iteration: Ints, numbers: Ints) -> Ints:
    found: Ints = np.bincount(np.searchsorted(numbers, iteration), minlength=len(numbers))
    return found
