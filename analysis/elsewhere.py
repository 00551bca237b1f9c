"""The commands about GPUs that nobody traced: `python -m analysis transfer`, `breakeven`, `published`."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from analysis import (
    breakeven,
    claims,
    given,
    hardware,
    outputs,
    parallel,
    predict,
    published,
    replay,
    transfer,
    weights,
)
from analysis import pairs as recorded_pairs
from analysis.command_line import Parser, positive, studies, whole
from analysis.errors import TraceError
from analysis.estimates import Estimate
from analysis.iterations import Trace
from analysis.pairs import Pair
from analysis.recordings import open_study
from analysis.transfer import Place
from analysis.weights import Weights

_ELSEWHERE = "name another file with --figure"


def add(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the three commands; each sets `find`, which gives what --json prints, and `show`, its lines."""
    keys = [peak.key for peak in hardware.peaks()]
    moved = commands.add_parser("transfer", help="a trace with graphs off, on another GPU, TP, host, memory or model")
    moved.add_argument("traces", nargs="+", type=Path, metavar="TRACE_OR_CASE", help=given.WHAT)
    moved.add_argument("--to", choices=keys, metavar="GPU", help=f"the GPU (default: as traced): {', '.join(keys)}")
    moved.add_argument("--tp", type=whole(1), metavar="N", help="on so many GPUs (default: as traced)")
    moved.add_argument(
        "--host", type=positive, default=1.0, metavar="TIMES", help="on a host that takes so many times as long"
    )
    moved.add_argument(
        "--memory", type=positive, metavar="TIMES", default=1.0, help="with memory so many times as fast"
    )
    moved.add_argument("--models", nargs=2, metavar=("TRACED", "OTHER"), help="models of data/models")
    moved.set_defaults(find=_transferred, show=_transfer_lines)
    where = commands.add_parser("breakeven", help="above which launch time, and up to which batch, graphs pay")
    where.add_argument("--figure", type=Path, metavar="PNG", help="draw the map into this file, .png")
    where.set_defaults(find=_breakeven, show=breakeven.lines)
    theirs = commands.add_parser("published", help="published figures and rules of thumb, with a verdict on each")
    theirs.set_defaults(find=_published, show=_published_lines)
    for parser in (where, theirs):
        parser.add_argument("folders", nargs="+", type=Path, metavar="STUDY", help="folders that study.sweep wrote")
    for parser in (moved, where, theirs):
        parser.add_argument("--json", action="store_true", help="print JSON instead of lines")


def _transferred(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    models = tuple(weights.read(name) for name in arguments.models) if arguments.models else None
    every = [one for argument in arguments.traces for one in given.traces(argument)]
    return [{"name": one.name} | given.looked_at(one, partial(_moved, arguments, models)) for one in every]


def _moved(arguments: argparse.Namespace, models: Sequence[Weights] | None, trace: Trace) -> dict[str, Any]:
    typical = predict.facts(trace)
    moved = replay.with_memory(replay.with_host(typical, arguments.host), arguments.memory)
    moved = parallel.with_tp(moved, arguments.tp) if arguments.tp else moved
    source = hardware.find(typical.gpu)
    place = Place(
        source=source,
        target=hardware.find(arguments.to) if arguments.to else source,
        batch=typical.sequences or 1,
        models=(models[0], models[1]) if models else None,
    )
    return transfer.transfer(moved, place, predict.recorded())


def _transfer_lines(found: list[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        model = f" as {one['model']}" if one["model"] else ""
        yield f"{one['name']}: from {one['from']} to {one['to']}, TP{one['tp']}, batch {one['batch']}{model}"
        on, off, ratio, launch = (
            Estimate(**one[key]) for key in ("graphs_on_ms", "graphs_off_ms", "ratio", "breakeven_us")
        )
        yield f"  PREDICTED: graphs off {off} ms, on {on} ms; R = {ratio}: {one['bound']}"
        yield f"  PREDICTED: break-even at {launch} us a launch"
        yield from claims.lines(one)
    yield from (f"  assumed: {text}" for text in transfer.ASSUMPTIONS)


def _pairs(folders: Sequence[Path]) -> list[Pair]:
    return [pair for folder in folders for pair in recorded_pairs.recorded(folder)[0]]


def claimed(found: Sequence[Pair], folders: Sequence[Path]) -> list[Pair]:
    """Those of which predictions are claimed. Raises TraceError where there are none."""
    rest_on = [pair for pair in found if pair.claimed]
    if not rest_on:
        whys = sorted({f"; {pair.why_not}" for pair in found})
        raise TraceError(
            f"no pair of graphs off and on, traced and untraced, of a dense model by {' or '.join(claims.CLAIMED)} in "
            f"{', '.join(map(str, folders))}{''.join(whys)}; give study folders that hold some"
        )
    return rest_on


def _breakeven(arguments: argparse.Namespace) -> dict[str, Any]:
    folders = studies(arguments.folders)
    if arguments.figure and arguments.figure.suffix != ".png":
        raise TraceError(f"--figure: found {arguments.figure}, expected a name that ends in .png, which it will be")
    if arguments.figure:
        outputs.expect_file(arguments.figure, _ELSEWHERE)
    found = _pairs(folders)
    rows = breakeven.rows(claimed(found, folders), predict.recorded())
    batches = [
        {"study": folder.name, **row} for folder in folders for row in breakeven.batches(open_study(folder).windows)
    ]
    if arguments.figure:
        # What draws takes longer to import than a trace to read.
        from analysis import launch_map  # noqa: PLC0415

        try:
            arguments.figure.write_bytes(launch_map.png(rows))
        except OSError as error:
            told = f"{arguments.figure}: cannot be written ({error.strerror}); {_ELSEWHERE}"
            raise TraceError(told) from error
    return {"launches": rows, "batches": batches, "left_out": breakeven.left_out(found)}


def _published(arguments: argparse.Namespace) -> dict[str, Any]:
    folders = studies(arguments.folders)
    found = _pairs(folders)
    # What names engines as reports do draws, too, and takes long to import.
    from analysis import reproduced  # noqa: PLC0415

    opened = [(folder.name, open_study(folder)) for folder in folders]
    return {
        "figures": published.figures(found, predict.recorded()),
        "rules": published.rules(found, opened),
        "reproduced": reproduced.rows(opened),
    }


def _published_lines(found: Mapping[str, Any]) -> Iterator[str]:
    from analysis import reproduced  # noqa: PLC0415

    yield from published.lines(found)
    yield from reproduced.lines(found["reproduced"])


def write(found: Any, arguments: argparse.Namespace) -> str:
    """What a command prints."""
    return json.dumps(found, indent=2) if arguments.json else "\n".join(arguments.show(found))
