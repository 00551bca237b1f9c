"""Arrivals of a load point in one row, and back."""

import lzma
from pathlib import Path
from typing import Any

import pytest

from analysis import arrivals

RECORDED = sorted(Path("data/recordings").glob("*/cases/*/requests.jsonl.xz"))


def row(load: int, request: int, *chunk_us: int) -> dict[str, Any]:
    """A request whose first token came after the first of chunk_us, the next after the second, ..."""
    return {"load": load, "request": request, "chunk_us": list(chunk_us), "status": "ok"}


def test_arrivals_of_a_load_point_stand_in_the_order_of_time() -> None:
    rows = [row(0, 0, 100, 50, 50), row(0, 1, 120, 40), row(1, 0, 7)]
    first, second, other, of_first_load, of_second = arrivals.merged(rows)
    assert [list(kept) for kept in (first, second, other)] == [["load", "request", "status"]] * 3
    # At 100 of request 0, 120 of 1, 150 of 0, 160 of 1, 200 of 0.
    assert of_first_load == {"load": 0, "arrived_after_us": [100, 20, 30, 10, 40], "request_step": [0, 1, -1, 1, -1]}
    assert of_second == {"load": 1, "arrived_after_us": [7], "request_step": [0]}


@pytest.mark.parametrize(
    "rows",
    [
        [row(0, 0, 100, 50, 50), row(0, 1, 120, 40), row(1, 0, 7)],
        [row(0, 3, 100, 0, 0), row(0, 2, 100, 0, 5)],  # at one moment, and several tokens of a request at once
        [row(0, 0), row(0, 1, 5)],  # a request that was never answered
        [row(0, 0), row(2, 0)],
        [],
    ],
)
def test_what_was_merged_comes_apart_as_it_was(rows: list[dict[str, Any]]) -> None:
    assert arrivals.apart(arrivals.merged(rows)) == rows


def test_rows_of_a_study_that_was_not_published_pass_as_they_are() -> None:
    rows = [row(0, 0, 100, 50), row(0, 1)]
    assert arrivals.apart(rows) == rows


def test_arrivals_without_their_request_are_refused() -> None:
    kept, of_load = arrivals.merged([row(4, 0, 100, 50)])
    with pytest.raises(ValueError, match="load point 4 without the request of each"):
        arrivals.apart([kept, {**of_load, "request_step": [0]}])
    with pytest.raises(ValueError, match="load point None without the request of each"):
        arrivals.apart([kept, {name: value for name, value in of_load.items() if name != "load"}])
    with pytest.raises(ValueError, match="two rows of arrivals of load point 4"):
        arrivals.apart([kept, of_load, of_load])
    with pytest.raises(ValueError, match="no row of their own: 0"):
        arrivals.apart([of_load])


def test_recordings_keep_arrivals_merged() -> None:
    assert RECORDED
    for path in RECORDED:
        assert b'"arrived_after_us"' in lzma.decompress(path.read_bytes()), path
