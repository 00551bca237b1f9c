"""Numbering, ordering and joining rows of a trace, whatever schema they were read from.

A rank is a (process, device). Correlation ids are counted by each process for itself, so calls and operations are
joined on (process, correlation id); all nodes of one graph launch share the id of their call.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis import tables
from analysis.intervals import Ints, Mask, rows_by
from analysis.threads import side_by_side

SHAPE = ("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ")
_COPY_KINDS = {0: "copy", 1: "copy HtoD", 2: "copy DtoH", 8: "copy DtoD", 10: "copy PtoP"}
# Of ids that lie closer together than this a table by id is small; others are sorted.
_DENSE = 8
# What a number of rows may reach, which is less than an integer holds.
_WIDE = 1 << 62


def numbered(columns: Sequence[Ints]) -> tuple[Ints, Ints]:
    """The number of each row, the same for equal rows and counted in order of first appearance; and where that is."""
    code, distinct = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        values, (low, span) = column, _range(column)
        if distinct * span >= _WIDE:
            values, found = pd.factorize(column)
            code, seen = pd.factorize(code)
            distinct, low, span = len(seen), 0, len(found)
        if span > 1:
            # In place: memory that is used for the first time takes longer than the sums.
            code *= span
            code += values
            code -= low
        distinct *= span
    code, seen = pd.factorize(code)
    return code, np.searchsorted(np.maximum.accumulate(code), np.arange(len(seen)))


def _range(values: Ints) -> tuple[int, int]:
    """The lowest value, and how many there can be from there to the highest."""
    low = int(values.min()) if len(values) else 0
    return low, int(values.max(initial=low)) - low + 1


def first_rows(code: Ints, count: int) -> Ints:
    """The first row of each number; -1 of one that no row has."""
    first = np.full(count, -1, np.int64)
    # Of several values for one place the last one stays.
    first[code[::-1]] = np.arange(len(code) - 1, -1, -1)
    return first


def in_order(groups: Ints, starts: Ints, ends: Ints, *, longest_first: bool = False) -> tuple[Ints, Ints]:
    """The order of rows by group, start and end; and where in it each group begins, and the last one ends.

    Groups are numbers from 0, and a row of group -1 is left out. nsys writes rows in order of start, which makes
    sorting them by group alone a copy, and what is left to sort is almost in order.
    """
    count = int(groups.max(initial=-1)) + 1
    order = np.argsort(groups.astype(np.int16) if count < 1 << 15 else groups, kind="stable")
    bounds = np.cumsum(np.bincount(groups + 1, minlength=count + 1))
    order, bounds = order[bounds[0] :], bounds - bounds[0]

    def sort(group: int) -> None:
        mine = order[bounds[group] : bounds[group + 1]]
        by = _by_start(starts[mine], lambda rows: -ends[mine[rows]] if longest_first else ends[mine[rows]])
        if by is not None:
            mine[:] = mine[by]

    side_by_side(sort, range(count))
    return order, bounds


def _by_start(starts: Ints, ties: Callable[[Ints], Ints]) -> Ints | None:
    """The order of the starts, of equal ones by what `ties` gives of rows; None where it is the order they lie in."""
    ordered = bool((starts[1:] > starts[:-1]).all())
    if ordered:
        return None
    order = np.argsort(starts, kind="stable")
    starts = starts[order]
    equal = starts[1:] == starts[:-1]
    if equal.any():
        rows = np.flatnonzero(np.concatenate((equal, [False])) | np.concatenate(([False], equal)))
        tied = order[rows]
        order[rows] = tied[np.lexsort((ties(tied), starts[rows]))]
    return order


def signed(code: Ints, rows: pd.DataFrame, ranks: Ints, strings: Mapping[int, str]) -> tuple[Ints, pd.DataFrame]:
    """Number what each operation is, by when it first occurs, and list what the numbers stand for.

    `code` has the row of `rows` (kind, what, SHAPE) that each operation is, and `ranks` its rank, in ascending order.
    """
    code, rows = _numbered_graphs(code, rows, ranks)
    code, seen = pd.factorize(code)
    rows = rows.iloc[seen]
    kinds = [tables.KINDS[kind] for kind in rows["kind"]]
    signatures = pd.DataFrame(
        {
            "signature": np.arange(len(rows)),
            "kind": pd.Categorical(kinds, categories=tables.KINDS),
            "name": [_named(kind, what, strings) for kind, what in zip(kinds, rows["what"], strict=True)],
            "grid": _sides(rows, "grid"),
            "block": _sides(rows, "block"),
        }
    )
    return code, signatures


def _numbered_graphs(code: Ints, rows: pd.DataFrame, ranks: Ints) -> tuple[Ints, pd.DataFrame]:
    """Graph ids differ between processes: number the graphs of each rank in the order of their first launch."""
    graphs = (rows["kind"] == tables.KINDS.index("graph")).to_numpy(bool)[code]
    if not graphs.any():
        return code, rows
    code = code.copy()
    for rank in np.unique(ranks[graphs]):
        mine = graphs & (ranks == rank)
        code[mine] = len(rows) + pd.factorize(code[mine])[0]
    like = rows[rows["kind"] == tables.KINDS.index("graph")].iloc[[0] * (int(code.max()) + 1 - len(rows))]
    return code, pd.concat([rows, like.assign(what=np.arange(len(like)))], ignore_index=True)


def _named(kind: str, what: int, strings: Mapping[int, str]) -> str:
    if kind == "kernel":
        return strings.get(what, f"kernel {what}")
    if kind == "copy":
        return _COPY_KINDS.get(what, f"copy of kind {what}")
    return f"graph {what}" if kind == "graph" else "set"


def _sides(rows: pd.DataFrame, side: str) -> list[str]:
    sizes = rows[[f"{side}X", f"{side}Y", f"{side}Z"]].to_numpy()
    return ["x".join(map(str, size)) if any(size) else "" for size in sizes]


def launching(call_pids: Ints, call_ids: Ints, pids: Ints, ids: Ints) -> Ints:
    """Row of the call that launched each operation, -1 where none is recorded; by process and correlation id.

    Of nested calls that share an id it is the outermost where calls lie in order of start.
    """
    found = np.full(len(pids), -1, np.int64)
    calls_of, rows_of = rows_by(call_pids), rows_by(pids)

    def join(pid: int) -> None:
        calls, mine = calls_of(pid), rows_of(pid)
        at = _first_at(call_ids[calls], ids[mine])
        if isinstance(calls, slice):
            at[at >= 0] += calls.start
            found[mine] = at
        else:
            found[mine] = np.where(at >= 0, np.append(calls, -1)[at], -1)

    side_by_side(join, pd.unique(pids).tolist())
    return found


def _first_at(ids: Ints, wanted: Ints) -> Ints:
    """Where each wanted id first occurs among the ids, -1 where it does not."""
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    low, span = _range(ids)
    if span <= _DENSE * (len(ids) + len(wanted)):
        first = np.append(first_rows(np.subtract(ids, low, dtype=np.int64), span), -1)
        within = (wanted >= low) & (wanted < low + span)
        return first[np.where(within, np.subtract(wanted, low, dtype=np.int64), -1)]
    order = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids[order], wanted), len(order) - 1)
    return np.where(ids[order][at] == wanted, order[at], -1)


def first_of_call(ranks: Ints, calls: Ints) -> Mask:
    """Which operations are the first of their rank that their call (-1 for none) launched. Rows lie rank by rank."""
    first = np.zeros(len(calls), dtype=bool)
    for begin, end in pairwise(np.searchsorted(ranks, np.arange(ranks.max(initial=-1) + 2)).tolist()):
        mine = calls[begin:end]
        low = int(mine.min(initial=0))
        found = first_rows(mine - low, int(mine.max(initial=0)) - low + 1)
        first[begin + found[found >= 0]] = True
    return first & (calls >= 0)


def rank_of_process(pids: Ints, ranks: pd.DataFrame) -> Ints:
    """The rank of each process, -1 for one that drives none or several."""
    alone = ranks[~ranks["global_pid"].duplicated(keep=False)]
    known = dict(zip(alone["global_pid"], alone["rank"], strict=True))
    return np.array([known.get(pid, -1) for pid in pids], np.int64)
