"""How a recording keeps when tokens reached a client: of each load point all arrivals in one row, in their order.

The client writes the gaps of each request (`chunk_us`). Requests that are decoded together get their tokens together,
so that the same times in order of arrival, over all requests of a load point, need two thirds of the room. Exact.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

CHUNKS = "chunk_us"
# Microseconds since the arrival before (the first: since the load point began), and by how much the number of the
# request that got it is above that of the arrival before.
AFTER, STEP = "arrived_after_us", "request_step"


def merged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of requests, as the client writes them, less their chunk_us, then a row of arrivals for each load point."""
    loads: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        loads[row["load"]].append(row)
    kept = [{name: value for name, value in row.items() if name != CHUNKS} for row in rows]
    return kept + [_in_order(load, of_load) for load, of_load in loads.items()]


def apart(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of requests that `merged` was given; rows that were not merged pass as they are.

    Raises ValueError where the arrivals of a load point lack either of their columns or a request.
    """
    requests = [dict(row) for row in rows if AFTER not in row]
    gaps: dict[Any, dict[Any, list[int]]] = {}
    for load, of_load in (_of_requests(row) for row in rows if AFTER in row):
        if load in gaps:
            raise ValueError(f"two rows of arrivals of load point {load}")
        gaps[load] = of_load
    if gaps:
        for row in requests:
            row[CHUNKS] = gaps.get(row.get("load"), {}).pop(row.get("request"), [])
    if strange := sorted({request for left in gaps.values() for request in left}):
        raise ValueError(f"arrivals of requests that have no row of their own: {', '.join(map(str, strange))}")
    return requests


def _in_order(load: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    lengths = [len(row[CHUNKS]) for row in rows]
    of = np.repeat(np.array([row["request"] for row in rows], dtype=np.int64), lengths)
    at_us = np.concatenate([np.zeros(0, np.int64), *(np.cumsum(row[CHUNKS], dtype=np.int64) for row in rows)])
    order = np.lexsort((of, at_us))
    return {"load": load, AFTER: _steps(at_us[order]), STEP: _steps(of[order])}


def _of_requests(row: Mapping[str, Any]) -> tuple[int, dict[int, list[int]]]:
    """The load point of a row of arrivals, and the gaps of each of its requests."""
    if not {"load", STEP} <= row.keys() or len(row[STEP]) != len(row[AFTER]):
        raise ValueError(f"arrivals of load point {row.get('load')} without the request of each")
    at_us, of = (np.cumsum(row[name], dtype=np.int64) for name in (AFTER, STEP))
    order = np.argsort(of, kind="stable")
    requests, begins = np.unique(of[order], return_index=True)
    parts = np.split(at_us[order], begins[1:]) if len(requests) else []
    return row["load"], {request: _steps(part) for request, part in zip(requests.tolist(), parts, strict=True)}


def _steps(values: Any) -> list[int]:
    return list(np.diff(values, prepend=np.int64(0)).tolist())
