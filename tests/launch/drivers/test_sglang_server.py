"""SGLang's server as its adapter speaks to it: flags, requests, the window, and the configuration it tells."""

import asyncio
import json
from typing import Any

import pytest

from launch.drivers import sglang_server


def flags(**options: object) -> list[str]:
    *own, host, port, quiet, own_tokens = sglang_server.flags(options, port=8000, traced_steps=64)
    assert (host, port, quiet) == ("--host=127.0.0.1", "--port=8000", "--log-level-http=warning")
    assert own_tokens == "--incremental-streaming-output"
    return own


def test_options_of_the_offline_api_become_flags_of_the_server() -> None:
    assert flags(model_path="a/b.c", tp_size=2, mem_fraction_static=0.92) == [
        "--model-path=a/b.c", "--tp-size=2", "--mem-fraction-static=0.92"
    ]  # fmt: skip


def test_a_switch_is_named_or_left_out() -> None:
    assert flags(disable_radix_cache=True, disable_decode_cuda_graph=False, dtype=None) == ["--disable-radix-cache"]


def test_tables_are_json_and_lists_are_words() -> None:
    told = flags(cuda_graph_bs_decode=[1, 2], cuda_graph_config={"decode": {"backend": "full"}})
    assert told == ["--cuda-graph-bs-decode", "1", "2", '--cuda-graph-config={"decode": {"backend": "full"}}']


def test_the_window_is_one_of_the_cuda_profiler_for_so_many_steps() -> None:
    assert sglang_server.start_profile(64) == {"activities": ["CUDA_PROFILER"], "num_steps": 64}


@pytest.mark.parametrize(("backend", "graphs"), [("full", "on"), ("disabled", "off")])
def test_the_resolved_configuration_has_the_keys_of_the_offline_driver(
    monkeypatch: pytest.MonkeyPatch, backend: str, graphs: str
) -> None:
    monkeypatch.setattr(sglang_server.importlib.metadata, "version", lambda name: f"{name} 1.2")
    state = {
        "cuda_graph_config": {"decode": {"backend": backend}},
        "memory_usage": {"token_capacity": 1000, "graph": 0.1},
        "effective_max_running_requests_per_dp": 16,
    }
    info = {
        "tp_size": 2, "pp_size": 1, "dp_size": 1, "max_running_requests": 16, "attention_backend": "fa3",
        "sampling_backend": "pytorch", "internal_states": [state],
    }  # fmt: skip

    async def get(path: str) -> str:
        assert path == "/server_info"
        return json.dumps(info)

    assert asyncio.run(sglang_server.resolved(get)) == {
        "engine_version": "sglang 1.2", "graphs": graphs, "decode_graph_backend": backend, "tp": 2,
        "pp": 1, "dp": 1, "attention_backend": "fa3", "sampling_backend": "pytorch", "max_running_requests": 16,
        "running_per_replica": 16, "kv_tokens": 1000, "graph_gb": 0.1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("info", "tp", "dp"),
    [
        ({"tp_size": 4, "dp_size": 2}, 4, 2),
        ({"tp_size": 8, "dp_size": 2, "enable_dp_attention": True}, 4, 2),
        ({"tp_size": 8, "dp_size": 1, "attn_dp_size": 2}, 4, 2),
    ],
)
def test_tp_is_that_of_a_replica_s_attention_in_every_version_s_words(
    monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], tp: int, dp: int
) -> None:
    monkeypatch.setattr(sglang_server.importlib.metadata, "version", lambda name: name)

    async def get(path: str) -> str:
        return json.dumps(info)

    told = asyncio.run(sglang_server.resolved(get))
    assert (told["tp"], told["dp"]) == (tp, dp)


def test_what_the_server_does_not_tell_is_none_and_no_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sglang_server.importlib.metadata, "version", lambda name: name)

    async def get(path: str) -> str:
        return "{}"

    told = asyncio.run(sglang_server.resolved(get))
    assert told["graphs"] is None and told["kv_tokens"] is None
