"""Columns and names that several sections share: what a row is of, where it comes from, and what a figure is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis import grids, shown
from analysis.blocks import Cell, Row
from analysis.figures import SWEEP, one_source
from analysis.gathered import Gathered
from analysis.language import Text, join, read, say
from analysis.recordings import VARIANT

KEYS = ["model", "batch", *VARIANT]
SIDE_BY_SIDE = 8


def configuration() -> list[tuple[str, Cell]]:
    """Engine, model, batch, TP."""
    return [*layout(), (say("batch"), shown.batch)]


def layout() -> list[tuple[str, Cell]]:
    """Engine, model, TP."""
    return [
        (say("engine"), shown.engine),
        (say("model"), lambda row: str(row["model"])),
        (say("TP"), shown.layout),
    ]


def traced() -> list[tuple[str, Cell]]:
    """What a trace is of."""
    return [
        *configuration(),
        (say("graphs"), lambda row: read(str(row["graphs"]))),
        tracing(),
    ]


def tracing() -> tuple[str, Cell]:
    """How graphs were traced, and where the trace is not there."""
    return say("tracing"), _tracing


def _tracing(row: Row) -> str:
    return say("{tracing} (trace left out)", tracing=row["tracing"]) if row.get("left_out") else str(row["tracing"])


def left_out(found: pd.DataFrame) -> tuple[Text, ...]:
    """What it means that traces were left out: a sentence, or none where all are there."""
    if not found["left_out"].any():
        return ()
    return (
        say(
            "Trace left out; account made by this analysis before: of these the recording has not the trace but its "
            "account, which all numbers here are of. What takes the trace itself (the timeline, gaps, single kernels, "
            "predictions) does not show them."
        ),
    )


def source_of(row: Row, rows: pd.DataFrame) -> str:
    """The study of a row in brackets, for sentences, where `rows` are of several."""
    return say(" ({study})", study=str(row["study"])) if rows["study"].nunique() > 1 else ""


def chosen(found: pd.DataFrame) -> tuple[Text, ...]:
    """Which study figures of traces show where several traced one configuration: a sentence, or none of these."""
    told = _told(found, "batch", "tracing")
    return told and (
        say(
            "Where several studies traced one configuration, figures show one of them, and tables all: {chosen}.",
            chosen=join(say("; "), told),
        ),
    )


def chosen_by_batch(starts: pd.DataFrame) -> tuple[Text, ...]:
    """The same of figures with batches on an axis, of which a panel shows one study: of the rows that they are of."""
    told = _told(starts)
    return told and (
        say(
            "Where several studies measured one configuration, figures by batch show one of them, and the table of all "
            "comparisons every one: {chosen}.",
            chosen=join(say("; "), told),
        ),
    )


def chosen_by_load(points: pd.DataFrame) -> tuple[Text, ...]:
    """The same of figures with loads on an axis."""
    told = _told(points)
    return told and (
        say(
            "Where several studies served one configuration, figures show one of them, and the table below them all: "
            "{chosen}.",
            chosen=join(say("; "), told),
        ),
    )


def _told(found: pd.DataFrame, *more: str) -> tuple[Text, ...]:
    """Each configuration that several studies, or programs, have rows of, and that whose rows a figure shows."""
    groups = found.groupby(["engine", "model", *VARIANT, "tp", *more], sort=False)
    several = [rows for _, rows in groups if len(rows[["study", "made_by"]].drop_duplicates()) > 1]
    return tuple(_shown_of(one_source(rows).to_dict("records")[0], found, "batch" in more) for rows in several)


def _shown_of(row: Row, found: pd.DataFrame, of_batch: bool) -> Text:
    return say(
        "{engine}, {model}, TP{layout}{batch}{source}",
        engine=shown.engine(row),
        model=row["model"],
        layout=shown.layout(row),
        batch=say(", batch {batch}", batch=shown.batch(row)) if of_batch else "",
        source=_source_in_brackets(row, found),
    )


def _source_in_brackets(row: Row, found: pd.DataFrame) -> str:
    """The study, or what made it where that is what sets rows apart."""
    if found["study"].nunique() > 1:
        return source_of(row, found)
    return say(" (by {made_by})", made_by=shown.maker(row["made_by"]))


def figure(heading: str, column: str) -> tuple[str, Cell]:
    """A column of numbers."""
    return heading, lambda row: shown.number(row[column])


def both(heading: str, column: str) -> tuple[str, Cell]:
    """A column of numbers, graphs off / on."""
    return heading, lambda row: shown.either(row[f"off_{column}"], row[f"on_{column}"])


def source(gathered: Gathered) -> list[tuple[str, Cell]]:
    """Which study a row is of and what made it, where not all are alike."""
    return [(say("source"), _source)] if gathered.several else []


def _source(row: Mapping[Any, Any]) -> str:
    made_by = row.get("made_by", SWEEP)
    return (
        str(row["study"])
        if made_by == SWEEP
        else say("{study}, by {made_by}", study=row["study"], made_by=shown.maker(made_by))
    )


def figures_of(
    frame: pd.DataFrame, *more: str, without: tuple[str, ...] = ()
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """What one figure can show, by KEYS and `more` but `without`: its name in words and as a file, and its rows."""
    keys = [key for key in [*KEYS, *more] if key not in without]
    for values, group in frame.groupby(keys, sort=True):
        about = dict(zip(keys, values if isinstance(values, tuple) else (values,), strict=True))
        yield _title(about), _file(about), group


def traced_figures(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The same for traces: all batches of a model side by side, as long as a figure of them stays readable."""
    for what, file, group in figures_of(frame, "tracing", without=("batch",)):
        if group["batch"].nunique() > 1 and len(group[["tp", "batch"]].drop_duplicates()) <= SIDE_BY_SIDE:
            yield what, file, grids.drawn(group, grids.sizes(group))
        else:
            for what_one, file_one, one in figures_of(group, "tracing"):
                yield what_one, file_one, grids.drawn(one, grids.sizes(one))


def figures_by_tp(frame: pd.DataFrame, *without: str) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The same for figures that have batches, or loads, on an axis."""
    for what, file, group in figures_of(frame, without=("batch", *without)):
        yield what, file, grids.drawn(group, grids.tps(group))


def _title(about: Mapping[str, Any]) -> str:
    words = [str(about["model"])]
    if about.get("compile", "engine") != "engine":
        words.append(say("torch.compile {compiled}", compiled=read(str(about["compile"]))))
    words += [str(about["split"]).upper()] if about.get("split") else []
    words += [str(about["settings"])] if about.get("settings", "pinned") != "pinned" else []
    if "batch" in about:
        words.append(say("while serving") if about["batch"] == shown.SERVED else f"batch {about['batch']}")
    words += [say("{tracing} tracing", tracing=about["tracing"])] if about.get("tracing", "node") != "node" else []
    return join(say(", "), words)


def _file(about: Mapping[str, Any]) -> str:
    words = [str(about["model"])]
    words += [f"b{about['batch']}"] if "batch" in about else []
    words += [f"compile-{about['compile']}"] if about.get("compile", "engine") != "engine" else []
    words += [str(about["split"])] if about.get("split") else []
    words += [str(about["settings"])] if about.get("settings", "pinned") != "pinned" else []
    words += [str(about["tracing"])] if "tracing" in about else []
    return file_name("_".join(words))


def file_name(name: str) -> str:
    """The name without what a file's name had better not hold."""
    return "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in name)
