"""The recorded studies that ship in data/recordings, through the same analysis as a live one."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from analysis import report
from study.errors import StudyError

RECORDINGS = Path(__file__).resolve().parents[1] / "data" / "recordings"
OUT = Path("out/replay")


def run(console: Console, out: Path | None = None) -> int:
    """Analyse every shipped recording together and write one report. Returns the exit code."""
    folders = sorted(path.parent for path in RECORDINGS.glob("*/recording.json"))
    if not folders:
        raise StudyError(f"no recordings in {RECORDINGS}; expected NAME/recording.json: use a full checkout")
    write_report(folders, out or OUT, console)
    return 0


def write_report(folders: Sequence[Path], out: Path, console: Console) -> None:
    """Build the report of some study folders and say where it lies, with its first table."""
    gathered = report.gather(folders)
    page = report.write(gathered, out)
    console.print(report.headline_text(gathered), soft_wrap=True, markup=False, highlight=False)
    console.print(f"Report: {page}", soft_wrap=True, markup=False, highlight=False)
