"""The replay by definition, and what must hold of it whatever is played."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from analysis import replay
from analysis.replay import NODE_US, Graph
from tests.analysis.typicals import drawn, strand, typical

SEEDS = range(12)


@pytest.mark.parametrize(
    ("own", "launch", "iteration_us"),
    [
        pytest.param([3, 3], 10, 20, id="a slow host launches every ten"),
        pytest.param([15, 15], 10, 30, id="a slow GPU hides the host"),
        pytest.param([1, 30], [20, 2], 31, id="what the host falls behind in it makes up in the long kernel"),
        pytest.param([30, 1], [2, 20], 31, id="whichever comes first"),
    ],
)
def test_the_longer_side_decides_because_the_host_runs_ahead(
    own: list[float], launch: float, iteration_us: float
) -> None:
    assert replay.iteration_us(typical(strand(own, launch))) == pytest.approx(iteration_us)


def test_a_host_that_may_not_run_ahead_adds_up_with_the_gpu() -> None:
    # Launched at 10 and 20, begun a lag later; the next iteration's first launch begins when the second has ended.
    alone = replay.iteration_us(typical(strand([3, 30], 10)), depth=1)
    assert alone == pytest.approx(20 + replay.LAG_US + 30)


def test_a_short_queue_keeps_the_host_from_running_ahead() -> None:
    # While the GPU is busy for 40 the host could launch what comes after, which it takes 40 for.
    bursts = typical(strand([40, 1, 1, 1, 1], [1, 10, 10, 10, 10]))
    assert replay.iteration_us(bursts) == pytest.approx(44)
    assert replay.iteration_us(bursts, queue=1) > 60


def test_gaps_come_between_queued_operations_alone() -> None:
    assert replay.iteration_us(typical(strand([10, 10], 1, gap=2))) == pytest.approx(24)
    assert replay.iteration_us(typical(strand([10, 10], 30, gap=2))) == pytest.approx(60)


def test_a_collective_waits_for_the_rank_with_the_slow_host() -> None:
    quick, slow = strand([1, 2], 1, meets=[1]), strand([1, 2], 50, meets=[1])
    assert replay.iteration_us(typical(quick, slow)) == pytest.approx(100)


def test_between_collectives_the_slowest_rank_counts() -> None:
    first, second = strand([10, 2, 1, 2], 0, meets=[1, 3]), strand([1, 2, 10, 2], 0, meets=[1, 3])
    both = typical(first, second)
    assert both.gpu_us == 10 + 2 + 10 + 2
    assert replay.iteration_us(both) == pytest.approx(24)


def test_a_graph_is_one_launch_that_costs_the_host_its_nodes() -> None:
    # Think 5, then 3 nodes; the sampler after it takes 10 as before. The GPU takes 4 in all.
    one = typical(strand([1, 1, 1, 1], 10, body=[0, 1, 2]))
    assert replay.iteration_us(one, graph=Graph(gap_us=None, node_us=2)) == pytest.approx(5 + 3 * 2 + 10)
    # With an infinitely fast host: its own time, and the gaps inside.
    assert replay.iteration_us(replay.with_host(one, 0), graph=Graph(gap_us=0.5, node_us=0)) == pytest.approx(5.5)


def test_a_graph_does_without_staging_copies() -> None:
    one = typical(strand([10, 7, 10], 0, staged=[1]))
    assert replay.iteration_us(one) == pytest.approx(27)
    assert replay.iteration_us(one, graph=Graph(gap_us=None, node_us=0)) == pytest.approx(20)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_infinitely_fast_host_gives_what_the_gpus_take(seed: int, ranks: int) -> None:
    one = drawn(seed, ranks=ranks)
    assert replay.iteration_us(replay.with_host(one, 0)) == pytest.approx(one.gpu_us)


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_infinite_bandwidth_gives_what_the_host_takes(seed: int, ranks: int) -> None:
    one = drawn(seed, ranks=ranks)
    # All that the GPUs do streams memory.
    streaming = replace(
        one,
        strands=tuple(replace(s, product=np.ones(len(s.own_us), bool), meets=s.meets) for s in one.strands),
    )
    assert replay.iteration_us(replay.with_memory(streaming, math.inf, 0)) == pytest.approx(one.host_us)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slower_host_never_makes_an_iteration_shorter(seed: int) -> None:
    times = [replay.iteration_us(replay.with_host(drawn(seed), ratio)) for ratio in np.linspace(0, 3, 13)]
    assert all(after >= before - 1e-6 for before, after in pairwise(times))
    assert times[-1] > times[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_faster_memory_never_makes_an_iteration_longer(seed: int) -> None:
    ratios = [0.2, 0.5, 1, 2, 5, math.inf]
    times = [replay.iteration_us(replay.with_memory(drawn(seed), ratio)) for ratio in ratios]
    assert all(after <= before + 1e-6 for before, after in pairwise(times))
    assert times[-1] < times[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_neither_side_alone_is_longer_than_the_iteration(seed: int) -> None:
    one = drawn(seed)
    assert replay.iteration_us(one) >= max(one.gpu_us, one.host_us) - 1e-6


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_graph_is_never_slower_than_its_launches_but_for_launching_it(seed: int, ranks: int) -> None:
    one = drawn(seed, ranks=ranks, gap=0.8)
    cost_us = NODE_US * len(one.strands[0].own_us)
    graphed = replay.iteration_us(one, graph=Graph(gap_us=None))
    assert graphed <= replay.iteration_us(one) + cost_us + 1e-6


def test_what_was_given_stays_as_it_was() -> None:
    one = drawn(0)
    before = [strand.own_us.copy() for strand in one.strands]
    replay.iteration_us(replay.with_memory(replay.with_host(one, 2), 3), graph=Graph(gap_us=0.1))
    assert all((was == strand.own_us).all() for was, strand in zip(before, one.strands, strict=True))


def test_launches_of_one_length_take_the_host_as_long_in_all() -> None:
    one = replay.with_launches(typical(strand([1, 1, 1], 9), graphs=True, copies=1), 20)
    assert one.strands[0].host_us == pytest.approx(4 * 20)
    assert not one.graphs


def test_only_matrix_products_stream_and_but_for_what_each_takes_anyhow() -> None:
    one = replay.with_memory(typical(strand([12, 12, 1], product=[0, 2])), 2, 2.0)
    assert one.strands[0].own_us.tolist() == [7, 12, 1]
