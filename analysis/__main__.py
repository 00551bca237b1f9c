"""`python -m analysis TRACE_OR_CASE...`: what the decode iterations of traces look like, rank by rank.

`python -m analysis compare OFF ON`: what differs between a trace with graphs off and one with graphs on.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from analysis import compare, extract, iterations, terminal
from analysis.compare import Comparison
from analysis.errors import TraceError
from analysis.summary import stem, summarise
from analysis.validity import contradictions

_WHAT = "a .sqlite or .sqlite.xz export, or a case folder"


class Given(NamedTuple):
    """A trace that was asked for, what to call it, and the record of its case where it is of one."""

    path: Path
    name: str
    batch: int | None
    record: Mapping[str, Any] | None


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was asked for; a trace that cannot be used gives its reason on stderr and exit status 1."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["compare"]:
        return _compare(_comparison_parser().parse_args(given[1:]))
    return _summarise(_parser().parse_args(given))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis",
        description="What the decode iterations of traces look like, rank by rank.",
        epilog="python -m analysis compare OFF ON [--json] sets a trace with graphs off beside one with graphs on.",
    )
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE_OR_CASE", help=_WHAT)
    parser.add_argument("--json", action="store_true", help="print a list with one object per trace instead of tables")
    return parser


def _comparison_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m analysis compare",
        description="What differs between a trace with graphs off and one with graphs on, and how much is the graphs.",
    )
    parser.add_argument("off", type=Path, metavar="OFF", help=f"graphs off: {_WHAT}")
    parser.add_argument("on", type=Path, metavar="ON", help=f"graphs on: {_WHAT}")
    parser.add_argument("--json", action="store_true", help="print a list with one object per pair instead of tables")
    return parser


def _summarise(arguments: argparse.Namespace) -> int:
    summaries: list[dict[str, Any]] = []
    failed = False
    for given in arguments.traces:
        traces = _reported(partial(_traces, given))
        done = [_reported(partial(_summary, trace)) for trace in traces or ()]
        summaries += [summary for summary in done if summary is not None]
        failed |= traces is None or None in done
    if arguments.json:
        print(json.dumps(summaries, indent=2))
    else:
        terminal.show(summaries, terminal.console())
    return int(failed)


def _compare(arguments: argparse.Namespace) -> int:
    pairs = _reported(partial(_pairs, arguments.off, arguments.on))
    done = [_reported(partial(_compared, *pair)) for pair in pairs or ()]
    found = [comparison for comparison in done if comparison is not None]
    if arguments.json:
        print(json.dumps([comparison.to_json() for comparison in found], indent=2))
    else:
        for comparison in found:
            terminal.show_comparison(comparison, terminal.console())
    return int(pairs is None or None in done)


def _reported(work: Callable[[], Any]) -> Any:
    """What the work gives; None after its error was printed."""
    try:
        return work()
    except TraceError as error:
        print(error, file=sys.stderr)
        return None


def _traces(given: Path) -> list[Given]:
    """The traces behind an argument: the file itself, or those that a case folder's record names."""
    if not _holds(given.is_dir):
        return [Given(given, stem(given), None, None)]
    record_path = given / "case.json"
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        name, listed = record["name"], record["files"]["traces"]
        _ = record["asked"]["graphs"], record["asked"]["tp"]
        traces = [Given(given / entry["file"], f"{name} b{entry['batch']}", entry["batch"], record) for entry in listed]
    except FileNotFoundError:
        raise TraceError(f"{given}: a folder without case.json; expected a trace or the folder of a case") from None
    except OSError as error:
        raise TraceError(f"{record_path}: cannot be read ({error.strerror}); give a folder that can") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise TraceError(f"{record_path}: not the record of a case ({error!r}); measure the case again") from error
    if not traces:
        raise TraceError(f"{given}: the case has no trace (tracing was off, or it failed); give a traced case")
    return traces


def _pairs(off: Path, on: Path) -> list[tuple[Given, Given]]:
    """The traces of both arguments that belong together: one each, or those of equal batch size."""
    sides = [_traces(given) for given in (off, on)]
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
    summary = summarise(_existing(trace.path), trace.name)
    if trace.record is not None:
        summary["contradictions"] = list(contradictions(trace.record, summary))
    return summary


def _compared(off: Given, on: Given) -> Comparison:
    traces = [iterations.find(extract.read(_existing(given.path))) for given in (off, on)]
    return compare.compare(traces[0], traces[1], names=(off.name, on.name))


def _existing(path: Path) -> Path:
    """The trace, or its packed form: a recording packs a trace after its record was written."""
    packed = path.with_name(f"{path.name}.xz")
    return packed if not _holds(path.exists) and _holds(packed.is_file) else path


def _holds(test: Callable[[], bool]) -> bool:
    """Whether a path is what is asked; of one that cannot be looked at no, as is told when it is opened."""
    try:
        return test()
    except OSError:
        return False


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except BrokenPipeError:
        # The reader has seen enough (head, less); what is still buffered has nowhere to go.
        sys.stdout = None
        sys.exit(1)
