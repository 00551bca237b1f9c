"""Study folders as the tables that a report, a notebook and a sweep show: opened, their traces examined, marked.

Every row carries study and made_by, wherever it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis import capacity, evidence, evidence_tables, headline, provenance, served
from analysis.figures import SWEEP
from analysis.language import join
from analysis.recordings import HOST_FACTS, RESOLVED_FACTS, Study, open_study


@dataclass(frozen=True, kw_only=True, eq=False)
class Gathered:
    """The folders as tables. windows: every untraced window with its provenance; countable leaves out what is void."""

    studies: tuple[tuple[str, Study], ...]
    sources: tuple[provenance.Source, ...]
    windows: pd.DataFrame
    pairs: pd.DataFrame
    served: pd.DataFrame
    points: pd.DataFrame
    capacity: pd.DataFrame
    evidence: tuple[evidence.Evidence, ...]
    labels: pd.DataFrame
    curves: pd.DataFrame

    @property
    def mark(self) -> str:
        """Where the data come from, a line a study."""
        return "\n".join(source.mark for source in self.sources)

    def mark_of(self, frame: pd.DataFrame) -> str:
        """The same for the studies that the rows of a frame come from: what a figure drawn of it carries."""
        shown = set(frame["study"])
        return join("\n", [source.mark for source in self.sources if source.name in shown])

    def short_mark_of(self, frame: pd.DataFrame) -> str:
        """The same in the words that captions carry."""
        shown = set(frame["study"])
        return join("; ", dict.fromkeys(source.short_mark for source in self.sources if source.name in shown))

    def with_gpu(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with a column `gpu`, of what its rows were measured on."""
        return frame.assign(gpu=frame["study"].map({source.name: source.gpu for source in self.sources}))

    @property
    def several(self) -> bool:
        """Whether rows have to say which study, or whose program, they come from."""
        return len(self.studies) > 1 or bool((self.windows["made_by"] != SWEEP).any())

    @property
    def countable(self) -> pd.DataFrame:
        """The windows of the pairs that no trace contradicts."""
        void = self.pairs.loc[self.pairs["contradiction"] != "", headline.PAIR_KEYS]
        marked = self.windows.merge(void.assign(void=True), on=headline.PAIR_KEYS, how="left")
        return marked[marked["void"].isna()].drop(columns="void")


def gather(folders: Sequence[Path]) -> Gathered:
    """Open the folders and examine their traces. Raises TraceError where a folder is no whole study."""
    opened = [open_study(folder) for folder in folders]
    studies = tuple(zip(provenance.names(opened), opened, strict=True))
    found = evidence.examine_all([job for name, study in studies for job in evidence.jobs(study, name)])
    windows = pd.concat([_windows(study, name) for name, study in studies], ignore_index=True)
    labels = evidence_tables.labels(found)
    points = _stacked([served.points(study, name) for name, study in studies])
    return Gathered(
        studies=studies,
        sources=tuple(provenance.source(study, name) for name, study in studies),
        windows=windows,
        pairs=headline.pairs(windows, labels),
        served=served.beside(points),
        points=points,
        capacity=_stacked([capacity.table(study, name) for name, study in studies]),
        evidence=tuple(found),
        labels=labels,
        curves=evidence_tables.curve_table(found),
    )


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]


def _windows(study: Study, name: str) -> pd.DataFrame:
    """The untraced windows with their provenance, without the cases whose engine resolved what was not asked."""
    facts = ["case", "made_by", *HOST_FACTS, *RESOLVED_FACTS, "slowed_ratio", "started_utc"]
    windows = study.windows.merge(study.cases[facts], on="case", how="left").assign(study=name)
    windows = windows.assign(captured_batch=windows["case"].map(_largest_captured(study)).astype("float64"))
    return windows[~windows["case"].isin(study.mislabelled())]


def _largest_captured(study: Study) -> dict[str, float | None]:
    """The largest batch that has a graph, by case: as the engine resolved it, else as it was asked for."""
    found: dict[str, float | None] = {}
    for case, record in study.records.items():
        told = (record.get("resolved") or {}).get("capture_sizes") or record["asked"].get("captured") or ()
        found[case] = max((size for size in told if isinstance(size, int)), default=None)
    return found
