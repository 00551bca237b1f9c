"""`python -m analysis.verdict FOLDER [--json]`: turn CUDA graphs on or off, by how much, and at what cost.

For each configuration of a study: what was measured at each batch, the gain with its interval and what it says; where
only graphs off was measured and traced, the gain PREDICTED, which decides where predictions are claimed; what capturing
costs in time and memory, and what that costs in KV cache; the batch sizes worth a graph; and the five questions of the
published decision flow.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import (
    capacity,
    claims,
    cost,
    extract,
    iterations,
    load_verdict,
    predict,
    program,
    questions,
    served,
    weights,
)
from analysis.command_line import Parser
from analysis.errors import TraceError
from analysis.estimates import Estimate
from analysis.given import called
from analysis.headline import gains
from analysis.load_verdict import OFF, ON, UNDECIDED
from analysis.pairs import variant
from analysis.recordings import VARIANT, Study, open_study
from analysis.shown import SERVED
from analysis.summary import summarise
from analysis.words import three

_KEYS = ["engine", "model", "tp", *VARIANT]
_HEADINGS = f"{'batch':>7} {'measured off, ms':>17} {'measured on, ms':>16} {'measured off / on':>20}  verdict"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the verdicts of a study folder; one that cannot be used gives its reason on stderr and exit status 1."""
    parser = Parser(prog="python -m analysis.verdict", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that study.sweep wrote, or a recording")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        found = verdicts(open_study(arguments.folder))
    except TraceError as error:
        return program.refused(error)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(lines(found)))
    return 0


def verdicts(study: Study) -> dict[str, Any]:
    """What lines() puts in words, ready for JSON. Raises TraceError where nothing was measured or traced."""
    windows = study.windows.assign(study=study.folder.name, made_by="")
    gained = gains(windows)
    keys = sorted({key for table in (study.windows, study.traces, study.served) for key in _keys_of(table)})
    if not keys:
        raise TraceError(
            f"{study.folder} holds neither times nor traces; expected cases that succeeded; run study.sweep, or name "
            "another folder"
        )
    name = study.folder.name
    tables = gained, served.beside(served.points(study, name)), capacity.table(study, name)
    return {"folder": name, "configurations": [_configuration(study, key, *tables) for key in keys]}


def _keys_of(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[key] for key in _KEYS), strict=True)


def _configuration(
    study: Study, key: tuple[Any, ...], gained: pd.DataFrame, loads: pd.DataFrame, told: pd.DataFrame
) -> dict[str, Any]:
    whole = _of(gained, key).dropna(subset=["gain_ratio"]).sort_values("batch")
    measured = [_measured(row) for row in whole.to_dict("records")]
    traces, mine_served = (_of(table, key) for table in (study.traces, loads))
    foretold = _foretold(traces, {row["batch"] for row in measured})
    paid = cost.find(_of(told, key), measured)
    saves_nothing = bool(measured) and paid["capture_s"] is not None and paid["pays_after_steps"] is None
    doubts, answers = _traced(traces, math.inf if saves_nothing else paid["pays_after_steps"])
    doubts = [*_mislabelled(study, key), *doubts]
    workloads = load_verdict.verdicts(mine_served)
    rows = [*measured, *decisive(foretold)]
    return dict(zip(_KEYS, key, strict=True)) | {
        "verdict": UNDECIDED if doubts else _overall(rows, workloads),
        "doubts": doubts,
        "by_batch": measured,
        "predicted_by_batch": foretold,
        "by_load": workloads,
        # A trace taken while serving is of no one size.
        "capture_sizes": [row["batch"] for row in rows if row["verdict"] == ON and row["batch"] != SERVED],
        "cost": paid,
        "questions": answers,
        "traces_left_out": [called(row["case"], row["batch"]) for row in traces[traces["left_out"]].to_dict("records")],
    }


def _of(table: pd.DataFrame, key: tuple[Any, ...]) -> pd.DataFrame:
    """The rows of a configuration."""
    return table[(table[_KEYS] == pd.Series(dict(zip(_KEYS, key, strict=True)))).all(axis=1)]


def _measured(row: Mapping[Any, Any]) -> dict[str, Any]:
    """One batch that was measured with graphs off and on; the gain and its interval are those of headline.gains."""
    gain = Estimate(value=row["gain_ratio"], low=row["gain_low_ratio"], high=row["gain_high_ratio"])
    return {
        "batch": int(row["batch"]),
        "measured_off_ms": float(row["off_tpot_ms"]),
        "measured_on_ms": float(row["on_tpot_ms"]),
        "measured_gain": gain.to_json(),
        "starts": int(min(row["off_starts_count"], row["on_starts_count"])),
        "verdict": _says(gain),
    }


def _foretold(traces: pd.DataFrame, known: set[int]) -> list[dict[str, Any]]:
    """Batches that were traced with graphs off, but not measured with both; undecided where nothing is claimed."""
    rows = []
    off = traces[(traces["graphs"] == "off") & (traces["tracing"] == "node") & ~traces["batch"].isin(known)]
    for row in off[~off["left_out"]].drop_duplicates("batch").to_dict("records"):
        found, model = predict.facts(iterations.find(extract.read(row["path"]))), predict.recorded()
        on = predict.graphs_on_ms(found, model)
        eager = predict.graphs_off_ms(found, predict.host_ms(found, model), model)
        gain = eager.over(on)
        claim = claims.of(row["engine"], found.experts or weights.experts(row["model"]))
        rows.append(
            {"batch": int(row["batch"]), "mark": "PREDICTED", "predicted_off_ms": eager.to_json(),
             "predicted_on_ms": on.to_json(), "predicted_gain": gain.to_json(), **claim,
             "verdict": _says(gain) if claim["claimed"] else UNDECIDED}
        )  # fmt: skip
    return rows


def decisive(foretold: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The predictions that have a part in the verdict: those that are claimed."""
    return [row for row in foretold if row["claimed"]]


def _says(gain: Estimate) -> str:
    if gain.low > 1:
        return ON
    return OFF if gain.high < 1 else UNDECIDED


def _overall(batches: Sequence[Mapping[str, Any]], loads: Sequence[Mapping[str, Any]]) -> str:
    """On where some batch or load gains, unless a load loses: batches that lose need no graph."""
    by_batch, by_load = ({row["verdict"] for row in rows} for rows in (batches, loads))
    said = by_batch | by_load
    if ON in said:
        return UNDECIDED if OFF in by_load else ON
    return OFF if said == {OFF} else UNDECIDED


def _mislabelled(study: Study, key: tuple[Any, ...]) -> list[str]:
    wrong, cases = study.mislabelled(), _of(study.cases, key)["case"]
    return [f"{case}: {wrong[case]}" for case in cases if case in wrong]


def _traced(traces: pd.DataFrame, pays_after_steps: float | None) -> tuple[list[str], list[dict[str, Any]]]:
    """Why the traces contradict their labels, and the five questions, by the first trace that is there.

    One with graphs comes before one without, which comes before the account of one that was left out.
    """
    nodes = traces[traces["tracing"] == "node"]
    if nodes.empty:
        return [], []
    row = nodes.sort_values(["left_out", "graphs"], ascending=[True, False], kind="stable").to_dict("records")[0]
    if row["left_out"]:
        return _unlike(row, summarise(row["path"])["graphs"]), []
    trace = iterations.find(extract.read(row["path"]))
    found = predict.facts(trace)
    return _unlike(row, "on" if found.graphs else "off"), questions.answers(trace, found, pays_after_steps)


def _unlike(row: Mapping[Any, Any], ran: str) -> list[str]:
    return [f"{row['case']}: labelled graphs {row['graphs']}, traced {ran}"] if ran != row["graphs"] else []


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The verdicts in words, a table of what was measured and one of what is PREDICTED."""
    for one in found["configurations"]:
        name = f"{one['engine']} {one['model']} TP{one['tp']}{variant(one)}"
        yield f"{name}: {one['verdict']}{_sizes(one)}"
        yield from (f"  no verdict: {doubt}" for doubt in one["doubts"])
        yield from [_HEADINGS] if one["by_batch"] else ()
        for row in one["by_batch"]:
            gain, off, on = Estimate(**row["measured_gain"]), row["measured_off_ms"], row["measured_on_ms"]
            yield (
                f"{row['batch']:>7} {three(off):>17} {three(on):>16} {gain!s:>20}  "
                f"{row['verdict']} ({row['starts']} start{'s' if row['starts'] > 1 else ''})"
            )
        for row in one["predicted_by_batch"]:
            off, on, gain = (Estimate(**row[f"predicted_{name}"]) for name in ("off_ms", "on_ms", "gain"))
            when = "while serving" if row["batch"] == SERVED else f"batch {row['batch']}"
            yield f"  {when}, PREDICTED: off {off} ms, on {on} ms, off / on {gain}: {row['verdict']}"
            yield from claims.lines(row)
        yield from (line for load in one["by_load"] for line in load_verdict.lines(load))
        yield from cost.lines(one["cost"])
        for answer in one["questions"]:
            yield f"  {answer['question']} {answer['answer']}: {answer['found']}"
        if one["traces_left_out"]:
            yield f"  traces left out, by which no question is answered: {', '.join(one['traces_left_out'])}"


def _sizes(one: Mapping[str, Any]) -> str:
    """At which batches graphs gain; of a configuration that only served none was asked about."""
    sizes = ", ".join(map(str, one["capture_sizes"])) or "none"
    asked = any(row["batch"] != SERVED for row in (*one["by_batch"], *one["predicted_by_batch"]))
    return f"; sizes worth a graph: {sizes}" if asked else ""


if __name__ == "__main__":
    program.run(main)
