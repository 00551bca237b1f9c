"""Every case in full: its command, what was asked beside what the engine resolved, where it ran, and its doubts."""

from __future__ import annotations

import shlex
from dataclasses import replace

from analysis import shown
from analysis.blocks import CaseView
from analysis.gathered import Gathered
from analysis.language import read, say, words
from analysis.recordings import Record, Study

# "ok" is the same in both languages.
_OUTCOMES = {str(word): word for word in words("failed", "invalid")}


def every(gathered: Gathered) -> list[CaseView]:
    """The cases of all studies, in the order of their folders; of each what sets it apart from others of its study."""
    shared = {view.name: view for view in alike(gathered)}
    return [
        _less(_view(record, name, _doubts(gathered, study, name, case)), shared.get(name))
        for name, study in gathered.studies
        for case, record in study.records.items()
    ]


def alike(gathered: Gathered) -> list[CaseView]:
    """For each study of several cases what is the same in all of them, under the study's name."""
    found = []
    for name, study in gathered.studies:
        views = [_view(record, name, []) for record in study.records.values()]
        if len(views) > 1:
            found.append(replace(
                views[0], name=name, outcome="ok", reason="", command="", log_tail="",
                asked=tuple(row for row in views[0].asked if all(row in view.asked for view in views)),
                facts=tuple(fact for fact in views[0].facts if all(fact in view.facts for view in views)),
            ))  # fmt: skip
    return found


def _less(view: CaseView, shared: CaseView | None) -> CaseView:
    if shared is None:
        return view
    return replace(
        view,
        asked=tuple(row for row in view.asked if row not in shared.asked),
        facts=tuple(fact for fact in view.facts if fact not in shared.facts),
    )


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
    facts += [
        (say("started (UTC)"), record.get("started_utc")),
        (say("made by"), shown.maker(record.get("made_by") or shown.NONE)),
    ]
    phases_s = record.get("phases_s") or {}
    facts += [(say("phase: {phase} (s)", phase=phase), value) for phase, value in phases_s.items()]
    facts += [(say("environment: {name}", name=name), value) for name, value in (record.get("env") or {}).items()]
    ran = record["outcome"] == "ok"
    return CaseView(
        name=record["name"],
        source=source,
        outcome=say("INVALID") if doubts and ran else _OUTCOMES.get(str(record["outcome"]), str(record["outcome"])),
        reason=shown.listed(doubts) if doubts else read(str(record.get("reason") or "")),
        command=shlex.join(map(str, record["argv"])),
        asked=tuple((key, shown.plain(asked.get(key)), shown.plain(resolved.get(key))) for key in keys),
        facts=tuple((key, shown.plain(value)) for key, value in facts),
        log_tail="" if ran else "\n".join(map(str, record.get("log_tail") or ())),
    )
