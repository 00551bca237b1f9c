"""SGLang's engine. The switch is the decode graph alone; prefill runs without graphs in both modes.

As shipped, its one switch for all graphs is what graphs off means.
"""

import re
from typing import Any

from study.layouts import Layout
from study.spec import MEMORY_UTILISATION, Case

_NEVER_COMPILED = (
    "SGLang compiles nothing unless asked (--enable-torch-compile, which this study does not run), so compile "
    '"engine" is its only case'
)
REFUSED = {"on": _NEVER_COMPILED, "off": _NEVER_COMPILED}
ENVIRONMENT = {"HF_HUB_OFFLINE": "1"}

_CAPTURED = re.compile(r"CUDA graph end\. elapsed=([\d.]+) s, mem usage=(-?[\d.]+) GB")


def refused_layout(layout: Layout, *, experts: int) -> str | None:
    """Why SGLang cannot split a model with so many experts (0: dense) so, or None: it can all that a model allows."""
    return None


def options(case: Case, model_path: str) -> dict[str, Any]:
    """Keyword arguments of `sglang.Engine` for a case; pinned: with what the graph switch would move held in place."""
    common = {"model_path": model_path, **_layout(case.layout), "random_seed": case.seed, "log_level": "info"}
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
    return {**common, **pinned, **_weights(case), **_graphs(case)}


def _layout(layout: Layout) -> dict[str, Any]:
    stages = {"pp_size": layout.pp} if layout.pp > 1 else {}
    if layout.dp_attention:
        # Here tp_size counts the GPUs of all replicas, over which the experts are split.
        return {"tp_size": layout.tp * layout.dp, "dp_size": layout.dp, "enable_dp_attention": True, **stages}
    return {"tp_size": layout.tp, **stages, **({"dp_size": layout.dp} if layout.dp > 1 else {})}


def _weights(case: Case) -> dict[str, Any]:
    return {} if case.checkpoint else {"load_format": "dummy", "skip_tokenizer_init": True}


def _graphs(case: Case) -> dict[str, Any]:
    if case.graphs == "off":
        return {"disable_decode_cuda_graph": True}
    # Each batch replays a graph of its own size: neither padding nor a fall back to eager.
    return {"cuda_graph_bs_decode": list(case.captured_batches)}


def capture(log: str) -> dict[str, float]:
    """What capturing cost by the engine's log: capture_s and graph_gib, of the rank that needed most; or empty."""
    found = _CAPTURED.findall(log)
    if not found:
        return {}
    return {"capture_s": max(float(s) for s, _ in found), "graph_gib": max(float(gb) for _, gb in found)}
