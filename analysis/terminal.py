"""Summaries and comparisons as people read them in a terminal: lines and tables of text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.compare import Comparison
from analysis.groups import family

_WIDTH_WITHOUT_TERMINAL = 170
_KERNELS_SHOWN = 16
_HEADINGS = (
    "rank", "GPU", "iter ms", "[p10, p90]", "busy ms", "wait ms", "idle ms", "idle %", "gap us p50", "p90", "p99",
    "overlap %", "ops", "launches", "graphs", "in calls us", "host ms",
)  # fmt: skip


def console() -> Console:
    """Where to print: as wide as the terminal, or wide enough for every table where there is none."""
    found = Console(soft_wrap=False, highlight=False)
    return found if found.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL, highlight=False)


def show(summaries: Sequence[Mapping[str, Any]], where: Console) -> None:
    """Print what summary.summarise gives, trace by trace."""
    for summary in summaries:
        iter_ms = summary["iter_ms"]
        where.print(
            f"{summary['name']}: nsys {summary['nsys_version']}, TP{summary['tp']}, graphs {summary['graphs']}, "
            f"{summary['iterations']} iterations ({summary['dropped']['count']} dropped), "
            f"{iter_ms['median']:.3f} ms [{iter_ms['p10']:.3f}, {iter_ms['p90']:.3f}]",
            markup=False,
        )
        for text in summary.get("contradictions", ()):
            where.print(f"  the trace contradicts the label: {text}", markup=False)
        for line in (*_fitness(summary["fitness"]), *_accounts(summary)):
            where.print(line, markup=False, soft_wrap=True)
        where.print(_ranks(summary["ranks"]))


def show_comparison(found: Comparison, where: Console) -> None:
    """Print one comparison: what it says, what weakens it, then groups, kernels and measures side by side."""
    off, on = found.off.summary["name"], found.on.summary["name"]
    where.print(f"{off} (off) beside {on} (on): TP{found.off.summary['tp']}, batch {_batch(found)}", markup=False)
    where.print(f"  {found.sentence}", markup=False, soft_wrap=True)
    for text in found.warnings:
        where.print(f"  warning: {text}", markup=False, soft_wrap=True)
    for table in (_groups(found.groups), _kernels(found.kernels), _measures(found.measures)):
        where.print(table)


def _fitness(fitness: Mapping[str, Any]) -> Iterator[str]:
    """Why no verdict may rest on the trace, with what to record instead, and what to bear in mind; a line each."""
    failed = [check for check in fitness["checks"] if not check["passed"]]
    for check in sorted(failed, key=lambda check: not check["gates"]):
        word = "unfit, no verdict" if check["gates"] else "note"
        yield f"  {word}: {check['name']}: {check['found']}; expected {check['expected']}; {check['remedy']}"


def _accounts(summary: Mapping[str, Any]) -> Iterator[str]:
    """Where the time goes, the check on it, and the slowest call site, a line each; less where it is not known."""
    parts = summary["critical_path_us"]
    if parts["wall"] is not None:
        words = (("compute", "compute"), ("collective", "collectives"), ("launch_idle", "waiting for launches"),
                 ("graph_gap", "gaps in graphs"), ("other_gap", "other gaps"), ("residual", "residual"))  # fmt: skip
        shown = " + ".join(f"{word} {_number(parts[name], 0)}" for name, word in words)
        yield f"  critical path, us: {parts['wall']:.0f} = {shown}"
    found = summary["collectives"]
    if found["disagreement"]:
        yield f"  collectives do not match over ranks: {found['disagreement']}"
    elif found["end_skew_us"]["median"] is not None:
        last = max(summary["ranks"], key=lambda rank: rank["straggler_ratio"])
        yield (
            f"  idle + wait agrees over ranks within {found['idle_plus_wait_spread_points']:.1f} points; "
            f"rank {last['rank']} arrives last in {last['straggler_ratio']:.0%} of collectives"
        )


def _ranks(ranks: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(*_HEADINGS)
    for rank in ranks:
        iter_ms, gap_us = rank["iter_ms"], rank["gap_us"]
        table.add_row(
            str(rank["rank"]), "?" if rank["device"] < 0 else str(rank["device"]),
            f"{iter_ms['median']:.3f}", f"\\[{iter_ms['p10']:.3f}, {iter_ms['p90']:.3f}]",
            *(_number(rank[name]) for name in ("busy_ms", "wait_ms", "idle_ms")), _percent(rank["idle_ratio"]),
            *(_number(gap, 2) for gap in gap_us.values()), _percent(rank["overlap_ratio"]),
            *(_count(rank[name]) for name in ("operations", "launches", "graph_launches")),
            _number(rank["launch_call_us"], 1), _number(rank["host_ms"]),
        )  # fmt: skip
    return table


def _groups(groups: pd.DataFrame) -> Table:
    table = _table("per iteration, by group", "count off", "on", "us off", "on", "saved us")
    for row in groups.to_dict("records"):
        table.add_row(str(row["group"]), *_sides(row))
    return table


def _kernels(kernels: pd.DataFrame) -> Table:
    """The greatest differences; what is the same is left out."""
    differing = kernels[kernels["change"] != "same"]
    left = len(differing) - _KERNELS_SHOWN
    table = _table("kernels that differ", "group", "change", "count off", "on", "us off", "on", "saved us", names=3)
    for row in differing.head(_KERNELS_SHOWN).to_dict("records"):
        name = row["on_name"] or row["off_name"]
        shown = family(name) if row["kind"] == "kernel" else name
        table.add_row(escape(_short(shown)), str(row["group"]), row["change"].replace("_", " "), *_sides(row))
    if left > 0:
        table.add_row(f"and {left} more: --json", *[""] * 7)
    return table


def _measures(measures: pd.DataFrame) -> Table:
    table = _table("quantity", "off", "on", "saved")
    for row in measures.to_dict("records"):
        table.add_row(row["quantity"], *(_rounded(row[side]) for side in ("off", "on", "saved")))
    return table


def _table(*headings: str, names: int = 1) -> Table:
    """A table whose first columns are words, and all others numbers."""
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    words = 0 if headings is _HEADINGS or headings[0] == "rank" else names
    for number, column in enumerate(table.columns):
        column.justify, column.no_wrap = "left" if number < words else "right", True
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


def _short(name: str) -> str:
    """The end of a kernel's name tells more than its namespaces."""
    return name if len(name) <= 60 else "..." + name[-57:]


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _percent(ratio: float | None) -> str:
    return "-" if ratio is None else f"{100 * ratio:.1f}"
