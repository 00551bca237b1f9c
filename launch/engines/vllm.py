"""vLLM's engine: CUDA graphs and torch.compile are two switches, of which enforce_eager turns both off.

Its default has both on. Each corner of the 2x2 is set by the names that keep the other switch where it is:
`mode: 0` without a graph mode silently drops the graphs before 0.30, and piecewise graphs need compilation, so without
it graphs are those of whole decode steps.
"""

import re
from typing import Any

from launch.engines.versions import Known, before
from study.layouts import Layout
from study.spec import MEMORY_UTILISATION, Case

PACKAGE = "vllm"
VERSIONS = Known(engine="vLLM", oldest="0.20.0", newest="0.33.0")
# From then on the second model runner is the default of the models studied here.
SECOND_RUNNER = "0.23.0"
BLOCK_TOKENS = 16

# The native sampler everywhere: with or without FlashInfer installed, both graph modes run the same kernels.
REFUSED: dict[tuple[str, str], str] = {}
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_USE_FLASHINFER_SAMPLER": "0"}

_CAPTURED = re.compile(r"Graph capturing finished in ([\d.]+) secs?, took (-?[\d.]+) GiB")


def refused_layout(layout: Layout, *, experts: int) -> str | None:
    """Why vLLM cannot split a model with so many experts (0: dense) so, or None."""
    if layout.dp > 1 and experts and not layout.dp_attention:
        shared = Layout(tp=layout.tp, pp=layout.pp, dp=layout.dp, dp_attention=True).label
        shares = "vLLM shares the experts of a mixture out over its replicas"
        return f"{shares}, so it has no {layout.label}: ask for {shared}"
    return None


def refused_version(version: str, *, graphs: str, settings: str) -> str | None:
    """Why a version of vLLM cannot set its switches so, or None."""
    return VERSIONS.refusal(version)


def environment(case: Case, version: str = VERSIONS.newest) -> dict[str, str]:
    """The variables that are set for a case; fair: the model runner, and the all-reduce that has no flag."""
    if case.settings != "fair":
        return ENVIRONMENT
    return {
        **ENVIRONMENT,
        "VLLM_USE_V2_MODEL_RUNNER": "0" if before(version, SECOND_RUNNER) else "1",
        "VLLM_ALLREDUCE_USE_SYMM_MEM": "0",
        # On by default from 0.29 on.
        "VLLM_ALLREDUCE_USE_FLASHINFER": "0",
    }


def options(case: Case, model_path: str, version: str = VERSIONS.newest) -> dict[str, Any]:
    """Keyword arguments of `vllm.LLM` for a case; pinned: with what the graph switch would move held in place."""
    common = {
        "model": model_path,
        **_layout(case.layout),
        "seed": case.seed,
        "profiler_config": {"profiler": "cuda"},
    }
    if case.settings == "as-shipped":
        return {**common, **_weights(case), **({"enforce_eager": True} if case.graphs == "off" else {})}
    prompt_tokens = 0 if case.serving else case.sequences * case.prompt_tokens
    pinned = {
        "max_model_len": max(4096, case.context_tokens),
        "max_num_seqs": case.sequences,
        "max_num_batched_tokens": max(8192, prompt_tokens),
        "gpu_memory_utilization": MEMORY_UTILISATION,
        "enable_prefix_caching": False,
    }
    level = _level(case) if case.settings == "fair" else {}
    return {**common, **pinned, **level, **_weights(case), **_graphs(case)}


def _level(case: Case) -> dict[str, Any]:
    """What the card or the version would choose: KV tokens, attention kernels, all-reduce, overlapped scheduling."""
    return {
        "block_size": BLOCK_TOKENS,
        # One block is kept for padding and holds no token.
        "num_gpu_blocks_override": -(-case.kv_capacity_tokens // BLOCK_TOKENS) + 1,
        "attention_backend": "FLASH_ATTN",
        "disable_custom_all_reduce": True,
        "async_scheduling": case.pp == 1,
    }


def _layout(layout: Layout) -> dict[str, int]:
    stages = {"pipeline_parallel_size": layout.pp} if layout.pp > 1 else {}
    # Of a mixture the replicas share the experts, of a dense model they share nothing: one flag for both.
    replicas = {"data_parallel_size": layout.dp} if layout.dp > 1 else {}
    return {"tensor_parallel_size": layout.tp, **stages, **replicas}


def _weights(case: Case) -> dict[str, Any]:
    return {} if case.checkpoint else {"load_format": "dummy", "skip_tokenizer_init": True}


def _graphs(case: Case) -> dict[str, Any]:
    # With compilation on Hopper, and from two GPUs on, all-reduce and norm would be one kernel.
    unfused = {"pass_config": {"fuse_allreduce_rms": False}} if case.settings == "fair" else {}
    if case.graphs == "off" and case.compile != "on":
        return {"enforce_eager": True, **({"compilation_config": unfused} if unfused else {})}
    if case.graphs == "off":
        return {"compilation_config": {"cudagraph_mode": "NONE", **unfused}}
    # Where nothing else is asked each batch replays a graph of its own size: neither padding nor a fall back to eager.
    sizes = {"cudagraph_capture_sizes": list(case.captured_batches)}
    uncompiled = {"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY"} if case.compile == "off" else {}
    return {"compilation_config": {**uncompiled, **sizes, **unfused}}


def capture(log: str) -> dict[str, float]:
    """What capturing cost by the engine's log: capture_s and graph_gib, of the worker that needed most; or empty."""
    found = _CAPTURED.findall(log)
    if not found:
        return {}
    return {"capture_s": max(float(s) for s, _ in found), "graph_gib": max(float(gib) for _, gib in found)}
