"""SGLang's HTTP server, as the serving driver uses it: its flags, requests, capture window, resolved configuration."""

import importlib.metadata
import json
from collections.abc import Awaitable, Callable
from typing import Any

MODULE = "sglang.launch_server"
ENVIRONMENT: dict[str, str] = {}
HEALTH = "/health"
ROUTE = "/generate"
# A window of counted steps closes by itself; to close it again is an error.
STOP_PROFILE = False


def flags(options: dict[str, Any], *, port: int, traced_steps: int) -> list[str]:
    """The command line that says to the server what `options` say to `sglang.Engine`; the window is asked for later."""
    server = {
        "host": "127.0.0.1",
        "port": port,
        "log_level_http": "warning",
        # Each message then holds its own tokens; by default it repeats all before them.
        "incremental_streaming_output": True,
    }
    return [word for name, value in {**options, **server}.items() for word in _flag(name, value)]


def _flag(name: str, value: Any) -> list[str]:
    dashed = name.replace("_", "-")
    if value is True:
        return [f"--{dashed}"]
    if isinstance(value, list):
        return [f"--{dashed}", *map(str, value)]
    # There is no way to say no: every switch is off unless named.
    if value is None or value is False:
        return []
    return [f"--{dashed}={json.dumps(value) if isinstance(value, dict) else value}"]


def body(prompt: tuple[int, ...], output_tokens: int) -> dict[str, Any]:
    """A request for exactly `output_tokens` tokens, greedily, streamed as token ids."""
    sampling = {"max_new_tokens": output_tokens, "ignore_eos": True, "temperature": 0}
    return {"input_ids": prompt, "sampling_params": sampling, "stream": True}


def new_tokens(message: dict[str, Any], before: int) -> int:
    """Tokens that a message of the stream brings, whether it holds its own or all so far; by count and ids alike.

    Raises ValueError where the two disagree.
    """
    so_far, held = int(message["meta_info"]["completion_tokens"]), len(message["output_ids"])
    if held not in (so_far, so_far - before) or so_far < before:
        raise ValueError(f"{held} token ids in a message that ends at token {so_far}, after {before}")
    return so_far - before


def start_profile(steps: int) -> dict[str, Any]:
    """The body that opens the capture window for exactly `steps` forward passes."""
    return {"activities": ["CUDA_PROFILER"], "num_steps": steps}


async def resolved(get: Callable[[str], Awaitable[str]]) -> dict[str, Any]:
    """What the server made of its options, as its schedulers say."""
    info = json.loads(await get("/server_info"))
    state = (info.get("internal_states") or [{}])[0]
    decode = _decode_backend(state) or _decode_backend(info)
    memory = state.get("memory_usage") or {}
    return {
        "engine_version": importlib.metadata.version("sglang"),
        "graphs": None if decode is None else "off" if decode == "disabled" else "on",
        "decode_graph_backend": decode,
        "tp": _attention_tp(info),
        "pp": info.get("pp_size"),
        "dp": _replicas(info),
        "attention_backend": info.get("attention_backend"),
        "sampling_backend": info.get("sampling_backend"),
        "max_running_requests": info.get("max_running_requests"),
        "running_per_replica": state.get("effective_max_running_requests_per_dp"),
        "kv_tokens": memory.get("token_capacity"),
        "graph_gb": memory.get("graph"),
    }


def _replicas(info: dict[str, Any]) -> int | None:
    """Replicas, of the whole model or of its attention, which from 0.5.22 on has a number of its own."""
    return max(info["dp_size"], info.get("attn_dp_size") or 1) if info.get("dp_size") else None


def _attention_tp(info: dict[str, Any]) -> int | None:
    """GPUs that share a replica's attention: with DP attention tp_size counts those of all replicas."""
    tp, attention = info.get("tp_size"), info.get("enable_dp_attention") or (info.get("attn_dp_size") or 1) > 1
    return tp // (_replicas(info) or 1) if tp and attention else tp


def _decode_backend(server: dict[str, Any]) -> str | None:
    config = server.get("cuda_graph_config")
    decode = config.get("decode") if isinstance(config, dict) else None
    return decode.get("backend") if isinstance(decode, dict) else None
