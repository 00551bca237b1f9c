"""Study folders, read from disk: what was planned, what every case says of itself, its samples, where its traces lie.

Owns the layout of the folder and its format versions; what a trace holds is left to extract.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import left_out
from analysis.errors import TraceError
from analysis.words import counted

FORMATS = ("2026-11-21", "2026-11-22")
OUTCOMES = ("ok", "failed", "invalid")
# What beside engine, model and TP a case is set apart by: torch.compile, what was pinned, the split beyond TP ("pp2").
VARIANT = ("compile", "settings", "split")
# What should not differ between cases that are compared.
HOST_FACTS = ("host_label", "driver", "cuda", "torch", "engine_version", "nccl", "cpu", "governor", "power_limit_w")
# Of what an engine resolved, what changes kernels or overlap and so should not differ either.
RESOLVED_FACTS = ("attention_backend", "sampling_backend", "custom_all_reduce", "async_scheduling", "dtype")
CASE_COLUMNS = (
    "case", "engine", "model", "tp", "graphs", *VARIANT, "tracing", "repeat", "outcome", "reason", "made_by",
    *HOST_FACTS, *RESOLVED_FACTS, "slowed_ratio", "nsys", "started_utc", "resolved_graphs",
)  # fmt: skip
WINDOW_COLUMNS = ("case", "engine", "model", "tp", "graphs", *VARIANT, "repeat", "batch", "window", "tpot_ms")
TRACE_COLUMNS = ("case", "engine", "model", "tp", "graphs", *VARIANT, "tracing", "batch", "path", "left_out")
SERVED_COLUMNS = ("case", "engine", "model", "tp", "graphs", *VARIANT, "repeat", "path")
SKIP_COLUMNS = ("engine", "model", "tp", "graphs", *VARIANT, "reason")
SAMPLE_COLUMNS = ("batch", "window", "tokens", "seconds", "tpot_ms")
RECORD_KEYS = ("format", "name", "outcome", "asked", "argv", "host", "files")
ASKED_KEYS = ("engine", "model", "tp", "graphs", "tracing", "repeat")
# What a record from before a switch was studied by itself means by not naming it.
ASKED_LATER = {"compile": "engine", "settings": "pinned", "split": ""}

_EXPECTED = "Expected a folder that study.sweep wrote on a GPU host, or one under data/recordings."

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A study folder in memory.

    cases: a row a finished case, CASE_COLUMNS. windows: a row a timed window of the untraced cases that succeeded,
    WINDOW_COLUMNS, tpot_ms in ms. served: a row an untraced case that served, SERVED_COLUMNS, its requests in path.
    traces: a row a trace of the cases that did not fail, TRACE_COLUMNS; path is its account where it was left_out.
    skips: a row a combination that the plan left out, SKIP_COLUMNS. recorded: recording.json, None for a live study.
    plan: study.json. records: case.json by case name. pending: planned cases that have no folder yet.
    """

    folder: Path
    recorded: Record | None
    plan: Record
    records: Mapping[str, Record]
    cases: pd.DataFrame
    windows: pd.DataFrame
    served: pd.DataFrame
    traces: pd.DataFrame
    skips: pd.DataFrame
    pending: tuple[str, ...]

    def mislabelled(self) -> dict[str, str]:
        """The cases that ran with other graphs than were asked for, by the engine's own word, with the reason."""
        cases = self.cases[(self.cases["outcome"] == "ok") & self.cases["resolved_graphs"].notna()]
        wrong = cases[cases["resolved_graphs"] != cases["graphs"]].to_dict("records")
        words = "asked for graphs {}, the engine resolved {}"
        return {row["case"]: words.format(row["graphs"], row["resolved_graphs"]) for row in wrong}


def open_study(folder: Path) -> Study:
    """Read a study folder. Raises TraceError, naming the file, where something is missing, damaged or unknown."""
    try:
        if not (folder / "study.json").is_file():
            raise TraceError(f"{folder} is not a study folder: {_in_place_of_a_study(folder)}")
    except OSError as error:
        raise TraceError(f"{folder} cannot be read ({error.strerror}). {_EXPECTED}") from error
    plan = _versioned(folder / "study.json")
    recorded = _versioned(folder / "recording.json") if (folder / "recording.json").exists() else None
    records = {path.name: _record(path) for path in _case_folders(folder)}
    planned = plan.get("plan", {})
    return Study(
        folder=folder,
        recorded=recorded,
        plan=plan,
        records=records,
        cases=pd.DataFrame([_case_row(record) for record in records.values()], columns=list(CASE_COLUMNS)),
        windows=_windows(folder, records),
        served=_served(folder, records),
        traces=_traces(folder, records),
        skips=pd.DataFrame([_skip_row(skip) for skip in planned.get("skips", ())], columns=list(SKIP_COLUMNS)),
        pending=tuple(name for name in planned.get("cases", ()) if name not in records),
    )


def holding(folder: Path, name: str) -> list[str]:
    """The names of the folders in a folder that hold a file of that name; of what cannot be looked at none."""
    try:
        return sorted(path.parent.name for path in folder.glob(f"*/{name}"))
    except OSError:
        return []


def _in_place_of_a_study(folder: Path) -> str:
    """What is there in place of a study, and what to give."""
    if not folder.is_dir():
        return f"{'it is a file' if folder.exists() else 'there is no such folder'}. {_EXPECTED}"
    if (folder / "case.json").is_file():
        return f"it is one of its cases. Give {folder.resolve().parents[1]}, or take python -m analysis for the case."
    if (folder.resolve().parent / "study.json").is_file():
        return f"it is a part of one. Give {folder.resolve().parent}."
    if studies := holding(folder, "study.json"):
        every = f"or, where several are taken, {folder}/*"
        return f"it is a folder of {counted(len(studies), 'study')}. Give one, such as {folder / studies[0]}, {every}"
    found = "the report of a replay alone" if (folder / "report.html").is_file() else "no study.json"
    return f"it has {found}. {_EXPECTED}"


def _skip_row(skip: Record) -> dict[str, Any]:
    split = str(skip.get("layout", "")).removeprefix(f"tp{skip['tp']}")
    return {**ASKED_LATER, **skip, "split": split}


def _case_folders(folder: Path) -> list[Path]:
    cases = folder / "cases"
    if not cases.is_dir():
        return []
    return sorted(path for path in cases.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read_json(path: Path) -> Record:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TraceError(f"{path} is missing: half a folder. Copy it whole, or run the case again.") from None
    except (ValueError, OSError) as error:
        raise TraceError(f"{path} cannot be read as JSON ({error}). Copy it again, or run the case again.") from error
    if not isinstance(content, dict):
        raise TraceError(f"{path} holds a {type(content).__name__}; expected a JSON object.")
    return content


def _versioned(path: Path) -> Record:
    content = _read_json(path)
    if content.get("format") not in FORMATS:
        raise TraceError(
            f"{path} has format version {content.get('format')!r}; this version reads {', '.join(FORMATS)}. "
            "Use the version of the analysis that goes with the folder."
        )
    return content


def _record(folder: Path) -> Record:
    path = folder / "case.json"
    record = _versioned(path)
    _require(path, record, RECORD_KEYS, "the record")
    _require(path, record["asked"], ASKED_KEYS, "'asked'")
    if record["name"] != folder.name:
        raise TraceError(f"{path} describes {record['name']!r}; expected {folder.name!r}. Rename the folder back.")
    if record["outcome"] not in OUTCOMES:
        raise TraceError(f"{path} has outcome {record['outcome']!r}; expected one of {', '.join(OUTCOMES)}.")
    return record


def _require(path: Path, content: Record, keys: tuple[str, ...], what: str) -> None:
    missing = [key for key in keys if key not in content]
    if missing:
        raise TraceError(f"{path}: {what} lacks {', '.join(missing)}; expected {', '.join(keys)}. Run the case again.")


def _asked(record: Record, keys: tuple[str, ...]) -> dict[str, Any]:
    """What a case asked for, with what older records leave unsaid."""
    asked = {**ASKED_LATER, **record["asked"], "split": _split(record["asked"])}
    return {key: asked.get(key) for key in keys}


def _split(asked: Record) -> str:
    """What a layout has beyond TP, as its name says it: "" for TP alone, "pp2", "dp2", "dpa2"."""
    stages, replicas = asked.get("pp", 1), asked.get("dp", 1)
    attention = "a" if asked.get("dp_attention") else ""
    return (f"pp{stages}" if stages > 1 else "") + (f"dp{attention}{replicas}" if replicas > 1 else "")


def _case_row(record: Record) -> dict[str, Any]:
    host, resolved = record["host"], record.get("resolved") or {}
    row = _asked(record, (*ASKED_KEYS, *ASKED_LATER)) | {
        "case": record["name"],
        "outcome": record["outcome"],
        "reason": record.get("reason"),
        "made_by": record.get("made_by"),
        "host_label": host.get("label"),
        "engine_version": host.get("engine_version") or resolved.get("engine_version"),
        "started_utc": record.get("started_utc"),
        "resolved_graphs": resolved.get("graphs"),
        **{fact: resolved.get(fact) for fact in RESOLVED_FACTS},
        **_gpu_state(record.get("gpu_state") or ()),
    }
    return row | {key: host.get(key) for key in ("driver", "cuda", "nsys", "torch", "nccl", "cpu", "governor")}


def _gpu_state(gpus: Sequence[Record]) -> dict[str, float | None]:
    """The lowest power limit (W), and the largest share of a GPU's samples in which anything slowed it."""
    limits = [gpu["power_limit_w"]["low"] for gpu in gpus if "power_limit_w" in gpu]
    slowed = [max(gpu["slowed_ratio"].values(), default=0.0) for gpu in gpus if gpu["samples_count"]]
    return {"power_limit_w": min(limits, default=None), "slowed_ratio": max(slowed, default=None)}


def _windows(folder: Path, records: Mapping[str, Record]) -> pd.DataFrame:
    frames = []
    for name, record in _timed(records, serving=False):
        samples = _samples(_case_file(folder / "cases" / name, record["files"].get("samples"), "samples"))
        asked = _asked(record, ("engine", "model", "tp", "graphs", *VARIANT, "repeat"))
        frames.append(samples.assign(case=name, **asked)[list(WINDOW_COLUMNS)])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(WINDOW_COLUMNS))


def _served(folder: Path, records: Mapping[str, Record]) -> pd.DataFrame:
    rows = [
        {
            "case": name,
            **_asked(record, ("engine", "model", "tp", "graphs", *VARIANT, "repeat")),
            "path": _case_file(folder / "cases" / name, record["files"].get("requests"), "requests"),
        }
        for name, record in _timed(records, serving=True)
    ]
    return pd.DataFrame(rows, columns=list(SERVED_COLUMNS))


def _timed(records: Mapping[str, Record], *, serving: bool) -> list[tuple[str, Record]]:
    """The untraced cases that succeeded, of one workload."""
    ok = [(name, record) for name, record in records.items() if record["outcome"] == "ok"]
    untraced = [(name, record) for name, record in ok if record["asked"]["tracing"] == "off"]
    return [(name, record) for name, record in untraced if bool(record["asked"].get("serving")) == serving]


def _samples(path: Path) -> pd.DataFrame:
    try:
        samples = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise TraceError(f"{path} cannot be read as a table ({error}). Run the case again.") from error
    _require(path, dict.fromkeys(samples.columns), SAMPLE_COLUMNS, "the table")
    times_ms = pd.to_numeric(samples["tpot_ms"], errors="coerce")
    if samples.empty or not (times_ms > 0).all():
        raise TraceError(f"{path} lacks a usable tpot_ms; expected a time above 0 in every row. Run the case again.")
    return samples.assign(tpot_ms=times_ms)


def _traces(folder: Path, records: Mapping[str, Record]) -> pd.DataFrame:
    rows = []
    for name, record in records.items():
        asked, traces = record["asked"], record["files"].get("traces") or ()
        if record["outcome"] == "failed":
            continue
        if record["outcome"] == "ok" and asked["tracing"] != "off" and not traces:
            _case_file(folder / "cases" / name, None, "traces")
        for trace in traces:
            path = _case_file(folder / "cases" / name, left_out.file_of(trace), "traces")
            about = _asked(record, ("engine", "model", "tp", "graphs", *VARIANT, "tracing"))
            rows.append(
                {"case": name, **about, "batch": trace["batch"], "path": path, "left_out": left_out.is_account(path)}
            )
    return pd.DataFrame(rows, columns=list(TRACE_COLUMNS)).astype({"left_out": bool})


def _case_file(folder: Path, name: str | None, what: str) -> Path:
    if name is None:
        raise TraceError(f"{folder / 'case.json'} names no {what} for a case that succeeded. Run the case again.")
    if Path(name).name != name:
        raise TraceError(f"{folder / 'case.json'} names the file {name!r}; expected a file name without folders.")
    # A recording packs a trace after its record was written.
    for path in (folder / name, folder / f"{name}.xz"):
        if path.is_file():
            return path
    raise TraceError(f"{folder / name} is missing, though case.json names it. Copy the folder whole, or run it again.")
