"""Promises of every engine's options: the graph switch moves nothing else, and the sequences of a case fit."""

from dataclasses import replace
from typing import Any

import pytest

from launch.engines import ENGINES
from study.layouts import parse
from study.spec import ENGINES as WORDS
from study.spec import Case
from tests.cases import CASE

CASES = [replace(CASE, engine=engine) for engine in ENGINES]
SWITCHES = {"vllm": {"enforce_eager", "compilation_config"},
            "sglang": {"disable_decode_cuda_graph", "cuda_graph_bs_decode"},
            "hf": {"use_cuda_graph"}}  # fmt: skip
CONTEXT = {"vllm": "max_model_len", "sglang": "context_length", "hf": "context"}
SEQUENCES = {"vllm": "max_num_seqs", "sglang": "max_running_requests", "hf": "max_requests_per_batch"}
each_engine = pytest.mark.parametrize("case", CASES, ids=list(ENGINES))
SERVERS = [case for case in CASES if case.engine != "hf"]
each_server = pytest.mark.parametrize("case", SERVERS, ids=[case.engine for case in SERVERS])


def options(case: Case, **changes: Any) -> dict[str, Any]:
    made = ENGINES[case.engine].options(replace(case, **changes), "path/of/model")
    # Transformers' engine has its own settings within those of its driver.
    return made | made.get("continuous", {}) if case.engine == "hf" else made


def without(names: set[str], made: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name not in names}


def test_every_engine_that_a_study_may_name_is_here() -> None:
    assert set(ENGINES) == set(WORDS)


@each_engine
@pytest.mark.parametrize("changes", [{}, {"tp": 8}, {"batches": (64, 256)}, {"checkpoint": "weights"}])
def test_graphs_on_and_off_differ_in_the_graph_switch_alone(case: Case, changes: dict[str, Any]) -> None:
    on, off = options(case, graphs="on", **changes), options(case, graphs="off", **changes)
    different = {name for name in without({"continuous"}, on | off) if on.get(name) != off.get(name)}
    assert different == SWITCHES[case.engine]


@each_server
def test_graphs_off_is_said_and_graphs_on_captures_each_batch_at_its_own_size(case: Case) -> None:
    off, on = (options(case, graphs=graphs, batches=(8, 1)) for graphs in ("off", "on"))
    assert off.get("enforce_eager", off.get("disable_decode_cuda_graph")) is True
    assert on.get("cuda_graph_bs_decode", on.get("compilation_config", {}).get("cudagraph_capture_sizes")) == [1, 8]


def test_each_corner_of_vllms_two_switches_is_set_without_moving_the_other() -> None:
    corners = {
        (graphs, compiled): {name: value for name, value in options(CASE, graphs=graphs, compile=compiled).items()
                             if name in SWITCHES["vllm"]}
        for graphs in ("on", "off") for compiled in ("on", "off")
    }  # fmt: skip
    sizes = {"cudagraph_capture_sizes": [1, 8]}
    assert corners == {
        ("on", "on"): {"compilation_config": sizes},
        ("on", "off"): {"compilation_config": {"mode": 0, "cudagraph_mode": "FULL_DECODE_ONLY", **sizes}},
        ("off", "on"): {"compilation_config": {"cudagraph_mode": "NONE"}},
        ("off", "off"): {"enforce_eager": True},
    }


def test_the_engines_own_switch_is_one_of_the_corners() -> None:
    for graphs in ("on", "off"):
        assert options(CASE, graphs=graphs) == options(CASE, graphs=graphs, compile=graphs)


@each_server
def test_graphs_are_captured_for_the_batches_named_and_no_others(case: Case) -> None:
    made = options(case, batches=(8, 9), captured=(16, 8))
    assert made.get("cuda_graph_bs_decode", made.get("compilation_config", {}).get("cudagraph_capture_sizes")) == [
        8,
        16,
    ]


LOGS = {
    "vllm": "(Worker_TP0 pid=9) INFO [model_runner.py:722] Graph capturing finished in 3 secs, took 0.10 GiB\n"
    "(Worker_TP1 pid=8) INFO [model_runner.py:722] Graph capturing finished in 4 secs, took 0.12 GiB\n",
    "sglang": "[2026-11-21 TP0] Capture target decode CUDA graph begin. backend=full, bs=[1, 2], avail mem=69.40 GB\n"
    "[2026-11-21 TP0] Capture target decode CUDA graph end. elapsed=3.00 s, mem usage=0.10 GB, avail mem=69.36 GB.\n"
    "[2026-11-21 TP1] Capture target decode CUDA graph end. elapsed=4.00 s, mem usage=0.12 GB, avail mem=69.36 GB.\n",
}


@each_server
def test_the_cost_of_capturing_is_that_of_the_worker_that_needed_most(case: Case) -> None:
    assert ENGINES[case.engine].capture(LOGS[case.engine]) == {"capture_s": 4.0, "graph_gib": 0.12}
    assert ENGINES[case.engine].capture("nothing was captured") == {}


def test_what_a_rank_captured_for_prefill_and_for_decode_counts_together() -> None:
    ended = "Capture target {} CUDA graph end. elapsed={} s, mem usage={} GB, avail mem=11.16 GB.\n"
    alone = "[2026-11-22 05:10:39] " + ended.format("prefill", "8.12", "1.62")
    alone += "[2026-11-22 05:10:43] " + ended.format("decode", "3.20", "0.23")
    assert ENGINES["sglang"].capture(alone) == {"capture_s": 11.32, "graph_gib": 1.85}
    ranks = "".join(
        f"[2026-11-22 05:10:39 {rank}] " + ended.format(phase, took, took)
        for rank, took in (("TP0", "1.00"), ("TP1", "2.00")) for phase in ("prefill", "decode")
    )  # fmt: skip
    assert ENGINES["sglang"].capture(ranks) == {"capture_s": 4.0, "graph_gib": 4.0}
    assert ENGINES["sglang"].capture("[2026-01-01 00:00:00 TP0] Capture cuda graph end. Time elapsed: 3.00 s. "
                                     "mem usage=0.10 GB.") == {"capture_s": 3.0, "graph_gib": 0.1}  # fmt: skip


@each_engine
def test_a_traced_case_and_every_repeat_run_with_the_options_of_the_untraced_one(case: Case) -> None:
    assert options(case, tracing="node") == options(case, tracing="off", repeat=2)


@each_server
def test_a_checkpoint_brings_its_weights_and_its_tokenizer(case: Case) -> None:
    dummy, real = options(case), options(case, checkpoint="weights")
    assert dummy["load_format"] == "dummy"
    assert {name for name in dummy if name not in real} == {"load_format", "skip_tokenizer_init"}
    assert all(dummy[name] == real[name] for name in real)


@each_engine
@pytest.mark.parametrize(
    ("prompt", "output", "traced"), [(128, 64, 64), (8000, 500, 64), (8000, 64, 500), (4090, 1, 64)]
)
def test_the_context_holds_prompt_and_decode_with_room_to_settle(
    case: Case, prompt: int, output: int, traced: int
) -> None:
    made = options(case, prompt_tokens=prompt, output_tokens=output, traced_steps=traced)
    assert made[CONTEXT[case.engine]] >= prompt + max(output + 1, traced + 12)


@each_engine
def test_no_sequence_of_a_batch_has_to_wait(case: Case) -> None:
    assert options(case, batches=(1, 300))[SEQUENCES[case.engine]] == 300
    assert options(case, batches=(1,))[SEQUENCES[case.engine]] == options(case, batches=(4,))[SEQUENCES[case.engine]]


def test_vllm_prefills_a_whole_batch_in_one_step() -> None:
    made = options(CASE, batches=(64,), prompt_tokens=1000)
    assert made["max_num_batched_tokens"] >= 64 * 1000


@each_engine
def test_nothing_is_fetched_from_a_hub(case: Case) -> None:
    assert ENGINES[case.engine].ENVIRONMENT["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize(
    ("engine", "word", "said"),
    [
        ("vllm", "tp4pp2", {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}),
        ("vllm", "tp4dp2", {"tensor_parallel_size": 4, "data_parallel_size": 2}),
        ("vllm", "tp4dpa2", {"tensor_parallel_size": 4, "data_parallel_size": 2}),
        ("sglang", "tp4pp2", {"tp_size": 4, "pp_size": 2}),
        ("sglang", "tp4dp2", {"tp_size": 4, "dp_size": 2}),
        ("sglang", "tp4dpa2", {"tp_size": 8, "attn_dp_size": 2}),
    ],
)
def test_a_layout_is_said_in_each_engines_own_words(engine: str, word: str, said: dict[str, Any]) -> None:
    layout = parse(word)
    case = replace(CASE, engine=engine, tp=layout.tp, pp=layout.pp, dp=layout.dp, dp_attention=layout.dp_attention)
    split = {name for name in options(case) if name.endswith(("parallel_size", "tp_size", "pp_size", "dp_size"))}
    assert {name: options(case)[name] for name in split | set(said)} == said


@each_server
def test_as_shipped_the_switch_is_all_that_is_said(case: Case) -> None:
    on, off = (options(case, graphs=graphs, settings="as-shipped") for graphs in ("on", "off"))
    said = {"vllm": {"enforce_eager": True}, "sglang": {"disable_cuda_graph": True}}[case.engine]
    assert {name: value for name, value in off.items() if name not in on} == said
    assert on.items() <= off.items()
    assert not set(on) & {"gpu_memory_utilization", "mem_fraction_static", CONTEXT[case.engine], SEQUENCES[case.engine]}


@pytest.mark.parametrize(
    ("graphs", "compiled", "said"),
    [
        ("on", "engine", {"way": "continuous", "use_cuda_graph": True, "compile_mode": None}),
        ("off", "engine", {"way": "continuous", "use_cuda_graph": False, "compile_mode": None}),
        ("on", "on", {"way": "static", "compile_mode": "reduce-overhead"}),
        ("off", "on", {"way": "static", "compile_mode": "default"}),
        ("off", "off", {"way": "dynamic", "compile_mode": None}),
    ],
)
def test_each_way_of_transformers_is_a_corner_of_the_two_switches(
    graphs: str, compiled: str, said: dict[str, Any]
) -> None:
    made = options(replace(CASE, engine="hf"), graphs=graphs, compile=compiled)
    assert {name: made[name] for name in said} == said


def test_as_shipped_transformers_chooses_all_but_its_graphs() -> None:
    shipped = options(replace(CASE, engine="hf"), settings="as-shipped")["continuous"]
    assert shipped == {"use_cuda_graph": True}


def test_transformers_takes_weights_from_a_checkpoint_and_draws_them_otherwise() -> None:
    case = replace(CASE, engine="hf")
    assert (options(case)["weights"], options(case, checkpoint="weights")["weights"]) == (False, True)
