"""`python -m analysis TRACE_OR_CASE...`: what the decode iterations of traces look like, rank by rank.

`python -m analysis compare OFF ON`: what differs between a trace with graphs off and one with graphs on.
What `python -m analysis predict` and the like foretell is in whatif.py.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from analysis import compare, extract, iterations, program, terminal, whatif
from analysis.command_line import Parser, reported
from analysis.compare import Comparison
from analysis.errors import TraceError
from analysis.given import WHAT, Given, apart, existing, traces
from analysis.summary import summarise
from analysis.validity import contradictions


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was asked for; a trace that cannot be used gives its reason on stderr and exit status 1."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["compare"]:
        return _compare(_comparison_parser().parse_args(given[1:]))
    if given[:1] and given[0] in whatif.COMMANDS:
        return whatif.main(given)
    return _summarise(_parser().parse_args(given))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis",
        description="What the decode iterations of traces look like, rank by rank.",
        epilog="python -m analysis compare OFF ON [--json] sets a trace with graphs off beside one with graphs on; "
        f"{', '.join(whatif.COMMANDS)} foretell: python -m analysis predict --help.",
    )
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE_OR_CASE", help=WHAT)
    parser.add_argument("--json", action="store_true", help="print a list with one object per trace instead of tables")
    return parser


def _comparison_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis compare",
        description="What differs between a trace with graphs off and one with graphs on, and how much is the graphs.",
    )
    parser.add_argument("off", type=Path, metavar="OFF", help=f"graphs off: {WHAT}")
    parser.add_argument("on", type=Path, metavar="ON", help=f"graphs on: {WHAT}")
    parser.add_argument("--json", action="store_true", help="print a list with one object per pair instead of tables")
    return parser


def _summarise(arguments: argparse.Namespace) -> int:
    summaries: list[dict[str, Any]] = []
    failed = False
    if meant := _command_meant(arguments.traces[0]):
        return program.refused(f"{arguments.traces[0]}: neither a file nor a command; the command may be {meant}")
    for given in arguments.traces:
        found = reported(partial(traces, given))
        done = [reported(partial(_summary, trace)) for trace in found or ()]
        summaries += [summary for summary in done if summary is not None]
        failed |= found is None or None in done
    if arguments.json:
        print(json.dumps(summaries, indent=2))
    else:
        terminal.show(summaries, terminal.console())
    return int(failed)


def _command_meant(given: Path) -> str | None:
    """The command that a word which names no file is a misspelling of."""
    try:
        if given.exists() or given.suffix or len(given.parts) > 1:
            return None
    except OSError:
        return None  # as is told when it is opened
    apart = [name.partition(".")[2] for name in program.COMMANDS["analysis"]]
    near = get_close_matches(str(given), ("compare", *whatif.COMMANDS, *filter(None, apart)), n=1)
    if near and near[0] in apart:
        return f"python -m analysis.{near[0]}"
    return near[0] if near else f"one of compare, {', '.join(whatif.COMMANDS)}"


def _compare(arguments: argparse.Namespace) -> int:
    pairs = reported(partial(_pairs, arguments.off, arguments.on))
    done = [reported(partial(_compared, *pair)) for pair in pairs or ()]
    found = [comparison for comparison in done if comparison is not None]
    if arguments.json:
        print(json.dumps([comparison.to_json() for comparison in found], indent=2))
    else:
        for comparison in found:
            terminal.show_comparison(comparison, terminal.console())
    return int(pairs is None or None in done)


def _pairs(off: Path, on: Path) -> list[tuple[Given, Given]]:
    """The traces of both arguments that belong together: one each, or those of equal batch size."""
    sides = [traces(given) for given in (off, on)]
    if len(sides[0]) == len(sides[1]) == 1:
        return [(sides[0][0], sides[1][0])]
    pairs = [(first, second) for first in sides[0] for second in sides[1] if first.batch == second.batch]
    if not pairs:
        batches = [", ".join(str(trace.batch) for trace in side) for side in sides]
        raise TraceError(
            f"{off} has traces at batch size {batches[0]} and {on} at {batches[1]}; expected one that both have; "
            "give a trace each"
        )
    return pairs


def _summary(trace: Given) -> dict[str, Any]:
    summary = summarise(existing(trace.path), trace.name)
    if trace.record is not None:
        summary["contradictions"] = list(contradictions(trace.record, summary))
    return summary


def _compared(off: Given, on: Given) -> Comparison:
    traces = [iterations.find(extract.read(existing(given.path))) for given in (off, on)]
    return compare.compare(traces[0], traces[1], names=apart((off.name, on.name), (off.path, on.path)))


if __name__ == "__main__":
    program.run(main)
