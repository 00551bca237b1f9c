"""Studies for the sections of a report: what a sweep records, with every number chosen here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.analysis.studies import change_record, write_case


def measured(
    folder: Path, graphs: str, times_ms: Mapping[int, float], *, repeat: int = 1, compiled: str = "", **about: Any
) -> Path:
    """An untraced case that took so long at each batch; compiled: torch.compile off or on, apart from graphs.

    about: captured and the like, as asked; engine and tp as write_case takes them; resolved as the record has it.
    """
    given = {key: about.pop(key) for key in ("engine", "tp", "resolved") if key in about}
    case = write_case(folder, graphs=graphs, repeat=repeat, tpot_ms=[1.0], **given)
    rows = [f"{batch},{window},64,1,{time_ms}" for batch, time_ms in times_ms.items() for window in (0, 1)]
    (case / "samples.csv").write_text("\n".join(["batch,window,tokens,seconds,tpot_ms", *rows]) + "\n")
    record = json.loads((case / "case.json").read_text())
    if compiled:
        about["compile"] = compiled
        name = case.name.replace("_trace", f"_compile-{compiled}_trace")
        case = case.rename(case.with_name(name))
        change_record(case, {"name": name})
    change_record(case, {"asked": {**record["asked"], "batches": list(times_ms), **about}})
    return case


def serving(folder: Path, graphs: str, gap_us: int, *, rate: float = 4.0) -> Path:
    """A case that answered three requests of five tokens each: the first after 20 ms, the others gap_us apart."""
    case = write_case(folder, graphs=graphs)
    rows = [_request(number, gap_us, rate) for number in range(3)]
    (case / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = json.loads((case / "case.json").read_text())
    change_record(case, {
        "asked": {**record["asked"], "serving": {"rates": [rate]}},
        "files": {**record["files"], "requests": "requests.jsonl"},
    })  # fmt: skip
    return case


def _request(number: int, gap_us: int, rate: float) -> dict[str, Any]:
    sent_s = number / rate
    last_s = sent_s + 0.02 + 4 * gap_us / 1e6
    return {
        "load": 0, "rate": rate, "concurrency": None, "request": number, "prompt_tokens": 8, "output_tokens_asked": 5,
        "output_tokens": 5, "scheduled_s": sent_s, "sent_s": sent_s, "first_s": sent_s + 0.02, "last_s": last_s,
        "ended_s": last_s, "chunk_us": [20_000, *[gap_us] * 4], "chunk_tokens": None, "status": "ok", "error": None,
    }  # fmt: skip
