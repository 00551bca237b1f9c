"""`python -m analysis.export CASE_OR_TRACE --perfetto FILE`: a trace as a timeline for ui.perfetto.dev.

Reads a trace with all that the analysis knows of it and writes the file; what is drawn is decided in spans.py.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from analysis import frames, outputs, perfetto_file, program, spans
from analysis.command_line import Parser, whole
from analysis.errors import TraceError
from analysis.given import WHAT, Given, existing, traces
from analysis.spans import Timeline

ITERATIONS = 10
_ELSEWHERE = "name another file with --perfetto"


def perfetto(read: frames.Frames, file: Path | str, iterations: int = ITERATIONS) -> Timeline:
    """Write the first steady iterations of a trace to a file for ui.perfetto.dev, gzipped where its name ends in .gz.

    Returns what was drawn. Raises TraceError where the file cannot be written.
    """
    file = Path(file)
    timeline = spans.find(read, iterations)
    content = perfetto_file.encode(timeline)
    _write(file, gzip.compress(content, 6, mtime=0) if file.suffix == ".gz" else content)
    return timeline


def _write(file: Path, content: bytes) -> None:
    """Write the file whole or not at all."""
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(file, error.strerror or str(error)) from error


def _unwritable(file: Path, why: str) -> TraceError:
    return TraceError(f"{file}: cannot be written ({why}); {_ELSEWHERE}")


def _expect_writable(file: Path, trace: Path) -> None:
    """Say before a trace is read, which takes a while, that nothing could be written afterwards."""
    outputs.expect_file(file, _ELSEWHERE, replaced=True)
    if file.exists() and not file.is_file():
        raise _unwritable(file, "it is no ordinary file")
    if file.exists() and trace.exists() and file.samefile(trace):
        raise _unwritable(file, "it is the trace itself")


def _one(given: Path) -> Given:
    found = traces(given)
    if len(found) > 1:
        paths = ", ".join(str(trace.path) for trace in found)
        raise TraceError(f"{given}: a case with {len(found)} traces; give one of them: {paths}")
    return found[0]


def _export(given: Path, file: Path, iterations: int) -> list[str]:
    """Write the timeline of a case or trace. Returns what was written, and what was left out, a line each."""
    one = _one(given)
    path = existing(one.path)
    _expect_writable(file, path)
    spans.expect_some(iterations)
    timeline = perfetto(frames.read(path, one.name), file, iterations)
    arrows = timeline.spans.loc[timeline.spans["leads"].fillna(False).astype(bool), "call"].count()
    size = f"{file.stat().st_size / 1e6:.1f} MB"
    first, last = timeline.iterations[0], timeline.iterations[-1]
    drawn = f"iterations {first} to {last} of {timeline.name}, {len(timeline.spans)} slices, {arrows} arrows, {size}"
    return [f"{file}: {drawn}; open it in ui.perfetto.dev", *(f"left out: {what}" for what in timeline.left_out)]


def _parser() -> Parser:
    parser = Parser(
        prog="python -m analysis.export", description="A trace as a timeline: ranks, streams, launches, causes of gaps."
    )
    parser.add_argument("trace", type=Path, metavar="CASE_OR_TRACE", help=WHAT)
    told = "the file to write, for ui.perfetto.dev; gzipped where its name ends in .gz"
    parser.add_argument("--perfetto", type=Path, required=True, metavar="FILE", help=told)
    told = f"how many steady iterations to draw, from the first on (default: {ITERATIONS})"
    parser.add_argument("--iterations", type=whole(1), default=ITERATIONS, metavar="N", help=told)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 1 after a message where there is no trace or the file cannot be written."""
    arguments = _parser().parse_args(argv)
    try:
        print("\n".join(_export(arguments.trace, arguments.perfetto, arguments.iterations)))
    except TraceError as error:
        return program.refused(error)
    return 0


if __name__ == "__main__":
    program.run(main)
