"""vLLM's offline engine. Graphs on is its default (with torch.compile); graphs off is enforce_eager."""

from typing import Any

from study.spec import MEMORY_UTILISATION, SEQUENCES_LEAST, Case

# The native sampler everywhere: with or without FlashInfer installed, both graph modes run the same kernels.
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_USE_FLASHINFER_SAMPLER": "0"}


def options(case: Case, model_path: str) -> dict[str, Any]:
    """Keyword arguments of `vllm.LLM` for a case; what the graph switch would move is pinned."""
    sequences = max(SEQUENCES_LEAST, *case.batches)
    common = {
        "model": model_path,
        "tensor_parallel_size": case.tp,
        "max_model_len": max(4096, case.context_tokens),
        "max_num_seqs": sequences,
        "max_num_batched_tokens": max(8192, sequences * case.prompt_tokens),
        "gpu_memory_utilization": MEMORY_UTILISATION,
        "enable_prefix_caching": False,
        "seed": case.seed,
        "profiler_config": {"profiler": "cuda"},
    }
    return {**common, **_weights(case), **_graphs(case)}


def _weights(case: Case) -> dict[str, Any]:
    return {} if case.checkpoint else {"load_format": "dummy", "skip_tokenizer_init": True}


def _graphs(case: Case) -> dict[str, Any]:
    if case.graphs == "off":
        return {"enforce_eager": True}
    # Each batch replays a graph of its own size: neither padding nor a fall back to eager.
    return {"compilation_config": {"cudagraph_capture_sizes": sorted(case.batches)}}
