"""What a summary says of a trace in lines of text: what was kept and why, whether it is fit, and where time goes.

What it says rank by rank is in tables, in terminal.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from analysis.names import short
from analysis.steps import KINDS, REASONS
from analysis.words import counted, often

_PATH = (
    *(("compute", "compute"), ("collective", "collectives"), ("launch_idle", "waiting for launches")),
    *(("graph_gap", "gaps in graphs"), ("other_gap", "other gaps"), ("residual", "residual")),
)
_DELTAS = {
    "other": "queued",
    "pdl": "dependent launch",
    "graph": "node of a graph",
    "graph_launch": "first node",
}
_SITES_SHOWN = 3


def lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Of a summary as summary.summarise gives it: the header, then a line a subject; less where less is known."""
    yield _header(summary)
    yield _steps(summary["steps"])
    for text in summary.get("contradictions", ()):
        yield f"the trace contradicts the label: {text}"
    yield from _fitness(summary["fitness"])
    yield from _path(summary["critical_path_us"])
    yield from _collectives(summary)
    if summary["graph_tracing"] != "unseen":
        yield _law(summary["launch_law"])
    yield from _sites(summary["slow_sites"])


def _header(summary: Mapping[str, Any]) -> str:
    iter_ms = summary["iter_ms"]
    return (
        f"{summary['name']}: nsys {summary['nsys_version']}, TP{summary['tp']}, graphs {summary['graphs']}, "
        f"{counted(summary['iterations'], 'iteration')} ({summary['dropped']['count']} dropped), "
        f"{iter_ms['median']:.3f} ms [{iter_ms['p10']:.3f}, {iter_ms['p90']:.3f}]"
    )


def _steps(steps: Mapping[str, Any]) -> str:
    """How many steps of each kind there were, and what became of them."""
    seen = _listed(f"{steps[kind]} {kind}" for kind in KINDS if steps[kind])
    batch = "" if steps["sequences"] is None else f" of batch {steps['sequences']}"
    dropped = [f"{count} ({REASONS[reason]})" for reason, count in steps["dropped"].items()]
    if steps["open_ends"]:
        dropped.append(f"{steps['open_ends']} (an end of the capture without an anchor)")
    return f"steps: {seen}; kept {steps['kept']}{batch}; left out {_listed(dropped)}"


def _fitness(fitness: Mapping[str, Any]) -> Iterator[str]:
    """Why no verdict may rest on the trace, with what to record instead, and what to bear in mind; a line each."""
    failed = [check for check in fitness["checks"] if not check["passed"]]
    for check in sorted(failed, key=lambda check: not check["gates"]):
        word = "unfit, no verdict" if check["gates"] else "note"
        yield f"{word}: {check['name']}: {check['found']}; expected {check['expected']}; {check['remedy']}"


def _path(parts: Mapping[str, float | None]) -> Iterator[str]:
    if parts["wall"] is not None:
        shown = " + ".join(f"{word} {_whole(parts[name])}" for name, word in _PATH)
        yield f"critical path, us: {_whole(parts['wall'])} = {shown}"


def _collectives(summary: Mapping[str, Any]) -> Iterator[str]:
    found = summary["collectives"]
    if found["disagreement"] and summary["tp"] > 1:
        yield f"collectives do not match over ranks: {found['disagreement']}"
    elif found["end_skew_us"]["median"] is not None:
        last = max(summary["ranks"], key=lambda rank: rank["straggler_ratio"])
        yield (
            f"idle + wait agrees over ranks within {found['idle_plus_wait_spread_points']:.1f} points; "
            f"rank {last['rank']} arrives last in {last['straggler_ratio']:.0%} of collectives"
        )


def _law(law: Mapping[str, Any]) -> str:
    """The law of launching with its constants, and how well it holds."""
    lag = _listed(f"{name} {us:.2f}" for name, us in law["lag_us"].items()) or "no call on an idle GPU"
    delta = _listed(f"{word} {law['delta_us'][name]:.2f}" for name, word in _DELTAS.items() if name in law["delta_us"])
    holds = (
        f"holds within 2 us for {law['fit_ratio']:.1%} of {law['operations']}" if law["fit_ratio"] is not None else "no"
    )
    return (
        f"law of launching, start = max(return of the call + lag, end before + delta): {holds} operations outside "
        f"graphs; lag, us: {lag}; delta, us: {delta or 'nothing was queued'}"
    )


def _sites(sites: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Where the host takes long between two launches, longest total first."""
    found = list(sites)
    for site in found[:_SITES_SHOWN]:
        yield (
            f"slow call site: {often(site['per_iteration'])} an iteration, {_whole(site['interval_us'])} us between "
            f"launches (median), {_whole(1e3 * site['total_ms'])} us an iteration in all (mean): "
            f"after {short(site['before'])}, before {short(site['after'])}"
        )
    if len(found) > _SITES_SHOWN:
        yield f"and {counted(len(found) - _SITES_SHOWN, 'more slow call site')}: --json"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _whole(us: float | None) -> str:
    return "-" if us is None else f"{us:.0f}"
