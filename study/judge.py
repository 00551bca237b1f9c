"""What became of a case: exported, proven, or failed, and for which reason in the user's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis import extract
from analysis.errors import TraceError
from analysis.summary import summarise
from analysis.validity import contradicting_calls, contradictions
from launch.engines import ENGINES
from launch.process import run_to_end
from study import commands, record
from study.agreement import disagreements
from study.commands import Tools
from study.spec import Case

LOG_LINES = 25
EXPORT_TIMEOUT_S = 900.0
OUT_OF_MEMORY = ("out of memory", "outofmemory", "no available memory for the cache blocks", "not enough memory")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`ok`, `failed` or `invalid`, with the reason; and the traced iteration time (ms) of each batch size."""

    outcome: str
    reason: str | None = None
    traced_ms: Mapping[int, float] = field(default_factory=dict)


def raised(kind: str, message: str, phase: str) -> str:
    """The reason when the engine raised an exception."""
    first = message.strip().splitlines()[0] if message.strip() else kind
    if any(words in f"{kind} {message}".lower() for words in OUT_OF_MEMORY):
        return f"out of memory while {phase}: {first}"
    if phase == "starting":
        return f"load error: {kind}: {first}"
    return f"engine error while {phase}: {kind}: {first}"


def ended(exit_code: int, phase: str) -> str:
    """The reason when the process ended without a word."""
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return f"crash: the engine ended with {how} while {phase}"


def explained(failure: str | None, tail: Sequence[str]) -> str | None:
    """The reason, corrected by the log where the engine's parent process did not know it: out of memory."""
    if failure is None or failure.startswith("out of memory"):
        return failure
    found = next((line for line in tail if any(words in line.lower() for words in OUT_OF_MEMORY)), None)
    return f"out of memory, by the log: {found.strip()[:200]} ({failure})" if found else failure


def log_tail(log: Path) -> list[str]:
    """The last lines of an engine's log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 64_000))
        return file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:]


def captured(case: Case, log: Path) -> dict[str, float]:
    """What capturing graphs cost, by the engine's log: capture_s and graph_gib, or empty."""
    if not log.exists():
        return {}
    found: dict[str, float] = ENGINES[case.engine].capture(log.read_text(encoding="utf-8", errors="replace"))
    return found


def export(case: Case, *, tools: Tools, folder: Path) -> tuple[list[dict[str, Any]], str | None]:
    """Export every capture window. Returns the record's list of traces, and a failure's reason or None."""
    traces: list[dict[str, Any]] = []
    for batch, sqlite, argv in commands.exports(case, tools=tools, folder=folder):
        report = Path(argv[-1])
        if not report.exists():
            return traces, f"nsys wrote no {report.name}: no capture window was opened, or nsys was stopped before it"
        code = run_to_end(argv, log=folder / "engine.log", timeout_s=EXPORT_TIMEOUT_S)
        if code != 0 or not sqlite.exists():
            return traces, f"nsys export of {report.name} failed (exit code {code})"
        traces.append({"batch": batch, "file": sqlite.name})
    return traces, None


def outcome(
    case: Case,
    failure: str | None,
    resolved: Mapping[str, Any],
    traces: Sequence[Mapping[str, Any]],
    folder: Path,
) -> Verdict:
    """Judge a case: it is ok only when nothing contradicts its label."""
    if failure:
        return Verdict(outcome="failed", reason=failure)
    if otherwise := disagreements(case, resolved):
        return _invalid("; ".join(otherwise))
    traced_ms = {}
    for trace in traces:
        try:
            against, iteration_ms = _proof(case, folder / trace["file"])
        except TraceError as error:
            return _invalid(f"batch {trace['batch']}: {error}")
        if against:
            return _invalid(f"batch {trace['batch']}: " + "; ".join(against))
        if iteration_ms is not None:
            traced_ms[trace["batch"]] = iteration_ms
    return Verdict(outcome="ok", traced_ms=traced_ms)


def _proof(case: Case, trace: Path) -> tuple[tuple[str, ...], float | None]:
    """What in a trace speaks against the label of its case, and its iteration time (ms; None where none was found).

    Raises TraceError for a trace that proves nothing.
    """
    asked = {"asked": record.asked(case)}
    try:
        summary = summarise(trace)
    except TraceError:
        if not case.serving and case.layout.gpus == case.tp:
            raise
        return contradicting_calls(asked, extract.read(trace)), None
    return contradictions(asked, summary), float(summary["iter_ms"]["median"])


def _invalid(reason: str) -> Verdict:
    return Verdict(outcome="invalid", reason=reason)
