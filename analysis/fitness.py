"""Whether a capture can carry a verdict: what was recorded, whether it agrees with itself, and what to record instead.

A failed check that gates makes a trace unfit: no verdict rests on it. One that does not is a note, a caveat beside the
numbers. A check that needs what was not recorded is left out, because the check on the recording fails already.
"""

import numpy as np

from analysis import account, rank_checks, recording_checks, stationarity
from analysis.account import Account
from analysis.checks import Check, Fitness, checked
from analysis.iterations import Trace
from analysis.words import counted

# A KV cache block holds 16 tokens, so 16 steps see all that comes once a block; and the median of 16 has a 95 %
# interval that leaves the three lowest and highest aside.
STEPS_LEAST = 16


def check(trace: Trace, found: Account | None = None) -> Fitness:
    """Judge the capture. `found` is what account.find returns for the trace, for callers that have it."""
    accounts = account.find(trace) if found is None else found
    nodes_seen = trace.activity.graph_tracing in ("node", "none")
    checks = [*rank_checks.present(trace), _steps(trace), *recording_checks.complete(trace)]
    if nodes_seen:
        checks += recording_checks.lawful(trace, accounts.trace["launch_law"])
        checks += rank_checks.agreeing(trace, accounts)
    return Fitness(checks=(*checks, _stationary(trace)))


def _steps(trace: Trace) -> Check:
    count = trace.iterations["iteration"].nunique()
    return checked(
        "steady steps",
        count >= STEPS_LEAST,
        counted(count, "steady decode iteration"),
        f"at least {STEPS_LEAST}",
        "record at least 64 decode steps of one batch in one capture window",
    )


def _stationary(trace: Trace) -> Check:
    length_ns = trace.iterations["end_ns"] - trace.iterations["start_ns"]
    iter_ms = length_ns.groupby(trace.iterations["iteration"]).median() / 1e6
    found = stationarity.find(iter_ms.to_numpy(np.float64), iter_ms.index.tolist())
    return checked(
        "stationary",
        found["stationary"],
        found["reason"] or "the iteration time stays what it was",
        "one level of iteration time from the first to the last",
        "record a longer window, later after the start of the engine",
        gates=False,
    )
