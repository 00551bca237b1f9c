"""vLLM's server as its adapter speaks to it: flags, requests, the window, and the configuration it tells."""

import asyncio
import json

import pytest

from launch.drivers import vllm_server

INFO = {
    "compilation_config": {"cudagraph_mode": [2, 1], "mode": 3, "cudagraph_capture_sizes": [1, 2]},
    "parallel_config": {"tensor_parallel_size": 2},
    "scheduler_config": {"max_num_seqs": 16},
    "cache_config": {"num_gpu_blocks": 90, "block_size": 16},
    "model_config": {"dtype": "torch.bfloat16"},
}
METRICS = """# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",engine="0",kv_cache_size_tokens="1600",num_gpu_blocks="100",x="None"} 1.0
vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="7"} 1.0
"""


def flags(traced_steps: int = 0, **options: object) -> list[str]:
    *own, host, port, quiet = vllm_server.flags(options, port=8000, traced_steps=traced_steps)
    assert (host, port, quiet) == ("--host=127.0.0.1", "--port=8000", "--disable-uvicorn-access-log")
    return own


def test_options_of_the_offline_api_become_flags_of_the_server() -> None:
    assert flags(model="a/b.c", max_num_seqs=16, gpu_memory_utilization=0.92) == [
        "--model=a/b.c", "--max-num-seqs=16", "--gpu-memory-utilization=0.92"
    ]  # fmt: skip


def test_a_switch_is_said_both_ways_and_what_is_none_is_left_out() -> None:
    assert flags(enforce_eager=True, enable_prefix_caching=False, quantization=None) == [
        "--enforce-eager", "--no-enable-prefix-caching"
    ]  # fmt: skip


def test_tables_are_json_and_lists_are_words() -> None:
    told = flags(compilation_config={"mode": 0, "cudagraph_capture_sizes": [1, 2]}, cudagraph_capture_sizes=[1, 2])
    assert told == [
        '--compilation-config={"mode": 0, "cudagraph_capture_sizes": [1, 2]}', "--cudagraph-capture-sizes", "1", "2"
    ]  # fmt: skip


def test_a_negative_number_with_a_dot_stays_with_its_flag() -> None:
    assert flags(scale=-0.5) == ["--scale=-0.5"]


def test_traced_steps_bound_the_window_and_keep_the_profiler_s_other_settings() -> None:
    told = flags(64, profiler_config={"profiler": "cuda", "delay_iterations": 3})
    assert told == ['--profiler-config={"profiler": "cuda", "delay_iterations": 3, "max_iterations": 64}']
    assert flags(64) == ['--profiler-config={"profiler": "cuda", "max_iterations": 64}']


def test_the_options_given_are_left_as_they_are() -> None:
    options = {"profiler_config": {"profiler": "cuda"}}
    vllm_server.flags(options, port=1, traced_steps=64)
    assert options == {"profiler_config": {"profiler": "cuda"}}


def resolved(info: dict, metrics: str = METRICS) -> dict:
    async def get(path: str) -> str:
        return metrics if path == "/metrics" else json.dumps({"vllm_config": info})

    return asyncio.run(vllm_server.resolved(get))


def test_the_resolved_configuration_has_the_keys_of_the_offline_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server.importlib.metadata, "version", lambda name: f"{name} 1.2")
    assert resolved(INFO) == {
        "engine_version": "vllm 1.2", "graphs": "on", "cudagraph_mode": "FULL_AND_PIECEWISE", "compile": "on",
        "compile_mode": "VLLM_COMPILE", "capture_sizes": [1, 2], "tp": 2, "max_num_seqs": 16, "kv_blocks": 100,
        "kv_block_tokens": 16, "kv_tokens": 1600, "dtype": "torch.bfloat16",
    }  # fmt: skip


def test_neither_switch_is_on_because_the_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server.importlib.metadata, "version", lambda name: name)
    corners = [
        resolved({**INFO, "compilation_config": {"cudagraph_mode": graphs, "mode": compiled}})
        for graphs in (0, [2, 0])
        for compiled in (0, 3)
    ]
    told = [(corner["graphs"], corner["compile"]) for corner in corners]
    assert told == [("off", "off"), ("off", "on"), ("on", "off"), ("on", "on")]


def test_without_the_metric_the_blocks_are_those_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server.importlib.metadata, "version", lambda name: name)
    told = resolved(INFO, metrics="")
    assert (told["kv_blocks"], told["kv_block_tokens"], told["kv_tokens"]) == (90, 16, None)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (0, "NONE"), (1, "PIECEWISE"), (2, "FULL"), ([2, 0], "FULL_DECODE_ONLY"), ([2, 1], "FULL_AND_PIECEWISE"),
        ("PIECEWISE", "PIECEWISE"), (None, "NONE"),
    ],
)  # fmt: skip
def test_a_graph_mode_is_told_by_number_pair_or_name(value: object, name: str) -> None:
    assert vllm_server.graph_mode(value) == name


def test_a_graph_mode_that_is_not_known_is_an_error_and_no_guess() -> None:
    with pytest.raises(KeyError):
        vllm_server.graph_mode([1, 2])


@pytest.mark.parametrize(("value", "name"), [(0, "NONE"), (3, "VLLM_COMPILE"), ("NONE", "NONE"), (None, "NONE")])
def test_a_compilation_mode_is_told_by_number_or_name(value: object, name: str) -> None:
    assert vllm_server.compile_mode(value) == name
