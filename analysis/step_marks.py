"""The steps that an engine marks itself by NVTX ranges, as vLLM does, and which of them each step was launched in."""

import re

import numpy as np
import pandas as pd

from analysis.extract import Activity
from analysis.intervals import Ints

_VLLM_STEP = re.compile(r"^execute_context_(\d+)\((\d+)\)_generation_(\d+)\((\d+)\)$")
UNKNOWN = -1
"""A number that is not known."""


def of_steps(activity: Activity, lead: int, bounds: Ints) -> pd.DataFrame:
    """What such NVTX ranges say of each step: kind (None where nothing), sequences, tokens.

    The range of a step is the one in which most of its operations were launched: the host may be steps ahead.
    """
    steps = len(bounds) - 1
    ranges, operations = marked(activity, lead), activity.operations
    nothing = pd.DataFrame({"kind": np.full(steps, None, object), "sequences": UNKNOWN, "tokens": UNKNOWN})
    mine = operations[(operations["rank"] == lead) & (operations["call"] >= 0)]
    step = np.searchsorted(bounds, mine["end_ns"].to_numpy(np.int64), side="left") - 1
    at = launched_in(ranges, activity.calls["start_ns"].to_numpy(np.int64)[mine["call"]], step, steps)
    if not (at >= 0).any():
        return nothing
    found = ranges[["kind", "sequences", "tokens"]].take(np.maximum(at, 0)).reset_index(drop=True)
    return found.where(pd.Series(at >= 0), nothing)


def launched_in(ranges: pd.DataFrame, called_ns: Ints, step: Ints, steps: int) -> Ints:
    """The row of the range in which most operations of each step were called, -1 for a step with none in any."""
    of_step = np.full(steps, -1, np.int64)
    if ranges.empty:
        return of_step
    at = np.searchsorted(ranges["start_ns"].to_numpy(np.int64), called_ns, side="right") - 1
    within = (at >= 0) & (called_ns <= ranges["end_ns"].to_numpy(np.int64)[at]) & (step >= 0) & (step < steps)
    pairs, times = np.unique(step[within] * len(ranges) + at[within], return_counts=True)
    order = np.argsort(times, kind="stable")
    of_step[pairs[order] // len(ranges)] = pairs[order] % len(ranges)
    return of_step


def marked(activity: Activity, rank: int) -> pd.DataFrame:
    """A rank's ranges that mark a forward: start_ns, end_ns, kind, sequences, tokens; in order of start."""
    ranges = activity.ranges
    text, distinct = pd.factorize(ranges["text"])
    parsed = [_parsed(str(each)) for each in distinct]
    pid = activity.ranks["global_pid"].to_numpy(np.int64)[rank]
    alone = int((activity.ranks["global_pid"] == pid).sum()) == 1
    mine = np.array([each is not None for each in parsed], bool)[text] if len(text) else np.zeros(0, bool)
    mine &= ((ranges["thread"].to_numpy(np.int64) & ~np.int64(0xFFFFFF)) == pid) & alone & ranges["closed"].to_numpy()
    facts = np.array([each or ("", UNKNOWN, UNKNOWN) for each in parsed], dtype=object).reshape(-1, 3)[text[mine]]
    found = ranges.loc[mine, ["start_ns", "end_ns"]].assign(
        kind=facts[:, 0], sequences=facts[:, 1].astype(np.int64), tokens=facts[:, 2].astype(np.int64)
    )
    return found.sort_values("start_ns", kind="stable").reset_index(drop=True)


def _parsed(text: str) -> tuple[str, int, int] | None:
    """Kind, sequences and tokens of a step's mark, None for other ranges and for steps of nothing."""
    found = _VLLM_STEP.match(text)
    if found is None:
        return None
    contexts, context_tokens, generations, generation_tokens = map(int, found.groups())
    if contexts + generations == 0:
        return None
    kind = "decode" if contexts == 0 else "mixed" if generations else "prefill"
    return kind, contexts + generations, context_tokens + generation_tokens
