"""Summaries and comparisons as people read them in a terminal: lines and tables of text, whole at 80 columns."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.account_lines import lines
from analysis.compare import Comparison
from analysis.names import short

_WIDTH_WITHOUT_TERMINAL = 170
# All tables fit into that; a narrower terminal breaks lines, which loses nothing.
_WIDTH_LEAST = 80
_INDENT = "  "
_KERNELS_SHOWN = 16


def console() -> Console:
    """Where to print: as wide as the terminal, or wide enough for long lines where there is none."""
    return Console(width=room(Console(highlight=False)) or _WIDTH_WITHOUT_TERMINAL, highlight=False)


def room(where: Console) -> int | None:
    """How many letters a line has in a terminal; None where there is none, and lines stay whole."""
    return max(where.width, _WIDTH_LEAST) if where.is_terminal else None


def show(summaries: Sequence[Mapping[str, Any]], where: Console) -> None:
    """Print what summary.summarise gives, trace by trace."""
    for summary in summaries:
        header, *others = lines(summary)
        _line(header, where)
        for text in others:
            _line(f"{_INDENT}{text}", where)
        for title, columns in _RANKS.items():
            where.print(_ranks(title, columns, summary["ranks"]))


def show_comparison(found: Comparison, where: Console) -> None:
    """Print one comparison: what it says, what weakens it, then groups, kernels and measures side by side."""
    off, on = found.off.summary["name"], found.on.summary["name"]
    _line(f"{off} (off) beside {on} (on): TP{found.off.summary['tp']}, batch {_batch(found)}", where)
    _line(f"{_INDENT}{found.sentence}", where)
    for text in found.warnings:
        _line(f"{_INDENT}warning: {text}", where)
    for table in (_groups(found.groups), _kernels(found.kernels), _measures(found.measures)):
        if table.row_count:
            where.print(table)


def _line(text: str, where: Console) -> None:
    """A line; in a terminal broken between words, elsewhere left whole for whatever reads it."""
    if where.is_terminal:
        broken = textwrap.wrap(text, where.width, subsequent_indent=2 * _INDENT, break_on_hyphens=False)
        text = "\n".join(broken)
    where.print(text, markup=False, soft_wrap=True)


def _ms(value: float | None) -> str:
    """At most six letters, up to 100 s."""
    digits = 3 if value is None or value < 100 else 1
    return _number(value, digits)


def _us(value: float | None) -> str:
    return _number(value, 1 if value is None or abs(value) < 1000 else 0)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.1f}"


_HOST = "host, us of an iteration; t_launch, leads and queue of a launch"
_FOOTNOTE = "others: without calls that only ask, which this recording leaves out"
_Columns = Mapping[str, tuple[str, Callable[[Any], str]]]
# Of each table of ranks the headings, with the key of the summary and how it is written.
_RANKS: Mapping[str, _Columns] = {
    "GPU, ms of an iteration, medians": {
        "rank": ("rank", str),
        "GPU": ("device", lambda device: "?" if device < 0 else str(device)),
        "median": ("iter_ms.median", _ms),
        "p10": ("iter_ms.p10", _ms),
        "p90": ("iter_ms.p90", _ms),
        "busy": ("busy_ms", _ms),
        "useful": ("useful_ms", _ms),
        "wait": ("wait_ms", _ms),
        "idle": ("idle_ms", _ms),
    },
    "GPU, per iteration; gaps in us; last at collectives": {
        "rank": ("rank", str),
        "ops": ("operations", _count),
        "launches": ("launches", _count),
        "graphs": ("graph_launches", _count),
        "overlap %": ("overlap_ratio", _percent),
        "gap p50": ("gap_us.p50", lambda us: _number(us, 2)),
        "p90": ("gap_us.p90", lambda us: _number(us, 2)),
        "p99": ("gap_us.p99", lambda us: _number(us, 2)),
        "last %": ("straggler_ratio", _percent),
    },
    _HOST: {
        "rank": ("rank", str),
        "launches": ("host_us.launch_call", _us),
        "others": ("host_us.other_call", _us),
        "waits": ("host_us.wait", _us),
        "framework": ("host_us.framework", _us),
        "t_launch": ("t_launch_us", _us),
        "lead": ("lead_us", _us),
        "graph lead": ("graph_lead_us", _us),
        "queued": ("queue_median_launches", _count),
    },
}


def _ranks(title: str, columns: _Columns, ranks: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(*columns, names=0, title=title)
    if title == _HOST and any(_unasked(rank["host_us"]) for rank in ranks):
        table.caption, table.caption_justify = _FOOTNOTE, "left"
    for rank in ranks:
        table.add_row(*(written(_at(rank, key)) for key, written in columns.values()))
    return table


def _unasked(host_us: Mapping[str, float | None]) -> bool:
    return host_us["asking"] is None and host_us["other_call"] is not None


def _at(rank: Mapping[str, Any], key: str) -> Any:
    """The value of a key such as gap_us.p50."""
    outer, _, inner = key.partition(".")
    return rank[outer][inner] if inner else rank[outer]


def _groups(groups: pd.DataFrame) -> Table:
    table = _table("per iteration, by group", "n off", "n on", "us off", "us on", "saved")
    for row in groups.to_dict("records"):
        table.add_row(str(row["group"]), *_sides(row))
    return table


def _kernels(kernels: pd.DataFrame) -> Table:
    """The greatest differences; what is the same is left out."""
    differing = kernels[kernels["change"] != "same"]
    left = len(differing) - _KERNELS_SHOWN
    table = _table("kernels that differ", "what, how", "n off", "n on", "us off", "us on", "saved", names=2)
    for row in differing.head(_KERNELS_SHOWN).to_dict("records"):
        name = short(row["on_name"] or row["off_name"])
        table.add_row(escape(name), f"{row['group']}, {row['change'].replace('_', ' ')}", *_sides(row))
    if left > 0:
        table.add_row(f"and {left} more: --json", *[""] * 6)
    return table


def _measures(measures: pd.DataFrame) -> Table:
    table = _table("quantity", "off", "on", "saved")
    for row in measures.to_dict("records"):
        table.add_row(row["quantity"], *(_rounded(row[side]) for side in ("off", "on", "saved")))
    return table


def _table(*headings: str, names: int = 1, title: str | None = None) -> Table:
    """A table whose first columns are words, broken where they are long, and all others numbers, which never are."""
    table = Table(
        *headings, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
    )
    for number, column in enumerate(table.columns):
        column.justify, column.no_wrap = ("left", False) if number < names else ("right", True)
        column.overflow = "fold"
    return table


def _sides(row: Mapping[Any, Any]) -> Iterator[str]:
    for key in ("off_per_iteration", "on_per_iteration"):
        yield f"{row[key]:.2f}".removesuffix("00").removesuffix(".")
    yield from (_rounded(row[key]) for key in ("off_us", "on_us", "saved_us"))


def _rounded(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.1f}"


def _batch(found: Comparison) -> str:
    sizes = {str(side.summary["steps"]["sequences"] or "unknown") for side in (found.off, found.on)}
    return " and ".join(sorted(sizes))
