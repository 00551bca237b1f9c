"""Whether two traces are one experiment with graphs off and on: what forbids a comparison, and what weakens it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.errors import TraceError
from analysis.groups import family
from analysis.recording_checks import NODES
from analysis.words import counted

_SPLIT_SUM = re.compile(r"splitk_?reduce", re.IGNORECASE)
# The products of one model on one GPU took within 3 % of each other in every recorded pair.
_PRODUCTS_TOLERANCE = 0.1
# Of the functions beside matrix products at most a third ran on one side alone where torch.compile came with graphs;
# from engine to engine, three in five and more.
_STRANGE_MOST = 0.5


def refuse(off: Mapping[str, Any], on: Mapping[str, Any]) -> None:
    """Raise TraceError where two summaries are no pair.

    `off` has graphs, `on` lacks them, they differ in TP, or a side launched graphs of which nothing was recorded.
    """
    for side in (off, on):
        if side["graph_tracing"] == "unseen":
            raise TraceError(
                f"{side['name']}: graphs were launched, but nothing that they ran was recorded; expected every node of "
                f"every launch; record it with: nsys profile {NODES}"
            )
    swap = "; give the trace with graphs off first, then the one with graphs on"
    if off["graphs"] != "off":
        raise TraceError(
            f"{off['name']}: graphs are {off['graphs']} (graph launches in an iteration: {_range(off)}); "
            f"expected none in the first trace{swap}"
        )
    if on["graphs"] != "on":
        raise TraceError(
            f"{on['name']}: graphs are {on['graphs']} (graph launches in an iteration: {_range(on)}); "
            f"expected at least one in every iteration of the second trace{swap}"
        )
    if off["tp"] != on["tp"]:
        raise TraceError(
            f"{off['name']} has {counted(off['tp'], 'rank')} and {on['name']} {counted(on['tp'], 'rank')}; expected as "
            "many in both; compare traces of one tensor-parallel size"
        )


def warnings(
    off: Mapping[str, Any], on: Mapping[str, Any], off_kernels: pd.DataFrame, on_kernels: pd.DataFrame
) -> tuple[str, ...]:
    """What else than graphs differs between the two, or makes a side unsure: a text each."""
    return (*_settings(off, on), *_model(off_kernels, on_kernels), *_unfit(off), *_unfit(on))


def _range(summary: Mapping[str, Any]) -> str:
    least = min(rank["graph_launches_range"][0] for rank in summary["ranks"])
    most = max(rank["graph_launches_range"][1] for rank in summary["ranks"])
    return f"{least:g}" if least == most else f"{least:g} to {most:g}"


def _settings(off: Mapping[str, Any], on: Mapping[str, Any]) -> Iterator[str]:
    facts = {
        "GPU": [", ".join(sorted({gpu or "unknown" for gpu in summary["gpus"]})) for summary in (off, on)],
        "nsys version": [summary["nsys_version"] for summary in (off, on)],
        "batch size": [summary["steps"]["sequences"] for summary in (off, on)],
    }
    for what, (first, second) in facts.items():
        if first != second and None not in (first, second):
            yield f"the traces differ in {what}: {first} with graphs off, {second} with graphs on"


def _model(off: pd.DataFrame, on: pd.DataFrame) -> Iterator[str]:
    """What says that the two ran different models, or one model in different precision or with other products."""
    if "whole graph" in {*off["group"], *on["group"]}:
        yield "graphs were recorded whole: whether both ran the same model cannot be seen"
        return
    products = [frame[(frame["group"] == "GEMM") & ~frame["name"].str.contains(_SPLIT_SUM)] for frame in (off, on)]
    first, second = (frame["per_iteration"].sum() for frame in products)
    if abs(first - second) >= 0.5:
        yield f"the traces differ in model: {first:g} matrix products with graphs off, {second:g} with graphs on"
    first, second = (frame.loc[frame["group"] == "GEMM", "us_per_iteration"].sum() for frame in (off, on))
    if abs(first - second) > _PRODUCTS_TOLERANCE * min(first, second):
        yield (
            f"the traces differ in what their matrix products take: {first:.0f} us an iteration with graphs off, "
            f"{second:.0f} us with graphs on; another model, precision, batch or clock"
        )
    yield from _engine(off, on)
    found = [_collectives(frame) for frame in (off, on)]
    if found[0] != found[1]:
        shown = ["; ".join(f"{count:g} of {name[:70]}" for name, count in side.items()) or "none" for side in found]
        yield f"the traces differ in collectives: {shown[0]} with graphs off, {shown[1]} with graphs on"


def _engine(off: pd.DataFrame, on: pd.DataFrame) -> Iterator[str]:
    """What says that another engine ran the model: most of its own functions."""
    first, second = (_functions(frame) for frame in (off, on))
    alone = [len(mine - other) / max(len(mine), 1) for mine, other in ((first, second), (second, first))]
    if min(alone) > _STRANGE_MOST:
        percent = [round(100 * share) for share in alone]
        yield (
            f"the traces differ in engine or its version: beside matrix products {percent[0]} % of the functions with "
            f"graphs off ran there alone, and {percent[1]} % of those with graphs on"
        )


def _functions(kernels: pd.DataFrame) -> set[str]:
    """What ran beside matrix products, whatever the template arguments."""
    rows = kernels[kernels["group"] != "GEMM"]
    named = zip(rows["name"].astype(str), rows["kind"], strict=True)
    return {family(name) if kind == "kernel" else name for name, kind in named}


def _collectives(kernels: pd.DataFrame) -> dict[str, float]:
    rows = kernels[kernels["group"] == "collective"].sort_values("name")
    return dict(zip(rows["name"].astype(str), rows["per_iteration"].round(), strict=True))


def voided(*summaries: Mapping[str, Any]) -> tuple[str, ...]:
    """Why no verdict may rest on these traces, with what to record instead: a text for each failed check that gates."""
    return tuple(
        f"{summary['name']}: {check['name']}: {check['found']}; {check['remedy']}"
        for summary in summaries
        for check in summary["fitness"]["checks"]
        if check["gates"] and not check["passed"]
    )


def _unfit(summary: Mapping[str, Any]) -> Iterator[str]:
    """The failed checks of a side's capture."""
    for check in summary["fitness"]["checks"]:
        if not check["passed"]:
            word = "unfit" if check["gates"] else "note"
            text = f"{check['name']}: {check['found']}; expected {check['expected']}; {check['remedy']}"
            yield f"{summary['name']}: {word}: {text}"
