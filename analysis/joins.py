"""Numbering and joining rows of a trace, whatever schema they were read from.

A rank is a (process, device). Correlation ids are counted by each process for itself, so calls and operations are
joined on (process, correlation id); all nodes of one graph launch share the id of their call.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis import tables
from analysis.intervals import Ints, Mask, latest_end_before

SHAPE = ("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ")
_COPY_KINDS = {0: "copy", 1: "copy HtoD", 2: "copy DtoH", 8: "copy DtoD", 10: "copy PtoP"}


def signed(operations: pd.DataFrame, strings: Mapping[int, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Number what each operation is, and list what the numbers stand for."""
    operations = operations.assign(what=_numbered_graphs(operations))
    code = np.zeros(len(operations), np.int64)
    for column in ("kind", "what", *SHAPE):
        values, distinct = pd.factorize(operations[column].to_numpy())
        code = pd.factorize(code * len(distinct) + values)[0]
    first = operations.iloc[np.unique(code, return_index=True)[1]]
    kinds = [tables.KINDS[kind] for kind in first["kind"]]
    signatures = pd.DataFrame(
        {
            "signature": np.arange(len(first)),
            "kind": pd.Categorical(kinds, categories=tables.KINDS),
            "name": [_named(kind, what, strings) for kind, what in zip(kinds, first["what"], strict=True)],
            "grid": _sides(first, "grid"),
            "block": _sides(first, "block"),
        }
    )
    return operations.assign(signature=code), signatures


def _numbered_graphs(operations: pd.DataFrame) -> Ints:
    """Graph ids differ between processes: number the graphs of each rank in the order of their first launch."""
    what = operations["what"].to_numpy(np.int64, copy=True)
    graphs = (operations["kind"] == tables.KINDS.index("graph")).to_numpy(bool)
    for rank in operations.loc[graphs, "rank"].unique():
        mine = graphs & (operations["rank"] == rank).to_numpy(bool)
        what[mine] = pd.factorize(what[mine])[0]
    return what


def _named(kind: str, what: int, strings: Mapping[int, str]) -> str:
    if kind == "kernel":
        return strings.get(what, f"kernel {what}")
    if kind == "copy":
        return _COPY_KINDS.get(what, f"copy of kind {what}")
    return f"graph {what}" if kind == "graph" else "set"


def _sides(rows: pd.DataFrame, side: str) -> list[str]:
    sizes = rows[[f"{side}X", f"{side}Y", f"{side}Z"]].to_numpy()
    return ["x".join(map(str, size)) if any(size) else "" for size in sizes]


def launching(operations: pd.DataFrame, calls: pd.DataFrame) -> Ints:
    """Row of the call that launched each operation, -1 where none is recorded.

    Of nested calls that share an id it is the outermost, because calls lie in order of start.
    """
    pids, _ = pd.factorize(np.concatenate([calls["global_pid"], operations["global_pid"]]))
    keys = (pids.astype(np.int64) << 32) + np.concatenate([calls["correlation"], operations["correlation"]])
    call_keys, wanted = keys[: len(calls)], keys[len(calls) :]
    order = np.argsort(call_keys, kind="stable")
    if not len(order):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(call_keys[order], wanted), len(order) - 1)
    return np.where(call_keys[order][at] == wanted, order[at], -1)


def rank_of_process(pids: Ints, ranks: pd.DataFrame) -> Ints:
    """The rank of each process, -1 for one that drives none or several."""
    alone = ranks[~ranks["global_pid"].duplicated(keep=False)]
    code, distinct = pd.factorize(pids)
    known = dict(zip(alone["global_pid"], alone["rank"], strict=True))
    return np.array([known.get(pid, -1) for pid in distinct], np.int64)[code] if len(pids) else pids


def outermost(threads: Ints, starts: Ints, ends: Ints) -> Mask:
    """Calls of each thread, in order of start: which begin after all earlier ones have returned."""
    latest, first = latest_end_before(threads, ends)
    return first | (starts >= latest)
