"""What a report shows, as text: tables of strings that HTML and Markdown render alike. Reads no file, draws nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.figures import engine_title, layout_title
from analysis.groups import GROUPS
from analysis.recordings import Record, Study

NONE = "-"
# The batch of a trace that was taken while serving.
SERVED = 0
TRACE_HEADINGS = ("engine", "model", "batch", "TP", "graphs", "tracing")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text. void: for each row, why it does not count ('' where it does)."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    void: tuple[str, ...] = ()

    def lines(self) -> list[tuple[tuple[str, ...], str]]:
        """Every row with the reason why it does not count."""
        return list(zip(self.rows, self.void or ("",) * len(self.rows), strict=True))


@dataclass(frozen=True, kw_only=True)
class CaseView:
    """One case in full: its command as a shell would take it, and what was asked beside what the engine resolved."""

    name: str
    source: str
    outcome: str
    reason: str
    command: str
    asked: tuple[tuple[str, str, str], ...]
    facts: tuple[tuple[str, str], ...]
    log_tail: str


def headline(pairs: pd.DataFrame) -> Table:
    """Iteration time with graphs off and on, and their ratio: rows of headline.pairs."""
    rows = []
    for row in pairs.to_dict("records"):
        gain = _interval(row["gain_ratio"], row["gain_low_ratio"], row["gain_high_ratio"])
        over = "" if gain == NONE or row["interval_over"] == "starts" else " (windows)"
        rows.append((
            *_configuration(row),
            *(_interval(row[f"{g}_tpot_ms"], row[f"{g}_low_ms"], row[f"{g}_high_ms"]) for g in ("off", "on")),
            gain + over,
            f"{_count(row['off_starts_count'])} / {_count(row['on_starts_count'])}",
            f"{_count(row['off_windows_count'])} / {_count(row['on_windows_count'])}",
            _source(row),
            row["caution"] or NONE,
        ))  # fmt: skip
    return Table(
        caption="Iteration time (TPOT, untraced): median over engine starts of the median over windows [interval]",
        columns=("engine", "model", "batch", "TP", "graphs off (ms)", "graphs on (ms)", "off / on (ratio)",
                 "starts off / on", "windows off / on", "source", "caution"),
        rows=tuple(rows),
        void=tuple(str(reason) for reason in pairs["contradiction"]),
    )  # fmt: skip


def ranks(table: pd.DataFrame) -> Table:
    """One row a trace and rank: rows of evidence.rank_table."""
    rows = []
    for row in table.to_dict("records"):
        if row["proof"] == "refused":
            rows.append((*_trace(row), *([NONE] * 10), _source(row)))
            continue
        iteration = _interval(row["iter_median_ms"], row["iter_p10_ms"], row["iter_p90_ms"])
        gaps = " / ".join(_number(row[f"gap_{quantile}_us"]) for quantile in ("p50", "p90", "p99"))
        rows.append((
            *_trace(row), _count(row["rank"]), _count(row["iterations"]), iteration, _number(row["busy_ms"]),
            _number(row["idle_ms"]), _number(100 * row["idle_ratio"]), gaps, _number(row["launches"]),
            _number(row["graph_launches"]), _proof(row), _source(row),
        ))  # fmt: skip
    return Table(
        caption="Every trace and rank, per decode iteration (median [p10, p90]); gaps: idle time before an operation. "
        "Busy includes waiting inside collectives: the rank with the most idle time is the one the others wait for",
        columns=(*TRACE_HEADINGS, "rank", "iterations", "iteration (ms)", "busy (ms)", "idle (ms)", "idle (%)",
                  "gap p50 / p90 / p99 (us)", "launches", "graph launches", "label", "source"),
        rows=tuple(rows),
        void=tuple(_void(row) for row in table.to_dict("records")),
    )  # fmt: skip


def paths(table: pd.DataFrame) -> Table:
    """Where the time goes: rows of evidence.path_table."""
    names = ("wall", "compute", "collective", "launch_idle", "graph_gap", "other_gap", "residual")
    rows = [
        (*_trace(row), *(_number(row[f"{name}_ms"]) for name in names), _source(row))
        for row in table.to_dict("records")
    ]
    return Table(
        caption="Critical path over all GPUs, per traced decode iteration: the parts add up to the wall time. "
        "Collectives count with their own time, not with the waiting of those who arrive early",
        columns=(*TRACE_HEADINGS, "wall (ms)", "compute (ms)", "collectives (ms)", "waiting for launches (ms)",
                 "gaps in graphs (ms)", "other gaps (ms)", "residual (ms)", "source"),
        rows=tuple(rows),
    )  # fmt: skip


def differences(table: pd.DataFrame) -> Table:
    """What graphs change in what the GPUs compute: rows of evidence.difference_table, a line a pair."""
    keys = [key for key in table.columns if key not in ("group", "off_us", "on_us")]
    groups = [group for group in GROUPS if (table["group"] == group).any()]
    rows = []
    for _, pair in table.groupby(keys, sort=False, dropna=False):
        row = pair.iloc[0].to_dict()
        times = {
            str(one["group"]): f"{_number(one['off_us'])} / {_number(one['on_us'])}" for one in pair.to_dict("records")
        }
        saved = _number(row["idle_saved_us"]), _number(row["work_saved_us"])
        rows.append((*_configuration(row), str(row["tracing"]), *saved, *(times.get(group, NONE) for group in groups),
                     _source(row)))  # fmt: skip
    return Table(
        caption="What differs between graphs off and on, per traced decode iteration. Saved: off less on along the "
        "critical path, as idle time of the GPU and as other work. Then the time of each group of kernels, off / on, "
        "without the spinning in collectives: a difference there is other work, not waiting that graphs took away",
        columns=("engine", "model", "batch", "TP", "tracing", "idle saved (us)", "work saved (us)",
                 *(f"{group} (us)" for group in groups), "source"),
        rows=tuple(rows),
    )  # fmt: skip


def served(table: pd.DataFrame) -> Table:
    """What serving gains and loses: rows of served.beside."""
    figures = ("qps", "output_tok_s", "ttft_ms_p50", "ttft_ms_p99", "tpot_ms_p50", "itl_ms_p99", "goodput_qps")
    rows = []
    for row in table.to_dict("records"):
        point = f"{row['rate']:g}/s" if row["rate"] > 0 else f"{row['concurrency']:.0f} in flight"
        both = (f"{_number(row[f'off_{figure}'])} / {_number(row[f'on_{figure}'])}" for figure in figures)
        engine, model, _, layout = _configuration({**row, "batch": SERVED})
        starts = f"{_count(row['off_starts_count'])} / {_count(row['on_starts_count'])}"
        gain = _interval(row["tpot_ratio"], row["tpot_low_ratio"], row["tpot_high_ratio"])
        rows.append((engine, model, layout, point, *both, gain, starts, row["caution"] or NONE, _source(row)))
    return Table(
        caption="Serving, graphs off / on: medians over engine starts of each load point; the load is requests a "
        "second (Poisson) or requests kept in flight. A saturated server's latencies grow with the length of the run",
        columns=("engine", "model", "TP", "load", "answered (requests/s)", "output (tokens/s)", "TTFT p50 (ms)",
                 "TTFT p99 (ms)", "TPOT p50 (ms)", "ITL p99 (ms)", "goodput (requests/s)", "TPOT off / on", "starts",
                 "caution", "source"),
        rows=tuple(rows),
    )  # fmt: skip


def capacity(table: pd.DataFrame) -> Table:
    """What graphs cost: rows of capacity.table."""
    rows = []
    for row in table.to_dict("records"):
        engine, model, _, layout = _configuration({**row, "batch": SERVED})
        tokens = f"{_number(row['off_kv_tokens'])} / {_number(row['on_kv_tokens'])}"
        ready = f"{_number(row['off_ready_s'])} / {_number(row['on_ready_s'])}"
        starts = f"{_count(row['off_starts_count'])} / {_count(row['on_starts_count'])}"
        rows.append((engine, model, layout, _number(row["captured"]), tokens, _number(row["kv_ratio"]),
                     _number(row["capture_s"]), _number(row["graph_gib"]), ready, starts, _source(row)))  # fmt: skip
    return Table(
        caption="What graphs cost, graphs off / on, by the engines' own word: KV-cache tokens of a replica, and of the "
        "worker that needed most the time to capture and the memory that graphs hold",
        columns=("engine", "model", "TP", "sizes captured", "KV tokens", "on / off", "capture (s)", "graphs (GiB)",
                 "until ready (s)", "starts", "source"),
        rows=tuple(rows),
    )  # fmt: skip


def fitness(table: pd.DataFrame) -> Table:
    """What is wrong with captures: rows of evidence.fitness_table."""
    rows = [
        (*_trace(row), "UNFIT" if row["gates"] else "note", row["check"], row["found"], row["expected"], row["remedy"],
         _source(row))
        for row in table.to_dict("records")
    ]  # fmt: skip
    return Table(
        caption="Fitness of the captures: an unfit one carries no verdict; a note is a caveat beside its numbers. "
        "Captures that are not listed passed every check",
        columns=(*TRACE_HEADINGS, "fitness", "check", "found", "expected", "what to record instead", "source"),
        rows=tuple(rows),
    )


def overhead(table: pd.DataFrame) -> Table:
    """What tracing costs: rows of evidence.tracing_overhead."""
    rows = []
    for row in table.to_dict("records"):
        times = _number(row["traced_iter_ms"]), _number(row["untraced_tpot_ms"]), _percent(row["overhead_ratio"])
        rows.append((*_trace(row), *times, _source(row)))
    return Table(
        caption="Overhead of tracing: iteration time in the trace against untraced TPOT",
        columns=(*TRACE_HEADINGS, "traced iteration (ms)", "untraced TPOT (ms)", "overhead (%)", "source"),
        rows=tuple(rows),
    )


def troubles(studies: Iterable[tuple[str, Study]], labels: pd.DataFrame) -> Table:
    """Everything planned that does not count: failed and invalid cases, skips, cases not run yet; with reasons."""
    rows: list[tuple[str, ...]] = []
    for name, study in studies:
        for case in study.cases[study.cases["outcome"] != "ok"].to_dict("records"):
            rows.append((case["case"], str(case["outcome"]).upper(), str(case["reason"] or "no reason recorded"), name))
        rows += [(case, "INVALID", reason, name) for case, reason in study.mislabelled().items()]
        for skip in study.skips.to_dict("records"):
            engine = engine_title(skip["engine"], skip["compile"], skip["settings"])
            what = f"{engine}, {skip['model']}, {layout_title(skip['tp'], skip['split'])}, graphs {skip['graphs']}"
            rows.append((what, "SKIPPED", str(skip["reason"]), name))
        rows += [(case, "NOT RUN YET", "planned; its folder is not there", name) for case in study.pending]
    for label in labels[labels["proof"] != "proven"].to_dict("records"):
        rows.append((f"{label['case']}, batch {label['batch']}", _proof(label), label["reason"], label["study"]))
    columns = ("case", "outcome", "reason", "source")
    return Table(caption="What does not count, and why", columns=columns, rows=tuple(rows))


def case(record: Record, source: str, doubts: Sequence[str]) -> CaseView:
    """One case in full. doubts: why its traces void it; they turn the outcome of a case that ran into INVALID."""
    asked, resolved = record["asked"], record.get("resolved") or {}
    keys = [*asked, *(key for key in resolved if key not in asked)]
    facts = [*record["host"].items(), ("started (UTC)", record.get("started_utc")), ("made by", record.get("made_by"))]
    facts += [(f"phase: {phase} (s)", value) for phase, value in (record.get("phases_s") or {}).items()]
    facts += [(f"environment: {name}", value) for name, value in (record.get("env") or {}).items()]
    return CaseView(
        name=record["name"],
        source=source,
        outcome="INVALID" if doubts and record["outcome"] == "ok" else record["outcome"],
        reason="; ".join(doubts) or str(record.get("reason") or ""),
        command=shlex.join(map(str, record["argv"])),
        asked=tuple((key, _plain(asked.get(key)), _plain(resolved.get(key))) for key in keys),
        facts=tuple((key, _plain(value)) for key, value in facts),
        log_tail="\n".join(map(str, record.get("log_tail") or ())) if record["outcome"] != "ok" else "",
    )


def plain_lines(table: Table) -> list[str]:
    """The table as aligned lines of plain text; what does not count says so at the end of its row."""
    widths = [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]
    lines = []
    for row, void in [(table.columns, ""), *table.lines()]:
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        lines.append(f"{cells}  EXCLUDED: {void}" if void else cells)
    return lines


def _configuration(row: dict[Any, Any]) -> tuple[str, ...]:
    engine = engine_title(row["engine"], row["compile"], row["settings"])
    split = f" {str(row['split']).upper()}" if row["split"] else ""
    batch = "served" if row["batch"] == SERVED else str(row["batch"])
    return engine, str(row["model"]), batch, f"{row['tp']}{split}"


def _trace(row: dict[Any, Any]) -> tuple[str, ...]:
    return (*_configuration(row), str(row["graphs"]), str(row["tracing"]))


def _source(row: dict[Any, Any]) -> str:
    return f"{row['study']}, {row['made_by']}"


def _proof(row: dict[Any, Any]) -> str:
    return {"proven": "proven", "refused": "REFUSED", "unfit": "UNFIT"}.get(row["proof"], "INVALID")


def _void(row: dict[Any, Any]) -> str:
    return "" if row["proof"] == "proven" else f"{_proof(row)}: {row['reason']}"


def _plain(value: object) -> str:
    return NONE if value is None else ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _number(value: float) -> str:
    if pd.isna(value):
        return NONE
    return f"{value:.0f}" if abs(value) >= 100 or value == round(value) else f"{value:#.3g}"


def _count(value: float) -> str:
    return "0" if pd.isna(value) else f"{value:.0f}"


def _percent(ratio: float) -> str:
    return NONE if pd.isna(ratio) else f"{100 * (ratio - 1):+.1f}"


def _interval(value: float, low: float, high: float) -> str:
    if pd.isna(value) or pd.isna(low):
        return _number(value)
    return f"{_number(value)} [{_number(low)}, {_number(high)}]"
