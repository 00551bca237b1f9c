"""What an explanation says of hand-made iterations and of recorded ones; what is foretold carries its mark."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis import explain, extract, iterations
from analysis.__main__ import main
from analysis.estimates import Estimate
from tests import traces
from tests.analysis.test_typical import layered


def explained(trace: traces.Sqlite, folder: Path) -> dict[str, Any]:
    return explain.explain(iterations.find(extract.read(trace.write(folder / "trace.sqlite"))), "made")


def recorded(engine: str, tp: int, graphs: str) -> dict[str, Any]:
    trace = traces.found(traces.recorded(engine, tp, graphs))
    return explain.explain(trace, f"{engine} {tp}")


def saved_ms(found: dict[str, Any]) -> dict[str, float]:
    return {row["change"]: row["saved_ms"] for row in found["would_help"]}


def test_shares_say_where_the_iteration_goes(tmp_path: Path) -> None:
    # Of 2 ms: 10 x 29 us work and a sampler of 10; rank 0 comes 50 us early to each of ten collectives.
    shares = explained(layered(ranks=2, late_ns=50_000), tmp_path)["traced"]["shares"]
    assert shares["work"] == pytest.approx(0.15, abs=0.001)
    assert shares["spinning"] == pytest.approx(0.5 * 10 * 50 / 2000, abs=0.001)
    assert shares["gaps_in_graphs"] == 0
    assert sum(shares[part] for part in ("work", "waiting_for_launches", "other_gaps")) == pytest.approx(1, abs=0.01)


def test_in_words_only_shares_that_add_up_stand_on_one_line(tmp_path: Path) -> None:
    first, parts, spinning, *_ = explain.lines(explained(layered(ranks=2, late_ns=50_000), tmp_path))
    assert first.endswith(" ms as traced")
    assert parts == (
        "  traced: along the critical path over ranks: 85% waiting for launches, 0% gaps in graphs, 0% other gaps, "
        "15% work"
    )
    assert spinning == (
        "  traced: within that time the mean rank spins 12% of the iteration, in collectives, until the last rank comes"
    )


def test_the_straggler_is_the_rank_that_always_comes_last(tmp_path: Path) -> None:
    assert explained(layered(ranks=2, late_ns=50_000), tmp_path)["traced"]["straggler"] == {
        "rank": 1, "share_ratio": 1.0, "always": True,
    }  # fmt: skip


def test_one_rank_has_no_straggler(tmp_path: Path) -> None:
    assert explained(layered(), tmp_path)["traced"]["straggler"] is None


def test_a_launch_bound_iteration_is_helped_by_graphs_most_and_by_memory_not_at_all() -> None:
    found = recorded("vllm", 4, "off")
    assert found["bound"] == "launch"
    assert found["would_help"][0]["change"] == "CUDA graphs"
    saved = saved_ms(found)
    assert saved["CUDA graphs"] > 10
    assert saved["memory twice as fast"] == 0
    host = found["host_ms"]["value"]
    assert saved["a host thread twice as fast"] == pytest.approx(host / 2, rel=0.01)
    assert saved["a tenth fewer launches"] == pytest.approx(host / 10, rel=0.01)


def test_launches_are_held_against_what_the_gpus_hide() -> None:
    found = recorded("vllm", 1, "off")
    assert found["breakeven_us"]["value"] == pytest.approx(12, abs=1)
    assert found["launch_us"]["value"] == pytest.approx(1e3 * found["host_ms"]["value"] / 442)
    assert found["launch_us"]["low"] > found["breakeven_us"]["high"]


def test_with_graphs_memory_helps_and_there_are_no_launches_to_save() -> None:
    found = recorded("vllm", 1, "on")
    saved = saved_ms(found)
    assert saved["memory twice as fast"] > 1.5
    assert saved["TP2 in place of TP1"] > 1
    assert "CUDA graphs" not in saved
    assert found["untraced_ms"]["value"] == pytest.approx(4.9, rel=0.08)


def test_what_the_host_does_adds_up_to_its_iteration() -> None:
    host = recorded("sglang", 1, "off")["traced"]["host"]
    parts_us = sum(host[part] for part in ("launch_call_us", "other_call_us", "framework_us"))
    assert parts_us == pytest.approx(host["launches"] * host["t_launch_us"], rel=0.01)
    assert host["slow_sites"]


def test_slow_places_are_told_by_the_kernels_short_names() -> None:
    slow = [line for line in explain.lines(recorded("vllm", 1, "off")) if "slow between" in line]
    assert len(slow) == 2
    assert not any("::" in line or "void " in line for line in slow)


@pytest.mark.parametrize("graphs", ["off", "on"])
def test_every_foretold_number_is_on_a_line_that_says_so(graphs: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(traces.recorded("vllm", 4, graphs))
    assert main(["explain", path, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert main(["explain", path]) == 0
    foretold = [
        found["ratio"],
        found["untraced_ms"],
        found["launch_us"],
        found["breakeven_us"],
        *(row["iteration_ms"] for row in found["would_help"]),
    ]
    shown = capsys.readouterr().out.splitlines()
    for one in foretold:
        written = str(Estimate(**one))
        assert all("PREDICTED" in line for line in shown if written in line)
        assert any(written in line for line in shown)
    assert all("PREDICTED" in line for line in shown if re.search(r"\[\d", line))
    assert found["mark"] == "PREDICTED"
    assert not {"would_help", "ratio", "host_ms", "untraced_ms"} & set(found["traced"])
