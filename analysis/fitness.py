"""Whether a capture can carry a verdict: what was recorded, whether it agrees with itself, and what to record instead.

A failed check that gates makes a trace unfit: no verdict rests on it. One that does not is a note, a caveat beside the
numbers. A check that needs what was not recorded is left out, because the check on the recording fails already.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import account, collectives, meetings, stationarity
from analysis.account import Account
from analysis.iterations import Trace
from analysis.words import counted

# A KV cache block holds 16 tokens, so 16 steps see all that comes once a block; and the median of 16 has a 95 %
# interval that leaves the three lowest and highest aside.
STEPS_LEAST = 16
# Work is divided evenly: over all recorded traces the ranks differ by up to 2.4 % (one GPU with slower products).
USEFUL_SPREAD_MOST = 0.03
# Who arrived last is told by comparing clocks, and hosts are late by a launch, 5 us and more.
SKEW_MOST_US = 5.0
# Operations that start neither when their launch allows nor when the GPU is free again have a cause that is not known.
UNEXPLAINED_MOST = 0.1
SPREAD_POINTS_MOST = 1.5
# A layer has two all-reduces beside two norms, or up to six with those of queries, keys and results. Recorded traces
# have 66 collectives beside 65 norms, and 1 where the name of the all-reduce is not known.
MEETINGS_LEAST = 0.25
# Processes that launch a little are helpers of the engine, not ranks.
_HELPER_SHARE = 0.1
_GROUP_SIZE = re.compile(
    r"cross_device_reduce_\dstage<[^<>]*\(int\)(\d+)>|AllReducePushImpl<[^<>,]*, \(unsigned int\)(\d+)"
)
NODES = "--cuda-graph-trace=node"
"""The option of nsys that records what runs in graphs."""
_ALL_PROCESSES = "trace all workers in one file: nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question to a capture. `gates`: a failure voids the verdict; otherwise it is a note. remedy: "" if passed."""

    name: str
    passed: bool
    gates: bool
    found: str
    expected: str
    remedy: str

    @property
    def reason(self) -> str:
        """The failure in a line: what was found, what was expected, what to do."""
        return f"{self.name}: {self.found}; expected {self.expected}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Fitness:
    """All checks of a trace, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def fit(self) -> bool:
        """Whether a verdict may rest on the trace."""
        return not self.unfit

    @property
    def unfit(self) -> tuple[Check, ...]:
        """The failed checks that void the verdict."""
        return tuple(check for check in self.checks if check.gates and not check.passed)

    @property
    def notes(self) -> tuple[Check, ...]:
        """The failed checks that are caveats."""
        return tuple(check for check in self.checks if not check.gates and not check.passed)

    def to_json(self) -> dict[str, Any]:
        """{"fit": bool, "checks": [{"name", "passed", "gates", "found", "expected", "remedy"}]}."""
        return {"fit": self.fit, "checks": [asdict(check) for check in self.checks]}


def check(trace: Trace, found: Account | None = None) -> Fitness:
    """Judge the capture. `found` is what account.find returns for the trace, for callers that have it."""
    accounts = account.find(trace) if found is None else found
    nodes_seen = trace.activity.graph_tracing in ("node", "none")
    checks = [*_ranks(trace), _steps(trace), _joined(trace), _recording(trace), *_replays(trace)]
    if nodes_seen:
        checks += [*_law(trace, accounts.trace["launch_law"]), *_over_ranks(trace, accounts)]
    return Fitness(checks=(*checks, _stationary(trace)))


def _checked(name: str, passed: bool, found: str, expected: str, remedy: str, *, gates: bool = True) -> Check:
    remedy = "" if passed else remedy
    return Check(name=name, passed=bool(passed), gates=gates, found=found, expected=expected, remedy=remedy)


def _ranks(trace: Trace) -> Iterator[Check]:
    """Every GPU that took part is there once, and nothing else ran beside."""
    yield _checked(
        "ranks",
        not (problems := list(_missing_ranks(trace))),
        "; ".join(problems) or f"{counted(len(trace.ranks), 'rank')}, each on a GPU of its own",
        "all ranks of the engine, each alone on its GPU",
        _ALL_PROCESSES,
    )
    stray, all_of_it = trace.activity.stray_operations, int(trace.ranks["operations"].sum())
    yield _checked(
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
    ran = trace.activity.signatures.loc[np.unique(trace.operations["signature"]), "name"]
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


def _steps(trace: Trace) -> Check:
    count = trace.iterations["iteration"].nunique()
    return _checked(
        "steady steps",
        count >= STEPS_LEAST,
        counted(count, "steady decode iteration"),
        f"at least {STEPS_LEAST}",
        "record at least 64 decode steps of one batch in one capture window",
    )


def _joined(trace: Trace) -> Check:
    steady = (trace.operations["iteration"] >= 0).to_numpy(bool)
    lost = int(((trace.operations["call"] < 0).to_numpy(bool) & steady).sum())
    return _checked(
        "launches joined",
        lost == 0,
        f"{lost} of {int(steady.sum())} operations without the call that launched them",
        "a call for every operation of the steady iterations",
        "record the calls of all processes: nsys profile --trace=cuda,nvtx --trace-fork-before-exec=true, and begin "
        "the capture some steps earlier",
    )


def _recording(trace: Trace) -> Check:
    how = trace.activity.graph_tracing
    found = {
        "node": "every node",
        "none": "no graph ran",
        "graph": "a launch as one operation: what ran in it is unseen",
        "unseen": "the calls alone: what the graphs ran is unseen",
    }
    return _checked(
        "graph nodes",
        how in ("node", "none"),
        found.get(how, how),
        "every node of every graph launch, for causes inside graphs",
        f"record with: nsys profile {NODES}",
    )


def _replays(trace: Trace) -> Iterator[Check]:
    """Every graph launch counts once, with as many nodes as any other launch of that graph."""
    if trace.activity.graph_tracing != "node":
        return
    launches = _graph_launches(trace)
    counts = launches.groupby(["rank", "graph"])["nodes"].agg(["min", "max", "size"])
    uneven = counts[counts["min"] != counts["max"]]
    empty = _empty_launches(trace, launches)
    graphs = f"{counted(len(launches), 'launch')} of {counted(len(counts), 'graph')}"
    found = f"{graphs}, {counts['min'].min()} to {counts['max'].max()} nodes each"
    if len(uneven):
        first = uneven.iloc[0]
        found += f"; {counted(len(uneven), 'graph')} ran {first['min']} nodes once and {first['max']} another time"
    if empty:
        found += f"; {counted(empty, 'launch')} ran no node that was recorded"
    yield _checked(
        "graph launches",
        not len(uneven) and not empty,
        found,
        "as many nodes in every launch of a graph, and nodes in all of them",
        f"record a shorter window with {NODES}: nsys drops what its buffers cannot hold",
    )


def _graph_launches(trace: Trace) -> pd.DataFrame:
    """The graph launches that ran in the steady iterations: rank, call, graph (its first node), nodes."""
    operations = trace.operations
    node, call = (operations[name].to_numpy(np.int64) for name in ("graph_node", "call"))
    graphed = np.flatnonzero((node >= 0) & (call >= 0))
    steady = graphed[operations["iteration"].to_numpy(np.int64)[graphed] >= 0]
    size = len(trace.activity.calls)
    nodes = np.bincount(call[graphed], minlength=size)
    first, rank = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    # Of several values for one place the last one stays: the first node in order of start.
    backwards = graphed[::-1]
    first[call[backwards]] = node[backwards]
    rank[call[backwards]] = operations["rank"].to_numpy(np.int64)[backwards]
    ran = np.flatnonzero(np.bincount(call[steady], minlength=size))
    return pd.DataFrame({"rank": rank[ran], "call": ran, "graph": first[ran], "nodes": nodes[ran]})


def _empty_launches(trace: Trace, launches: pd.DataFrame) -> int:
    """Graph launches between the first and the last of a rank's steady ones of which nothing was recorded."""
    calls = trace.activity.calls
    ran = np.zeros(len(calls), bool)
    ran[np.unique(trace.operations["call"].to_numpy(np.int64)[(trace.operations["call"] >= 0).to_numpy(bool)])] = True
    silent = np.flatnonzero((calls["kind"] == "graph").to_numpy(bool) & ~ran)
    starts_ns, of_rank = calls["start_ns"].to_numpy(np.int64), calls["rank"].to_numpy(np.int64)
    between = 0
    for rank, mine in launches.groupby("rank")["call"]:
        at = starts_ns[mine.to_numpy(np.int64)]
        lost = starts_ns[silent[of_rank[silent] == rank]]
        between += int(((lost > at.min()) & (lost < at.max())).sum())
    return between


def _law(trace: Trace, law: Mapping[str, Any]) -> Iterator[Check]:
    if law["fit_ratio"] is None:
        return
    steady = int((trace.operations["iteration"] >= 0).sum())
    unexplained = (1 - law["fit_ratio"]) * law["operations"] / max(steady, 1)
    yield _checked(
        "launch law",
        unexplained <= UNEXPLAINED_MOST,
        f"{100 * unexplained:.1f} % of all operations start elsewhen than the launch law says "
        f"({100 * law['fit_ratio']:.1f} % of the {law['operations']} outside graphs fit)",
        f"at most {100 * UNEXPLAINED_MOST:.0f} %",
        "record the calls of all threads, and one engine on the GPUs alone",
    )


def _over_ranks(trace: Trace, accounts: Account) -> Iterator[Check]:
    """What several ranks must agree on."""
    if len(trace.ranks) < 2:
        return
    found = accounts.trace["collectives"]
    disagreement, skew_us = found["disagreement"], found["end_skew_us"]["median"]
    yield _together(trace, disagreement is not None or skew_us is not None)
    if disagreement is None and skew_us is None:
        # Nothing else can be asked of ranks that do not meet.
        return
    yield _checked(
        "collectives",
        disagreement is None,
        disagreement or "equal in number and name on all ranks",
        "the same collectives on all ranks, in one order",
        f"{_ALL_PROCESSES}, one tensor-parallel group in a trace",
    )
    if skew_us is not None:
        yield _checked(
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
    return _checked(
        "ranks work together",
        passed,
        "they meet in collectives" if passed else found,
        "collectives, in which all ranks meet",
        "trace one tensor-parallel group alone; if these ranks are one, report the names of its collectives, which are "
        "not known yet",
    )


def _equal_work(accounts: Account) -> Iterator[Check]:
    useful_ms = np.array([rank["useful_ms"] for rank in accounts.ranks.values()], np.float64)
    apart = float(np.ptp(useful_ms) / np.median(useful_ms))
    yield _checked(
        "useful time",
        apart <= USEFUL_SPREAD_MOST,
        f"ranks differ by {100 * apart:.1f} % in useful time",
        f"at most {100 * USEFUL_SPREAD_MOST:.0f} %",
        "free the GPUs of other work, check their clocks, and give all ranks equal shares of the model",
    )
    points = accounts.trace["collectives"]["idle_plus_wait_spread_points"]
    yield _checked(
        "idle and wait",
        points <= SPREAD_POINTS_MOST,
        f"ranks differ by {points:.1f} points in idle and waiting time",
        f"at most {SPREAD_POINTS_MOST} points",
        "compare the ranks' useful time: one GPU computes more slowly than the others",
        gates=False,
    )


def _stationary(trace: Trace) -> Check:
    length_ns = trace.iterations["end_ns"] - trace.iterations["start_ns"]
    iter_ms = length_ns.groupby(trace.iterations["iteration"]).median() / 1e6
    found = stationarity.find(iter_ms.to_numpy(np.float64), iter_ms.index.tolist())
    return _checked(
        "stationary",
        found["stationary"],
        found["reason"] or "the iteration time stays what it was",
        "one level of iteration time from the first to the last",
        "record a longer window, later after the start of the engine",
        gates=False,
    )
