from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import api, extract
from analysis.errors import TraceError
from tests.traces import Sqlite

STRINGS = {1: "cudaLaunchKernel_v7000", 2: "cuKernelGetName", 3: "cudaEventRecord_v3020"}


def called(*rows: tuple[int, int, int, int]) -> pd.DataFrame:
    """The calls of rows of thread, name, start and end."""
    thread, name, start, end = (np.array(column) for column in zip(*rows, strict=True))
    ids = np.arange(len(rows))
    values = {"start": start, "end": end, "globalTid": thread, "correlationId": ids, "nameId": name}
    return pd.DataFrame(api.called(values, STRINGS).columns)


def test_calls_that_only_ask_are_time_before_the_next_call() -> None:
    found = called((7, 2, 0, 3), (7, 2, 4, 5), (7, 1, 10, 20), (7, 3, 20, 21), (7, 2, 30, 38), (7, 1, 40, 50))
    assert found["name"].tolist() == ["cudaLaunchKernel", "cudaEventRecord", "cudaLaunchKernel"]
    assert found["kind"].tolist() == ["launch", "other", "launch"]
    assert found["start_ns"].tolist() == [10, 20, 40]
    assert found["end_ns"].tolist() == [20, 21, 50]
    assert found["correlation"].tolist() == [2, 3, 5]
    assert found["asking_ns"].tolist() == [4, 0, 8]


def test_what_a_thread_asks_last_is_not_the_next_ones() -> None:
    found = called((7, 1, 10, 20), (7, 2, 30, 38), (9, 2, 0, 1), (9, 1, 5, 6), (8, 2, 0, 9))
    assert found["thread"].tolist() == [7, 9]
    assert found["asking_ns"].tolist() == [0, 1]


def test_rows_may_lie_in_any_order() -> None:
    found = called((9, 1, 40, 50), (7, 1, 5, 6), (9, 2, 30, 38), (7, 2, 0, 2), (9, 1, 10, 20))
    assert found[["thread", "start_ns", "asking_ns"]].to_numpy().tolist() == [[7, 5, 2], [9, 10, 0], [9, 40, 8]]


def test_many_rows_are_numbered_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_PIECE_ROWS", 2)
    found = called((9, 1, 10, 20), (9, 3, 40, 50), (7, 2, 0, 2), (7, 1, 5, 6), (9, 2, 30, 38), (8, 1, 1, 2))
    assert found["thread"].tolist() == [7, 8, 9, 9]
    assert found["name"].tolist() == ["cudaLaunchKernel"] * 3 + ["cudaEventRecord"]
    assert found["asking_ns"].tolist() == [2, 0, 0, 8]


def test_a_call_inside_one_that_only_asks_is_not_counted_twice() -> None:
    found = called((7, 2, 0, 10), (7, 3, 2, 4), (7, 1, 10, 20))
    assert found["outermost"].tolist() == [False, True]
    assert found["asking_ns"].tolist() == [10, 0]


def test_what_is_asked_inside_a_call_is_that_calls_time() -> None:
    found = called((7, 1, 0, 10), (7, 2, 0, 4), (7, 2, 5, 10), (7, 1, 20, 30))
    assert found["asking_ns"].tolist() == [0, 0]


def test_a_function_without_a_name_is_refused() -> None:
    with pytest.raises(TraceError, match="1 of 2 CUDA functions have no name"):
        called((7, 1, 0, 10), (7, 4, 20, 30))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cudaLaunchKernelExC_v11060", "launch"),
        ("cuLaunchKernelEx", "launch"),
        ("cudaGraphLaunch_v10000", "graph"),
        ("cudaMemcpyAsync_v3020_ptsz", "copy"),
        ("cudaMemsetAsync_v3020", "set"),
        ("cudaStreamSynchronize_v3020", "wait"),
        ("cudaEventQuery_v3020", "other"),
    ],
)
def test_a_function_is_known_by_its_name(tmp_path: Path, name: str, kind: str) -> None:
    trace = Sqlite()
    trace.launch("gemm", at=0, start=5, end=15)
    trace.call(name, 20, 30)
    assert extract.read(trace.write(tmp_path / "trace.sqlite")).calls["kind"].tolist()[1] == kind
