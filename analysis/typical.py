"""One decode iteration of a trace that stands for all: what each rank runs and launches, in order, without waiting.

It is a recorded iteration, the one nearest to the medians over the steady ones, its times scaled to them. Of the GPU
it holds each operation's own time (no instant counts twice, spinning in collectives is left out); of the host the time
before each launch and in it, without blocking calls, without waiting for a place in a full queue, and without the
longest stretch between two launches, in which the host may be polling. replay.py plays it again.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from analysis import issuing, own_time
from analysis.causes import Law
from analysis.collectives import Matched
from analysis.errors import TraceError
from analysis.grouped import Floats
from analysis.groups import group
from analysis.intervals import Ints, Mask
from analysis.issuing import Issued
from analysis.iterations import Trace
from analysis.own_time import Own

# What runs so often in an iteration belongs to layers, of which a graph holds all.
_LAYERS_LEAST = 8
# Where no launch waited for the GPU there is no gap to fit; recorded traces have 1.0 to 1.4 us.
EAGER_GAP_US = 1.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Strand:
    """What one rank does in the iteration: a value an operation in every array, in the order of launching."""

    own_us: Floats
    """What the GPU takes for it alone; a collective its intrinsic time."""
    think_us: Floats
    """What the host takes before its launch call; 0 for the later nodes of a graph."""
    call_us: Floats
    """What the host takes in its launch call."""
    gap_us: Floats
    """From the end of the operation before, where both are queued; 0 for dependent launches."""
    meets: Mask
    """Whether it is a collective."""
    staged: Mask
    """Whether it is a copy for the collective behind it, which reads the buffers in place in a graph."""
    body: Mask
    """Whether a graph holds it, or would: everything from the first of the layers to the last."""
    product: Mask
    """Whether it is a matrix product, which streams weights."""

    @property
    def host_us(self) -> float:
        """What the host takes for the iteration."""
        return float(self.think_us.sum() + self.call_us.sum())

    def only(self, wanted: Mask) -> "Strand":
        """The wanted operations."""
        return Strand(**{field.name: getattr(self, field.name)[wanted] for field in fields(self)})


@dataclass(frozen=True, kw_only=True, eq=False)
class Typical:
    """The iteration, a strand a rank. All strands have as many collectives, which meet in that order."""

    strands: tuple[Strand, ...]
    graphs: bool
    engine: str
    """`vllm` or `sglang` by the names of its kernels; empty where they do not tell."""
    experts: bool
    """Whether the model is a mixture of experts, by the names of its kernels."""
    gpu: str
    """The GPUs' product name; empty where the trace does not say."""
    sequences: int | None
    """How many are decoded at once; None where not known."""
    copies: int
    """Staging copies that collectives in graphs do without, but would need otherwise: vLLM's own all-reduce does."""

    @property
    def gpu_us(self) -> float:
        """What the GPUs alone take: between two collectives as long as the slowest rank."""
        spent_us = [np.bincount(own_time.stretches(s.meets), np.where(s.staged, 0, s.own_us)) for s in self.strands]
        return float(np.max(spent_us, axis=0).sum())

    @property
    def slowest(self) -> int:
        """The rank whose host takes longest."""
        return int(np.argmax([strand.host_us for strand in self.strands]))

    @property
    def host_us(self) -> float:
        """What the slowest host takes."""
        return self.strands[self.slowest].host_us

    @property
    def operations(self) -> int:
        """Operations without staging copies, of the rank with most."""
        return max(int((~strand.staged).sum()) for strand in self.strands)

    @property
    def launches(self) -> int:
        """What an iteration without graphs launches, of the rank with most."""
        return max(len(strand.own_us) for strand in self.strands) + self.copies


def find(trace: Trace, matched: Matched, law: Law) -> Typical:
    """The typical iteration. Raises TraceError where collectives do not match or graphs were recorded whole or mixed.

    `matched` is what collectives.match returns for the trace, `law` what causes.law does.
    """
    graphs = _graphs(trace)
    if matched.disagreement is not None:
        raise TraceError(
            f"collectives do not match over ranks ({matched.disagreement}); expected the same on each rank, so that "
            "what the GPUs take is known; record all ranks with --cuda-graph-trace=node"
        )
    own, issued = own_time.find(trace, matched), issuing.find(trace)
    numbers = np.unique(trace.iterations["iteration"].to_numpy(np.int64))
    spent_us, usual = own_time.per_iteration(trace, own, numbers)
    host_us = np.stack([issuing.per_iteration(one, numbers) for one in issued])
    at = _nearest(spent_us, host_us, usual)
    scale = _median(spent_us[usual]) / max(spent_us[at], 1e-9)
    inside = trace.operations["iteration"].to_numpy(np.int64) == numbers[at]
    of_rank = trace.operations["rank"].to_numpy(np.int64)
    strands = []
    for rank, one in enumerate(issued):
        strand = _strand(trace, law, np.flatnonzero(inside & (of_rank == rank)), one, own)
        strand = replace(strand, own_us=strand.own_us * scale)
        strands.append(_without_polling(strand, _median(host_us[rank])))
    copies = _copies_without_graphs(trace, matched) if graphs else 0
    return Typical(
        strands=tuple(strands), graphs=graphs, engine=_engine(trace), experts=_experts(trace),
        gpu=str(trace.ranks["gpu_name"].iloc[0]), sequences=_sequences(trace), copies=copies,
    )  # fmt: skip


def _strand(trace: Trace, law: Law, rows: Ints, issued: Issued, own: Own) -> Strand:
    """The operations of one rank in one iteration, in the order of their calls, as recorded."""
    operations = trace.operations.iloc[rows]
    call, signature = (operations[name].to_numpy(np.int64) for name in ("call", "signature"))
    own_us, meets, staged = own.own_us[rows], own.meets[rows], own.staged[rows]
    order = np.argsort(call, kind="stable")
    # What two streams launched in another order than they ran it in: the GPU's order is the one that happened.
    if (call < 0).any() or not _in_order(order, meets):
        order = np.arange(len(rows))
    first = operations["first_of_call"].to_numpy(bool)[order]
    at = np.searchsorted(issued.call, call[order])
    known = first & (at < len(issued.call))
    known[known] = issued.call[at[known]] == call[order][known]
    think_us, call_us = np.zeros(len(rows)), np.zeros(len(rows))
    think_us[known], call_us[known] = issued.think_us[at[known]], issued.call_us[at[known]]
    kinds = trace.activity.signatures.iloc[signature[order]]
    groups = np.array([group(name, kind) for name, kind in zip(kinds["name"], kinds["kind"], strict=True)])
    nodes = operations["graph_node"].to_numpy(np.int64)[order] >= 0
    return Strand(
        own_us=own_us[order], think_us=think_us, call_us=call_us, meets=meets[order], staged=staged[order],
        gap_us=_gap_us(signature[order], law), product=groups == "GEMM",
        body=nodes if nodes.any() else _layers(kinds["name"].to_numpy(object), groups),
    )  # fmt: skip


def _in_order(order: Ints, meets: Mask) -> bool:
    """Whether an order leaves the collectives in theirs."""
    return bool((np.diff(order[meets[order]]) > 0).all())


def _gap_us(signature: Ints, law: Law) -> Floats:
    other_us = law.delta_ns.get("other", 1e3 * EAGER_GAP_US) / 1e3
    pairs = zip(np.roll(signature, 1).tolist(), signature.tolist(), strict=True)
    return np.array([0.0 if pair in law.pdl_pairs else other_us for pair in pairs])


def _layers(names: "npt.NDArray[np.object_]", groups: "npt.NDArray[np.str_]") -> Mask:
    """From the first to the last operation of what runs once in every layer; of less than that nothing."""
    _, kind, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    at = np.flatnonzero((counts[kind] >= _LAYERS_LEAST) & (groups != "copy"))
    found = np.zeros(len(names), bool)
    if len(at):
        found[at[0] : at[-1] + 1] = True
    return found


def _without_polling(strand: Strand, host_us: float) -> Strand:
    """The host's longest stretch taken out, and its times scaled to what it takes for most iterations."""
    think_us = strand.think_us.copy()
    if len(think_us):
        think_us[think_us.argmax()] = 0
    spent_us = think_us.sum() + strand.call_us.sum()
    scale = host_us / spent_us if spent_us > 0 else 0.0
    return replace(strand, think_us=think_us * scale, call_us=strand.call_us * scale)


def _nearest(spent_us: Floats, host_us: Floats, usual: Mask) -> int:
    """The usual iteration that differs least from the medians, in what the GPUs and the hosts take."""
    off = np.abs(spent_us / max(_median(spent_us[usual]), 1e-9) - 1)
    for row in host_us:
        if np.isfinite(row).any() and _median(row) > 0:
            off = off + np.nan_to_num(np.abs(row / _median(row) - 1), nan=1.0) / len(host_us)
    return int(np.where(usual, off, np.inf).argmin())


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def _copies_without_graphs(trace: Trace, matched: Matched) -> int:
    names = trace.activity.signatures["name"]
    staged = names.str.contains("vllm::cross_device_reduce", regex=False).to_numpy(bool)
    number = int(staged[matched.instances["signature"].to_numpy(np.int64)].sum())
    return round(number / len(trace.iterations))


def _sequences(trace: Trace) -> int | None:
    found = trace.steps.loc[trace.steps["kept"], "sequences"].dropna()
    return int(found.median()) if len(found) else None


def _engine(trace: Trace) -> str:
    names = trace.activity.signatures["name"].str
    if names.contains("vllm", regex=False).any():
        return "vllm"
    return "sglang" if names.contains(r"sglang|sgl_kernel|flashinfer::", regex=True).any() else ""


def _experts(trace: Trace) -> bool:
    return bool(trace.activity.signatures["name"].str.contains("moe|expert", case=False, regex=True).any())


def _graphs(trace: Trace) -> bool:
    """Whether every steady iteration launched a graph; raises TraceError where only some did, or nodes are unseen."""
    operations, calls = trace.operations, trace.activity.calls
    if trace.activity.graph_tracing == "unseen":
        raise TraceError(
            "graphs were launched, but nothing that they ran was recorded; expected their nodes; "
            "record with --cuda-graph-trace=node"
        )
    if trace.activity.graph_tracing == "graph":
        raise TraceError(
            "graphs were recorded whole, so what ran in them is not known; expected their nodes; "
            "record with --cuda-graph-trace=node"
        )
    by_graph = np.append((calls["kind"] == "graph").to_numpy(bool), False)
    graphed = (operations["graph_node"] >= 0).to_numpy(bool) | by_graph[operations["call"].to_numpy(np.int64)]
    steady = (operations["iteration"] >= 0).to_numpy(bool)
    keys = operations.loc[steady & graphed, ["rank", "iteration"]].drop_duplicates()
    if len(keys) not in (0, len(trace.iterations)):
        raise TraceError(
            f"graphs ran in {len(keys)} of {len(trace.iterations)} iterations; expected all or none, since with both "
            "neither half is known; record decoding of one batch size"
        )
    return len(keys) > 0
