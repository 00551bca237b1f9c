"""SGLang's engine. The switch is the decode graph alone; prefill runs without graphs in both modes.

As shipped, its one switch for all graphs is what graphs off means. Names are those of the newest version; EARLIER says
what they were before.
"""

import re
from collections import defaultdict
from typing import Any

from launch.engines.versions import Known, before, spelled
from study.layouts import Layout
from study.spec import MEMORY_UTILISATION, Case

PACKAGE = "sglang"
VERSIONS = Known(engine="SGLang", oldest="0.5.11", newest="0.5.23")
# Until then decode had graphs and prefill had pieces, each with names of its own; --disable-cuda-graph meant decode.
PER_PHASE = "0.5.14"
EARLIER = {
    PER_PHASE: {
        "disable_prefill_cuda_graph": "disable_piecewise_cuda_graph",
        "disable_decode_cuda_graph": "disable_cuda_graph",
        "cuda_graph_bs_decode": "cuda_graph_bs",
    }
}
# From then on DP attention is one number; the pair of flags before it is deprecated.
ATTENTION_WIDTH = "0.5.22"

_NEVER_COMPILED = (
    "SGLang compiles nothing unless asked (--enable-torch-compile, which this study does not run), so compile "
    '"engine" is its only case'
)
REFUSED = {(compiled, graphs): _NEVER_COMPILED for compiled in ("on", "off") for graphs in ("on", "off")}
ENVIRONMENT = {"HF_HUB_OFFLINE": "1"}

# Behind "[2026-11-22 05:10:39 TP0] ", which names no rank where there is one alone. Before 0.5.14:
# "Capture cuda graph end. Time elapsed: 3.00 s. mem usage=0.10 GB."
_CAPTURED = re.compile(
    r"^(?:\[[-\d :]*([^]\n]*)\])?.*(?i:CUDA graph end)\. (?:elapsed=|Time elapsed: )([\d.]+) s[.,] "
    r"mem usage=(-?[\d.]+) GB",
    re.MULTILINE,
)


def refused_layout(layout: Layout, *, experts: int) -> str | None:
    """Why SGLang cannot split a model with so many experts (0: dense) so, or None: it can all that a model allows."""
    return None


def refused_version(version: str, *, graphs: str, settings: str) -> str | None:
    """Why a version of SGLang cannot set its switches so, or None."""
    if settings == "as-shipped" and graphs == "off" and before(version, PER_PHASE):
        what = "turns off the graphs of decode and leaves those of prefill on"
        return f"--disable-cuda-graph of SGLang {version} {what}: use {PER_PHASE} or later, or another of settings"
    return VERSIONS.refusal(version)


def environment(case: Case, version: str = VERSIONS.newest) -> dict[str, str]:
    """The variables that are set for a case."""
    return ENVIRONMENT


def options(case: Case, model_path: str, version: str = VERSIONS.newest) -> dict[str, Any]:
    """Keyword arguments of `sglang.Engine` for a case; pinned: with what the graph switch would move held in place."""
    layout = _layout(case.layout, version)
    common = {"model_path": model_path, **layout, "random_seed": case.seed, "log_level": "info"}
    if case.settings == "as-shipped":
        return {**common, **_weights(case), **({"disable_cuda_graph": True} if case.graphs == "off" else {})}
    pinned = {
        "context_length": max(4096, case.context_tokens),
        "max_running_requests": case.sequences,
        "mem_fraction_static": MEMORY_UTILISATION,
        "chunked_prefill_size": 8192,
        "sampling_backend": "pytorch",
        "disable_radix_cache": True,
        "skip_server_warmup": True,
        "disable_prefill_cuda_graph": True,
    }
    level = _level(case) if case.settings == "fair" else {}
    return spelled({**common, **pinned, **level, **_weights(case), **_graphs(case)}, version, EARLIER)


def _level(case: Case) -> dict[str, Any]:
    """What the card or the version would choose: KV tokens, attention kernels, all-reduce, overlapped scheduling."""
    return {
        "max_total_tokens": case.kv_capacity_tokens,
        "attention_backend": "fa3",
        "disable_custom_all_reduce": True,
        "enforce_disable_flashinfer_allreduce_fusion": True,
        "disable_overlap_schedule": case.pp > 1,
    }


def _layout(layout: Layout, version: str) -> dict[str, Any]:
    stages = {"pp_size": layout.pp} if layout.pp > 1 else {}
    if layout.dp_attention:
        # Here tp_size counts the GPUs of all replicas, over which the experts are split.
        pair = {"dp_size": layout.dp, "enable_dp_attention": True}
        width = pair if before(version, ATTENTION_WIDTH) else {"attn_dp_size": layout.dp}
        return {"tp_size": layout.tp * layout.dp, **width, **stages}
    return {"tp_size": layout.tp, **stages, **({"dp_size": layout.dp} if layout.dp > 1 else {})}


def _weights(case: Case) -> dict[str, Any]:
    return {} if case.checkpoint else {"load_format": "dummy", "skip_tokenizer_init": True}


def _graphs(case: Case) -> dict[str, Any]:
    if case.graphs == "off":
        return {"disable_decode_cuda_graph": True}
    # Each batch replays a graph of its own size: neither padding nor a fall back to eager.
    return {"cuda_graph_bs_decode": list(case.captured_batches)}


def capture(log: str) -> dict[str, float]:
    """What capturing cost by the engine's log: capture_s and graph_gib, of the rank that needed most; or empty.

    As shipped a rank captures prefill, then decode: both count.
    """
    seconds: dict[str, float] = defaultdict(float)
    gib: dict[str, float] = defaultdict(float)
    for rank, took_s, took_gib in _CAPTURED.findall(log):
        seconds[rank] += float(took_s)
        gib[rank] += float(took_gib)
    if not seconds:
        return {}
    return {"capture_s": round(max(seconds.values()), 3), "graph_gib": round(max(gib.values()), 3)}
