"""The answer: iteration time with graphs off and on, their ratio and its interval, and the sentences that follow."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import paired, shown
from analysis.figures import SWEEP, engine_title, layout_title
from analysis.language import join, read, say
from analysis.recordings import HOST_FACTS, RESOLVED_FACTS, VARIANT
from analysis.stats import median_interval

PAIR_KEYS = ["study", "made_by", "engine", "model", "batch", "tp", *VARIANT]
FEW_STARTS = 3
# Above these a median hides more than it says.
SPREAD_MOST, DRIFT_MOST = 0.1, 0.05
# A single sample may fall into a moment of which no window was measured.
SLOWED_MOST = 0.1
PAIR_COLUMNS = (
    *PAIR_KEYS,
    *(f"{graphs}_{quantity}" for graphs in ("off", "on")
      for quantity in ("tpot_ms", "low_ms", "high_ms", "starts_count", "windows_count")),
    "gain_ratio", "gain_low_ratio", "gain_high_ratio", "interval_over", "caution", "contradiction",
)  # fmt: skip


def per_start(windows: pd.DataFrame) -> pd.DataFrame:
    """The median over the windows of every engine start: PAIR_KEYS, graphs, case, repeat, tpot_ms."""
    return windows.groupby([*PAIR_KEYS, "graphs", "case", "repeat"], sort=True)["tpot_ms"].median().reset_index()


def per_configuration(windows: pd.DataFrame) -> pd.DataFrame:
    """The median over starts of the median over windows, a row for each of PAIR_KEYS and graphs.

    Adds tpot_ms; low_ms and high_ms, its interval over starts (over the windows where there is a single start);
    starts_count and windows_count.
    """
    rows = []
    for key, group in windows.groupby([*PAIR_KEYS, "graphs"], sort=True):
        starts_ms = group.groupby("case")["tpot_ms"].median()
        low_ms, high_ms = median_interval((starts_ms if len(starts_ms) > 1 else group["tpot_ms"]).to_numpy(dtype=float))
        row = dict(zip([*PAIR_KEYS, "graphs"], key, strict=True))
        row |= {"tpot_ms": starts_ms.median(), "low_ms": low_ms, "high_ms": high_ms}
        rows.append(row | {"starts_count": len(starts_ms), "windows_count": len(group)})
    columns = [*PAIR_KEYS, "graphs", "tpot_ms", "low_ms", "high_ms", "starts_count", "windows_count"]
    return pd.DataFrame(rows, columns=columns)


def pairs(windows: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """What `gains` gives, with its doubts. Returns PAIR_COLUMNS; NaN where one half is missing.

    labels: study, engine, model, batch, tp, graphs, proof, reason (proof is proven, contradicted or insufficient), one
    row a trace; they decide caution and contradiction.
    """
    rows = [row | _doubts(row, windows, labels) for row in gains(windows).to_dict("records")]
    return pd.DataFrame(rows, columns=list(PAIR_COLUMNS))


def gains(windows: pd.DataFrame) -> pd.DataFrame:
    """Graphs off beside graphs on, a row for each of PAIR_KEYS: for each half per_configuration, and the gain.

    gain_ratio is off / on: over pairs of starts of the same repeat the median and its bootstrap interval; where there
    are not two such pairs the ratio of both times, its interval the extremes of theirs divided, wide for it.
    windows: untraced windows with study and made_by.
    """
    configurations = per_configuration(windows)
    halves = []
    for graphs in ("off", "on"):
        half = configurations[configurations["graphs"] == graphs].drop(columns="graphs").set_index(PAIR_KEYS)
        halves.append(half.add_prefix(f"{graphs}_"))
    table = halves[0].join(halves[1], how="outer")
    table["gain_ratio"] = table["off_tpot_ms"] / table["on_tpot_ms"]
    table["gain_low_ratio"] = table["off_low_ms"] / table["on_high_ms"]
    table["gain_high_ratio"] = table["off_high_ms"] / table["on_low_ms"]
    table.update(paired.gains(windows, PAIR_KEYS))
    table = table.reset_index()
    # What study.sweep measured comes before what anything else recorded of the same configuration.
    table = table.assign(other=table["made_by"] != SWEEP).sort_values(
        ["engine", "model", "batch", *VARIANT, "tp", "other", "study"]
    )
    return table[list(PAIR_COLUMNS[: PAIR_COLUMNS.index("interval_over")])].reset_index(drop=True)


def _of_row(row: dict[Any, Any], windows: pd.DataFrame) -> pd.DataFrame:
    return windows[(windows[PAIR_KEYS] == pd.Series({key: row[key] for key in PAIR_KEYS})).all(axis=1)]


def _doubts(row: dict[Any, Any], windows: pd.DataFrame, labels: pd.DataFrame) -> dict[str, str]:
    """The caution beside a row, what its interval spans, and the contradiction that voids it ('' for none)."""
    cautions, contradictions = [], []
    for graphs in ("off", "on"):
        starts_count = row[f"{graphs}_starts_count"]
        if not starts_count > 0:
            cautions.append(f"graphs {graphs} not measured")
        elif starts_count < FEW_STARTS:
            cautions.append(f"graphs {graphs}: {starts_count:.0f} start{'s' if starts_count > 1 else ''}")
        proof, reason = label_proof(labels, {**row, "graphs": graphs})
        if proof == "contradicted":
            contradictions.append(f"graphs {graphs}: {reason}")
        elif proof != "proven" and starts_count > 0:
            cautions.append(f"graphs {graphs}: label not proven ({reason})")
    cautions += [*_unsteady(row, windows), *_mixed_hosts(row, windows)]
    replicated = min(row["off_starts_count"], row["on_starts_count"]) > 1
    return {
        "interval_over": "starts" if replicated else "windows",
        "caution": "; ".join(cautions),
        "contradiction": "; ".join(contradictions),
    }


def label_proof(labels: pd.DataFrame, configuration: dict[Any, Any]) -> tuple[str, str]:
    """Whether traces prove the graphs label: proven, contradicted, insufficient, unfit or untraced; and the reason."""
    keys = ["study", "engine", "model", "tp", *VARIANT, "graphs"]
    # One engine start serves every batch size, so a trace at any batch speaks for all of them.
    found = labels[(labels[keys] == pd.Series({key: configuration[key] for key in keys})).all(axis=1)]
    for proof in ("contradicted", "proven", "insufficient", "unfit"):
        reasons = found.loc[found["proof"] == proof, "reason"]
        if len(reasons):
            return proof, str(reasons.iloc[0])
    return "untraced", "no trace of this configuration"


def _unsteady(row: dict[Any, Any], windows: pd.DataFrame) -> list[str]:
    """Names a half whose starts lie far apart, or whose windows get longer or shorter within a start."""
    found = []
    for graphs, half in _of_row(row, windows).groupby("graphs"):
        starts_ms = half.groupby("case")["tpot_ms"].median()
        spread = (starts_ms.max() - starts_ms.min()) / starts_ms.median()
        if spread > SPREAD_MOST:
            found.append(f"graphs {graphs}: starts spread over {100 * spread:.0f} %")
        ordered = half.sort_values("window").groupby("case")["tpot_ms"]
        drift = (ordered.last() / ordered.first() - 1).median()
        if abs(drift) > DRIFT_MOST:
            found.append(f"graphs {graphs}: windows drift by {100 * drift:+.0f} %")
    return found


def _mixed_hosts(row: dict[Any, Any], windows: pd.DataFrame) -> list[str]:
    """Names what differs between the starts of one row and should not."""
    mine = _of_row(row, windows)
    mixed = {
        fact: mine[fact].dropna().unique()
        for fact in (*HOST_FACTS, *RESOLVED_FACTS)
        if fact in mine and mine[fact].nunique() > 1
    }
    differing = [f"starts differ in {fact}: {', '.join(map(str, values))}" for fact, values in mixed.items()]
    slowed = mine.loc[mine["slowed_ratio"] > SLOWED_MOST, "case"].nunique() if "slowed_ratio" in mine else 0
    return [*differing, *([f"GPUs were slowed by power or heat in {slowed} starts"] if slowed else [])]


def answers(table: pd.DataFrame) -> list[str]:
    """A sentence for each engine and its torch.compile, model and TP (and study, if several), computed from `pairs`."""
    several = table["study"].nunique() > 1
    sentences: list[str] = []
    keys = ["engine", *VARIANT, "model", "tp", "study", "made_by"]
    for (*variant, model, tp, study, made_by), group in table.groupby(keys, sort=False):
        engine, compiled, settings, split = variant
        sentences.append(
            say(
                "{engine}, {model}, {layout}{source}: {parts}{over}.",
                engine=engine_title(engine, compiled, settings),
                model=model,
                layout=layout_title(tp, split),
                source=_source(str(study) if several else "", str(made_by)),
                parts=join(say("; "), [_verdict(row) for row in group.to_dict("records")]),
                over=_over(group),
            )
        )
    return sentences


def _source(study: str, made_by: str) -> str:
    """The study, where there are several, and who made it, where that was not study.sweep; in brackets."""
    if made_by == SWEEP:
        return say(" ({study})", study=study) if study else ""
    if not study:
        return say(" (by {made_by})", made_by=shown.maker(made_by))
    return say(" ({study}, by {made_by})", study=study, made_by=shown.maker(made_by))


def _over(group: pd.DataFrame) -> str:
    """That intervals are not over starts, where they are of single ones."""
    told = group[(group["gain_ratio"] > 0) & (group["contradiction"] == "")]
    return say(" (over windows of single starts)") if "windows" in set(told["interval_over"]) else ""


def _verdict(row: dict[Any, Any]) -> str:
    batch = row["batch"]
    if row["contradiction"]:
        return say(
            "no answer at batch {batch}, a trace contradicts the label ({reason})",
            batch=batch,
            reason=read(str(row["contradiction"])),
        )
    gain, low, high = row["gain_ratio"], row["gain_low_ratio"], row["gain_high_ratio"]
    if not gain > 0:
        return say("no answer at batch {batch}, {reason}", batch=batch, reason=read(str(row["caution"])))
    ratio = {"gain": shown.gain(gain), "interval": shown.bracket(low, high), "batch": batch}
    if low <= 1 <= high:
        return say("no difference beyond noise at batch {batch} (off / on {gain} {interval})", **ratio)
    if gain > 1:
        return say("on: {times}x faster decode at batch {batch} {interval}", times=shown.gain(gain), **ratio)
    return say(
        "off: {times}x faster decode at batch {batch} (off / on {gain} {interval})", times=shown.gain(1 / gain), **ratio
    )
