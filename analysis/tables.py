"""Every table of the analysis, column by column, with units; `conform` holds them at the boundary."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from analysis.errors import TraceError

KINDS = ("kernel", "copy", "set", "graph")
UNITS = {
    "ns": "ns", "us": "us", "ms": "ms", "tok_s": "tokens/s", "s": "s", "ratio": "ratio", "launches": "launches",
    "qps": "requests/s", "gib": "GiB", "w": "W",
}  # fmt: skip
CALL_KINDS = ("launch", "graph", "copy", "set", "wait", "other")
CAUSES = ("launch", "dependency", "graph", "overlap", "unknown", "none")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its name (ending in its unit where it has one), its pandas dtype and what it means."""

    name: str
    dtype: str
    meaning: str

    @property
    def unit(self) -> str:
        """What the name ends in, an iteration or percentile aside, as a unit; empty for a count, an id or a text."""
        words = "_" + re.sub(r"_per_iteration$|_p\d+$", "", self.name)
        return next((unit for ending, unit in UNITS.items() if words.endswith(f"_{ending}")), "")


def one_of(values: Iterable[str]) -> str:
    """What a column that holds one of these values means."""
    return f"one of {', '.join(values)}"


def _columns(*rows: tuple[str, str, str]) -> tuple[Column, ...]:
    return tuple(Column(name=name, dtype=dtype, meaning=meaning) for name, dtype, meaning in rows)


RANKS = _columns(
    ("rank", "int64", "0..n-1, in the order of the GPUs"),
    ("global_pid", "int64", "the process, as nsys numbers it"),
    ("process_device", "int64", "the GPU as the process numbers it (deviceId)"),
    ("device", "int64", "the GPU as the host numbers it; -1 where the trace does not say"),
    ("gpu_name", "str", "the GPU's product name; empty where the trace does not say"),
    ("operations", "int64", "rows of `operations` that belong to the rank"),
)
SIGNATURES = _columns(
    ("signature", "int64", "what an operation is: equal names, grids and blocks share it on all ranks"),
    ("kind", "category", one_of(KINDS)),
    ("name", "str", "demangled kernel name, copy kind, or graph number"),
    ("grid", "str", "XxYxZ of a kernel, else empty"),
    ("block", "str", "XxYxZ of a kernel, else empty"),
)
OPERATIONS = _columns(
    ("rank", "int64", "row of `ranks`"),
    ("stream", "int64", "CUDA stream, unique within its rank"),
    ("start_ns", "int64", "when the GPU began; may be negative"),
    ("end_ns", "int64", "when the GPU finished"),
    ("latest_end_ns", "int64", "the latest end of all earlier operations of the rank; -2**62 for the first"),
    ("signature", "int64", "row of `signatures`"),
    ("graph_node", "int64", "id of the graph node that it was; -1 outside a graph"),
    ("call", "int64", "row of `calls` that launched it; -1 where none was recorded"),
    ("first_of_call", "bool", "first of what its call launched on the rank; false where no call was recorded"),
)
CALLS = _columns(
    ("rank", "int64", "the rank whose process called; -1 where the process drives no rank or several"),
    ("thread", "int64", "the calling thread, as nsys numbers it (globalTid)"),
    ("start_ns", "int64", "when the call began on the host"),
    ("end_ns", "int64", "when it returned"),
    ("kind", "category", one_of(CALL_KINDS)),
    ("name", "category", "the API function, without its version suffix"),
    ("outermost", "bool", "not inside another recorded call of its thread"),
    ("asking_ns", "int64", "time in calls that only ask, since the call before; 0 where a recording does not say"),
)
RANGES = _columns(
    ("thread", "int64", "the thread that opened the range (globalTid)"),
    ("start_ns", "int64", "when it opened"),
    ("end_ns", "int64", "when it closed; its start where it never did"),
    ("closed", "bool", "whether its end was recorded"),
    ("text", "str", "the NVTX message"),
)
LEFT_OUT = _columns(
    ("table_name", "str", "the table of the export that rows were left out of"),
    ("name", "str", "the API function, or `*` for the table as a whole"),
    ("rows", "int64", "how many rows"),
    ("time_ns", "Int64", "their summed duration, NA where they have none"),
)
ITERATIONS = _columns(
    ("rank", "int64", "row of `ranks`"),
    ("iteration", "int64", "number of the decode iteration, the same on all ranks"),
    ("start_ns", "int64", "end of the anchor before (not included)"),
    ("end_ns", "int64", "end of the anchor (included)"),
)
SAMPLES = _columns(
    ("rank", "int64", "row of `ranks`"),
    ("iteration", "int64", "number of the decode iteration"),
    ("quantity", "str", "what was measured; ends in its unit"),
    ("value", "float64", "in that unit"),
)

# What causes.label tells of operations: absent outside the steady iterations.
GAPS = _columns(
    ("iteration", "int64", "the decode iteration in which it ended; -1 outside the steady ones"),
    ("gap_ns", "Int64", "how long the GPU had run nothing when it began; NA outside the steady iterations"),
    ("overlap_ns", "Int64", "how long before the latest end of all earlier operations it began; NA outside"),
    ("cause", "category", f"why the GPU stood idle before it, {one_of(CAUSES)}; NA outside"),
    ("launch_exposed_ns", "Int64", "the part of a launch-caused gap that an earlier launch would save; NA outside"),
)
_UNASKED = "NaN where a recording does not say: other_call_us lacks them, and framework_us has them"
HOST = _columns(
    ("rank", "int64", "row of `ranks`"),
    ("iteration", "int64", "number of the decode iteration"),
    ("launches", "float64", "calls that start work, now or iterations later: kernels, graphs, copies, memsets"),
    ("launch_call_us", "float64", "time in those calls; in `samples` in the calls that started the GPU's iteration"),
    ("other_call_us", "float64", "time in other CUDA calls"),
    ("wait_us", "float64", "time in calls that block: synchronise, copies that are not asynchronous"),
    ("framework_us", "float64", "the rest: Python and the framework"),
    ("asking_us", "float64", f"of other_call_us, in calls that only ask; {_UNASKED}"),
    ("largest_interval_us", "float64", "the longest stretch between two launches, without blocking calls in it"),
    ("host_ms", "float64", "the iteration of the host without wait_us and largest_interval_us"),
    ("t_launch_us", "float64", "the iteration of the host without wait_us, per launch"),
    ("lead_us", "float64", "median from return of a launch call to start of its work, outside graphs"),
    ("graph_lead_us", "float64", "median from begin of a graph's launch call to start of its first node"),
    ("queue_median_launches", "float64", "launches that had returned but not started as another began, median"),
    ("queue_max_launches", "float64", "the most of these"),
)
SITES = _columns(
    ("before", "str", "name of what the call before launched; of a graph its last node"),
    ("after", "str", "name of what the call after launched; of a graph its first node"),
    ("per_iteration", "float64", "how often in an iteration of one rank"),
    ("interval_us", "float64", "median from return of one launch to begin of the next, blocking calls taken out"),
    ("total_ms", "float64", "all of them in an iteration of one rank"),
    ("typical_ratio", "float64", "interval_us over the median interval of the whole trace"),
)


def conform(frame: pd.DataFrame, columns: tuple[Column, ...], table: str) -> pd.DataFrame:
    """Return the frame with exactly these columns, in order and of these types.

    Raises TraceError where a column is absent or cannot have its type.
    """
    absent = [column.name for column in columns if column.name not in frame.columns]
    if absent:
        raise TraceError(f"table {table} lacks {', '.join(absent)}; it has {', '.join(map(str, frame.columns))}")
    wanted = {column.name: column.dtype for column in columns}
    try:
        return frame[list(wanted)].astype(wanted).reset_index(drop=True)
    except (TypeError, ValueError) as error:
        raise TraceError(f"table {table} has a value that its column cannot hold: {error}") from error
