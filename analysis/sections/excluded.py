"""Everything planned that does not count: failed and invalid cases, skips, cases without a record; with reasons."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis import shown
from analysis.blocks import Row, Section, tabulate
from analysis.figures import engine_title, layout_title
from analysis.gathered import Gathered
from analysis.language import read, say
from analysis.recordings import Study

COLUMNS = ("study", "what", "outcome", "reason")


def build(gathered: Gathered) -> Section | None:
    """None where everything counts."""
    # As objects: columns of strings would keep the English alone.
    rows = pd.DataFrame(list(_rows(gathered)), columns=list(COLUMNS), dtype=object)
    if rows.empty:
        return None
    table = tabulate(
        rows,
        [
            (say("case"), lambda row: row["what"]),
            (say("outcome"), lambda row: row["outcome"]),
            (say("reason"), lambda row: row["reason"]),
            (say("source"), lambda row: str(row["study"])),
        ],
        name="excluded",
        caption=say("What does not count, and why"),
        mark=gathered.short_mark_of(rows),
    )
    return Section(id="excluded", title=say("Failed, invalid, skipped"), blocks=(table,))


def _rows(gathered: Gathered) -> Iterator[tuple[str, str, str, str]]:
    outcomes = {"failed": say("FAILED"), "invalid": say("INVALID")}
    for name, study in gathered.studies:
        for row in study.cases[study.cases["outcome"] != "ok"].to_dict("records"):
            told = read(str(row["reason"])) if row["reason"] else say("no reason recorded")
            yield name, row["case"], outcomes[row["outcome"]], told
        for case, reason in study.mislabelled().items():
            yield name, case, say("INVALID"), read(reason)
        for skip in study.skips.to_dict("records"):
            yield name, _skipped(skip), say("SKIPPED"), read(str(skip["reason"]))
        for case in study.pending:
            yield name, case, *_pending(study)
    for label in gathered.labels[gathered.labels["proof"] != "proven"].to_dict("records"):
        what = say("{case}, batch {batch}", case=label["case"], batch=label["batch"])
        yield label["study"], what, shown.proof(label), read(str(label["reason"]))


def _pending(study: Study) -> tuple[str, str]:
    """What became of a case that has no folder: a sweep may still run it, in a recording it stays away."""
    if study.recorded is None:
        return say("NOT RUN YET"), say("planned; its folder is not there")
    return say("NOT RECORDED"), say("planned, but not in the recording")


def _skipped(skip: Row) -> str:
    return say(
        "{engine}, {model}, {layout}, graphs {graphs}",
        engine=engine_title(skip["engine"], skip["compile"], skip["settings"]),
        model=skip["model"],
        layout=layout_title(skip["tp"], skip["split"]),
        graphs=read(str(skip["graphs"])),
    )
