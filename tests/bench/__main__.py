"""How long the analysis of a big trace takes beside a bare SELECT of what it reads, and how much memory.

`make bench` builds the recorded SGLang TP8 trace, graphs off, repeated in time 1, 10 and 50 times, in a temporary
folder; measures each in a process of its own; prints a table. Exit status 1 where a limit is broken.
"""

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.command_line import Parser, whole
from tests.bench import measured, repeat

RECORDING = "data/recordings/h200x8-2026-11-20/cases/llama3-8b_sglang_tp8_graphs-off_trace-node_r1/trace_b1.sqlite.xz"
RATIO_MOST = 0.6
PEAK_MB_MOST = 2000
SMALL_S_MOST = 2.0
# How much more than five times as long fifty times may take than ten.
LINEAR_MOST = 1.25
_HEADINGS = (
    "times",
    "kernels",
    "API rows",
    "file MB",
    "SELECT s",
    "rows dropped s",
    "analysis s",
    "ratio",
    "peak MB",
    "file unchanged",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of a trace repeated so many times."""

    times: int
    kernels: int
    api_rows: int
    file_mb: float
    select_s: float
    dropped_s: float
    """The same SELECT where each row is let go at once."""
    analysis_s: float
    peak_mb: float
    unchanged: bool

    @property
    def ratio(self) -> float:
        """The analysis over the bare SELECT that keeps its rows."""
        return self.analysis_s / self.select_s

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        return (
            *(f"{self.times}", f"{self.kernels:,}", f"{self.api_rows:,}", f"{self.file_mb:,.0f}"),
            *(
                f"{self.select_s:.2f}",
                f"{self.dropped_s:.2f}",
                f"{self.analysis_s:.2f}",
                f"{self.ratio:.2f}",
                f"{self.peak_mb:,.0f}",
            ),
            "yes" if self.unchanged else "NO",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a limit is broken."""
    parser = Parser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--times", default="1,10,50", type=_times, help="how often the trace is repeated (default: 1,10,50)"
    )
    parser.add_argument(
        "--runs", type=whole(1), default=3, help="the fastest of so many runs counts, of each kind (default: 3)"
    )
    arguments = parser.parse_args(argv)
    print(f"{measured.machine()}\n\n| {' | '.join(_HEADINGS)} |\n|{'---|' * len(_HEADINGS)}", flush=True)
    rows = []
    for times in arguments.times:
        rows.append(_row(times, arguments.runs))
        print(f"| {' | '.join(rows[-1].cells())} |", flush=True)
    if linear := _linearity(rows):
        print(f"\nTime at x50 over 5 times that at x10: {linear:.2f}")
    problems = broken(rows)
    print("\n".join(["", *problems] if problems else ["", "Every limit holds."]))
    return int(bool(problems))


def _times(text: str) -> list[int]:
    return [whole(1)(number) for number in text.split(",")]


def broken(rows: Sequence[Row]) -> list[str]:
    """The limits that the rows break, in words."""
    problems = [f"x{row.times}: the analysis changed the file" for row in rows if not row.unchanged]
    problems += [
        f"x{row.times}: {row.peak_mb:.0f} MB, {PEAK_MB_MOST} allowed" for row in rows if row.peak_mb > PEAK_MB_MOST
    ]
    for row in rows:
        if row.times >= 50 and row.ratio > RATIO_MOST:
            problems.append(f"x{row.times}: {row.ratio:.2f} times the bare SELECT, {RATIO_MOST} allowed")
        if row.times == 1 and row.analysis_s > SMALL_S_MOST:
            problems.append(f"x1: {row.analysis_s:.2f} s, {SMALL_S_MOST} s allowed")
    if (linear := _linearity(rows)) and linear > LINEAR_MOST:
        problems.append(f"x50 takes {5 * linear:.1f} times as long as x10, {5 * LINEAR_MOST:.1f} allowed")
    return problems


def _linearity(rows: Sequence[Row]) -> float | None:
    took_s = {row.times: row.analysis_s for row in rows}
    return took_s[50] / took_s[10] / 5 if {10, 50} <= took_s.keys() else None


def _row(times: int, runs: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        trace = Path(folder) / f"x{times}.sqlite"
        repeat.write(Path(RECORDING), trace, times)
        before = _sha256(trace)
        # In turn, so that a busy machine is as slow for the one as for the other.
        three = [
            (measured.select(trace, kept=True), measured.analysis(trace), measured.select(trace, kept=False))
            for _ in range(runs)
        ]
        selects, analyses, dropped = zip(*three, strict=True)
        return Row(
            times=times,
            kernels=selects[0].kernels,
            api_rows=selects[0].api_rows,
            file_mb=trace.stat().st_size / 1e6,
            select_s=min(run.wall_s for run in selects),
            dropped_s=min(run.wall_s for run in dropped),
            analysis_s=min(run.wall_s for run in analyses),
            peak_mb=max(run.peak_mb for run in analyses),
            unchanged=_sha256(trace) == before and [path.name for path in Path(folder).iterdir()] == [trace.name],
        )


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
