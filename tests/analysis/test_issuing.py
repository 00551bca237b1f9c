"""What the host takes for launches, by hand-made traces."""

from pathlib import Path

import numpy as np
import pytest

from analysis import extract, issuing, iterations
from analysis.issuing import Issued
from tests import traces
from tests.analysis.test_hosts import steps


def issued(trace: traces.Sqlite, folder: Path) -> tuple[list[Issued], np.ndarray]:
    found = iterations.find(extract.read(trace.write(folder / "trace.sqlite")))
    return issuing.find(found), np.unique(found.iterations["iteration"])


def test_each_launch_has_the_time_before_it_and_in_it_without_waiting(tmp_path: Path) -> None:
    [one], numbers = issued(steps(), tmp_path)
    inside = one.iteration == numbers[0]
    assert one.think_us[inside].tolist() == [18, 26, 8]
    assert one.call_us[inside].tolist() == [4, 2, 2]
    # All of it but the longest stretch.
    assert issuing.per_iteration(one, numbers) == pytest.approx(np.full(len(numbers), 34.0))


def test_ranks_have_hosts_of_their_own(tmp_path: Path) -> None:
    both = steps(trace=steps(pid=8, device=1))
    first, second = issued(both, tmp_path)[0]
    assert set(first.call).isdisjoint(second.call)


def test_a_rank_whose_calls_are_unknown_has_no_host(tmp_path: Path) -> None:
    trace = steps()
    for row in trace.tables[traces.RUNTIME]:
        row["globalTid"] = traces.global_tid(99)
    [one] = issued(trace, tmp_path)[0]
    assert len(one.call) == 0
    assert np.isnan(issuing.per_iteration(one, np.array([5, 6]))).all()
