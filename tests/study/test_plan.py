"""Plans: complete, in a fair order, packed onto disjoint GPUs."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from study import config, models
from study.gpus import find
from study.plan import Plan, devices, plan, waves
from study.spec import CONTEXT_MARGIN_TOKENS

NEEDED = 32 * (512 + 128 + CONTEXT_MARGIN_TOKENS)
SPEC = replace(config.load(), prompt_tokens=512, output_tokens=128, batches=(1,), repeats=3, tracing=("off", "node"))
THREE_MODELS = replace(SPEC, models=("qwen2-7b", "llama3-8b", "qwen2-72b"), tp=(1, 2, 4, 8))


def combination(entry):
    return entry.engine, entry.model, entry.tp, entry.graphs


def skipped(made: Plan) -> dict[tuple[str, int], str]:
    return {(skip.model, skip.tp): skip.reason for skip in made.skips}


@pytest.mark.parametrize("count", [1, 4, 8])
@pytest.mark.parametrize("gpu", ["rtx4090", "a800", "h200"])
def test_every_combination_is_either_cases_or_exactly_one_skip(gpu, count):
    spec = replace(SPEC, models=models.names(), tp=(1, 2, 3, 4, 8))
    made = plan(spec, find(gpu), count)
    asked = Counter(product(spec.engines, spec.models, spec.tp, spec.graphs))
    assert Counter({combination(case) for case in made.cases}) + Counter(map(combination, made.skips)) == asked
    per_combination = Counter(map(combination, made.cases))
    assert set(per_combination.values()) <= {spec.repeats + spec.traced_repeats}
    assert all(skip.reason for skip in made.skips)


def test_a_switch_that_an_engine_does_not_have_is_a_skip_with_its_reason():
    made = plan(replace(SPEC, tp=(1,), compile=("on", "off")), find("h200"), 1)
    assert {(case.engine, case.graphs, case.compile) for case in made.cases} == set(
        product(["vllm"], ["on", "off"], ["on", "off"])
    )
    assert {(skip.engine, skip.compile) for skip in made.skips} == {("sglang", "on"), ("sglang", "off")}
    assert all("SGLang compiles nothing" in skip.reason for skip in made.skips)


def test_cases_that_differ_in_compilation_alone_have_folders_of_their_own():
    made = plan(replace(SPEC, tp=(1,), engines=("vllm",), compile=("engine", "on", "off")), find("h200"), 1)
    assert len({case.name for case in made.cases}) == len(made.cases)
    assert sum("_graphs-on_trace-off_r1" in case.name for case in made.cases) == 1


@pytest.mark.parametrize(
    ("gpu", "unfit"),
    [pytest.param("rtx4090", (1, 2, 4), id="rtx4090"), pytest.param("a800", (1,), id="a800")],
)
def test_three_models_at_four_tps_are_twelve_combinations_for_each_engine_and_graph_mode(gpu, unfit):
    made = plan(THREE_MODELS, find(gpu), 8)
    for engine, graphs in product(("vllm", "sglang"), ("on", "off")):
        entries = {combination(entry) for entry in (*made.cases, *made.skips)}
        assert sum(entry[0] == engine and entry[3] == graphs for entry in entries) == 12
    reasons = skipped(made)
    assert set(reasons) == {("qwen2-7b", 8)} | {("qwen2-72b", tp) for tp in unfit}
    assert reasons["qwen2-7b", 8] == "28 attention heads are not divisible by TP 8"
    assert all(reasons["qwen2-72b", tp].startswith("weights do not fit") for tp in unfit)


def test_a_tp_beyond_the_host_is_skipped_with_both_numbers():
    assert skipped(plan(SPEC, find("h200"), 4)) == {("llama3-8b", 8): "tp8 needs 8 GPUs, there are 4"}
    assert skipped(plan(SPEC, find("h200"), 1))["llama3-8b", 2] == "tp2 needs 2 GPUs, there is 1"


def test_the_largest_batch_must_have_room_for_its_kv_cache():
    spec = replace(SPEC, models=("qwen2-72b",), tp=(2,), batches=(1, 16))
    assert plan(spec, find("a800"), 8).skips == ()
    reasons = skipped(plan(replace(spec, batches=(1, 32)), find("a800"), 8))
    assert reasons["qwen2-72b", 2].startswith(f"KV cache does not fit: {NEEDED} tokens needed")


def test_traced_cases_may_have_batches_of_their_own():
    spec = replace(SPEC, batches=(1, 16), traced_batches=(4,))
    cases = plan(spec, find("h200"), 8).cases
    assert {(case.tracing, case.batches) for case in cases} == {("off", (1, 16)), ("node", (4,))}
    large = replace(SPEC, models=("qwen2-72b",), tp=(2,), traced_batches=(32,))
    assert plan(large, find("a800"), 8).skips[0].reason.startswith(f"KV cache does not fit: {NEEDED} tokens needed")


def test_sequences_longer_than_the_model_knows_are_skipped():
    spec = replace(SPEC, prompt_tokens=8192 - 128 - CONTEXT_MARGIN_TOKENS)
    assert plan(spec, find("h200"), 8).skips == ()
    assert "longer than the model's 8192" in plan(replace(spec, output_tokens=129), find("h200"), 8).skips[0].reason


def test_rounds_alternate_untraced_and_traced_so_that_an_early_end_leaves_one_of_everything():
    spec = replace(SPEC, tracing=("node", "off", "graph"), traced_repeats=2, repeats=3)
    cases = plan(spec, find("h200"), 8).cases
    rounds = list(dict.fromkeys((case.tracing, case.repeat) for case in cases))
    assert rounds == [("off", 1), ("node", 1), ("graph", 1), ("off", 2), ("node", 2), ("graph", 2), ("off", 3)]
    assert len(cases) == 16 * len(rounds)


def test_every_other_repeat_runs_the_two_sides_of_a_comparison_the_other_way_round():
    cases = plan(replace(SPEC, tp=(1, 2), tracing=("off",)), find("h200"), 8).cases
    order = [[(c.tp, c.engine, c.graphs) for c in cases if c.repeat == repeat] for repeat in (1, 2, 3)]
    assert order[0][:4] == [(1, "vllm", "on"), (1, "vllm", "off"), (1, "sglang", "on"), (1, "sglang", "off")]
    assert order[1][:4] == [(1, "sglang", "off"), (1, "sglang", "on"), (1, "vllm", "off"), (1, "vllm", "on")]
    assert order[2] == order[0]


def test_a_case_carries_what_the_study_asks():
    case = plan(replace(SPEC, batches=(1, 16), seed=5), find("h200"), 8).cases[0]
    assert (case.batches, case.prompt_tokens, case.output_tokens, case.seed) == ((1, 16), 512, 128, 5)
    assert (case.windows, case.traced_steps, case.checkpoint) == (SPEC.windows, SPEC.traced_steps, None)


def test_parallel_starts_fill_eight_gpus_from_large_tps_to_small():
    spec = replace(SPEC, parallel_starts=True, tracing=("off", "node"), repeats=1)
    made = plan(spec, find("h200"), 8)
    tps = [[case.tp for case in wave] for wave in waves(made.cases, 8, parallel_starts=True)]
    one_round = [[8], [8], [8], [8], [4, 4], [4, 4], [2, 2, 2, 2], [1, 1, 1, 1]]
    assert tps == one_round * 2


def test_waves_keep_the_order_lose_nothing_and_never_mix_rounds():
    made = plan(replace(THREE_MODELS, parallel_starts=True), find("a800"), 8)
    # What is left of an interrupted study starts anywhere.
    cases = made.cases[3:]
    grouped = waves(cases, 8, parallel_starts=True)
    assert tuple(case for wave in grouped for case in wave) == cases
    assert all(len({(case.tracing, case.repeat) for case in wave}) == 1 for wave in grouped)
    assert all(sum(case.tp for case in wave) <= 8 for wave in grouped)


def test_a_round_that_leaves_gpus_free_is_not_topped_up_from_the_next():
    cases = plan(replace(SPEC, tp=(1,), tracing=("off", "node"), repeats=2), find("h200"), 8).cases
    grouped = waves(cases, 8, parallel_starts=True)
    assert [{(case.tracing, case.repeat) for case in wave} for wave in grouped] == [
        {("off", 1)},
        {("node", 1)},
        {("off", 2)},
    ]


def test_without_parallel_starts_every_case_is_alone():
    cases = plan(SPEC, find("h200"), 8).cases
    assert waves(cases, 8, parallel_starts=False) == tuple((case,) for case in cases)


def test_the_gpus_of_a_wave_are_disjoint():
    case = plan(SPEC, find("h200"), 8).cases[0]
    wave = [replace(case, tp=4), replace(case, tp=2), replace(case, tp=1)]
    assert devices(wave) == ((0, 1, 2, 3), (4, 5), (6,))


def test_layouts_stand_beside_the_tps_and_take_the_gpus_of_all_stages_and_replicas():
    spec = replace(SPEC, models=("qwen2-72b",), engines=("sglang",), tp=(4, 8), layouts=("tp4pp2",), tracing=("off",))
    made = plan(spec, find("h200"), 8)
    assert {(case.layout.label, case.layout.gpus) for case in made.cases} == {("tp4", 4), ("tp8", 8), ("tp4pp2", 8)}
    assert len({case.name for case in made.cases}) == len(made.cases)
    (wave,) = {len(devices(wave)[0]) for wave in waves(made.cases, 8, parallel_starts=True) if wave[0].pp == 2}
    assert wave == 8
    assert skipped_layouts(plan(spec, find("h200"), 4)) == {
        "tp8": "tp8 needs 8 GPUs, there are 4", "tp4pp2": "tp4pp2 needs 8 GPUs, there are 4"
    }  # fmt: skip


def skipped_layouts(made: Plan) -> dict[str, str]:
    return {skip.layout.label: skip.reason for skip in made.skips}


def test_replicas_are_measured_by_serving_alone():
    spec = replace(SPEC, tp=(4,), layouts=("tp4dp2",), engines=("vllm",))
    assert "measure them with the workload serve" in skipped_layouts(plan(spec, find("h200"), 8))["tp4dp2"]
    assert plan(replace(spec, workload="serve", rates=(2.0,)), find("h200"), 8).skips == ()


def test_a_place_is_a_model_at_its_own_layout_and_rates():
    spec = replace(SPEC, workload="serve", places=("qwen2-7b tp1 11 12", "qwen2-72b tp4pp2 1.9"), tracing=("off",))
    made = plan(spec, find("h200"), 8)
    assert {(case.model, case.layout.label, case.serving.rates) for case in made.cases} == {
        ("qwen2-7b", "tp1", (11.0, 12.0)), ("qwen2-72b", "tp4pp2", (1.9,))
    }  # fmt: skip


def test_what_an_engine_calls_by_another_name_is_refused_with_that_name():
    spec = replace(SPEC, workload="serve", models=("qwen2-57b",), tp=(4,), layouts=("tp4dp2", "tp4dpa2"), rates=(1.0,))
    made = plan(spec, find("h200"), 8)
    ran = {(case.engine, case.layout.label) for case in made.cases}
    assert ran == set(product(("vllm", "sglang"), ("tp4", "tp4dp2", "tp4dpa2"))) - {("vllm", "tp4dp2")}
    assert {skip.reason for skip in made.skips} == {
        "vLLM shares the experts of a mixture out over its replicas, so it has no tp4dp2: ask for tp4dpa2"
    }


def test_as_shipped_cases_stand_beside_the_pinned_ones():
    made = plan(replace(SPEC, tp=(1,), settings=("pinned", "as-shipped"), tracing=("off",)), find("h200"), 1)
    names = [case.name for case in made.cases]
    assert len(set(names)) == len(names) and sum("_as-shipped_" in name for name in names) * 2 == len(names)


def test_what_an_engines_version_cannot_do_is_skipped_with_the_reason():
    spec = replace(SPEC, tp=(1,), settings=("pinned", "as-shipped"), tracing=("off",))
    made = plan(spec, find("h200"), 1, {"vllm": "0.19.1", "sglang": "0.5.13"})
    reasons = {(skip.engine, skip.settings, skip.graphs): skip.reason for skip in made.skips}
    sglang = reasons.pop(("sglang", "as-shipped", "off"))
    assert sglang.startswith("--disable-cuda-graph of SGLang 0.5.13 turns off the graphs of decode and leaves")
    assert set(reasons) == set(product(["vllm"], ["pinned", "as-shipped"], ["on", "off"]))
    assert {reason.partition(",")[0] for reason in reasons.values()} == {"vLLM 0.19.1 is older than 0.20.0"}


def test_fair_cases_are_skipped_where_the_kv_tokens_they_hold_do_not_fit():
    spec = replace(SPEC, tp=(1,), settings=("pinned", "fair"), tracing=("off",))
    assert plan(spec, find("rtx4090"), 1).skips == ()
    made = plan(replace(spec, kv_tokens=200_000), find("rtx4090"), 1)
    assert {(skip.settings, skip.reason.partition(" needed")[0]) for skip in made.skips} == {
        ("fair", "KV cache does not fit: 200000 tokens")
    }
    assert {(case.settings, case.kv_tokens) for case in made.cases} == {("pinned", 200_000)}
