"""Whether a trace proves the label of its case: what was asked is only a claim until the GPUs confirm it."""

from collections.abc import Mapping
from typing import Any

LEAST_STEPS = 64


def contradictions(record: Mapping[str, Any], summary: Mapping[str, Any]) -> tuple[str, ...]:
    """What in the trace speaks against the record of its case; empty where the label is proven.

    Graphs on means at least one graph launch per decode iteration on every rank, off means none on any. All ranks
    must have been traced, for as many steady iterations as were asked for.
    """
    asked = record["asked"]
    found = [_graphs(asked["graphs"], rank) for rank in summary["ranks"]]
    found.append(_number("ranks", asked["tp"], summary["tp"], exactly=True))
    least = asked.get("traced_steps") or LEAST_STEPS
    found.append(_number("steady decode iterations", least, summary["iterations"], exactly=False))
    return tuple(text for text in found if text)


def unfit(record: Mapping[str, Any], summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Why no verdict may rest on the capture, whatever its label: a text for each failed check that voids it.

    Graphs that were recorded whole are no failure where that was asked for: the case measures what tracing costs.
    """
    failed = [check for check in summary["fitness"]["checks"] if check["gates"] and not check["passed"]]
    if record["asked"].get("tracing") == "graph":
        failed = [check for check in failed if check["name"] != "graph nodes"]
    return tuple(f"{check['name']}: {check['found']}; {check['remedy']}" for check in failed)


def _graphs(asked: str, rank: Mapping[str, Any]) -> str:
    least, most = rank["graph_launches_range"]
    if asked == "on" and least < 1:
        return f"rank {rank['rank']}: graphs are on by the label, but an iteration has {least:g} graph launches"
    if asked == "off" and most > 0:
        return f"rank {rank['rank']}: graphs are off by the label, but an iteration has {most:g} graph launches"
    return ""


def _number(what: str, wanted: int, traced: int, *, exactly: bool) -> str:
    if traced == wanted or (traced > wanted and not exactly):
        return ""
    return f"{traced} {what} traced, {'' if exactly else 'at least '}{wanted} expected"
