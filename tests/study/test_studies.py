"""The studies that ship: each plans on every kind of host, and the published one names what was published."""

import pytest

from study import config
from study.gpus import find
from study.plan import Plan, plan


def planned(study: str, gpu: str, count: int = 8) -> Plan:
    return plan(config.load(study), find(gpu), count)


@pytest.mark.parametrize("gpu", ["rtx4090", "a800", "h200"])
@pytest.mark.parametrize("study", config.names())
def test_every_study_plans_on_every_host_and_gives_each_skip_a_reason(study: str, gpu: str) -> None:
    made = planned(study, gpu)
    assert made.cases and all(skip.reason for skip in made.skips)
    assert len({case.name for case in made.cases}) == len(made.cases)


def test_the_published_configurations_run_on_h200s_at_their_rates() -> None:
    made = planned("published", "h200")
    assert not made.skips
    rates = {(case.model, case.layout.label): case.serving.rates for case in made.cases if case.serving}
    assert rates == {
        ("qwen2-7b", "tp1"): (11, 12, 48),
        ("llama3-8b", "tp2"): (3.5, 48),
        ("qwen2-57b", "tp4dp2"): (14, 48),
        ("qwen2-57b", "tp4dpa2"): (14, 48),
        ("qwen2-72b", "tp4pp2"): (1.9, 12),
        ("qwen2-57b", "tp2dp2"): (14, 48),
        ("qwen2-72b", "tp2pp2"): (1.9, 12),
    }


def test_on_four_gpus_the_published_configurations_of_eight_are_there_with_half_the_tensor_parallelism() -> None:
    made = plan(config.load("published"), find("h200"), 4)
    assert {case.layout.label for case in made.cases} == {"tp1", "tp2", "tp2dp2", "tp2pp2"}
    assert {skip.reason for skip in made.skips} == {
        f"{label} needs 8 GPUs, there are 4" for label in ("tp4dp2", "tp4dpa2", "tp4pp2")
    }


def test_on_4090s_two_replicas_of_the_mixture_are_skipped_with_the_sum_and_all_else_runs() -> None:
    made = planned("published", "rtx4090")
    places = {(skip.model, skip.layout.label) for skip in made.skips}
    assert places == {("qwen2-57b", "tp4dp2"), ("qwen2-57b", "tp2dp2"), ("qwen2-72b", "tp2pp2")}
    assert made.skips[0].reason.startswith("weights do not fit: 26.7 GiB per GPU at tp4dp2, rtx4090 has room for 20.7")


@pytest.mark.parametrize("graphs", ["on", "off"])
def test_transformers_is_measured_in_each_of_its_ways(graphs: str) -> None:
    ways = {case.compile for case in planned("hf", "h200", 1).cases if case.graphs == graphs}
    assert ways == ({"engine", "on"} if graphs == "on" else {"engine", "on", "off"})
