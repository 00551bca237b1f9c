"""Published figures and rules of thumb beside what traces foretell and recordings hold: which of them stand.

A figure is `consistent` where it lies in the interval of what is foretold for that GPU and model, `not explained` where
it lies outside, and `cannot discriminate` where it does not say what would be needed to tell.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import claims, hardware, paired, transfer, weights
from analysis.breakeven import NO_GAIN
from analysis.errors import TraceError
from analysis.estimates import Estimate
from analysis.pairs import KEYS, Pair, variant
from analysis.predict import LAUNCH, Model
from analysis.recordings import Study
from analysis.transfer import Place
from analysis.words import three

FIGURES = Path(__file__).resolve().parents[1] / "data" / "published.csv"
CONSISTENT, NOT_EXPLAINED, NO_MATTER = "consistent", "not explained", "cannot discriminate"
# The published rules by how long a kernel takes, in us: from, to, least and most gain.
RULES = (
    ("kernels shorter than 100 us: 2 to 5 times as fast", 0.0, 100.0, 2.0, 5.0),
    ("kernels of 100 us to 1 ms: 1.3 to 2 times", 100.0, 1e3, 1.3, 2.0),
    ("kernels longer than 10 ms: less than 1.1 times", 1e4, float("inf"), 0.0, 1.1),
)
_STEP = "decode_iteration"


def figures(pairs: Sequence[Pair], model: Model) -> list[dict[str, Any]]:
    """Every published row with its verdict; `published_` values are theirs, `predicted` is foretold from a pair.

    Each row takes the first claimed pair of its engine and TP at batch 1, of its own model where there is one, and not
    compiled without graphs, as published halves are.
    """
    return [_judged(row, pairs, model) for row in published_rows()]


def published_rows() -> list[dict[Any, Any]]:
    """The rows of data/published.csv by its columns, None where a cell is empty."""
    return pd.read_csv(FIGURES).astype(object).where(lambda cell: cell.notna(), None).to_dict("records")


def plain_name(model: object) -> str:
    """A published model's name as data/models writes it."""
    return str(model).lower().removesuffix("-instruct")


def _judged(row: Mapping[Any, Any], pairs: Sequence[Pair], model: Model) -> dict[str, Any]:
    kept = {name: row[name] for name in ("id", "source", "gpu", "engine", "model", "parallel", "workload", "unit")}
    found = kept | {"published_off": row["graphs_off"], "published_on": row["graphs_on"], "predicted": None}
    why = _lacks(row)
    if why is None:
        try:
            foretold = _foretold(row, pairs, model)
        except TraceError as error:
            why = str(error)
    if why is not None:
        return found | {"verdict": NO_MATTER, "reason": why}
    verdict, reason = _verdict(row, foretold)
    keys = ("graphs_off_ms", "graphs_on_ms", "bound", "ratio", "mark")
    return found | {"predicted": {key: foretold[key] for key in keys}, "verdict": verdict, "reason": reason}


def _lacks(row: Mapping[Any, Any]) -> str | None:
    """What a row leaves unsaid, or is no decode step of."""
    if "serving" in str(row["workload"]):
        return "serving: batch sizes, queueing, KV capacity are not reported, and the rows change the model with TP"
    if row["gpu"] is None or row["batch_size"] is None:
        return "GPU or batch size is not reported"
    return None if row["metric"] == _STEP else f"{row['metric']} of {row['workload']}: no decode step"


def _foretold(row: Mapping[Any, Any], pairs: Sequence[Pair], model: Model) -> dict[str, Any]:
    tp = int(str(row["parallel"]).removeprefix("tp"))
    wanted = [pair for pair in pairs if (pair.key[0], pair.key[2], pair.key[3]) == (row["engine"], tp, 1)]
    name = plain_name(row["model"])
    if why := claims.why_not(row["engine"], weights.experts(name)):
        is_recorded = (
            f"{row['engine']} is recorded at TP{tp}" if wanted else f"no recording of {row['engine']} at TP{tp}"
        )
        raise TraceError(f"{is_recorded}, but nothing is foretold of it: {why}")
    wanted = [pair for pair in wanted if pair.claimed]
    if not wanted:
        raise TraceError(f"no recording of {row['engine']} at TP{tp}; expected a trace of it; record one")
    wanted.sort(key=lambda pair: (pair.key[1] != name, pair.key[KEYS.index("compile")] == "on"))
    models = weights.read(wanted[0].key[1]), weights.read(name)
    source, target = (hardware.find(gpu) for gpu in (wanted[0].off.gpu, str(row["gpu"])))
    place = Place(source=source, target=target, models=models)
    return transfer.transfer(wanted[0].off, place, model)


def _verdict(row: Mapping[Any, Any], foretold: Mapping[str, Any]) -> tuple[str, str]:
    outside = []
    for graphs in ("off", "on"):
        seen = row[f"graphs_{graphs}"]
        expected = Estimate(**foretold[f"graphs_{graphs}_ms"])
        if seen is not None and not expected.holds(float(seen)):
            outside.append(f"graphs {graphs} {float(seen):g} ms, PREDICTED {expected} ms")
    if row["graphs_off"] is None or row["graphs_on"] is None:
        outside.append("one half only")
    if outside:
        return NOT_EXPLAINED, "; ".join([*outside, _sides(row, foretold)])
    return CONSISTENT, _sides(row, foretold)


def _sides(row: Mapping[Any, Any], foretold: Mapping[str, Any]) -> str:
    """Whether graphs gain where launching is foretold to be the longer side."""
    if row["graphs_off"] is None or row["graphs_on"] is None:
        return "no ratio"
    gains = float(row["graphs_off"]) / float(row["graphs_on"]) > NO_GAIN
    said = "graphs gain" if gains else "graphs gain nothing"
    agrees = {LAUNCH: gains, "gpu": not gains}.get(foretold["bound"])
    how = (
        "as foretold"
        if agrees
        else "which side is longer is undecided"
        if agrees is None
        else "against what is foretold"
    )
    return f"{said}, {how} (PREDICTED R {Estimate(**foretold['ratio'])})"


def rules(pairs: Sequence[Pair], studies: Sequence[tuple[str, Study]]) -> list[dict[str, Any]]:
    """The rules of thumb against measured gains: how many recorded configurations each is about and holds for.

    The gain is graphs off over on, both untraced, as paired.gains has it; nothing here is predicted, and pairs of
    which no prediction is claimed count too. The length of a kernel is the mean over the iteration, which takes a
    trace: rules by it are held against pairs, those by TP against all that the studies timed with graphs off and on.
    """
    traced: list[dict[str, Any]] = [
        {"name": _name(pair.study, pair.key), "us": pair.off.gpu_us / pair.off.operations,
         "gain": pair.gain_ratio}
        for pair in pairs
    ]  # fmt: skip
    found = [
        _rule(words, [row for row in traced if low <= row["us"] < high], least, most)
        for words, low, high, least, most in RULES
    ]
    timed = [row for name, study in studies for row in _timed(name, study)]
    small, large = ([row for row in timed if (row["tp"] >= 4) == wide] for wide in (False, True))
    found.append(_rule("TP1 and TP2 gain nothing", small, 0.0, NO_GAIN))
    found.append(_rule("TP4 and TP8 gain", large, NO_GAIN, float("inf")))
    return found


def _timed(name: str, study: Study) -> list[dict[str, Any]]:
    """What a study timed with graphs off and on, but for cases that the engine or a trace contradicts.

    Batches beyond the sizes that were asked to have graphs run without any, and say nothing of graphs.
    """
    windows = study.windows[~study.windows["case"].isin(study.mislabelled())]
    asked = {case: record["asked"].get("captured") for case, record in study.records.items()}
    largest = windows["case"].map({case: max(sizes) for case, sizes in asked.items() if sizes}).astype(float)
    rows = paired.gains(windows[~(windows["batch"] > largest)], KEYS).reset_index().to_dict("records")
    return [
        {"name": _name(name, [row[key] for key in KEYS]), "tp": row["tp"], "gain": row["gain_ratio"]} for row in rows
    ]


def _name(study: str, key: Sequence[Any]) -> str:
    row = dict(zip(KEYS, key, strict=True))
    return f"{study} {row['engine']} {row['model']} TP{row['tp']} b{row['batch']}{variant(row)}"


def _rule(words: str, rows: Sequence[Mapping[str, Any]], least: float, most: float) -> dict[str, Any]:
    gains = [row["gain"] for row in rows]
    held = [least <= gain <= most for gain in gains]
    verdict = (
        "not recorded" if not gains else "holds" if all(held) else "holds in part" if any(held) else "does not hold"
    )
    names = {word: [row["name"] for row, one in zip(rows, held, strict=True) if one == word] for word in (True, False)}
    return {
        "rule": words,
        "configurations": len(gains),
        "held": sum(held),
        "held_by": names[True],
        "not_held_by": names[False],
        "measured_gain_low": min(gains, default=None),
        "measured_gain_high": max(gains, default=None),
        "verdict": verdict,
    }


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Figures and rules in words, a line each; what is foretold is behind PREDICTED."""
    for row in found["figures"]:
        about = " ".join(str(row[name]) for name in ("gpu", "engine", "model", "parallel") if row[name] is not None)
        halves = " / ".join("-" if row[key] is None else f"{row[key]:g}" for key in ("published_off", "published_on"))
        yield f"{row['id']} {about}: published off / on {halves} {row['unit']}: {row['verdict']}"
        if row["predicted"]:
            off, on = (Estimate(**row["predicted"][f"graphs_{graphs}_ms"]) for graphs in ("off", "on"))
            yield f"    PREDICTED off {off}, on {on} ms"
        yield f"    {row['reason']}"
    for rule in found["rules"]:
        gains = ""
        if rule["configurations"]:
            gains = f", measured gains {three(rule['measured_gain_low'])} to {three(rule['measured_gain_high'])}"
        yield f"rule: {rule['rule']}: {rule['verdict']} ({rule['held']} of {rule['configurations']} recorded{gains})"
        if rule["held"] and rule["not_held_by"]:
            few = min(("held_by", "not_held_by"), key=lambda names: len(rule[names]))
            yield from (f"    {'holds' if few == 'held_by' else 'does not hold'} for {name}" for name in rule[few])
