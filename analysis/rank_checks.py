"""Checks of a capture's ranks: all of them are there, each alone on its GPU, and they agree with one another."""

import re
from collections.abc import Iterator

import numpy as np

from analysis import collectives, meetings
from analysis.account import Account
from analysis.checks import Check, checked
from analysis.iterations import Trace
from analysis.words import counted

# Work is divided evenly: over all recorded traces the ranks differ by up to 2.4 % (one GPU with slower products).
USEFUL_SPREAD_MOST = 0.03
# Who arrived last is told by comparing clocks, and hosts are late by a launch, 5 us and more.
SKEW_MOST_US = 5.0
SPREAD_POINTS_MOST = 1.5
# A layer has two all-reduces beside two norms, or up to six with those of queries, keys and results. Recorded traces
# have 66 collectives beside 65 norms, and 1 where the name of the all-reduce is not known.
MEETINGS_LEAST = 0.25
# Processes that launch a little are helpers of the engine, not ranks.
_HELPER_SHARE = 0.1
_GROUP_SIZE = re.compile(
    r"cross_device_reduce_\dstage<[^<>]*\(int\)(\d+)>|AllReducePushImpl<[^<>,]*, \(unsigned int\)(\d+)"
)
_ALL_PROCESSES = "trace all workers in one file: nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true"


def present(trace: Trace) -> Iterator[Check]:
    """Every GPU that took part is there once, and nothing else ran beside."""
    yield checked(
        "ranks",
        not (problems := list(_missing_ranks(trace))),
        "; ".join(problems) or f"{counted(len(trace.ranks), 'rank')}, each on a GPU of its own",
        "all ranks of the engine, each alone on its GPU",
        _ALL_PROCESSES,
    )
    stray, all_of_it = trace.activity.stray_operations, int(trace.ranks["operations"].sum())
    yield checked(
        "strays",
        stray <= 0.01 * all_of_it,
        f"{stray} operations of other processes or GPUs beside {all_of_it}",
        "at most 1 % beside the ranks",
        "run nothing else on the GPUs while tracing",
        gates=False,
    )


def _missing_ranks(trace: Trace) -> Iterator[str]:
    devices = trace.ranks.loc[trace.ranks["device"] >= 0, "device"]
    shared = sorted(set(devices[devices.duplicated()]))
    if shared:
        yield f"GPU {', '.join(map(str, shared))} is used by several ranks"
    silent = _silent_processes(trace)
    if silent:
        yield f"{counted(silent, 'process')} launched work of which no GPU operation was recorded"
    ran = trace.activity.signatures.loc[np.flatnonzero(np.bincount(trace.operations["signature"])), "name"]
    sizes = {int(found[1] or found[2]) for name in ran if (found := _GROUP_SIZE.search(str(name)))}
    ranks = len(trace.ranks)
    wrong = sorted(size for size in sizes if ranks % size)
    if wrong:
        yield f"all-reduce kernels of {', '.join(map(str, wrong))} ranks, {ranks} of them in the trace"
    elif ranks == 1 and collectives.among(trace).any():
        yield "collectives, but a single rank to run them"


def _silent_processes(trace: Trace) -> int:
    """How many processes launched about as much as a rank and ran nothing that was recorded."""
    calls = trace.activity.calls
    launches = calls["kind"].isin(["launch", "graph"]).to_numpy(bool)
    alone = launches & (calls["rank"] < 0).to_numpy(bool)
    if not alone.any():
        return 0
    of_ranks = np.bincount(calls["rank"].to_numpy(np.int64)[launches & ~alone], minlength=1)
    processes, counts = np.unique(calls["thread"].to_numpy(np.int64)[alone] & ~np.int64(0xFFFFFF), return_counts=True)
    silent = ~np.isin(processes, trace.ranks["global_pid"])
    return int((counts[silent] >= _HELPER_SHARE * of_ranks.max()).sum())


def agreeing(trace: Trace, accounts: Account) -> Iterator[Check]:
    """What several ranks must agree on."""
    if len(trace.ranks) < 2:
        return
    found = accounts.trace["collectives"]
    disagreement, skew_us = found["disagreement"], found["end_skew_us"]["median"]
    yield _together(trace, disagreement is not None or skew_us is not None)
    if disagreement is None and skew_us is None:
        # Nothing else can be asked of ranks that do not meet.
        return
    yield checked(
        "collectives",
        disagreement is None,
        disagreement or "equal in number and name on all ranks",
        "the same collectives on all ranks, in one order",
        f"{_ALL_PROCESSES}, one tensor-parallel group in a trace",
    )
    if skew_us is not None:
        yield checked(
            "clocks",
            skew_us <= SKEW_MOST_US,
            f"ranks see a collective end {skew_us:.1f} us apart (median)",
            f"at most {SKEW_MOST_US:g} us",
            "trace all ranks in one nsys session on one host, so that one clock serves them all",
        )
    if disagreement is None:
        yield from _equal_work(accounts)


def _together(trace: Trace, meet: bool) -> Check:
    """Several ranks with no collective, or few, are several engines, or their collectives pass for compute."""
    found, passed = "no collective of a known name ran in the steady iterations", False
    if meet:
        met, norms = meetings.often(trace)
        passed = met >= MEETINGS_LEAST * norms
        found = f"{met:.0f} collectives of a known name beside {norms:.0f} norms an iteration"
    if not passed and (alike := meetings.names(trace)):
        found += f"; ranks end together, though they begin apart, in {' and '.join(name[:60] for name in alike)}"
    return checked(
        "ranks work together",
        passed,
        "they meet in collectives" if passed else found,
        "collectives, in which all ranks meet",
        "trace one tensor-parallel group alone, or, if these ranks are one, report the names of its collectives, which "
        "are not known yet",
    )


def _equal_work(accounts: Account) -> Iterator[Check]:
    useful_ms = np.array([rank["useful_ms"] for rank in accounts.ranks.values()], np.float64)
    apart = float(np.ptp(useful_ms) / np.median(useful_ms))
    yield checked(
        "useful time",
        apart <= USEFUL_SPREAD_MOST,
        f"ranks differ by {100 * apart:.1f} % in useful time",
        f"at most {100 * USEFUL_SPREAD_MOST:.0f} %",
        "free the GPUs of other work, check their clocks, and give all ranks equal shares of the model",
    )
    points = accounts.trace["collectives"]["idle_plus_wait_spread_points"]
    yield checked(
        "idle and wait",
        points <= SPREAD_POINTS_MOST,
        f"ranks differ by {points:.1f} points in idle and waiting time",
        f"at most {SPREAD_POINTS_MOST} points",
        "compare the ranks' useful time: one GPU computes more slowly than the others",
        gates=False,
    )
