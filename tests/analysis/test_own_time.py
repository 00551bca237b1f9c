"""What the GPUs take for each iteration of hand-made traces."""

from pathlib import Path

import numpy as np
import pytest

from analysis import collectives, extract, iterations, own_time
from analysis.intervals import Mask
from analysis.iterations import Trace
from tests import traces
from tests.analysis.test_typical import ALL_REDUCE, layered


def spent(trace: Trace) -> tuple[list[float], Mask]:
    own = own_time.find(trace, collectives.match(trace))
    found, usual = own_time.per_iteration(trace, own, np.unique(trace.iterations["iteration"]))
    return found.tolist(), usual


def found(trace: traces.Sqlite, folder: Path) -> Trace:
    return iterations.find(extract.read(trace.write(folder / "trace.sqlite")))


def test_an_iteration_is_its_work_without_gaps_staging_and_spinning(tmp_path: Path) -> None:
    us, usual = spent(found(layered(ranks=2, staged=True, late_ns=50_000), tmp_path))
    assert us == pytest.approx([10 * (5 + 20 + 4) + 10] * len(us))
    assert usual.all()


def uneven(*, extra_step: int | None = None) -> traces.Sqlite:
    """24 steps of 200 us: rank 0 computes 40 us before an all-reduce and 10 after it, rank 1 10 and 40; 5 together.

    In `extra_step` they meet once more.
    """
    trace, us = traces.Sqlite(), 1_000
    for rank, (before, after) in enumerate([(40, 10), (10, 40)]):
        where = {"pid": 101 + rank, "device": rank}
        trace.gpu(rank, uuid=f"uuid-{rank}")
        for step in range(24):
            at = 1_000 * us + 200 * us * step
            trace.launch("first", at=at - 5 * us, start=at, end=at + before * us, **where)
            trace.launch(ALL_REDUCE, at=at - 4 * us, start=at + before * us, end=at + 45 * us, **where)
            trace.launch("second", at=at - 3 * us, start=at + 45 * us, end=at + (45 + after) * us, **where)
            if step == extra_step:
                trace.launch(ALL_REDUCE, at=at - 2 * us, start=at + 86 * us, end=at + 90 * us, **where)
            trace.launch("sample", at=at - 1 * us, start=at + 100 * us, end=at + 103 * us, **where)
    return trace


def test_between_collectives_the_slowest_rank_counts(tmp_path: Path) -> None:
    us, _ = spent(found(uneven(), tmp_path))
    assert us == pytest.approx([40 + 5 + 40 + 3] * len(us))


def test_an_iteration_with_another_number_of_collectives_is_unusual(tmp_path: Path) -> None:
    us, usual = spent(found(uneven(extra_step=12), tmp_path))
    assert (~usual).sum() == 1
    assert us[int(np.flatnonzero(~usual)[0])] == 0
    assert np.array(us)[usual] == pytest.approx(88)
