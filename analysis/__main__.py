"""`python -m analysis TRACE_OR_CASE...`: what the decode iterations of traces look like, rank by rank."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from analysis.errors import TraceError
from analysis.summary import stem, summarise
from analysis.validity import contradictions

_WIDTH_WITHOUT_TERMINAL = 170
_HEADINGS = (
    "rank", "GPU", "iter ms", "[p10, p90]", "busy ms", "wait ms", "idle ms", "idle %", "gap us p50", "p90", "p99",
    "overlap %", "ops", "launches", "graphs", "in calls us", "host ms",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Print the summaries; a trace that cannot be used gives its reason on stderr and exit status 1."""
    arguments = _parser().parse_args(argv)
    summaries, failed = [], False
    for given in arguments.traces:
        try:
            for path, name, record in _traces(given):
                try:
                    summaries.append(_summary(path, name, record))
                except TraceError as error:
                    print(error, file=sys.stderr)
                    failed = True
        except TraceError as error:
            print(error, file=sys.stderr)
            failed = True
    if arguments.json:
        print(json.dumps(summaries, indent=2))
    else:
        _print(summaries)
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analysis", description=__doc__)
    what = "a .sqlite or .sqlite.xz export, or a case folder"
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE_OR_CASE", help=what)
    parser.add_argument("--json", action="store_true", help="print a list with one object per trace instead of tables")
    return parser


def _traces(given: Path) -> Iterator[tuple[Path, str, Mapping[str, Any] | None]]:
    """The traces behind an argument: the file itself, or those that a case folder's record names."""
    if not given.is_dir():
        yield given, stem(given), None
        return
    record_path = given / "case.json"
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        name, listed = record["name"], record["files"]["traces"]
        _ = record["asked"]["graphs"], record["asked"]["tp"]
        traces = [(given / entry["file"], f"{name} b{entry['batch']}") for entry in listed]
    except FileNotFoundError:
        raise TraceError(f"{given}: a folder without case.json; expected a trace or the folder of a case") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise TraceError(f"{record_path}: not the record of a case ({error!r}); measure the case again") from error
    if not traces:
        raise TraceError(f"{given}: the case has no trace (tracing was off, or it failed); give a traced case")
    for path, shown in traces:
        yield path, shown, record


def _summary(path: Path, name: str, record: Mapping[str, Any] | None) -> dict[str, Any]:
    summary = summarise(path, name)
    if record is not None:
        summary["contradictions"] = list(contradictions(record, summary))
    return summary


def _print(summaries: Sequence[Mapping[str, Any]]) -> None:
    console = Console(soft_wrap=False, highlight=False)
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL, highlight=False)
    for summary in summaries:
        iter_ms = summary["iter_ms"]
        console.print(
            f"{summary['name']}: nsys {summary['nsys_version']}, TP{summary['tp']}, graphs {summary['graphs']}, "
            f"{summary['iterations']} iterations ({summary['dropped']['count']} dropped), "
            f"{iter_ms['median']:.3f} ms [{iter_ms['p10']:.3f}, {iter_ms['p90']:.3f}]",
            markup=False,
        )
        for text in summary.get("contradictions", ()):
            console.print(f"  the trace contradicts the label: {text}", markup=False)
        for line in _accounts(summary):
            console.print(line, markup=False)
        console.print(_table(summary["ranks"]))


def _accounts(summary: Mapping[str, Any]) -> Iterator[str]:
    """Where the time goes, the check on it, and the slowest call site, a line each; less where it is not known."""
    parts = summary["critical_path_us"]
    if parts["wall"] is not None:
        words = (("compute", "compute"), ("collective", "collectives"), ("launch_idle", "waiting for launches"),
                 ("graph_gap", "gaps in graphs"), ("other_gap", "other gaps"), ("residual", "residual"))  # fmt: skip
        shown = " + ".join(f"{word} {parts[name]:.0f}" for name, word in words)
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


def _table(ranks: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(*_HEADINGS, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.justify, column.no_wrap = "right", True
    for rank in ranks:
        iter_ms, gap_us = rank["iter_ms"], rank["gap_us"]
        table.add_row(
            str(rank["rank"]), "?" if rank["device"] < 0 else str(rank["device"]),
            f"{iter_ms['median']:.3f}", f"\\[{iter_ms['p10']:.3f}, {iter_ms['p90']:.3f}]",
            f"{rank['busy_ms']:.3f}", _number(rank["wait_ms"]),
            f"{rank['idle_ms']:.3f}", f"{100 * rank['idle_ratio']:.1f}",
            *("-" if gap is None else f"{gap:.2f}" for gap in gap_us.values()),
            f"{100 * rank['overlap_ratio']:.1f}", f"{rank['operations']:g}", f"{rank['launches']:g}",
            f"{rank['graph_launches']:g}", f"{rank['launch_call_us']:.1f}", _number(rank["host_ms"]),
        )  # fmt: skip
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
