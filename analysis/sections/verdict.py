"""The first screen: whether graphs should be on, in sentences, as a figure, and as a table with intervals."""

from __future__ import annotations

from analysis import headline, served, shown
from analysis.blocks import Graphic, Row, Section, Table, tabulate
from analysis.figures import SWEEP
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import gain
from analysis.sections import columns


def build(gathered: Gathered) -> Section:
    """Always there: a study without an answer says so."""
    found = [*headline.answers(gathered.pairs), *served.answers(gathered.served)]
    leads = found or [say("No answer: nothing was measured with tracing off.")]
    told = table(gathered)
    drawn = gathered.pairs[gathered.pairs["gain_ratio"].notna() & (gathered.pairs["contradiction"] == "")]
    figures = [_figure(gathered, told)] if len(drawn) else []
    return Section(
        id="verdict",
        title=say("Should CUDA graphs be on?"),
        leads=tuple(leads),
        blocks=(*figures, *([told] if told.rows else [])),
        notes=tuple(_notes(gathered)),
    )


def table(gathered: Gathered) -> Table:
    """Iteration time with graphs off and on, and their ratio: rows of headline.pairs."""
    headings = [
        *columns.configuration(),
        (say("graphs off (ms)"), lambda row: shown.interval(row["off_tpot_ms"], row["off_low_ms"], row["off_high_ms"])),
        (say("graphs on (ms)"), lambda row: shown.interval(row["on_tpot_ms"], row["on_low_ms"], row["on_high_ms"])),
        (say("off / on (ratio)"), _gain),
        (say("starts"), lambda row: _counts(row, "starts_count")),
        *columns.source(gathered),
    ]
    return tabulate(
        gathered.pairs,
        headings,
        name="headline",
        caption=say(
            "Iteration time (TPOT, untraced): median over engine starts of the median over windows, [interval]. "
            "Above 1, off / on says how many times faster decoding is with graphs"
        ),
        mark=gathered.short_mark_of(gathered.pairs),
        void=lambda row: str(row["contradiction"]),
        caution=shown.caution,
    )


def _gain(row: Row) -> str:
    found = shown.interval(row["gain_ratio"], row["gain_low_ratio"], row["gain_high_ratio"])
    if found == shown.NONE or row["interval_over"] == "starts":
        return found
    return say("{interval} (windows)", interval=found)


def _counts(row: Row, column: str) -> str:
    return f"{shown.count(row[f'off_{column}'])} / {shown.count(row[f'on_{column}'])}"


def _figure(gathered: Gathered, told: Table) -> Graphic:
    drawn = gathered.pairs[gathered.pairs["contradiction"] == ""].dropna(subset=["gain_ratio"])
    figure = gain.draw(drawn, mark=gathered.mark_of(drawn), title="How many times faster decoding is with CUDA graphs")
    return Graphic(
        name="gain",
        figure=figure,
        alt=say(
            "How many times faster decoding is with CUDA graphs, by engine, TP and batch, with intervals; at 1 there "
            "is no difference. Open marks: not made by study.sweep."
        ),
        table=Table(
            name="gain",
            caption=say("The figure's data"),
            columns=tuple(heading for heading, _ in [*columns.configuration(), (say("off / on (ratio)"), _gain)]),
            rows=tuple((*row[:4], row[6]) for row in _clear(told)),
            mark=gathered.short_mark_of(drawn),
            data=drawn[list(gain.COLUMNS)],
        ),
        mark=gathered.short_mark_of(drawn),
    )


def _clear(told: Table) -> list[tuple[str, ...]]:
    return [row for row, void, _ in told.lines() if not void and row[6] != shown.NONE]


def _notes(gathered: Gathered) -> list[str]:
    found: list[str] = [
        say(
            "Intervals of off / on are over pairs of starts of the same repeat (bootstrap of the median of their "
            "ratios; their extremes below 6 pairs). Intervals of times are over engine starts: from 6 starts on the "
            "95 % order-statistic interval for the median, below that the extremes (at 3 starts they cover the median "
            "75 % of the time). Fewer than {few} starts is a caution; with a single start the interval is over its "
            "windows and says nothing about the next start.",
            few=headline.FEW_STARTS,
        )
    ]
    if ((gathered.pairs["engine"] == "vllm") & (gathered.pairs["compile"] == "engine")).any():
        found.append(
            say(
                "vLLM: graphs off is --enforce-eager, which turns torch.compile off as well, so the pair differs in "
                "two things; in SGLang it differs in decode graphs alone."
            )
        )
    probes = gathered.pairs[gathered.pairs["made_by"] != SWEEP]
    for (study, made_by), rows in probes.groupby(["study", "made_by"]):
        starts = sorted({int(n) for n in rows[["off_starts_count", "on_starts_count"]].to_numpy().ravel() if n > 0})
        found.append(
            say(
                "{study}: the rows for {sizes} were recorded by {made_by}, not by {sweep} ({starts} engine start(s) "
                "each); open symbols in the figures. Compare them with care.",
                study=study,
                sizes=", ".join(f"TP{tp}" for tp in sorted(rows["tp"].unique())),
                made_by=made_by,
                sweep=SWEEP,
                starts="/".join(map(str, starts)),
            )
        )
    return [*found, *(text for name, study in gathered.studies for text in served.caveats(study, name))]
