"""Every operation of the steady iterations with its call and with what ran before it on its rank, as arrays."""

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
import pandas as pd

from analysis import tables
from analysis.grouped import Codes
from analysis.intervals import NEVER, Ints, Mask, latest_end_before
from analysis.iterations import Trace
from analysis.threads import side_by_side

Numbers = TypeVar("Numbers", Ints, Codes)

API_CLASSES = {"launch": "kernel", "copy": "copy", "set": "set", "graph": "graph"}
"""What the queue law calls the kinds of calls that start work."""
CLASSES = tuple(API_CLASSES.values())
GRAPH = CLASSES.index("graph")


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """A row an operation in every array, in the order of `trace.operations`. Times in ns."""

    row: Ints
    """Which row of `trace.operations` it is."""
    start_ns: Ints
    previous_end_ns: Ints
    """The latest end of all earlier operations of the rank; NEVER for the first."""
    from_end_ns: Ints
    """From there to its start, negative where it overlaps; 0 for the first."""
    pair: Ints
    """Which of `pairs` the signatures before and of it are."""
    pairs: Ints
    """The pairs that occur: 2**32 times the first, counted from 1, 0 for none, plus the second."""
    beside: Mask
    """Whether it began beside work of another stream."""
    call_start_ns: Ints
    call_end_ns: Ints
    """When its call began and returned; NEVER where none is recorded."""
    api_class: Codes
    """Which of CLASSES its call is of, -1 for none."""
    later_node: Mask
    """Whether it is a node of a graph, but not the first of its launch."""

    def only(self, wanted: Mask) -> "Placed":
        """The wanted rows."""
        if wanted.all():
            return self
        rows = (field.name for field in fields(self) if field.name != "pairs")
        return replace(self, **{name: getattr(self, name)[wanted] for name in rows})


def steady(trace: Trace) -> Placed:
    """Place the operations of the steady iterations; those of a trace lie rank by rank in order of start.

    None where graphs ran of which nothing was recorded: what ran before an operation is then not known.
    """
    operations, calls = trace.operations, trace.activity.calls
    columns = {str(name): operations[name].to_numpy() for name in operations.columns}
    seen = trace.activity.graph_tracing != "unseen"
    row = np.flatnonzero(columns["iteration"] >= 0) if seen else np.empty(0, np.int64)
    later_node = (columns["graph_node"] >= 0) & (columns["call"] >= 0) & ~columns["first_of_call"]
    wanted = ("start_ns", "latest_end_ns", "signature", "call")
    of = dict(zip(wanted, side_by_side(lambda name: columns[name][row], wanted), strict=True))
    first = of["latest_end_ns"] == NEVER
    before = columns["signature"][row - 1] + 1
    before[first] = 0
    pair, pairs = pd.factorize((before << 32) + of["signature"])
    overlaps = of["start_ns"] < of["latest_end_ns"]
    started, returned = (calls[side].to_numpy(np.int64) for side in ("start_ns", "end_ns"))
    return Placed(
        row=row,
        start_ns=of["start_ns"],
        previous_end_ns=of["latest_end_ns"],
        from_end_ns=np.where(first, 0, of["start_ns"] - of["latest_end_ns"]),
        pair=pair,
        pairs=pairs,
        beside=overlaps & (_stream_end_ns(columns)[row] < of["latest_end_ns"]),
        call_start_ns=_of_call(started, of["call"], NEVER),
        call_end_ns=_of_call(returned, of["call"], NEVER),
        api_class=_of_call(_class_of_calls(trace), of["call"], -1),
        later_node=later_node[row],
    )


def _class_of_calls(trace: Trace) -> Codes:
    of_kind = [CLASSES.index(API_CLASSES[kind]) if kind in API_CLASSES else -1 for kind in tables.CALL_KINDS]
    return np.array(of_kind, np.int8)[trace.activity.calls["kind"].cat.codes.to_numpy()]


def _of_call(values: Numbers, call: Ints, absent: int) -> Numbers:
    """The value of each operation's call, `absent` for an operation (-1) that has none."""
    found: Numbers = values[call] if len(values) else np.full(len(call), absent, values.dtype)
    found[call < 0] = absent
    return found


def _stream_end_ns(columns: dict[str, Ints]) -> Ints:
    """The latest end of all earlier operations of each operation's stream, NEVER for its first."""
    latest_ns = np.empty(len(columns["rank"]), np.int64)
    bounds = np.searchsorted(columns["rank"], np.arange(columns["rank"].max(initial=-1) + 2))

    def find(rank: int) -> None:
        mine = slice(bounds[rank], bounds[rank + 1])
        streams = columns["stream"][mine]
        order = np.argsort(streams, kind="stable")
        ends_ns, first = latest_end_before(streams[order], columns["end_ns"][mine][order])
        ends_ns[first] = NEVER
        latest_ns[mine][order] = ends_ns

    side_by_side(find, range(len(bounds) - 1))
    return latest_ns
