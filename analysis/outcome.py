"""How a sweep ends on a terminal: where the data come from, the verdict in a few lines, and a table that fits.

Whatever there is more is in the report, and what was left out here is said.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import load_verdict, shown
from analysis.figures import SWEEP, layout_title
from analysis.gathered import Gathered
from analysis.provenance import Source
from analysis.recordings import VARIANT
from analysis.sections import verdict
from analysis.words import counted, three

# So many answers are read to their end, names within one, sources, and rows.
_FEW_ANSWERS, _FEW_NAMES, _FEW_SOURCES, _FEW_ROWS = 4, 3, 2, 12
_CONFIGURATION = ["gpu", "engine", *VARIANT, "model", "tp"]
_BATCH, _GAP, _OTHERS, _ANY_WIDTH = "batch ", "  ", " *", 10_000
_PINNED = "pinned"
_TITLE = "How many times faster decoding is with graphs, time per token off / on [interval]"
Row = Mapping[str, str]


def lines(gathered: Gathered, width: int | None = None) -> list[str]:
    """What the terminal shows, lines of at most `width` letters; None leaves sentences and rows whole."""
    room, tables = width or _ANY_WIDTH, _tables(gathered)
    told = [*_marks(gathered.sources), "", *_verdicts(gathered), ""]
    title = f"{_TITLE}{f', {tables[0][0]}' if len(tables) == 1 else ''}:"
    drawn = [*_broken(title, room), *_laid_out(tables, room), *_others(gathered, tables), ""] if tables else []
    return [
        *(part for text in told for part in _broken(text, room)),
        *drawn,
        *_broken(_left_out(gathered, tables), room),
    ]


def _broken(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False) or [""]


def _marks(sources: Sequence[Source]) -> list[str]:
    """Where the data come from, a line a study; many in one line for all that were recorded, or measured here."""
    if len(sources) <= _FEW_SOURCES:
        return [source.mark for source in sources]
    words = dict.fromkeys(source.word for source in sources)
    return [_mark(word, [source for source in sources if source.word == word]) for word in words]


def _mark(word: str, sources: Sequence[Source]) -> str:
    days = sorted({day for source in sources for day in source.date.split(" to ")})
    facts: dict[str, list[str]] = {}
    for what, value in (fact for source in sources for fact in source.facts if fact[0] not in ("made by", "GPU")):
        facts.setdefault(what, []).extend(value.split(", "))
    told = ", ".join(f"{what} {', '.join(sorted(set(values)))}" for what, values in facts.items())
    hosts = ", ".join(sorted({source.host for source in sources}))
    span = " to ".join(dict.fromkeys((days[0], days[-1])))
    return f"{word} {span} on {hosts} ({counted(len(sources), 'study')}): {told}"


def _verdicts(gathered: Gathered) -> list[str]:
    """The answers in sentences, where these are few; else how many comparisons end how, and which are no gain."""
    if len(gathered.pairs) + len(gathered.served) <= _FEW_ANSWERS:
        return list(verdict.leads(gathered))
    return [*_decoding(verdict.compared(gathered), gathered.pairs), *_serving(gathered.served)]


def _decoding(told: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[str]:
    """told: those of all pairs that are counted, of a configuration in several studies one."""
    void = pairs["contradiction"] != ""
    faster, slower = told[told["gain_low_ratio"] > 1], told[told["gain_high_ratio"] < 1]
    same = told.drop([*faster.index, *slower.index])
    if len(told):
        gains = [three(faster["gain_ratio"].min()), three(faster["gain_ratio"].max())] if len(faster) else []
        times = f", {' to '.join(dict.fromkeys(gains))} times" if gains else ""
        yield f"Decoding is faster with CUDA graphs in {len(faster)} of {len(told)} comparisons{times}."
    yield from _listed("Slower with graphs", slower)
    yield from _listed("No difference beyond noise", same)
    yield from _listed("No answer, for a trace contradicts its label", pairs[void])
    yield from _listed("No answer, for graphs on or off was not measured", pairs[~void & ~(pairs["gain_ratio"] > 0)])


def _listed(what: str, rows: pd.DataFrame) -> Iterator[str]:
    """What is true of some rows: how many they are, and which, where they are few."""
    batches: dict[str, list[str]] = {}
    for row in rows.to_dict("records"):
        gain = f": {_gain(row)}" if row["gain_ratio"] > 0 else ""
        batches.setdefault(_name(row), []).append(f"{row['batch']}{gain}")
    names = [f"{name} at batch {', '.join(at)}" for name, at in batches.items()]
    more = [f"and {len(names) - _FEW_NAMES} more"] if len(names) > _FEW_NAMES else []
    if names:
        yield f"{what}: {len(rows)} ({'; '.join([*names[:_FEW_NAMES], *more])})."


def _name(row: Mapping[Any, Any]) -> str:
    return f"{shown.engine(row)}, {row['model']}, {layout_title(row['tp'], row['split'])}"


def _gain(row: Mapping[Any, Any]) -> str:
    return shown.interval(row["gain_ratio"], row["gain_low_ratio"], row["gain_high_ratio"])


def _serving(served: pd.DataFrame) -> Iterator[str]:
    found = [one["verdict"] for one in load_verdict.verdicts(served)]
    if found:
        said = ", ".join(f"{word} at {found.count(word)}" for word in dict.fromkeys(found))
        ratios = served["tpot_ratio"].dropna()
        ends = dict.fromkeys([three(ratios.min()), three(ratios.max())]) if len(ratios) else ()
        times = f"; a token takes {' to '.join(ends)} times as long with graphs off" if ends else ""
        yield f"Serving: {said} of {counted(len(found), 'load')}{times}."


def _tables(gathered: Gathered) -> list[tuple[str, list[Row]]]:
    """A table for each GPU, and study where several measured the same: its name, and its rows, cells by heading.

    A row a comparison; where those are many, a row a configuration at its smallest and its largest batch, and of other
    settings than pinned ones none.
    """
    gains = verdict.gains(gathered)
    gains = gains[gains["at"].str.startswith(_BATCH).astype(bool)]
    found = gains.assign(batch=[int(at.removeprefix(_BATCH)) for at in gains["at"]])
    several = found.duplicated([*_CONFIGURATION, "batch"]).any()
    many = len(found) > _FEW_ROWS
    found = found[found["settings"] == _PINNED] if many and _PINNED in set(found["settings"]) else found
    # vLLM first, as the verdict has it.
    found = found.sort_values([*_CONFIGURATION[2:], "batch"]).sort_values("engine", ascending=False, kind="stable")
    tables = []
    for key, rows in found.groupby(["gpu", *(["study"] if several else [])], sort=False):
        each = (group.to_dict("records") for _, group in rows.groupby(_CONFIGURATION, sort=False))
        cells = [_ends(group) for group in each] if many else [_one(row) for row in rows.to_dict("records")]
        tables.append((", ".join(map(str, key)), cells))
    return tables


def _ends(group: Sequence[Mapping[Any, Any]]) -> Row:
    first, *others = [f"{row['batch']}: {_gain(row)}" for row in group]
    return {**_about(group[0]), "smallest batch": first, "largest batch": others[-1] if others else ""}


def _one(row: Mapping[Any, Any]) -> Row:
    return {**_about(row), "batch": str(row["batch"]), "off / on": _gain(row)}


def _about(row: Mapping[Any, Any]) -> Row:
    mark = "" if row["made_by"] == SWEEP else _OTHERS
    return {"engine": shown.engine(row), "model": f"{row['model']} {layout_title(row['tp'], row['split'])}{mark}"}


def _laid_out(tables: Sequence[tuple[str, Sequence[Row]]], width: int) -> Iterator[str]:
    """Aligned lines, the first column broken where the width asks for it."""
    heads = list(tables[0][1][0])
    cells = [heads, *([row[head] for head in heads] for _, rows in tables for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    longest = max(len(word) for row in cells for word in row[0].replace(",", "").split())
    widths[0] = max(longest, min(widths[0], width - sum(widths[1:]) - len(_GAP) * (len(widths) - 1)))
    yield from _aligned(heads, widths)
    for name, rows in tables:
        yield from [f"{name}:"] if len(tables) > 1 else []
        for row in rows:
            yield from _aligned([row[head] for head in heads], widths)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    whole = len(cells[0]) <= widths[0]
    parts = [cells[0]] if whole else [line for part in cells[0].split(", ") for line in textwrap.wrap(part, widths[0])]
    yield _GAP.join(cell.ljust(size) for cell, size in zip([parts[0], *cells[1:]], widths, strict=True)).rstrip()
    yield from (f"{_GAP}{part}" for part in parts[1:])


def _others(gathered: Gathered, tables: Sequence[tuple[str, Sequence[Row]]]) -> list[str]:
    """What the mark of some rows means."""
    makers = sorted({shown.maker(name) for name in gathered.pairs["made_by"] if name != SWEEP})
    marked = any(row["model"].endswith(_OTHERS) for _, rows in tables for row in rows)
    return [f"{_OTHERS.strip()} measured by {', '.join(makers)}"] if marked else []


def _left_out(gathered: Gathered, tables: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """What the report has beyond what is shown here."""
    among = any("largest batch" in row for _, rows in tables for row in rows)
    told = gathered.pairs[gathered.pairs["gain_ratio"] > 0]
    pinned = told["settings"] == _PINNED
    others = told[~pinned][_CONFIGURATION[1:]].drop_duplicates() if pinned.any() else ()
    counts = verdict.compared(gathered)
    repeated = len(told[told["contradiction"] == ""]) - len(counts)
    doubted = int((counts["caution"] != "").sum())
    parts = [
        *(["the batches between"] if among else []),
        *([counted(len(others), "configuration") + " not pinned"] if among and len(others) else []),
        *([counted(repeated, "comparison") + " of another study's configurations"] if repeated else []),
        "times and starts behind each ratio",
        *([counted(len(gathered.served), "load")] if len(gathered.served) else []),
        *([f"cautions about {counted(doubted, 'comparison')}"] if doubted else []),
        *(["which study each is of"] if len(gathered.sources) > 1 else []),
    ]
    return f"Left out here, in the report: {', '.join(parts)}, traces and figures."
