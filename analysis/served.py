"""Serving with graphs off and on, side by side: a row a load point, medians over engine starts.

What the figures of a load point are is defined in serving.py; here starts are put together and halves beside each
other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import load_verdict, serving, shown
from analysis.figures import layout_title
from analysis.language import Text, read, say
from analysis.recordings import VARIANT, Study
from analysis.stats import median_told, paired_ratio

KEYS = ["study", "made_by", "engine", "model", "tp", *VARIANT, "rate", "concurrency"]
FIGURES = ("qps", "output_tok_s", "ttft_ms_p50", "ttft_ms_p99", "tpot_ms_p50", "itl_ms_p99", "goodput_qps")
POINT_COLUMNS = (
    *KEYS, "graphs", "case", "repeat", "load", "requests", "ok", "failures", "saturated", "offered_qps", *FIGURES,
)  # fmt: skip
COLUMNS = (
    *KEYS, *(f"{graphs}_{figure}" for graphs in ("off", "on") for figure in (*FIGURES, "starts_count")),
    "tpot_ratio", "tpot_low_ratio", "tpot_high_ratio", "caution",
)  # fmt: skip

# By what launch/drivers/client.py calls it; a status of HTTP has its number.
_FAILED = {
    "dropped": "graphs {graphs}: requests failed ({count} dropped)",
    "stalled": "graphs {graphs}: requests failed ({count} stalled)",
    "short": "graphs {graphs}: requests failed ({count} short)",
    "malformed": "graphs {graphs}: requests failed ({count} malformed)",
}
_FAILED_OTHERWISE = "graphs {graphs}: requests failed ({count} {kind})"


def points(study: Study, name: str) -> pd.DataFrame:
    """Every load point of every start of a study, POINT_COLUMNS; times in ms, rates and throughputs a second."""
    made_by = study.cases.set_index("case")["made_by"]
    rows = [
        {**about, **point, "study": name, "made_by": made_by[about["case"]]}
        for about in study.served.to_dict("records")
        for point in _load_points(about.pop("path"), study.plan).to_dict("records")
    ]
    return pd.DataFrame(rows, columns=list(POINT_COLUMNS))


def _load_points(path: Any, plan: Mapping[str, Any]) -> pd.DataFrame:
    spec = plan.get("spec") or {}
    limits = {name: spec.get(name) for name in ("ttft_limit_ms", "tpot_limit_ms")}
    return serving.load_points(serving.read(path), **limits)


def beside(found: pd.DataFrame) -> pd.DataFrame:
    """Graphs off beside graphs on, a row for each of KEYS, COLUMNS; NaN where a half is missing.

    tpot_ratio is off / on over pairs of starts of one repeat; its interval as headline.pairs gives it.
    """
    rows = [
        {**dict(zip(KEYS, key, strict=True)), **_halves(group)}
        for key, group in found.groupby(KEYS, sort=True, dropna=False)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _halves(group: pd.DataFrame) -> dict[str, Any]:
    row: dict[str, Any] = {}
    cautions = []
    for graphs in ("off", "on"):
        half = group[group["graphs"] == graphs]
        row |= {f"{graphs}_{figure}": median_told(half[figure]) for figure in FIGURES}
        row[f"{graphs}_starts_count"] = len(half)
        if (half["saturated"] == True).any():  # noqa: E712  (missing is neither)
            cautions.append(f"graphs {graphs}: saturated")
        cautions += [
            _FAILED.get(kind, _FAILED_OTHERWISE).format(graphs=graphs, count=count, kind=kind)
            for kind, count in _failures(half).most_common()
        ]
    off, on = (group[group["graphs"] == graphs].set_index("repeat")["tpot_ms_p50"] for graphs in ("off", "on"))
    ratios = dict(zip(("tpot_ratio", "tpot_low_ratio", "tpot_high_ratio"), paired_ratio(off, on), strict=True))
    return {**row, **ratios, "caution": "; ".join(cautions)}


def _failures(half: pd.DataFrame) -> Counter[str]:
    """How many requests failed in which way, over all starts."""
    counts: Counter[str] = Counter()
    for text in filter(None, half["failures"]):
        for part in str(text).split(", "):
            count, _, kind = part.partition(" ")
            counts[kind] += int(count)
    return counts


def answers(table: pd.DataFrame) -> list[Text]:
    """A sentence for each load point that has both halves, rows of `beside`."""
    both = table[(table["off_starts_count"] > 0) & (table["on_starts_count"] > 0)]
    several = both["study"].nunique() > 1
    return [_answer(row, say(" ({study})", study=row["study"]) if several else "") for row in both.to_dict("records")]


def _answer(row: dict[Any, Any], source: str) -> Text:
    return say(
        "{engine}, {model}, {layout}{source} serving {load}: {verdict}; graphs off / on: {tokens} tokens/s{drain}, "
        "TTFT {ttft} ms, TPOT {tpot} ms (medians{caution}).",
        engine=shown.engine(row),
        model=row["model"],
        layout=layout_title(row["tp"], row["split"]),
        source=source,
        load=_load(row),
        verdict=verdict(row),
        tokens=shown.either(row["off_output_tok_s"], row["on_output_tok_s"]),
        drain=say(" until the last answer") if row["rate"] > 0 else "",
        ttft=shown.either(row["off_ttft_ms_p50"], row["on_ttft_ms_p50"]),
        tpot=shown.either(row["off_tpot_ms_p50"], row["on_tpot_ms_p50"]),
        caution=say("; {caution}", caution=read(row["caution"])) if row["caution"] else "",
    )


def verdict(row: Mapping[Any, Any]) -> Text:
    """On or off at a load that has both halves, a row of `beside`, in words."""
    found = load_verdict.verdict(row)
    if found["why"] == load_verdict.SAME:
        return say("no difference beyond noise")
    return {load_verdict.ON: say("turn on"), load_verdict.OFF: say("turn off")}.get(found["verdict"], say("undecided"))


def _load(row: dict[Any, Any]) -> Text:
    if row["rate"] > 0:
        return say("{rate:g} requests/s", rate=row["rate"])
    return say("{count:.0f} requests in flight", count=row["concurrency"])


def caveats(study: Study, name: str) -> list[Text]:
    """What speaks against starts: a client that was late itself, and others measured on the same host meanwhile."""
    found = []
    for case in study.served["case"]:
        told = [serving.client_caveat(load) for load in study.records[case].get("loads") or ()]
        found += [say("{study}, {case}: {caveat}", study=name, case=case, caveat=text) for text in told if text]
    beside = {case: study.records[case].get("beside_count") or 0 for case in study.served["case"]}
    if crowded := [case for case, count in beside.items() if count]:
        found.append(
            say(
                "{study}: {crowded} of {served} served cases were under load while up to {most} other(s) were, "
                "each on GPUs of its own of one host, whose processors and memory they share",
                study=name,
                crowded=len(crowded),
                served=len(beside),
                most=max(beside.values()),
            )
        )
    return found
