"""vLLM's HTTP server, as the serving driver uses it: its flags, requests, capture window and resolved configuration."""

import importlib.metadata
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

MODULE = "vllm.entrypoints.openai.api_server"
# Opens /server_info, the only place that tells the resolved configuration.
ENVIRONMENT = {"VLLM_SERVER_DEV_MODE": "1"}
HEALTH = "/health"
ROUTE = "/v1/completions"
# The window closes by itself, but the workers stay in their profiling mode until they are told.
STOP_PROFILE = True

GRAPH_MODES = {
    (0,): "NONE", (1,): "PIECEWISE", (2,): "FULL", (2, 0): "FULL_DECODE_ONLY", (2, 1): "FULL_AND_PIECEWISE",
}  # fmt: skip
COMPILE_MODES = ("NONE", "STOCK_TORCH_COMPILE", "DYNAMO_TRACE_ONCE", "VLLM_COMPILE")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def flags(options: dict[str, Any], *, port: int, traced_steps: int) -> list[str]:
    """The command line that says to the server what `options` say to `vllm.LLM`, and how long a window stays open."""
    if traced_steps:
        profiler = {**options.get("profiler_config", {}), "profiler": "cuda", "max_iterations": traced_steps}
        options = {**options, "profiler_config": profiler}
    server = {"host": "127.0.0.1", "port": port, "disable_uvicorn_access_log": True}
    return [word for name, value in {**options, **server}.items() for word in _flag(name, value)]


def _flag(name: str, value: Any) -> list[str]:
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    if isinstance(value, list):
        return [f"--{dashed}", *map(str, value)]
    # In one word with its name: the server's parser takes a value with a dot and a leading dash for a nested option.
    return [] if value is None else [f"--{dashed}={json.dumps(value) if isinstance(value, dict) else value}"]


def body(prompt: tuple[int, ...], output_tokens: int) -> dict[str, Any]:
    """A request for exactly `output_tokens` tokens, greedily, streamed as token ids."""
    return {
        "prompt": prompt,
        "max_tokens": output_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "return_token_ids": True,
    }


def new_tokens(message: dict[str, Any], before: int) -> int:
    """Tokens that a message of the stream brings; every message holds only its own."""
    choices = message["choices"]
    return len(choices[0]["token_ids"]) if choices else 0


def start_profile(steps: int) -> dict[str, Any]:
    """The body that opens the capture window; how long it stays open was said at the start (max_iterations)."""
    return {}


async def resolved(get: Callable[[str], Awaitable[str]]) -> dict[str, Any]:
    """What the server made of its options, by its own account; worker-side downgrades do not show in it."""
    info = json.loads(await get("/server_info?config_format=json"))["vllm_config"]
    compilation, cache = info["compilation_config"], info["cache_config"] | cache_info(await get("/metrics"))
    mode, compiled = graph_mode(compilation["cudagraph_mode"]), compile_mode(compilation["mode"])
    return {
        "engine_version": importlib.metadata.version("vllm"),
        "graphs": "off" if mode == "NONE" else "on",
        "cudagraph_mode": mode,
        "compile": "off" if compiled == "NONE" else "on",
        "compile_mode": compiled,
        "capture_sizes": list(compilation.get("cudagraph_capture_sizes") or []),
        "tp": info["parallel_config"]["tensor_parallel_size"],
        "max_num_seqs": info["scheduler_config"]["max_num_seqs"],
        "kv_blocks": _number(cache.get("num_gpu_blocks")),
        "kv_block_tokens": _number(cache.get("block_size")),
        "kv_tokens": _number(cache.get("kv_cache_size_tokens")),
        "dtype": str(info["model_config"]["dtype"]),
    }


def graph_mode(value: Any) -> str:
    """The name of a graph mode, which the server tells as a number, a pair of numbers (decode, mixed) or a name."""
    if value is None or isinstance(value, str):
        return value or "NONE"
    return GRAPH_MODES[tuple(value) if isinstance(value, list) else (value,)]


def compile_mode(value: Any) -> str:
    """The name of a compilation mode, which the server tells as a number or a name."""
    if value is None or isinstance(value, str):
        return value or "NONE"
    return COMPILE_MODES[value]


def cache_info(metrics: str) -> dict[str, str]:
    """The labels of the first engine's vllm:cache_config_info; empty where the server has no such metric."""
    line = next((line for line in metrics.splitlines() if line.startswith("vllm:cache_config_info{")), "")
    return {name: value for name, value in _LABEL.findall(line) if value != "None"}


def _number(value: Any) -> int | None:
    return None if value is None else int(value)
