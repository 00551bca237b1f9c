"""The accounts of recorded traces: they add up, agree with one another, and name who waits for whom."""

from typing import Any

import pytest

from analysis.gathered import Gathered

CASE = "llama3-8b_{}_tp{}_graphs-{}_trace-node_r1"


@pytest.fixture(scope="module")
def summarised(gathered: Gathered) -> Any:
    abouts = [(dict(found.about), found.summary) for found in gathered.evidence]
    known = {about["case"]: found for about, found in abouts if about["study"] == "h200x4-2026-11-21"}
    return lambda engine, tp, graphs: known[CASE.format(engine, tp, graphs)]


@pytest.mark.parametrize(("engine", "tp"), [("vllm", 1), ("vllm", 4), ("sglang", 2), ("sglang", 4)])
@pytest.mark.parametrize("graphs", ["off", "on"])
def test_the_parts_of_the_critical_path_add_up_to_the_iteration(
    summarised: Any, engine: str, tp: int, graphs: str
) -> None:
    found = summarised(engine, tp, graphs)
    path = dict(found["critical_path_us"])
    wall, _ = path.pop("wall"), path.pop("launch_exposed")
    assert sum(path.values()) == pytest.approx(wall, rel=1e-6)
    assert abs(path["residual"]) < 0.01 * wall
    assert wall == pytest.approx(found["iter_ms"]["median"] * 1e3, rel=0.02)


def test_graphs_take_away_the_wait_for_launches_and_leave_the_work(summarised: Any) -> None:
    off, on = (summarised("vllm", 4, graphs)["critical_path_us"] for graphs in ("off", "on"))
    assert off["launch_idle"] > 0.8 * off["wall"] and on["launch_idle"] < 0.05 * on["wall"]
    assert off["compute"] == pytest.approx(on["compute"], rel=0.05)


def test_the_one_rank_that_never_waits_is_the_straggler_that_all_others_wait_for(summarised: Any) -> None:
    ranks = summarised("vllm", 4, "off")["ranks"]
    straggler = max(ranks, key=lambda rank: rank["straggler_ratio"])
    others = [rank for rank in ranks if rank is not straggler]
    assert straggler["straggler_ratio"] > 0.95 and straggler["wait_ms"] < 0.1
    assert all(rank["wait_ms"] > 10 and rank["idle_ratio"] < 0.05 for rank in others)
    assert summarised("vllm", 4, "off")["collectives"]["idle_plus_wait_spread_points"] < 1.5


def test_the_launch_law_is_fitted_and_holds_on_a_trace_without_graphs(summarised: Any) -> None:
    law = summarised("vllm", 1, "off")["launch_law"]
    assert law["fit_ratio"] > 0.9 and 5 < law["lambda_us"]["kernel"] < 12


def test_both_ways_to_count_a_launch_are_shown_with_what_they_rest_on(summarised: Any) -> None:
    law = summarised("vllm", 1, "off")["launch_law"]
    assert 0.9 < law["begin_fit_ratio"] < law["fit_ratio"] - 0.02
    assert law["beside"] == 0 and set(law["idle_calls"]) == set(law["lag_us"])
    assert sum(law["queued"].values()) + sum(law["idle_calls"].values()) <= law["operations"]


def test_what_the_host_did_in_an_iteration_is_all_of_it(summarised: Any) -> None:
    rank = summarised("vllm", 1, "off")["ranks"][0]
    *parts, asking = rank["host_us"].values()
    assert min(parts) > 0 and asking is None
    assert sum(parts) == pytest.approx(rank["iter_ms"]["median"] * 1e3, rel=0.01)


def test_only_a_trace_with_graphs_shows_how_long_they_wait_for_their_start(summarised: Any) -> None:
    off, on = (summarised("vllm", 1, graphs)["ranks"][0] for graphs in ("off", "on"))
    assert off["graph_lead_us"] is None and on["graph_lead_us"] > 0


def test_what_sglang_does_after_an_all_reduce_is_shown_as_its_slowest_site(summarised: Any) -> None:
    site = summarised("sglang", 4, "off")["slow_sites"][0]
    assert "all_reduce" in site["before"] and site["per_iteration"] == 64 and site["interval_us"] > 50


def test_without_collectives_nobody_waits_and_nothing_is_claimed_of_clocks(summarised: Any) -> None:
    found = summarised("vllm", 1, "off")
    assert found["ranks"][0]["wait_ms"] == 0 and found["collectives"]["end_skew_us"] == {"median": None, "p99": None}
