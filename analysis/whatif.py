"""The commands that foretell what was not measured: `python -m analysis predict`, `explain`, `fit`, and
those of elsewhere.py.

Everything they print that is predicted says so; what was measured stands apart.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import calibrations, claims, elsewhere, explain, given, outputs, pairs, predict
from analysis.calibrations import Calibration
from analysis.command_line import Parser, reported, studies
from analysis.errors import TraceError
from analysis.iterations import Trace
from analysis.program import refused
from analysis.words import counted, interval, three

Look = Callable[[Trace, str, Calibration | None], dict[str, Any]]
Show = Callable[[Mapping[str, Any]], list[str]]
_ELSEWHERE = "name another file with --write"
_CALIBRATION = "what python -m study.calibrate wrote, or a trace or case of the engine on that host with graphs off"
_KNOWN = {
    pairs.ALONE: "recordings of the engine alone",
    pairs.SAME: "the trace with graphs off of that very configuration",
    pairs.ANOTHER: "the trace with graphs off of another configuration of that engine on that host",
    "torch": "torch alone on that host",
}
COMMANDS = ("predict", "explain", "fit", "transfer", "breakeven", "published")


def main(argv: Sequence[str]) -> int:
    """Run one of COMMANDS; what cannot be used gives its reason on stderr and exit status 1."""
    parser = Parser(prog="python -m analysis", description="What was not measured, foretold.")
    commands = parser.add_subparsers(dest="command", required=True)
    half = commands.add_parser("predict", help="the other half: graphs on from off, or graphs off from on")
    _trace_parser(half, predict.predict, _prediction)
    why = commands.add_parser("explain", help="what bounds the iteration, and what would help by how much")
    _trace_parser(why, explain.explain, explain.lines)
    _fit_parser(commands.add_parser("fit", help="what predictions rest on, and how far off they were"))
    elsewhere.add(commands)
    arguments = parser.parse_args(argv)
    return int(arguments.run(arguments)) if hasattr(arguments, "run") else _elsewhere(arguments)


def _elsewhere(arguments: argparse.Namespace) -> int:
    found = reported(partial(arguments.find, arguments))
    if found is not None:
        print(elsewhere.write(found, arguments))
    return int(found is None)


def _trace_parser(parser: argparse.ArgumentParser, look: Look, show: Show) -> None:
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE_OR_CASE", help=given.WHAT)
    parser.add_argument("--calibration", type=Path, metavar="FILE", help=_CALIBRATION)
    parser.add_argument("--json", action="store_true", help="print a list with one object per trace")
    parser.set_defaults(run=_of_traces, look=look, show=show)


def _fit_parser(parser: argparse.ArgumentParser) -> None:
    told = "folders that study.sweep wrote, or recordings: several, for one seldom holds the pairs that it takes"
    parser.add_argument("folders", nargs="+", type=Path, metavar="STUDY", help=told)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the constants, as analysis/fitted.json")
    parser.add_argument("--json", action="store_true", help="print the constants and every pair left out as JSON")
    parser.set_defaults(run=_fit)


def _of_traces(arguments: argparse.Namespace) -> int:
    found, failed = [], False
    calibration = reported(partial(_calibration, arguments.calibration)) if arguments.calibration else None
    if arguments.calibration and calibration is None:
        return 1
    for argument in arguments.traces:
        traces = reported(partial(given.traces, argument))
        failed |= traces is None
        for one in traces or ():
            done = reported(partial(_looked_at, arguments.look, one, calibration))
            failed |= done is None
            found += [] if done is None else [done]
    shown = [line for one in found for line in arguments.show(one)]
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(shown))
    return int(failed)


def _calibration(path: Path) -> Calibration:
    """Of a file of JSON, or of the first trace that is given."""
    if path.suffix == ".json":
        return calibrations.read(path)
    return given.looked_at(
        given.traces(path)[0], lambda trace: predict.calibration(predict.facts(trace), predict.recorded())
    )


def _looked_at(look: Look, one: given.Given, calibration: Calibration | None) -> dict[str, Any]:
    return given.looked_at(one, lambda trace: look(trace, one.name, calibration))


def _prediction(found: Mapping[str, Any]) -> list[str]:
    """A prediction in words, what was measured on a line of its own."""
    other = "on" if found["graphs"] == "off" else "off"
    words = {"launch": "launch-bound", "gpu": "GPU-bound", "undecided": "undecided which side is the longer"}
    return [
        f"{found['name']}: TP{found['tp']}, graphs {found['graphs']}, "
        f"{found['traced']['iter_ms']:.3f} ms an iteration as traced",
        f"  PREDICTED, untraced: graphs {other} {interval(**found[f'graphs_{other}_ms'])} ms; "
        f"{words[found['bound']]}: R = L / G = {interval(**found['ratio'])}, "
        f"L {interval(**found['host_ms'])} ms by {found['host_known_by']}",
        f"  intervals hold {found['rate']:.0%} of configurations left out, of {found['pairs']} recorded pairs; "
        "for GPUs and engines not recorded it is not known",
        *(f"  unfit, doubt it: {doubt}" for doubt in found["doubts"]),
        *claims.lines(found),
    ]


def _fit(arguments: argparse.Namespace) -> int:
    found = reported(partial(_fitted, arguments.folders, arguments.write))
    if found is None:
        return 1
    model, on, off = found
    if arguments.write and not _written(arguments.write, json.dumps(model.to_json(), indent=1) + "\n"):
        return 1
    if arguments.json:
        tables = {"graphs_on": on.to_dict("records"), "graphs_off": off.to_dict("records")}
        print(json.dumps({"model": model.to_json(), **tables}, indent=2))
    else:
        print("\n".join(_fit_lines(model, on, off)))
    return 0


def _written(path: Path, text: str) -> bool:
    """Whether the text is in the file now; else why not was printed."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        refused(f"{path}: cannot be written ({error.strerror}); {_ELSEWHERE}")
        return False
    return True


def _fitted(folders: Sequence[Path], write: Path | None) -> tuple[predict.Model, pd.DataFrame, pd.DataFrame]:
    """The constants and the tables of pairs left out in turn, which take more pairs than most single studies hold."""
    if write:
        outputs.expect_file(write, _ELSEWHERE)
    found: list[pairs.Pair] = []
    for folder in studies(folders):
        mine, refused = pairs.recorded(folder)
        found += mine
        for reason in refused:
            print(f"left out: {reason}", file=sys.stderr)
    claimed = elsewhere.claimed(found, folders)
    try:
        return pairs.fit(found), pairs.left_out(found), pairs.left_out_off(found)
    except TraceError as error:
        told = f"{counted(len(claimed), 'pair')} of graphs off and on, traced and untraced, in {_listed(folders)}"
        raise TraceError(f"{told}: {error}, or give several studies at once, such as data/recordings/*") from error


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))


def _fit_lines(model: predict.Model, on: pd.DataFrame, off: pd.DataFrame) -> Iterator[str]:
    yield from (f"{name} = {value}" for name, value in model.to_json().items())
    yield ""
    yield "Each configuration PREDICTED by the others, beside what was measured (ms, untraced):"
    heads = f"{'PREDICTED on':>22} {'measured':>9} {'error':>7} {'PREDICTED R':>20} {'measured off/on':>16}"
    wide = max([48, *map(len, map(_configuration, on.to_dict("records")))])
    yield f"{'':{wide}} {heads}  PREDICTED bound"
    for row in on.to_dict("records"):
        held = ("" if row["covered"] else " outside") + ("" if row["claimed"] else " not claimed")
        predicted = interval(row["predicted_on_ms"], row["predicted_low_ms"], row["predicted_high_ms"])
        r = interval(row["predicted_ratio"], row["predicted_low_ratio"], row["predicted_high_ratio"])
        yield (
            f"{_configuration(row):{wide}} {predicted:>22} {three(row['measured_on_ms']):>9} "
            f"{row['error_ratio']:+7.1%} {r:>20} {three(row['measured_ratio']):>16}  {row['predicted_bound']}{held}"
        )
    yield "off/on: the median over pairs of starts of one repeat; where there are not two, the ratio of medians"
    yield f"graphs on from off: {_summary(on[on['claimed']])}"
    for known, rows in off[off["claimed"]].groupby("known", sort=False):
        yield f"graphs off from on, launches known by {_KNOWN.get(str(known), known)}: {_summary(rows)}"
    if not on["claimed"].all():
        yield f"not claimed, graphs on from off: {_summary(on[~on['claimed']])}"
        for why in claims.reasons(on.to_dict("records")):
            yield from claims.lines({"claimed": False, "why_not_claimed": why})


def _configuration(row: Mapping[Any, Any]) -> str:
    return f"{row['study']} {row['engine']} {row['model']} TP{row['tp']} b{row['batch']}{pairs.variant(row)}"


def _summary(rows: pd.DataFrame) -> str:
    errors = rows["error_ratio"].abs()
    return (
        f"{len(rows)} pairs, error {errors.mean():.1%} mean, {errors.max():.1%} worst; "
        f"{rows['covered'].mean():.0%} within their interval"
    )
