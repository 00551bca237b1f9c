"""Figures of serving, by hand-made rows of which every number can be checked by eye."""

import itertools
import json
import lzma
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import serving
from analysis.errors import TraceError


def request(number: int = 0, sent_s: float = 0.0, chunks: tuple[tuple[float, int], ...] = (), **changes: Any) -> dict:
    """A row: `chunks` are the moments of arrivals in seconds, and how many tokens came with each."""
    at_us = [round(at * 1e6) for at, _ in chunks]
    tokens = [count for _, count in chunks]
    return {
        "load": 0, "rate": 2.0, "concurrency": None, "request": number, "prompt_tokens": 10,
        "output_tokens_asked": sum(tokens), "output_tokens": sum(tokens), "scheduled_s": sent_s, "sent_s": sent_s,
        "first_s": chunks[0][0] if chunks else None, "last_s": chunks[-1][0] if chunks else None,
        "ended_s": chunks[-1][0] if chunks else sent_s, "status": "ok", "error": "",
        "chunk_us": [now - before for before, now in itertools.pairwise([0, *at_us])],
        "chunk_tokens": tokens if set(tokens) != {1} else [], **changes,
    }  # fmt: skip


def steady(
    number: int, sent_s: float, *, ttft_s: float = 0.1, step_s: float = 0.02, tokens: int = 6, **more: Any
) -> dict:
    chunks = tuple((sent_s + ttft_s + step_s * n, 1) for n in range(tokens))
    return request(number, sent_s, chunks, **more)


def point(*rows: dict, **limits: float) -> pd.Series:
    table = serving.load_points(serving.frame(rows), **limits)
    assert len(table) == 1
    return table.iloc[0]


def gaps(*rows: dict) -> list[float]:
    return serving.token_gaps(serving.frame(rows))["itl_ms"].round(6).tolist()


def test_a_request_s_times_count_from_when_it_was_sent() -> None:
    # Sent at 1 s, tokens at 1.1, 1.12, 1.14: the first after 100 ms, then 20 ms each.
    # It was due at 0.5 s, which its lateness tells and nothing else.
    one = point(request(0, 1.0, ((1.1, 1), (1.12, 1), (1.14, 1)), scheduled_s=0.5))
    named = {name: round(one[f"{name}_ms_mean"], 6) for name in ("ttft", "tpot", "e2e", "itl")}
    assert named == {"ttft": 100.0, "tpot": 20.0, "e2e": 140.0, "itl": 20.0}


def test_tpot_is_of_each_request_and_itl_of_each_token() -> None:
    # 2 tokens at 10 ms and 11 tokens at 30 ms: requests average 20 ms, their 11 gaps (10 + 10 * 30) / 11.
    one = point(steady(0, 0, step_s=0.01, tokens=2), steady(1, 0, step_s=0.03, tokens=11))
    assert one["tpot_ms_mean"] == pytest.approx(20.0) and one["itl_ms_mean"] == pytest.approx(310 / 11)


def test_tokens_that_arrive_together_share_the_time_since_the_arrival_before() -> None:
    assert gaps(request(chunks=((0.1, 1), (0.16, 3), (0.17, 1)))) == [20.0, 20.0, 20.0, 10.0]


def test_tokens_beyond_the_first_of_the_first_arrival_took_no_time() -> None:
    assert gaps(request(chunks=((0.1, 3), (0.11, 1)))) == [0.0, 0.0, 10.0]


@pytest.mark.parametrize("chunks", [((0.1, 1), (0.2, 1)), ((0.1, 2), (0.2, 3), (0.5, 1)), ((0.3, 4),), ((0.3, 1),)])
def test_the_gaps_of_a_request_sum_to_its_time_after_the_first_token(chunks: tuple[tuple[float, int], ...]) -> None:
    row = request(chunks=chunks)
    assert sum(gaps(row)) == pytest.approx((row["last_s"] - row["first_s"]) * 1e3)
    assert len(gaps(row)) == row["output_tokens"] - 1


def test_percentiles_lie_linearly_between_values() -> None:
    # TTFTs of 10, 20, ..., 100 ms.
    one = point(*(steady(n, 0, ttft_s=0.01 * (n + 1)) for n in range(10)))
    labels = ("mean", "p50", "p90", "p95", "p99")
    assert [round(one[f"ttft_ms_{label}"], 6) for label in labels] == [55.0, 55.0, 91.0, 95.5, 99.1]


def test_rates_divide_by_the_time_from_the_first_request_due_to_the_last_token() -> None:
    # Due at 1, 2 and 3 s; the last token comes at 3.2 s. 18 tokens of output and 30 of prompts in 2.2 s.
    one = point(*(steady(n, 1.0 + n) for n in range(3)))
    assert one["duration_s"] == pytest.approx(2.2)
    assert one["qps"] == pytest.approx(3 / 2.2) and one["offered_qps"] == pytest.approx(1.0)
    assert one["output_tok_s"] == pytest.approx(18 / 2.2) and one["total_tok_s"] == pytest.approx(48 / 2.2)


def test_requests_that_failed_count_as_such_and_in_no_figure() -> None:
    failed = {"status": "stalled", "ended_s": 300.0}
    one = point(
        steady(0, 0), steady(1, 0, ttft_s=9, **failed), request(2, status="stalled"), request(3, status="http 500")
    )
    assert (one["requests"], one["ok"], one["failed"], one["failures"]) == (4, 1, 3, "2 stalled, 1 http 500")
    assert one["ttft_ms_mean"] == pytest.approx(100.0) and one["output_tok_s"] == pytest.approx(6 / 0.2)
    assert one["duration_s"] == pytest.approx(0.2)


def test_goodput_is_of_the_requests_within_both_limits() -> None:
    rows = [
        steady(0, 0, ttft_s=0.1, step_s=0.02),
        steady(1, 0, ttft_s=0.3, step_s=0.02),
        steady(2, 0, ttft_s=0.1, step_s=0.05),
        request(3, status="dropped"),
    ]
    duration_s = 0.4
    assert point(*rows, ttft_limit_ms=200, tpot_limit_ms=30)["goodput_qps"] == pytest.approx(1 / duration_s)
    assert point(*rows, ttft_limit_ms=200)["goodput_qps"] == pytest.approx(2 / duration_s)
    assert point(*rows, tpot_limit_ms=30)["good_ratio"] == 0.5
    assert point(*rows)["good_ratio"] == 0.75


def test_a_single_token_has_no_time_per_further_token_and_breaks_no_limit_on_it() -> None:
    one = point(steady(0, 0, tokens=1), tpot_limit_ms=1)
    assert math.isnan(one["tpot_ms_mean"]) and math.isnan(one["itl_ms_mean"]) and one["good_ratio"] == 1.0


def test_load_points_stay_apart_and_say_what_was_asked() -> None:
    rows = [
        steady(0, 0),
        steady(0, 0, load=1, rate=None, concurrency=8, ttft_s=0.3),
        request(1, load=2, status="dropped"),
    ]
    table = serving.load_points(serving.frame(rows))
    assert table["load"].tolist() == [0, 1, 2] and table["ttft_ms_p50"].round(6).tolist()[:2] == [100.0, 300.0]
    assert table["rate"].tolist()[0] == 2.0 and math.isnan(table["rate"][1]) and table["concurrency"][1] == 8


def test_where_nothing_was_answered_figures_are_missing_and_nothing_breaks() -> None:
    one = point(request(0, status="dropped"), request(1, status="dropped"))
    assert (one["requests"], one["ok"], one["good_ratio"], one["failures"]) == (2, 0, 0.0, "2 dropped")
    missing = [name for name in one.index if isinstance(one[name], float) and math.isnan(one[name])]
    assert {"qps", "output_tok_s", "duration_s", "ttft_ms_p99", "tpot_ms_mean", "itl_ms_p50", "goodput_qps"} <= {
        *missing
    }


def test_no_request_at_all_is_an_empty_table_with_every_column() -> None:
    table = serving.load_points(serving.frame([]))
    full = serving.load_points(serving.frame([steady(0, 0)]))
    assert len(table) == 0 and list(table.columns) == list(full.columns)
    assert serving.caveats(table) == []


def test_lateness_is_what_passed_between_due_and_sent() -> None:
    one = point(steady(0, 1.0, scheduled_s=0.97), steady(1, 2.0))
    assert one["late_ms_max"] == pytest.approx(30.0) and one["late_ms_p99"] == pytest.approx(29.7)
    assert "the client sent 1 % of the requests more than 30 ms late" in serving.caveats(pd.DataFrame([one]))[0]


def arrivals(count: int, *, took_s: float, queue_s: float = 0.0, rate: float = 10.0) -> list[dict]:
    """Requests at an even rate; each takes as long as the one before it, and so much longer."""
    return [steady(n, n / rate, ttft_s=took_s + queue_s * n, step_s=0.0, tokens=2, rate=rate) for n in range(count)]


def test_a_server_that_keeps_up_is_not_saturated() -> None:
    one = point(*arrivals(100, took_s=0.5))
    assert one["saturated"] is False and one["unsettled"] is False and abs(one["backlog"]) <= 1
    assert serving.caveats(pd.DataFrame([one])) == []


def test_a_server_that_answers_half_of_what_arrives_is_saturated_and_it_is_said() -> None:
    # 10 requests/s arrive, 5 are answered: each waits 0.1 s more than the one before.
    one = point(*arrivals(100, took_s=0.5, queue_s=0.1))
    assert one["saturated"] is True and one["backlog"] == pytest.approx(25, abs=2)
    assert "10 requests/s: the server is saturated; " in serving.caveats(pd.DataFrame([one]))[0]


def test_a_backlog_below_a_tenth_of_what_arrives_is_no_saturation() -> None:
    # Each waits 3 ms more than the one before, so 3 % of what arrives stays unanswered: 15 of 500.
    assert point(*arrivals(1000, took_s=0.5, queue_s=0.003))["saturated"] is False


def test_a_backlog_within_chance_is_no_saturation_and_the_same_share_of_more_requests_is() -> None:
    # 23 % stay unanswered: 12 of 50 lie within three deviations (21), 115 of 500 beyond them (67).
    assert point(*arrivals(100, took_s=0.5, queue_s=0.03))["saturated"] is False
    assert point(*arrivals(1000, took_s=0.5, queue_s=0.03))["saturated"] is True


def test_requests_that_outlast_the_arrivals_leave_it_open_whether_the_server_was_only_filling() -> None:
    one = point(*arrivals(100, took_s=20.0))
    assert one["saturated"] is True and one["unsettled"] is True
    assert "saturated or still filling: send more requests to tell" in serving.caveats(pd.DataFrame([one]))[0]


def test_neither_few_requests_nor_a_closed_loop_tell_saturation() -> None:
    assert point(*arrivals(30, took_s=0.5, queue_s=1))["saturated"] is None
    closed = [row | {"rate": None, "concurrency": 4} for row in arrivals(100, took_s=0.5, queue_s=1)]
    assert point(*closed)["saturated"] is None


def test_failures_are_said_beside_the_figures() -> None:
    table = serving.load_points(serving.frame([steady(0, 0), request(1, status="stalled")]))
    assert serving.caveats(table) == ["2 requests/s: 1 of 2 requests failed (1 stalled)."]


@pytest.mark.parametrize(("busy", "lag_ms", "said"), [(0.3, 2.0, False), (0.9, 2.0, True), (0.3, 11.0, True)])
def test_a_client_short_of_its_core_or_late_in_reading_is_said(busy: float, lag_ms: float, said: bool) -> None:
    caveat = serving.client_caveat({"load": 1, "client_cpu_ratio": busy, "client_lag_p99_ms": lag_ms})
    assert (caveat is not None) == said and (caveat is None or caveat.startswith("load 1: the client took"))


@pytest.mark.parametrize("packed", [False, True])
def test_rows_are_read_as_they_were_written_plain_or_packed(tmp_path: Path, packed: bool) -> None:
    rows = [steady(0, 0), request(1, status="dropped")]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / ("requests.jsonl.xz" if packed else "requests.jsonl")
    path.write_bytes(lzma.compress(text) if packed else text)
    pd.testing.assert_frame_equal(serving.read(path), serving.frame(rows))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.jsonl", b"{half", "r.jsonl: "),
        ("r.jsonl", b'{"load": 0}\n', "a request without chunk_tokens, chunk_us"),
        ("r.jsonl", b"[]\n", "r.jsonl: "),
        ("r.jsonl", b"\xff\xfe", "r.jsonl: "),
        ("r.jsonl.xz", b"not xz", "r.jsonl.xz: "),
    ],
)
def test_a_file_that_holds_no_rows_is_named_with_what_was_expected(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TraceError, match="expected one JSON object a line") as caught:
        serving.read(tmp_path / name)
    assert words in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"absent.jsonl"):
        serving.read(tmp_path / "absent.jsonl")


def test_the_rows_given_are_left_as_they_are() -> None:
    table = serving.frame([steady(n, n) for n in range(3)])
    before = table.copy(deep=True)
    serving.load_points(table, ttft_limit_ms=1)
    pd.testing.assert_frame_equal(table, before)
