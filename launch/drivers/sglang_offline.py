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
        decode = _decode_backend(state) or _decode_backend(info)
        memory = state.get("memory_usage") or {}
        return {
            "engine_version": importlib.metadata.version("sglang"),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "graphs": None if decode is None else "off" if decode == "disabled" else "on",
            "decode_graph_backend": decode,
            "tp": info.get("tp_size"),
            "attention_backend": info.get("attention_backend"),
            "sampling_backend": info.get("sampling_backend"),
            "kv_tokens": memory.get("token_capacity"),
            "graph_gb": memory.get("graph"),
        }

    def close(self) -> None:
        """Stop the schedulers, so that the profiler sees them end."""
        self._engine.shutdown()


def _decode_backend(server: dict[str, Any]) -> str | None:
    """The decode phase's graph backend, which the schedulers send as a mapping or as an object."""
    config = server.get("cuda_graph_config")
    decode = config.get("decode") if isinstance(config, dict) else getattr(config, "decode", None)
    return decode.get("backend") if isinstance(decode, dict) else getattr(decode, "backend", None)
