"""Whether a trace proves the label of its case: what was asked is only a claim until the GPUs confirm it."""

from collections.abc import Mapping
from typing import Any

from analysis.extract import Activity

LEAST_STEPS = 64


def contradictions(record: Mapping[str, Any], summary: Mapping[str, Any]) -> tuple[str, ...]:
    """What in the trace speaks against the record of its case; empty where the label is proven.

    Graphs on means at least one graph launch per decode iteration on every rank, off means none on any. All ranks
    must have been traced, for as many steady iterations as were asked for; while serving, for any.
    """
    asked = record["asked"]
    found = [_graphs(asked["graphs"], rank) for rank in summary["ranks"]]
    found.append(_number("ranks", _gpus(asked), summary["tp"], exactly=True))
    least = 1 if asked.get("serving") else asked.get("traced_steps") or LEAST_STEPS
    found.append(_number("steady decode iterations", least, summary["iterations"], exactly=False))
    return tuple(text for text in found if text)


def contradicting_calls(record: Mapping[str, Any], activity: Activity) -> tuple[str, ...]:
    """The same by the graph launches of the whole capture alone, for one in which no steady iterations are found.

    Of stages and replicas each runs its own steps, and while serving batches may change with every step.
    """
    asked, calls = record["asked"], activity.calls
    launched = calls.loc[calls["kind"] == "graph", "rank"].value_counts()
    found = [_number("ranks", _gpus(asked), len(activity.ranks), exactly=True)]
    for rank in activity.ranks["rank"]:
        count = int(launched.get(rank, 0))
        if (count > 0) != (asked["graphs"] == "on"):
            found.append(f"rank {rank}: graphs are {asked['graphs']} by the label, but {count} graphs were launched")
    return tuple(text for text in found if text)


def _gpus(asked: Mapping[str, Any]) -> int:
    return int(asked["tp"]) * int(asked.get("pp", 1)) * int(asked.get("dp", 1))


def unfit(record: Mapping[str, Any], summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Why no verdict may rest on the capture, whatever its label: a text for each failed check that voids it.

    Graphs that were recorded whole are no failure where that was asked for: the case measures what tracing costs.
    Graphs of which nothing was recorded always are.
    """
    failed = [check for check in summary["fitness"]["checks"] if check["gates"] and not check["passed"]]
    if record["asked"].get("tracing") == "graph" and summary["graph_tracing"] == "graph":
        failed = [check for check in failed if check["name"] != "graph nodes"]
    return tuple(f"{check['name']}: {check['found']}; {check['remedy']}" for check in failed)


def _graphs(asked: str, rank: Mapping[str, Any]) -> str:
    least, most = rank["graph_launches_range"]
    if least is None or most is None:
        return f"rank {rank['rank']}: graphs were launched, but in which iterations is not known"
    if asked == "on" and least < 1:
        return f"rank {rank['rank']}: graphs are on by the label, but an iteration has {least:g} graph launches"
    if asked == "off" and most > 0:
        return f"rank {rank['rank']}: graphs are off by the label, but an iteration has {most:g} graph launches"
    return ""


def _number(what: str, wanted: int, traced: int, *, exactly: bool) -> str:
    if traced == wanted or (traced > wanted and not exactly):
        return ""
    return f"{traced} {what} traced, {'' if exactly else 'at least '}{wanted} expected"
