"""Every table of the analysis, column by column, with units; `conform` holds them at the boundary."""

from dataclasses import dataclass

import pandas as pd

from analysis.errors import TraceError

KINDS = ("kernel", "copy", "set", "graph")
CALL_KINDS = ("launch", "graph", "copy", "set", "wait", "other")


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its name (ending in its unit where it has one), its pandas dtype and what it means."""

    name: str
    dtype: str
    meaning: str


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
    ("kind", "category", "one of KINDS"),
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
)
CALLS = _columns(
    ("rank", "int64", "the rank whose process called; -1 where the process drives no rank or several"),
    ("thread", "int64", "the calling thread, as nsys numbers it (globalTid)"),
    ("start_ns", "int64", "when the call began on the host"),
    ("end_ns", "int64", "when it returned"),
    ("kind", "category", "one of CALL_KINDS"),
    ("name", "category", "the API function, without its version suffix"),
    ("outermost", "bool", "not inside another recorded call of its thread"),
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
