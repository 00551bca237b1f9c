"""What a page holds of a timeline comes out as it went in, small and of harmless letters."""

import gzip
import json
from base64 import b64encode
from typing import Any

from analysis import timeline_data
from analysis.timeline_pack import packed
from tests.analysis.packs import opened
from tests.traces import recorded


def _half(operations: dict[str, list[int]], calls: dict[str, list[int]]) -> dict[str, Any]:
    rest = {"rows": [["host", 0, 1]], "names": [["norm", "<script>"]], "iterations": [[0, 5, 0, 100]]}
    return {**rest, "operations": operations, "calls": calls, "iteration_ns": 100}


OPERATIONS = {
    "row": [1, 1, 2], "start": [10, 50, -60], "duration": [40, 10, 3_000_000_000], "name": [0, 0, 0],
    "gap": [10, 0, -5], "wait": [0, 0, 7], "call": [0, 2, -1],
}  # fmt: skip
CALLS = {"row": [0, 0, 0], "start": [-10, 5, 5], "duration": [3, 3, 3], "name": [0, 0, 0], "class": [0, 0, 2]}


def test_halves_come_out_as_they_went_in() -> None:
    halves = {"off": _half(OPERATIONS, CALLS), "on": _half(CALLS, {name: [] for name in CALLS})}
    assert opened(packed(halves)) == halves


def test_recorded_halves_come_out_too_in_less_than_two_thirds_of_what_json_takes() -> None:
    text = timeline_data.pair(recorded("vllm", 8, "off"), recorded("vllm", 8, "on"))
    assert text is not None
    halves = opened(text)
    assert packed(halves) == text
    as_json = b64encode(gzip.compress(json.dumps(halves, separators=(",", ":")).encode(), 9))
    assert len(text) < len(as_json) * 2 / 3
    assert sum(len(half["operations"]["row"]) for half in halves.values()) > 5_000


def test_no_letter_ends_an_element_and_the_text_is_the_same_each_time() -> None:
    halves = {"off": _half(OPERATIONS, CALLS)}
    assert packed(halves) == packed(halves) and "<" not in packed(halves)
