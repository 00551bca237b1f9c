"""The first screen: whether graphs should be on, in sentences, as a figure, and as a table with intervals."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis import headline, load_verdict, served, shown
from analysis.blocks import Graphic, Row, Section, Table, tabulate
from analysis.figures import SWEEP
from analysis.gathered import Gathered
from analysis.language import say
from analysis.plots import gain
from analysis.recordings import VARIANT
from analysis.sections import columns, serving

# So many comparisons are seen at a glance.
_FEW = 4
# So many rows of a figure are legible on the first screen.
_MANY = 12
_CONFIGURATION = ["engine", *VARIANT, "model", "tp", "gpu"]


def build(gathered: Gathered) -> Section:
    """Always there: a study without an answer says so."""
    every, drawn = first_table(gathered, whole=True), gains(gathered)
    figures = [_figure(gathered, drawn)] if len(drawn) else []
    return Section(
        id="verdict",
        title=say("Should CUDA graphs be on?"),
        leads=leads(gathered),
        blocks=(
            *([_short(gathered)] if len(gathered.pairs) > _FEW else []), *figures, *([every] if every.rows else []),
        ),
        notes=tuple(_notes(gathered)),
    )  # fmt: skip


def leads(gathered: Gathered) -> tuple[str, ...]:
    """The answers in sentences, the engines of the question first: vLLM, SGLang, others."""
    pairs = gathered.pairs.sort_values("engine", ascending=False, kind="stable")
    told = pairs.drop(_clear(gathered).index.difference(compared(gathered).index)) if _many(gathered) else pairs
    found: list[str] = [*_overall(gathered), *headline.answers(told), *served.answers(gathered.served)]
    return tuple(found or [say("No answer: nothing was measured with tracing off.")])


def first_table(gathered: Gathered, *, whole: bool = False) -> Table:
    """The one that stands first: a row a configuration and batch, or a row a configuration where those are many.

    whole: a row a batch however many. Of studies that only served it has a row a load.
    """
    if gathered.pairs.empty and len(gathered.served):
        return serving.short_table(gathered)
    return _short(gathered) if _many(gathered) and not whole else table(gathered)


def _overall(gathered: Gathered) -> list[str]:
    """All comparisons of decode steps in one sentence, where there are several: those of the short table, as often."""
    told, repeated = compared(gathered), len(_clear(gathered)) - len(compared(gathered))
    if len(told) <= _FEW:
        return []
    faster, slower = told[told["gain_low_ratio"] > 1], told[told["gain_high_ratio"] < 1]
    most = faster["gain_ratio"]
    return [
        say(
            "In {faster} of {all} comparisons decoding is faster with CUDA graphs ({least} to {most} times), in "
            "{slower} slower; in {same} nothing beyond noise tells them apart{repeated}.",
            faster=len(faster),
            all=len(told),
            least=shown.gain(most.min()) if len(most) else shown.NONE,
            most=shown.gain(most.max()) if len(most) else shown.NONE,
            slower=len(slower),
            same=len(told) - len(faster) - len(slower),
            repeated=say(
                " ({count} more are of the same configuration and batch in another study: counted is the one of "
                "study.sweep with most starts)",
                count=repeated,
            )
            if repeated
            else "",
        )
    ]


def _short(gathered: Gathered) -> Table:
    """A row a configuration: its gain at each batch."""
    best = compared(gathered)
    rows = [
        {**dict(zip(_CONFIGURATION, key, strict=True)), "told": _by_batch(group.sort_values("batch"))}
        for key, group in best.groupby(_CONFIGURATION, sort=False)
    ]
    gpu = [("GPU", lambda row: str(row["gpu"]))] if best["gpu"].nunique() > 1 else []
    headings = [*columns.layout(), *gpu, (say("off / on (ratio) by batch"), lambda row: str(row["told"]))]
    return tabulate(
        pd.DataFrame(rows, columns=[*_CONFIGURATION, "told"]),
        headings,
        name="answer",
        caption=say("How many times faster decoding is with CUDA graphs: time per token, graphs off / on"),
        mark=gathered.short_mark_of(best),
    )


def _clear(gathered: Gathered) -> pd.DataFrame:
    """The pairs that no trace contradicts, with their GPU, vLLM before SGLang before others."""
    clear = gathered.pairs[(gathered.pairs["contradiction"] == "") & (gathered.pairs["gain_ratio"] > 0)]
    return gathered.with_gpu(clear).sort_values("engine", ascending=False, kind="stable")


def _many(gathered: Gathered) -> bool:
    """Whether there are more studies than are set beside each other, of more than fits the first screen."""
    return len(gathered.studies) > 2 and len(_clear(gathered)[[*_CONFIGURATION, "study"]].drop_duplicates()) > _MANY


def compared(gathered: Gathered) -> pd.DataFrame:
    """Of several studies of a configuration at a batch that of the sweep with most starts; in the order of _clear."""
    clear = _clear(gathered)
    ranked = clear.assign(other=clear["made_by"] != SWEEP, few=-clear["off_starts_count"])
    first = ranked.sort_values(["other", "few"], kind="stable").drop_duplicates([*_CONFIGURATION, "batch"])
    return clear[clear.index.isin(first.index)]


def _by_batch(group: pd.DataFrame) -> str:
    cells = [f"{row['batch']}: {shown.gain_of(row)}" for row in group.to_dict("records")]
    return "; ".join(cells)


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
    found = shown.gain_of(row)
    if found == shown.NONE or row["interval_over"] == "starts":
        return found
    return say("{interval} (windows)", interval=found)


def _counts(row: Row, column: str) -> str:
    return f"{shown.count(row[f'off_{column}'])} / {shown.count(row[f'on_{column}'])}"


def _figure(gathered: Gathered, drawn: pd.DataFrame) -> Graphic:
    title = say("How many times faster decoding is with CUDA graphs")
    draw = partial(gain.draw, drawn, mark=gathered.mark_of(drawn), title=title)
    table = tabulate(
        drawn,
        [
            *columns.layout(),
            ("GPU", lambda row: str(row["gpu"])),
            (say("at"), lambda row: str(row["at"])),
            (say("off / on (ratio)"), shown.gain_of),
            *columns.source(gathered),
        ],
        name="gain",
        caption=say("How many times faster decoding is with CUDA graphs: time per token, graphs off / on"),
        mark=gathered.short_mark_of(drawn),
    )
    return Graphic(
        name="gain",
        draw=draw,
        alt=say(
            "How many times faster decoding is with CUDA graphs, by engine, TP and {load}{intervals}; at 1 there is no "
            "difference. Open marks: not made by study.sweep.",
            load=say("load") if gathered.pairs.empty else "batch",
            intervals=_intervals(drawn),
        ),
        table=table,
        mark=gathered.short_mark_of(drawn),
    )


def _intervals(drawn: pd.DataFrame) -> str:
    known = drawn["gain_low_ratio"].notna()
    if known.all():
        return say(", with intervals")
    if known.any():
        return say(", with intervals but for loads with a single pair of starts")
    return say(" (without intervals, which take two pairs of starts)")


def gains(gathered: Gathered) -> pd.DataFrame:
    """What the figure shows, gain.COLUMNS: gains at each batch that no trace contradicts, then those under load.

    Of many studies together, those that the short table shows; loads have a figure of their own.
    """
    many = _many(gathered)
    clear = compared(gathered) if many else _clear(gathered)
    decode = clear.assign(at=[f"batch {batch}" for batch in clear["batch"]]).sort_values("batch", kind="stable")
    loads = [
        f"{row['rate']:g} requests/s" if row["rate"] > 0 else f"{row['concurrency']:g} in flight"
        for row in gathered.served.to_dict("records")
    ]
    names = {f"tpot{end}_ratio": f"gain{end}_ratio" for end in ("", "_low", "_high")}
    served = gathered.with_gpu(gathered.served.rename(columns=names).assign(at=loads))
    parts = [part[list(gain.COLUMNS)] for part in ((decode,) if many else (decode, served)) if len(part)]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(gain.COLUMNS))
    return found.dropna(subset=["gain_ratio"])


def _notes(gathered: Gathered) -> list[str]:
    found: list[str] = [
        say(
            "TPOT off / on is over pairs of starts of the same repeat. With a single start each it has no interval, "
            "and says nothing about the next start; differences below {noise:.0%} count as none.",
            noise=load_verdict.NOISE,
        )
        if gathered.pairs.empty and len(gathered.served)
        else say(
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
                made_by=shown.maker(made_by),
                sweep=SWEEP,
                starts="/".join(map(str, starts)),
            )
        )
    return [*found, *(text for name, study in gathered.studies for text in served.caveats(study, name))]
