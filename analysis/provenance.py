"""Where numbers come from: host, versions and date of every study, and the words that say so wherever they appear."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis import shown
from analysis.figures import engine_title
from analysis.language import Text, join, say
from analysis.recordings import Study


@dataclass(frozen=True, kw_only=True)
class Source:
    """One study of a report. facts: (what, value) pairs for the banner."""

    name: str
    recorded: bool
    host: str
    gpu: str
    """Its GPU in short: H100, RTX 4090."""
    date: str
    facts: tuple[tuple[str, str], ...]
    note: Text
    planned: Text | None = None
    """What the plan of a live study holds of which no case has finished."""

    @property
    def word(self) -> str:
        """RECORDED, or for a live study MEASURED HERE, or NOTHING MEASURED YET."""
        return "RECORDED" if self.recorded else "MEASURED HERE" if self.planned is None else "NOTHING MEASURED YET"

    @property
    def told(self) -> Text:
        """The facts in a line."""
        return _told(self.facts)

    @property
    def sentence(self) -> Text:
        """What the banner says after the word: when, where and by what it was measured, or what is planned."""
        if self.planned is not None:
            return say("{name}: {planned}.", name=self.name, planned=self.planned)
        return say(
            "{date} on {host} ({name}): {facts}.", date=self.date, host=self.host, name=self.name, facts=self.told
        )

    @property
    def short_mark(self) -> str:
        """The words that captions carry."""
        return join("", [self.word, " ", self.date, ", ", self.host]) if self.planned is None else self.word

    @property
    def mark(self) -> Text:
        """The line that figures carry, which may be copied away from their report."""
        if self.planned is not None:
            return say("{word} ({name}): {planned}", word=self.word, name=self.name, planned=self.planned)
        versions = _told([fact for fact in self.facts if fact[0] not in ("made by", "GPU")])
        return say(
            "{word} {date} on {host} ({name}): {versions}",
            word=self.word, date=self.date, host=self.host, name=self.name, versions=versions,
        )  # fmt: skip


def names(studies: Sequence[Study]) -> list[str]:
    """What the report calls each study: its folder's name, with as many parents as it takes to tell them apart."""
    parts = [study.folder.resolve().parts for study in studies]
    for depth in range(1, max(map(len, parts)) + 1):
        found = ["/".join(part[-depth:]) for part in parts]
        if len(set(found)) == len(found):
            return found
    return [f"{name}#{index}" for index, name in enumerate(found, 1)]


def source(study: Study, name: str) -> Source:
    """The provenance of a study, read off all its records; values that differ between cases are all named."""
    hosts = [record["host"] for record in study.records.values()]
    facts = [
        ("GPU", _distinct(hosts, "gpu_name")),
        (say("driver"), _distinct(hosts, "driver")),
        ("CUDA", _distinct(hosts, "cuda")),
        ("nsys", _distinct(hosts, "nsys")),
        ("torch", _distinct(hosts, "torch")),
        *_engine_versions(study),
        (say("made by"), _makers(study)),
    ]
    started = sorted(str(record["started_utc"])[:10] for record in study.records.values() if record.get("started_utc"))
    recorded = study.recorded or {}
    return Source(
        name=name,
        recorded=study.recorded is not None,
        host=str(recorded.get("host") or _distinct(hosts, "label") or "an unnamed host"),
        gpu=short_gpu(_distinct(hosts, "gpu_name")),
        date=_days(str(recorded.get("date") or (started[0] if started else "undated"))),
        facts=tuple((what, value) for what, value in facts if value),
        note=Text(str(recorded.get("note") or ""), str(recorded.get("note_zh") or "")),
        planned=None if study.records or study.recorded else _planned(study),
    )


def _planned(study: Study) -> Text:
    asked = study.plan.get("spec", {})
    what = [*map(engine_title, asked.get("engines") or ()), *(asked.get("models") or ())]
    return say(
        "cases planned: {cases} ({what}), finished: 0, skipped: {skipped}; study.sweep with the same --out goes on",
        cases=len(study.pending),
        what=", ".join(what),
        skipped=len(study.skips),
    )


def short_gpu(name: str) -> str:
    """A GPU's name without its maker, its line and its memory: NVIDIA H100 80GB HBM3 is H100."""
    return re.sub(r"^NVIDIA (GeForce )?|[ -]\d+GB.*$", "", name)


def _told(facts: Sequence[tuple[str, str]]) -> Text:
    return join(say(", "), [say("{what} {value}", what=what, value=value) for what, value in facts])


def _distinct(records: Sequence[Any], key: str) -> str:
    return ", ".join(sorted({str(record[key]) for record in records if record.get(key)}))


def _makers(study: Study) -> Text:
    makers = sorted({str(record["made_by"]) for record in study.records.values() if record.get("made_by")})
    return join(say(", "), map(shown.maker, makers))


def _engine_versions(study: Study) -> list[tuple[str, str]]:
    versions = study.cases.dropna(subset=["engine_version"]).groupby("engine")["engine_version"].unique()
    return [(engine_title(engine), ", ".join(sorted(map(str, found)))) for engine, found in versions.items()]


def _days(date: str) -> str:
    first, _, last = date.partition(" to ")
    return say("{first} to {last}", first=first, last=last) if last else date
