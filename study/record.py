"""Where everything of a study lies, and how a case becomes a folder: whole or not at all."""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.spec import Case, defaults

# Dates of the formats of records: since 2026-11-22 a trace may have an account in place of its file.
FORMAT = "2026-11-22"
RECORD = "case.json"
STUDY = "study.json"
RECORDING = "recording.json"

# Keys that say where and how a study runs, not what it measures: it can be resumed on a host with more GPUs.
MAY_CHANGE = {"out", "python", "timeout_s", "parallel_starts", "measure_together", "gpu", "gpu_count"}

# Keys of which a study may ask for more than its folder holds: no case that is there means another thing by it.
MAY_GROW = {
    "engines", "models", "tp", "layouts", "places", "graphs", "compile", "settings", "tracing", "repeats",
    "traced_repeats",
}  # fmt: skip

# Only what changes how a case runs; a whole environment holds names, paths and secrets.
ENVIRONMENT_KEPT = (
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_DEVICE_MAX_CONNECTIONS",
    "HF_HUB_OFFLINE",
    "NCCL_ALGO",
    "NCCL_CUMEM_ENABLE",
    "NCCL_DEBUG",
    "NCCL_NVLS_ENABLE",
    "NCCL_P2P_DISABLE",
    "NCCL_PROTO",
    "NCCL_SHM_DISABLE",
    "OMP_NUM_THREADS",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TORCH_SYMM_MEM_DISABLE_MULTICAST",
    "VLLM_ALLREDUCE_USE_FLASHINFER",
    "VLLM_ALLREDUCE_USE_SYMM_MEM",
    "VLLM_NO_USAGE_STATS",
    "VLLM_USE_FLASHINFER_SAMPLER",
    "VLLM_USE_V2_MODEL_RUNNER",
    "VLLM_WORKER_MULTIPROC_METHOD",
)


class StudyFolder:
    """The one owner of every path below a study's output folder."""

    def __init__(self, root: Path) -> None:
        """Name the folder; nothing is written yet."""
        self.root = root
        self.cases = root / "cases"
        self.report = root / "report"
        self._held: int | None = None

    def case(self, case: Case) -> Path:
        """Where a finished case lies."""
        return self.cases / case.name

    def partial(self, case: Case) -> Path:
        """Where a case is being made; a dot folder, which readers ignore."""
        return self.cases / f".{case.name}.partial"

    def outcome(self, case: Case) -> str | None:
        """`ok`, `failed` or `invalid` of a finished case; None where there is none."""
        record = self.case(case) / RECORD
        return str(_value(record, "outcome")) if record.exists() else None

    def expect_same(self, spec: Mapping[str, Any]) -> None:
        """Raise StudyError where the folder holds another study than this, or more of it than is asked for now."""
        path = self.root / STUDY
        if path.exists():
            _same_study(_value(path, "spec"), json.loads(json.dumps(spec)), self.root)

    def open(self, spec: Mapping[str, Any], details: Mapping[str, Any]) -> None:
        """Write study.json, or check that the one there describes the same study.

        Raises StudyError when the folder holds another study: its cases could not be told apart.
        """
        path = self.root / STUDY
        self.expect_same(spec)
        found = read_json(path) if path.exists() else {}
        earlier = [*found.get("earlier_argv", []), *([found["argv"]] if "argv" in found else [])]
        self.cases.mkdir(parents=True, exist_ok=True)
        self._lock()
        # What is measured from now on is live, also where the finished cases came from a recording.
        (self.root / RECORDING).unlink(missing_ok=True)
        write_json(path, {"format": FORMAT, "spec": spec, "earlier_argv": earlier, **details})

    def _lock(self) -> None:
        self.close()
        held = os.open(self.root / ".lock", os.O_CREAT | os.O_WRONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(held)
            raise StudyError(f"another sweep is running in {self.root}; wait for it, or use another --out") from error
        self._held = held

    def close(self) -> None:
        """Let another sweep use the folder."""
        if self._held is not None:
            os.close(self._held)
        self._held = None

    def begin(self, case: Case) -> Path:
        """A new empty folder for a case in the making."""
        partial = self.partial(case)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        return partial

    def finish(self, case: Case, record: Mapping[str, Any]) -> Path:
        """Write the record last and move the whole folder into place, over an earlier failure if there is one."""
        partial, final = self.partial(case), self.case(case)
        write_json(partial / RECORD, {"format": FORMAT, "name": case.name, **record})
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        return final

    def discard(self, case: Case) -> None:
        """Remove what an interrupted case left."""
        shutil.rmtree(self.partial(case), ignore_errors=True)


def asked(case: Case) -> dict[str, Any]:
    """What a case asks for, as it stands in the record."""
    return asdict(case)


def kept_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The allow-listed variables that are set."""
    return {name: environment[name] for name in ENVIRONMENT_KEPT if name in environment}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; StudyError names the file when it is not one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read ({error}); expected a JSON record: remove its folder") from error
    if not isinstance(found, dict):
        raise StudyError(f"{path} holds {type(found).__name__}; expected a JSON object: remove its folder")
    return found


def _value(path: Path, key: str) -> Any:
    found = read_json(path)
    if key not in found:
        raise StudyError(f"{path} has no {key!r}; expected a record of a study: remove its folder")
    return found[key]


def write_json(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write a file so that it is either the old one or the whole new one."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _same_study(found: Mapping[str, Any], wanted: Mapping[str, Any], root: Path) -> None:
    found = {**defaults(), **found}
    different = [
        key
        for key in wanted
        if key not in MAY_CHANGE and found.get(key) != wanted[key] and not _grown(key, found.get(key), wanted[key])
    ]
    if different:
        shown = "; ".join(f"{key}: {found.get(key)!r} there, {wanted[key]!r} now" for key in different)
        raise StudyError(f"{root} holds another study ({shown}). Use another --out, or the same settings to resume it")


def _grown(key: str, found: Any, wanted: Any) -> bool:
    if key not in MAY_GROW:
        return False
    if isinstance(found, list) and isinstance(wanted, list):
        return set(found) <= set(wanted)
    return isinstance(found, int) and isinstance(wanted, int) and found <= wanted
