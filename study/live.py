"""Whether this host can run a study live, with what, and what each record says of the host."""

import os
import platform
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launch import host, install, nsys
from launch.engines import ENGINES
from study.commands import Tools, traced
from study.errors import StudyError
from study.spec import Case, Spec


def tools(spec: Spec, nsys_path: Path | None) -> Tools:
    """The programs a study runs with, whether they are there or not."""
    pythons = {engine: _python(spec, engine) for engine in spec.engines}
    found = {engine: _versions(engine, python) for engine, python in pythons.items()}
    return Tools(
        pythons=pythons,
        versions={engine: versions[_package(engine)] for engine, versions in found.items() if versions},
        nsys=str(nsys_path or install.nsys_path() or "nsys"),
        timeout_s=spec.timeout_s,
    )


def missing(spec: Spec, tools: Tools) -> tuple[str, ...]:
    """What a live run lacks here, each with how to get it; empty when nothing does."""
    found = []
    if not host.gpus():
        found.append("no NVIDIA GPU (nvidia-smi lists none, or CUDA_VISIBLE_DEVICES hides them): use a GPU host")
    if set(spec.tracing) - {"off"} and nsys.version(tools.nsys) is None:
        found.append(f"no nsys ({tools.nsys} does not run): {typed()} -m launch.install nsys")
    for engine, python in tools.pythons.items():
        if _versions(engine, python) is None:
            get = f"{typed()} -m launch.install {engine}, then --{engine}-python PATH"
            found.append(f"no {engine} in {typed(python)}: {get}")
    return tuple(found)


def typed(python: str = sys.executable) -> str:
    """An interpreter, or the running one, as a reader types it: from the current folder where it lies below that."""
    here = f"{Path.cwd()}{os.sep}"
    return shlex.quote(python.removeprefix(here))


def check_checkpoint(spec: Spec) -> None:
    """Raise StudyError where the checkpoint that a study names is not one on this host."""
    if problem := _checkpoint_problem(spec):
        raise StudyError(problem)


def absent(spec: Spec, nsys_path: Path | None) -> tuple[str, ...]:
    """What a study names of this host that is not there: weights, interpreters, nsys; each with what was expected."""
    found = [problem] if (problem := _checkpoint_problem(spec)) else []
    for engine, python in spec.python:
        if shutil.which(str(python)) is None:
            get = f"{typed()} -m launch.install {engine} makes one"
            found.append(f"--{engine}-python {python} is no program; expected the python of an environment: {get}")
    if nsys_path and shutil.which(str(nsys_path)) is None:
        found.append(f"--nsys {nsys_path} is no program; expected nsys: {typed()} -m launch.install nsys gets one")
    return tuple(found)


def _checkpoint_problem(spec: Spec) -> str | None:
    if spec.checkpoint and not (spec.checkpoint / "config.json").is_file():
        return f"--checkpoint {spec.checkpoint} holds no config.json; expected a folder of a model's weights"
    return None


def facts(case: Case, resolved: Mapping[str, Any], *, tools: Tools) -> dict[str, Any]:
    """The host as a case's record describes it; nothing in it names the machine or its user."""
    gpus = host.gpus()
    versions = _versions(case.engine, tools.pythons[case.engine]) or {}
    name = gpus[0].name if gpus else "no GPU"
    return {
        "label": f"{len(gpus)}x {name}",
        "gpu_name": name,
        "gpu_count": len(gpus),
        "driver": gpus[0].driver if gpus else None,
        "cuda": resolved.get("cuda"),
        "nsys": nsys.version(tools.nsys) if traced(case) else None,
        "python": versions.get("python"),
        "torch": resolved.get("torch") or versions.get("torch"),
        "engine_version": resolved.get("engine_version") or versions.get(_package(case.engine)),
        "nccl": resolved.get("nccl") or _nccl(host.packages(tools.pythons[case.engine])),
        "gpu_uuids": list(host.uuids()),
        "links": [list(row) for row in host.links()],
        "cpu": host.cpu_model(),
        "governor": host.governor(),
        "cpu_count": os.cpu_count(),
        "platform": f"{platform.system()} {platform.machine()}",
        "harness_commit": host.commit(Path(__file__).resolve().parents[1]),
    }


def packages(case: Case, *, tools: Tools) -> dict[str, str]:
    """What is installed beside the case's engine, by name."""
    return host.packages(tools.pythons[case.engine])


def _versions(engine: str, python: str) -> dict[str, str] | None:
    return host.engine_versions(python, _package(engine))


def _package(engine: str) -> str:
    return str(ENGINES[engine].PACKAGE)


def _nccl(packages: Mapping[str, str]) -> str | None:
    return next((version for name, version in packages.items() if name.startswith("nvidia-nccl")), None)


def _python(spec: Spec, engine: str) -> str:
    named = spec.python_of(engine)
    usual = Path(f".venv-{engine}/bin/python")
    return str(named or (usual if usual.exists() else sys.executable))
