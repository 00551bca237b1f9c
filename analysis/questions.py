"""The five questions of the published decision flow, answered from a trace instead of from belief.

Are shapes the same? Are kernels shorter than 1 ms? Can memory be allocated beforehand? Are there no branches? Is a
graph replayed more than 100 times? Each answer is `yes` (for graphs), `no` or `not known`, with what it was read off.
"""

import re
from typing import Any

import numpy as np

from analysis.iterations import Trace
from analysis.typical import Typical

YES, NO, UNKNOWN = "yes", "no", "not known"
# The published thresholds.
SHORT_US, REPLAYS_LEAST = 1e3, 100
_ALLOCATION = re.compile(r"Malloc|MemAlloc|MemCreate|MemMap|cudaFree|MemFree|MemUnmap|MemRelease")
# What a decode step may do now and then and still count as always the same.
_NEARLY_ALL = 0.95


def answers(trace: Trace, found: Typical, pays_after_steps: float | None) -> list[dict[str, Any]]:
    """The five, in order: question, answer, found. `found` is the typical iteration of the trace.

    pays_after_steps: how many decode steps save the time that capturing took, infinite where they save none; None where
    not known.
    """
    return [_shapes(trace), _kernels(found), _allocations(trace), _branches(trace), _replays(trace, pays_after_steps)]


def _answer(question: str, answer: str, text: str) -> dict[str, Any]:
    return {"question": question, "answer": answer, "found": text}


def _shapes(trace: Trace) -> dict[str, Any]:
    """Whether decode steps are of few batch sizes: the same kernels with the same grids come again."""
    question = "Are the shapes the same?"
    decode = trace.steps[trace.steps["kind"] == "decode"]
    sizes = decode["sequences"].dropna()
    if sizes.empty:
        return _answer(question, UNKNOWN, "batch sizes of the decode steps are not known")
    seen = sizes.value_counts()
    often = int((seen >= 2).sum())
    share = float(seen[seen >= 2].sum() / len(sizes))
    text = f"{len(sizes)} decode steps of {len(seen)} batch sizes, {share:.0%} of a size that came again"
    return _answer(question, YES if often and share >= _NEARLY_ALL else NO, text)


def _kernels(found: Typical) -> dict[str, Any]:
    own_us = np.concatenate([strand.own_us for strand in found.strands])
    short = float(own_us[own_us < SHORT_US].sum() / own_us.sum())
    text = f"{own_us.mean():.1f} us on average, {own_us.max():.0f} us the longest; {short:.0%} of the time in such"
    return _answer("Are kernels shorter than 1 ms?", YES if own_us.mean() < SHORT_US else NO, text)


def _allocations(trace: Trace) -> dict[str, Any]:
    """Whether the steady iterations allocate or free device memory: a graph needs fixed addresses."""
    question = "Can memory be allocated beforehand?"
    calls = trace.activity.calls
    if calls.empty:
        return _answer(question, UNKNOWN, "no calls were recorded")
    names = calls["name"].astype(str)
    start_ns, end_ns = trace.iterations["start_ns"].min(), trace.iterations["end_ns"].max()
    inside = (calls["start_ns"] >= start_ns) & (calls["start_ns"] < end_ns)
    number = int((inside & names.str.contains(_ALLOCATION)).sum())
    steps = trace.iterations["iteration"].nunique()
    return _answer(question, NO if number else YES, f"{number} allocations or frees in {steps} steady iterations")


def _branches(trace: Trace) -> dict[str, Any]:
    """Whether every decode step is one graph, several pieces, or none; without graphs, whether steps are alike."""
    question = "Are there no branches that depend on data?"
    decode = trace.steps[trace.steps["kind"] == "decode"]
    launches = decode["graph_launches"]
    if launches.empty:
        return _answer(question, UNKNOWN, "no decode step is known")
    if (launches == 0).all():
        share = float(decode["kept"].mean())
        text = f"no graphs ran; {share:.0%} of {len(decode)} decode steps ran the same operations"
        return _answer(question, YES if share >= 0.5 else UNKNOWN, text)
    whole, pieces = float((launches == 1).mean()), float((launches > 1).mean())
    text = f"of {len(decode)} decode steps {whole:.0%} were one graph, {pieces:.0%} several; the others ran without"
    return _answer(question, YES if whole >= _NEARLY_ALL else NO, text)


def _replays(trace: Trace, pays_after_steps: float | None) -> dict[str, Any]:
    """How often a graph is replayed, against the published threshold and against what its capture costs."""
    question = "Is a graph replayed more than 100 times?"
    decode = trace.steps[(trace.steps["kind"] == "decode") & (trace.steps["graph_launches"] > 0)]
    sizes = max(decode["sequences"].nunique(), 1)
    text = f"{len(decode) / sizes:.0f} replays for each batch size in this capture window"
    if pays_after_steps is None:
        return _answer(question, UNKNOWN, f"{text}; after how many decode steps capturing is paid for is not known")
    if not np.isfinite(pays_after_steps):
        return _answer(question, NO, f"{text}, which save nothing")
    needed = max(REPLAYS_LEAST, pays_after_steps)
    text = f"{text}; capturing is paid for after {pays_after_steps:.0f} decode steps"
    if len(decode) / sizes > needed:
        return _answer(question, YES, text)
    return _answer(question, UNKNOWN, f"{text}; the window is too short to tell whether there are {needed:.0f}")
