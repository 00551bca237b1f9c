"""SGLang's offline API, as the decode driver uses it."""

import importlib.metadata
from typing import Any

import sglang
import torch


class Engine:
    """One SGLang engine; `options` are the keyword arguments of `sglang.Engine`."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Load the model and capture as the options say."""
        self._engine = sglang.Engine(**options)

    def generate(self, prompts: list[list[int]], tokens: int) -> None:
        """Decode exactly `tokens` tokens for every prompt, greedily."""
        sampling = {"max_new_tokens": tokens, "ignore_eos": True, "temperature": 0}
        outputs = self._engine.generate(input_ids=prompts, sampling_params=sampling)
        short = [n for out in outputs if (n := out["meta_info"]["completion_tokens"]) != tokens]
        if short:
            raise RuntimeError(f"{len(short)} of {len(prompts)} sequences ended after {short[0]} tokens, not {tokens}")

    def start_profile(self) -> None:
        """Call cudaProfilerStart in the first rank's process; nsys records all ranks."""
        self._engine.start_profile(activities=["CUDA_PROFILER"])

    def stop_profile(self) -> None:
        """Call cudaProfilerStop in the first rank's process."""
        self._engine.stop_profile()

    def resolved(self) -> dict[str, Any]:
        """What the engine made of its options, as its schedulers say."""
        info = self._engine.get_server_info()
        state = (info.get("internal_states") or [{}])[0]
        decode = _decode(state, info, "backend")
        memory = state.get("memory_usage") or {}
        return {
            "engine_version": importlib.metadata.version("sglang"),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "graphs": None if decode is None else "off" if decode == "disabled" else "on",
            "decode_graph_backend": decode,
            "capture_sizes": None if decode == "disabled" else _decode(state, info, "bs"),
            "tp": _attention_tp(info),
            "pp": info.get("pp_size"),
            "dp": _replicas(info),
            "max_running_requests": info.get("max_running_requests"),
            "context_length": info.get("context_length"),
            "memory_ratio": info.get("mem_fraction_static"),
            "chunked_prefill_size": info.get("chunked_prefill_size"),
            "custom_all_reduce": _negated(info.get("disable_custom_all_reduce")),
            "attention_backend": info.get("attention_backend"),
            "sampling_backend": info.get("sampling_backend"),
            "kv_tokens": memory.get("token_capacity"),
            "graph_gb": memory.get("graph"),
        }

    def close(self) -> None:
        """Stop the schedulers, so that the profiler sees them end."""
        self._engine.shutdown()


def _decode(state: dict[str, Any], info: dict[str, Any], what: str) -> Any:
    """A setting of the decode phase's graphs, which the schedulers send as a mapping or as an object."""
    for server in (state, info):
        config = server.get("cuda_graph_config")
        decode = config.get("decode") if isinstance(config, dict) else getattr(config, "decode", None)
        found = decode.get(what) if isinstance(decode, dict) else getattr(decode, what, None)
        if found is not None:
            return found
    if "cuda_graph_config" in info or "disable_cuda_graph" not in info:
        return None
    # Before 0.5.14 one switch and one list were those of decode.
    backend = "disabled" if info["disable_cuda_graph"] else "full"
    return backend if what == "backend" else info.get("cuda_graph_bs")


def _replicas(info: dict[str, Any]) -> int | None:
    """Replicas, of the whole model or of its attention, which from 0.5.22 on has a number of its own."""
    return max(info["dp_size"], info.get("attn_dp_size") or 1) if info.get("dp_size") else None


def _attention_tp(info: dict[str, Any]) -> int | None:
    """GPUs that share a replica's attention: with DP attention tp_size counts those of all replicas."""
    tp, attention = info.get("tp_size"), info.get("enable_dp_attention") or (info.get("attn_dp_size") or 1) > 1
    return tp // (_replicas(info) or 1) if tp and attention else tp


def _negated(value: bool | None) -> bool | None:
    return None if value is None else not value
