"""The recorded studies that ship in data/recordings, through the same analysis as a live one."""

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from analysis import outputs
from study.errors import StudyError

# The report itself is imported where one is wanted: what draws it takes a second, and need not be there otherwise.

RECORDINGS = Path(__file__).resolve().parents[1] / "data" / "recordings"
OUT = Path("out/replay")


def run(console: Console, out: Path | None = None, language: str | None = None) -> int:
    """Analyse every shipped recording together and write one report. Returns the exit code."""
    folders = sorted(path.parent for path in RECORDINGS.glob("*/recording.json"))
    if not folders:
        raise StudyError(f"no recordings in {RECORDINGS}; expected NAME/recording.json: use a full checkout")
    out = out or OUT
    outputs.expect_folder(out, "name another folder with --out", outputs.REPORT)
    write_report(folders, out, console, language)
    return 0


def check_report() -> None:
    """Raise StudyError where reports cannot be drawn, which is better known before hours of measuring than after."""
    try:
        from analysis import report  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        raise StudyError(
            f"no module {error.name} here, which a report needs: install the whole project, or say --no-report"
        ) from None


def write_report(folders: Sequence[Path], out: Path, console: Console, language: str | None = None) -> None:
    """Build the report of some study folders, in the locale's language if None; say the outcome and where it lies."""
    from analysis import workers  # noqa: PLC0415

    with workers.shared("analysis.evidence"):
        from analysis import language as languages  # noqa: PLC0415
        from analysis import outcome, report, terminal  # noqa: PLC0415

        gathered = report.gather(folders)
        page = report.write(gathered, out, language or languages.of_locale(os.environ))
    for line in outcome.lines(gathered, terminal.room(console)):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(f"Report: {page}", soft_wrap=True, markup=False, highlight=False)
