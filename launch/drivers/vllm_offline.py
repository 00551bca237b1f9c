"""vLLM's offline API, as the decode driver uses it."""

import importlib.metadata
from typing import Any

import torch
from vllm import LLM, SamplingParams


class Engine:
    """One vLLM engine; `options` are the keyword arguments of `vllm.LLM`."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Load the model, compile and capture as the options say."""
        self._llm = LLM(**options)

    def generate(self, prompts: list[list[int]], tokens: int) -> None:
        """Decode exactly `tokens` tokens for every prompt, greedily."""
        sampling = SamplingParams(max_tokens=tokens, ignore_eos=True, detokenize=False, temperature=0)
        outputs = self._llm.generate([{"prompt_token_ids": ids} for ids in prompts], sampling, use_tqdm=False)
        short = [len(out.outputs[0].token_ids) for out in outputs if len(out.outputs[0].token_ids) != tokens]
        if short:
            raise RuntimeError(f"{len(short)} of {len(prompts)} sequences ended after {short[0]} tokens, not {tokens}")

    def start_profile(self) -> None:
        """Call cudaProfilerStart on every worker."""
        self._llm.start_profile()

    def stop_profile(self) -> None:
        """Call cudaProfilerStop on every worker."""
        self._llm.stop_profile()

    def resolved(self) -> dict[str, Any]:
        """What the engine made of its options, as its own configuration says."""
        config = self._llm.llm_engine.vllm_config
        mode = config.compilation_config.cudagraph_mode
        compiled = getattr(config.compilation_config.mode, "name", "NONE")
        return {
            "engine_version": importlib.metadata.version("vllm"),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "graphs": "off" if mode is None or mode.name == "NONE" else "on",
            "cudagraph_mode": getattr(mode, "name", None),
            "compile": "off" if compiled == "NONE" else "on",
            "compile_mode": compiled,
            "capture_sizes": list(config.compilation_config.cudagraph_capture_sizes or []),
            "tp": config.parallel_config.tensor_parallel_size,
            "pp": config.parallel_config.pipeline_parallel_size,
            "dp": config.parallel_config.data_parallel_size,
            "max_num_seqs": config.scheduler_config.max_num_seqs,
            "max_num_batched_tokens": config.scheduler_config.max_num_batched_tokens,
            "max_model_len": config.model_config.max_model_len,
            "async_scheduling": config.scheduler_config.async_scheduling,
            "custom_all_reduce": not config.parallel_config.disable_custom_all_reduce,
            "kv_blocks": config.cache_config.num_gpu_blocks,
            "kv_block_tokens": config.cache_config.block_size,
            "kv_tokens": _product(config.cache_config.num_gpu_blocks, config.cache_config.block_size),
            "memory_ratio": config.cache_config.gpu_memory_utilization,
            "dtype": str(config.model_config.dtype),
        }

    def close(self) -> None:
        """Stop the workers, so that the profiler sees them end."""
        self._llm.llm_engine.engine_core.shutdown()


def _product(blocks: int | None, tokens: int | None) -> int | None:
    return blocks * tokens if blocks and tokens else None
