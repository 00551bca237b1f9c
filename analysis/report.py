"""The report of one or several study folders: `python -m analysis.report FOLDER... [--out DIR] [--language en|zh]`.

Writes report.html (one file, nothing external), report.md, figures as PNG and SVG, and tables as CSV and Parquet. What
a number means is decided elsewhere; what is shown of it, in sections.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis import outputs, page, pictures, program, sections, workers
from analysis.blocks import Section
from analysis.command_line import Parser, studies
from analysis.errors import TraceError
from analysis.gathered import Gathered, gather
from analysis.language import LANGUAGES, of_locale
from analysis.page import Picture
from analysis.sections import cases, timeline
from analysis.workers import Given

PAGE_MOST_BYTES = 4_900_000
"""What a page may take: it is sent by mail and opened on phones. The timeline shows what there is room left for."""
_ELSEWHERE = "name another folder with --out"
__all__ = ["Gathered", "build", "gather", "main", "write"]


def build(folders: Sequence[Path], out: Path, language: str = "en") -> Path:
    """Write the report of these study folders into `out`. Returns the path of report.html. Raises TraceError."""
    outputs.expect_folder(out, _ELSEWHERE, outputs.REPORT)
    with workers.shared():
        return write(gather(folders), out, language)


def write(gathered: Gathered, out: Path, language: str = "en") -> Path:
    """Write the report of what was gathered into `out`. Returns the path of report.html. Raises TraceError.

    language: of figures and report.md, and of the page until its reader takes another: one of LANGUAGES.
    """
    try:
        for folder in outputs.REPORT:
            (out / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceError(f"{out}: cannot be written ({error}); {_ELSEWHERE}") from error
    with workers.shared():
        return _written(gathered, out, language)


def _written(gathered: Gathered, out: Path, language: str) -> Path:
    begun = timeline.begin(gathered)
    told = {"sources": gathered.sources, "cases": cases.every(gathered), "alike": cases.alike(gathered)}
    made: list[Section] = []
    given: dict[str, Given[Picture]] = {}
    for section in sections.each(gathered, sections.DRAWN):
        made.append(section)
        given |= {one.name: pictures.ordered(one, out, language) for one in section.graphics}
    drawn = sections.in_order(made)
    _write_tables(gathered, drawn, out / "tables")
    vectors = {name: one.result() for name, one in given.items()}
    shown = {**told, "sections": drawn, "pictures": vectors, "language": language}
    (out / "report.md").write_text(page.markdown(shown), encoding="utf-8")
    room_bytes = PAGE_MOST_BYTES - len(page.html(shown).encode()) + pictures.size_bytes(vectors)
    # The timeline comes first: vectors lie beside the page too.
    fitting = pictures.fitted(vectors, out, room_bytes - timeline.most_bytes(begun))
    room_bytes -= pictures.size_bytes(fitting)
    shown["pictures"] = fitting
    shown["sections"] = sections.with_timeline(drawn, gathered, room_bytes, begun)
    (out / "report.html").write_text(page.html(shown), encoding="utf-8")
    return out / "report.html"


def _write_tables(gathered: Gathered, found: Sequence[Section], folder: Path) -> None:
    """Every table of the sections, the untraced windows (samples) and the cases, each as CSV and as Parquet."""
    recorded = {source.name: source.recorded for source in gathered.sources}
    every = [study.cases.assign(study=name) for name, study in gathered.studies]
    tables: dict[str, pd.DataFrame] = {
        "samples": gathered.windows.assign(recorded=gathered.windows["study"].map(recorded)),
        "cases": pd.concat(every, ignore_index=True).assign(
            recorded=lambda rows: rows["study"].map(recorded),
        ),
        **{table.name: table.data for section in found for table in section.tables},
    }
    for name, data in tables.items():
        data.to_csv(folder / f"{name}.csv", index=False)
        plain(data).to_parquet(folder / f"{name}.parquet", index=False)


def plain(data: pd.DataFrame) -> pd.DataFrame:
    """The table with columns of one type each, as Parquet wants them: whatever is no number becomes text or missing."""
    objects = [name for name in data.columns if data[name].dtype == object]
    told: Mapping[str, pd.Series] = {
        str(name): data[name].map(lambda value: None if pd.isna(value) else str(value)).astype("string")
        for name in objects
    }
    return data.assign(**told)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 1 after a message where a folder cannot be used."""
    parser = Parser(prog="python -m analysis.report", description="Report on study folders.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a study folder, or a recording")
    parser.add_argument("--out", type=Path, help="where the report goes (default: report/ in the first folder)")
    parser.add_argument(
        "--language", choices=tuple(LANGUAGES), default=of_locale(os.environ),
        help="of figures and report.md, and what the page opens in (default: the locale's, here %(default)s)",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    try:
        folders = studies(arguments.folders)
        print(build(folders, arguments.out or folders[0] / "report", arguments.language))
    except TraceError as error:
        return program.refused(error)
    return 0


if __name__ == "__main__":
    program.run(main)
