"""A study folder in a notebook or a program: its tables as DataFrames, its figures as pictures that a notebook shows.

    from analysis import Study
    study = Study.open("data/recordings/h200x8-2026-11-20")
    study.pairs

What a folder holds is read by recordings.py, whose own Study is the folder as it lies on disk; what its numbers mean
is decided where the report takes it from. Here both are put under names, and read when they are asked for.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis import capacity, evidence_tables, figures, headline, provenance, recordings, sections, served, tables
from analysis.errors import TraceError
from analysis.frames import Frames
from analysis.frames import read as read_trace
from analysis.gathered import Gathered, gather
from analysis.given import called
from analysis.plots import critical_path, iteration_time, launch_gaps
from analysis.recordings import VARIANT
from analysis.study_tables import TABLES

_PICTURED = ("model", "batch", *VARIANT)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Picture:
    """A figure that a notebook shows as it is drawn, whatever backend it has; `table` is what was drawn.

    `figure` is the matplotlib Figure, to change or to save: figure.savefig("a.pdf").
    """

    figure: Figure
    table: pd.DataFrame
    title: str

    def __repr__(self) -> str:
        """The title, and how many rows were drawn."""
        return f"Picture of {self.title} ({len(self.table)} rows)"

    def _repr_html_(self) -> str:
        """The figure for a notebook, as vectors, with its title for those who cannot see it."""
        uri, title = figures.svg_uri(self.figure, self.title), html.escape(self.title)
        return f'<img src="{uri}" alt="{title}" style="max-width: 100%; background: white">'


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Study:
    """One study folder. Its tables are in the columns of study_tables.TABLES.

    `pairs` and `critical_paths` and the figures read every trace at their first use, some seconds each, in processes
    of their own: a script has to have its `if __name__ == "__main__"`. Whatever cannot be read raises TraceError.
    """

    name: str
    recording: recordings.Study

    @classmethod
    def open(cls, folder: Path | str) -> Study:
        """Open a folder that study.sweep wrote, or a recording. Raises TraceError where it is none, or damaged."""
        recording = recordings.open_study(Path(folder))
        return cls(name=provenance.names([recording])[0], recording=recording)

    @property
    def mark(self) -> str:
        """Where the numbers come from: RECORDED or MEASURED HERE, when, on what, with which versions."""
        return provenance.source(self.recording, self.name).mark

    @cached_property
    def cases(self) -> pd.DataFrame:
        """One row per case that has ended: a start of an engine."""
        return self._table("cases", self.recording.cases)

    @cached_property
    def windows(self) -> pd.DataFrame:
        """One row per timed window of the untraced cases that succeeded."""
        return self._table("windows", self.recording.windows)

    @cached_property
    def traces(self) -> pd.DataFrame:
        """One row per trace; `frames` reads one."""
        return self._table("traces", self.recording.traces)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """One row per configuration and batch: graphs off beside graphs on."""
        return self._table("pairs", self._gathered.pairs)

    @cached_property
    def served(self) -> pd.DataFrame:
        """One row per load served: graphs off beside graphs on."""
        return self._table("served", served.beside(served.points(self.recording, self.name)))

    @cached_property
    def capacity(self) -> pd.DataFrame:
        """One row per configuration: what graphs cost in time and memory."""
        return self._table("capacity", capacity.table(self.recording, self.name))

    @cached_property
    def critical_paths(self) -> pd.DataFrame:
        """One row per trace that is fit and proves its label: where its iterations go."""
        return self._table("critical_paths", evidence_tables.path_table(self._gathered.evidence))

    @cached_property
    def _gathered(self) -> Gathered:
        return gather([self.recording.folder])

    @cached_property
    def figures(self) -> dict[str, Picture]:
        """Every figure of the report, by the name of its file; their alternatives as tables are in `table`."""
        drawn = [graphic for section in sections.every(self._gathered, sections.DRAWN) for graphic in section.graphics]
        return {one.name: Picture(figure=one.figure, table=one.table.data, title=str(one.alt)) for one in drawn}

    def _table(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        return tables.conform(frame, TABLES[name], name)

    def frames(self, case: str, batch: int | None = None) -> Frames:
        """All tables of a trace of a case, read now. Raises TraceError where there is not one such trace."""
        mine = self.traces[self.traces["case"] == case]
        found = mine if batch is None else mine[mine["batch"] == batch]
        if len(found) == 1:
            one = found.iloc[0]
            return read_trace(one["path"], called(case, one["batch"]))
        if found.empty and mine.empty:
            traced = ", ".join(self.traces["case"].unique()) or "none"
            raise TraceError(f"{self.name} has no trace of a case {case!r}; it has traces of: {traced}")
        batches = ", ".join(map(str, mine["batch"]))
        raise TraceError(f"{case} has traces at batch {batches}; expected one of these as `batch`, not {batch}")

    def iteration_time(self, **which: Any) -> Picture:
        """Iteration time by TP, graphs off and on. `which` says of what, where there is more: model="...", batch=8."""
        clear = self.pairs.loc[self.pairs["contradiction"] == "", headline.PAIR_KEYS]
        starts = headline.per_start(self._gathered.windows.merge(clear, on=headline.PAIR_KEYS))
        mine, what = _only(starts, _PICTURED, which)
        title = f"{what}: iteration time by tensor-parallel size"
        return Picture(figure=iteration_time.draw(mine, mark=self.mark, title=title), table=mine, title=title)

    def launch_gaps(self, **which: Any) -> Picture:
        """How long GPUs idled before operations, a curve a rank, of the traces that prove their labels."""
        mine, what = _only(self._gathered.curves, (*_PICTURED, "tracing"), which)
        title = f"{what}: launch gaps"
        return Picture(figure=launch_gaps.draw(mine, mark=self.mark, title=title), table=mine, title=title)

    def critical_path(self, **which: Any) -> Picture:
        """Where a decode iteration goes, graphs off beside graphs on, of the traces that are fit."""
        mine, what = _only(self.critical_paths, (*_PICTURED, "tracing"), which)
        title = f"{what}: where a decode iteration goes"
        return Picture(figure=critical_path.draw(mine, mark=self.mark, title=title), table=mine, title=title)

    def __repr__(self) -> str:
        """Where the study comes from, and what it holds without reading a trace."""
        sizes = [f"  {name:<14}{len(getattr(self, name)):>8,} rows" for name in ("cases", "windows", "traces")]
        return "\n".join([f"Study {self.name}", f"  {self.mark}", *sizes])


def _only(frame: pd.DataFrame, keys: tuple[str, ...], which: dict[str, Any]) -> tuple[pd.DataFrame, str]:
    """The rows of the one configuration that `which` leaves, and it in words. Raises TraceError for none or several."""
    if unknown := set(which) - set(keys):
        raise TraceError(f"{', '.join(sorted(unknown))}: not what tells figures apart; expected {', '.join(keys)}")
    mine = frame
    for key, value in which.items():
        mine = mine[mine[key] == value]
    left = {key: sorted(mine[key].dropna().unique()) for key in keys}
    if mine.empty:
        has = "; ".join(f"{key} {', '.join(map(str, sorted(frame[key].dropna().unique())))}" for key in which)
        raise TraceError(f"nothing to draw of {which or 'this study'}; there is {has or 'nothing at all'}")
    if several := {key: values for key, values in left.items() if len(values) > 1}:
        has = "; ".join(f"{key} {', '.join(map(str, values))}" for key, values in several.items())
        raise TraceError(f"more than one figure: {has}; say which, as in {next(iter(several))}=...")
    about = {key: values[0] for key, values in left.items() if values}
    told = [str(about["model"]), f"batch {about['batch']}"]
    if about.get("compile") != "engine":
        told.append(f"compile {about['compile']}")
    told += [str(about["split"])] if about.get("split") else []
    told += [f"{about['tracing']} tracing"] if about.get("tracing") else []
    return mine, ", ".join([*told, *([] if about.get("settings") == "pinned" else [str(about["settings"])])])
