"""The report of one or several study folders: `python -m analysis.report FOLDER... [--out DIR]`.

Gathers the folders, has their traces examined, and writes report.html (one file, nothing external), report.md, figures
as PNG and tables as CSV. What a number means is decided elsewhere.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from analysis import capacity, evidence, figures, headline, program, provenance, sections, served
from analysis.errors import TraceError
from analysis.plots import critical_path, iteration_time, launch_gaps
from analysis.recordings import HOST_FACTS, RESOLVED_FACTS, VARIANT, Study, open_study

TITLE = "CUDA graphs off and on: decode iteration time"
VLLM_CAVEAT = (
    "vLLM: graphs off is --enforce-eager, which turns torch.compile off as well, so the pair differs in two things; "
    "in SGLang it differs in decode graphs alone."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """The folders as tables: every row carries study and made_by, wherever it came from."""

    studies: tuple[tuple[str, Study], ...]
    sources: tuple[provenance.Source, ...]
    windows: pd.DataFrame
    pairs: pd.DataFrame
    served: pd.DataFrame
    capacity: pd.DataFrame
    evidence: tuple[evidence.Evidence, ...]
    labels: pd.DataFrame
    curves: pd.DataFrame

    @property
    def mark(self) -> str:
        """Where the data come from, a line a study."""
        return "\n".join(source.mark for source in self.sources)


@dataclass(frozen=True, kw_only=True)
class FigureView:
    """A figure as the report shows it: its file, the same as a data: URI, and what it shows in words."""

    png: str
    uri: str
    alt: str


def build(folders: Sequence[Path], out: Path) -> Path:
    """Write the report of these study folders into `out`. Returns the path of report.html. Raises TraceError."""
    return write(gather(folders), out)


def headline_text(gathered: Gathered) -> str:
    """What a terminal shows of a report: where the data come from, the answers and the first table, as plain text."""
    table = sections.headline(gathered.pairs)
    answers = [*headline.answers(gathered.pairs), *served.answers(gathered.served)]
    return "\n".join([gathered.mark, "", *answers, "", *(sections.plain_lines(table) if table.rows else ())])


def write(gathered: Gathered, out: Path) -> Path:
    """Write the report of what was gathered into `out`. Returns the path of report.html. Raises TraceError."""
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TraceError(f"{out} cannot hold the report ({error}). Name another folder with --out.") from error
    view = _view(gathered, _figures(gathered, out))
    _write_tables(gathered, out)
    (out / "report.md").write_text(_environment().get_template("report.md").render(view), encoding="utf-8")
    (out / "report.html").write_text(_environment().get_template("report.html").render(view), encoding="utf-8")
    return out / "report.html"


def gather(folders: Sequence[Path]) -> Gathered:
    """Open the folders and examine their traces. Raises TraceError where a folder is no whole study."""
    opened = [open_study(folder) for folder in folders]
    studies = tuple(zip(provenance.names(opened), opened, strict=True))
    found = evidence.examine_all([job for name, study in studies for job in evidence.jobs(study, name)])
    windows = pd.concat([_windows(study, name) for name, study in studies], ignore_index=True)
    labels = evidence.labels(found)
    return Gathered(
        studies=studies,
        sources=tuple(provenance.source(study, name) for name, study in studies),
        windows=windows,
        pairs=headline.pairs(windows, labels),
        served=served.beside(_stacked([served.points(study, name) for name, study in studies])),
        capacity=_stacked([capacity.table(study, name) for name, study in studies]),
        evidence=tuple(found),
        labels=labels,
        curves=evidence.curve_table(found),
    )


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _windows(study: Study, name: str) -> pd.DataFrame:
    """The untraced windows with their provenance, without the cases whose engine resolved what was not asked."""
    facts = ["case", "made_by", *HOST_FACTS, *RESOLVED_FACTS, "slowed_ratio", "started_utc"]
    windows = study.windows.merge(study.cases[facts], on="case", how="left").assign(study=name)
    return windows[~windows["case"].isin(study.mislabelled())]


def _countable(gathered: Gathered) -> pd.DataFrame:
    """The windows of the pairs that no trace contradicts."""
    void = gathered.pairs.loc[gathered.pairs["contradiction"] != "", headline.PAIR_KEYS]
    marked = gathered.windows.merge(void.assign(void=True), on=headline.PAIR_KEYS, how="left")
    return marked[marked["void"].isna()]


def _figures(gathered: Gathered, out: Path) -> list[FigureView]:
    views = []
    starts = headline.per_start(_countable(gathered))
    for what, group in starts.groupby(["model", "batch", *VARIANT]):
        title = f"{_what(*what)}: iteration time by tensor-parallel size"
        figure = iteration_time.draw(group, mark=gathered.mark, title=title)
        alt = f"{title}. Points are engine starts, lines medians, whiskers the range over starts, labels off / on."
        views.append(_save(figure, f"iteration_time_{_file(*what)}", alt, out))
    keys = ["model", "batch", *VARIANT, "tracing"]
    for (*about, tracing), group in gathered.curves.groupby(keys):
        title = f"{_what(*about)}: launch gaps ({tracing} tracing)"
        figure = launch_gaps.draw(group, mark=gathered.mark, title=title)
        alt = f"{title}. Share of gaps up to x, a curve a rank; bold: the rank with the longest gaps."
        views.append(_save(figure, f"launch_gaps_{_file(*about)}_{tracing}", alt, out))
    for (*about, tracing), group in evidence.path_table(gathered.evidence).groupby(keys):
        title = f"{_what(*about)}: where a decode iteration goes ({tracing} tracing)"
        figure = critical_path.draw(group, mark=gathered.mark, title=title)
        alt = f"{title}. Critical path over all GPUs, graphs off (left bars) and on (right bars)."
        views.append(_save(figure, f"critical_path_{_file(*about)}_{tracing}", alt, out))
    return views


def _what(model: object, batch: object, compiled: object, settings: object, split: object) -> str:
    parts = [f"{model}{figures.COMPILE_TITLES[str(compiled)]}", *([str(split).upper()] if split else [])]
    return ", ".join([*parts, *([str(settings)] if settings != "pinned" else []), f"batch {batch}"])


def _file(model: object, batch: object, compiled: object, settings: object, split: object) -> str:
    switches = ("" if compiled == "engine" else f"_compile-{compiled}") + (f"_{split}" if split else "")
    return f"{model}_b{batch}{switches}" + ("" if settings == "pinned" else f"_{settings}")


def _save(figure: Figure, name: str, alt: str, out: Path) -> FigureView:
    file = f"figures/{name}.png"
    (out / file).write_bytes(figures.png(figure))
    return FigureView(png=file, uri=figures.svg_uri(figure, name), alt=alt)


def _view(gathered: Gathered, drawn: list[FigureView]) -> dict[str, Any]:
    """What the templates show, by the names they use."""
    configurations = headline.per_configuration(_countable(gathered))
    return {
        "title": TITLE,
        "sources": gathered.sources,
        "mark": "; ".join(dict.fromkeys(source.short_mark for source in gathered.sources)),
        "answers": [*headline.answers(gathered.pairs), *served.answers(gathered.served)],
        "headline": sections.headline(gathered.pairs),
        "caveats": _caveats(gathered),
        "figures": drawn,
        "ranks": sections.ranks(evidence.rank_table(gathered.evidence)),
        "paths": sections.paths(evidence.path_table(gathered.evidence)),
        "served": sections.served(gathered.served),
        "capacity": sections.capacity(gathered.capacity),
        "differences": sections.differences(evidence.difference_table(gathered.evidence)),
        "fitness": sections.fitness(evidence.fitness_table(gathered.evidence)),
        "overhead": sections.overhead(evidence.tracing_overhead(gathered.evidence, configurations)),
        "troubles": sections.troubles(gathered.studies, gathered.labels),
        "cases": [
            sections.case(record, name, _doubts(gathered, study, name, case))
            for name, study in gathered.studies
            for case, record in study.records.items()
        ],
    }


def _doubts(gathered: Gathered, study: Study, name: str, case: str) -> tuple[str, ...]:
    """Why a case does not count: what its engine resolved, and what its traces say."""
    mislabelled = study.mislabelled()
    labels = gathered.labels
    mine = labels[(labels["study"] == name) & (labels["case"] == case) & (labels["proof"] != "proven")]
    found = [mislabelled[case]] if case in mislabelled else []
    return (*found, *(f"batch {row['batch']}: {row['reason']}" for row in mine.to_dict("records")))


def _caveats(gathered: Gathered) -> list[str]:
    caveats = [
        "Intervals of off / on are over pairs of starts of the same repeat (bootstrap of the median of their ratios; "
        "their extremes below 6 pairs). Intervals of times are over engine starts: from 6 starts on the 95 % "
        "order-statistic interval for the median, below that the extremes (at 3 starts they cover the median 75 % of "
        f"the time). Fewer than {headline.FEW_STARTS} starts is a caution; with a single start the interval is over "
        "its windows and says nothing about the next start.",
    ]
    if ((gathered.pairs["engine"] == "vllm") & (gathered.pairs["compile"] == "engine")).any():
        caveats.append(VLLM_CAVEAT)
    probes = gathered.pairs[gathered.pairs["made_by"] != figures.SWEEP]
    for (study, made_by), rows in probes.groupby(["study", "made_by"]):
        sizes = ", ".join(f"TP{tp}" for tp in sorted(rows["tp"].unique()))
        starts = sorted({int(n) for n in rows[["off_starts_count", "on_starts_count"]].to_numpy().ravel() if n > 0})
        caveats.append(
            f"{study}: the rows for {sizes} were recorded by {made_by}, not by {figures.SWEEP} "
            f"({'/'.join(map(str, starts))} engine start(s) each); open symbols in the figures. Compare them with care."
        )
    return [*caveats, *(text for name, study in gathered.studies for text in served.caveats(study, name))]


def _write_tables(gathered: Gathered, out: Path) -> None:
    """samples.csv: a row an untraced window; traces.csv: a row a trace and rank; cases.csv; headline.csv."""
    recorded = {source.name: source.recorded for source in gathered.sources}
    samples = gathered.windows.assign(recorded=gathered.windows["study"].map(recorded))
    samples.to_csv(out / "samples.csv", index=False)
    gathered.pairs.to_csv(out / "headline.csv", index=False)
    gathered.served.to_csv(out / "serving.csv", index=False)
    gathered.capacity.to_csv(out / "capacity.csv", index=False)
    evidence.rank_table(gathered.evidence).to_csv(out / "traces.csv", index=False)
    cases = [study.cases.assign(study=name, recorded=recorded[name]) for name, study in gathered.studies]
    pd.concat(cases, ignore_index=True).to_csv(out / "cases.csv", index=False)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _markdown_cell
    return environment


def _markdown_cell(text: object) -> str:
    """Text that neither ends a Markdown table cell nor starts an element."""
    plain = html.escape(" ".join(str(text).split()), quote=False)
    return "".join(f"\\{character}" if character in "\\|`*_[]" else character for character in plain)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line. Returns 0, or 1 after a message where a folder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m analysis.report", description="Report on study folders.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a study folder, or a recording")
    parser.add_argument("--out", type=Path, help="where the report goes (default: report/ in the first folder)")
    arguments = parser.parse_args(argv)
    try:
        print(build(arguments.folders, arguments.out or arguments.folders[0] / "report"))
    except TraceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    program.run(main)
