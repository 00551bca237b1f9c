from typing import Any

import pandas as pd
import pytest

from analysis import capacity, cost

MEASURED = [
    {"measured_off_ms": 10.0, "measured_on_ms": 5.0, "measured_gain": {"low": 1.9}},
    {"measured_off_ms": 10.0, "measured_on_ms": 6.0, "measured_gain": {"low": 1.5}},
]


def told(**changes: Any) -> pd.DataFrame:
    row = {"captured": 2, "off_kv_tokens": 1000, "on_kv_tokens": 900, "capture_s": 2.0, "graph_gib": 0.5,
           "off_starts_count": 3, "on_starts_count": 3, **changes}  # fmt: skip
    return pd.DataFrame([row]).reindex(columns=list(capacity.COLUMNS))


def test_what_is_lost_near_saturation_is_the_share_of_the_cache() -> None:
    found = cost.find(told(), MEASURED)
    assert found["kv_lost_ratio"] == pytest.approx(0.1)
    assert found["kept_gain"] == pytest.approx(1.35)


def test_capturing_is_paid_for_by_the_batch_that_gains_most() -> None:
    assert cost.find(told(), MEASURED)["pays_after_steps"] == 400
    assert cost.find(told(), [])["pays_after_steps"] is None


def test_more_kv_cache_with_graphs_is_no_loss() -> None:
    assert cost.find(told(on_kv_tokens=1001), MEASURED)["kv_lost_ratio"] == 0


def test_where_no_kv_cache_is_lost_nothing_is_said_of_requests_that_fill_it() -> None:
    *_, said = cost.lines(cost.find(told(on_kv_tokens=1000), MEASURED))
    assert said == "  cost: 0.00% of the KV cache (1000 to 1000 tokens)"


def test_the_row_with_most_graphs_counts() -> None:
    rows = pd.concat([told(captured=5, capture_s=9.0), told(), told(captured=8, on_starts_count=0)])
    assert cost.find(rows, MEASURED)["capture_s"] == 9.0


def test_words_say_what_is_known_and_that_nothing_is() -> None:
    assert list(cost.lines(cost.find(told(), MEASURED))) == [
        "  cost: 2.0 s of capturing, paid for after 400 decode steps; 0.50 GiB of graphs",
        "  cost: 10.00% of the KV cache (1000 to 900 tokens): where requests fill it, fewer of them run at once; "
        "throughput is then at worst 1.35 times that without graphs",
    ]
    nothing = cost.find(told().iloc[:0], MEASURED)
    assert list(cost.lines(nothing)) == ["  cost: not recorded"]
