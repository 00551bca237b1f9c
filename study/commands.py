"""The exact command lines of a case: pure functions, shown by a dry run and recorded as they were run."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch import nsys
from launch.engines import ENGINES
from study import lengths
from study.models import Model, config_path
from study.spec import SERVED, Case, Serving

DRIVERS = Path("launch/drivers")
REQUESTS = "requests.jsonl"


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What a study runs with: an interpreter and a version an engine, nsys, how long silence may last (seconds)."""

    pythons: Mapping[str, str]
    nsys: str
    timeout_s: float
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command line with the variables set for it."""

    argv: tuple[str, ...]
    env: Mapping[str, str]

    def shell(self) -> str:
        """The command as a line to paste."""
        return shlex.join(["env", *(f"{name}={value}" for name, value in self.env.items()), *self.argv])


def run(case: Case, *, tools: Tools, model: Model, folder: Path, gpus: Sequence[int], go: Path | None) -> Command:
    """The command that runs a case in `folder` on the GPUs named; `go` holds the measurement back until it exists."""
    checkpoint = case.checkpoint or os.path.relpath(config_path(case.model).parent)
    engine = ENGINES[case.engine]
    version = tools.versions.get(case.engine, engine.VERSIONS.newest)
    options = engine.options(case, checkpoint, version)
    driver = [
        tools.pythons[case.engine],
        os.path.relpath(Path(__file__).parents[1] / DRIVERS / ("serve.py" if case.serving else "decode.py")),
        *("--engine", case.engine),
        *("--engine-args", json.dumps(options, separators=(",", ":"))),
        *(_served(case, case.serving, folder) if case.serving else _decoded(case)),
        *("--traced-steps", str(case.traced_steps if traced(case) else 0)),
        *("--vocabulary", str(model.vocab)),
        *("--seed", str(case.seed)),
        *("--events", str(folder / "events.jsonl")),
        *(("--go", str(go)) if go else ()),
    ]
    env = {**engine.environment(case, version), "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
    if not traced(case):
        return Command(argv=tuple(driver), env=env)
    windows = len(_windows(case))
    wrapped = nsys.profile(driver, nsys=tools.nsys, output=folder / "trace", tracing=case.tracing, windows=windows)
    return Command(argv=tuple(wrapped), env=env)


def _decoded(case: Case) -> list[str]:
    return [
        *("--batches", ",".join(map(str, case.batches))),
        *("--prompt-tokens", str(case.prompt_tokens)),
        *("--output-tokens", str(case.output_tokens)),
        *("--windows", str(0 if traced(case) else case.windows)),
    ]


def _served(case: Case, serving: Serving, folder: Path) -> list[str]:
    return [
        *("--loads", json.dumps(serving.loads(measured=not traced(case)))),
        *("--lengths", os.path.relpath(lengths.find(serving.lengths))),
        *("--warmup-requests", str(serving.warmup_requests)),
        *("--requests", str(folder / REQUESTS)),
    ]


def _windows(case: Case) -> tuple[int, ...]:
    """The batch size of each capture window."""
    return (SERVED,) if case.serving else case.batches


def exports(case: Case, *, tools: Tools, folder: Path) -> tuple[tuple[int, Path, list[str]], ...]:
    """For each window of a traced case: its batch, the SQLite file, and the command that makes it."""
    if not traced(case):
        return ()
    windows = _windows(case)
    found = zip(windows, nsys.reports(folder / "trace", len(windows)), strict=True)
    files = [(batch, folder / f"trace_b{batch}.sqlite", report) for batch, report in found]
    return tuple((batch, sqlite, nsys.export(report, sqlite, nsys=tools.nsys)) for batch, sqlite, report in files)


def traced(case: Case) -> bool:
    """Whether nsys is attached."""
    return case.tracing != "off"
