"""Every case in full: its command, what was asked beside what the engine resolved, where it ran, and its doubts."""

from __future__ import annotations

import shlex

from analysis import shown
from analysis.blocks import CaseView
from analysis.gathered import Gathered
from analysis.language import read, say
from analysis.recordings import Record, Study


def every(gathered: Gathered) -> list[CaseView]:
    """The cases of all studies, in the order of their folders."""
    return [
        _view(record, name, _doubts(gathered, study, name, case))
        for name, study in gathered.studies
        for case, record in study.records.items()
    ]


def _doubts(gathered: Gathered, study: Study, name: str, case: str) -> list[str]:
    """Why a case does not count: what its engine resolved, and what its traces say."""
    mislabelled, labels = study.mislabelled(), gathered.labels
    mine = labels[(labels["study"] == name) & (labels["case"] == case) & (labels["proof"] != "proven")]
    found: list[str] = [read(mislabelled[case])] if case in mislabelled else []
    for row in mine.to_dict("records"):
        found.append(say("batch {batch}: {reason}", batch=row["batch"], reason=read(str(row["reason"]))))
    return found


def _view(record: Record, source: str, doubts: list[str]) -> CaseView:
    """doubts turn the outcome of a case that ran into INVALID."""
    asked, resolved = record["asked"], record.get("resolved") or {}
    keys = [*asked, *(key for key in resolved if key not in asked)]
    facts: list[tuple[str, object]] = [*record["host"].items()]
    facts += [(say("started (UTC)"), record.get("started_utc")), (say("made by"), record.get("made_by"))]
    phases_s = record.get("phases_s") or {}
    facts += [(say("phase: {phase} (s)", phase=phase), value) for phase, value in phases_s.items()]
    facts += [(say("environment: {name}", name=name), value) for name, value in (record.get("env") or {}).items()]
    ran = record["outcome"] == "ok"
    return CaseView(
        name=record["name"],
        source=source,
        outcome="INVALID" if doubts and ran else str(record["outcome"]),
        reason=shown.listed(doubts) if doubts else read(str(record.get("reason") or "")),
        command=shlex.join(map(str, record["argv"])),
        asked=tuple((key, shown.plain(asked.get(key)), shown.plain(resolved.get(key))) for key in keys),
        facts=tuple((key, shown.plain(value)) for key, value in facts),
        log_tail="" if ran else "\n".join(map(str, record.get("log_tail") or ())),
    )
