"""The sweep as users start it, with stand-ins for GPUs, nsys and engines: `run(command(out, "--dry-run"))`."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STANDIN = ROOT / "tests" / "standin"
SMALL = ["--tp", "1", "--engines", "vllm", "--windows", "2", "--output-tokens", "16", "--prompt-tokens", "8"]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """How the sweep ended where there is no GPU, how long it took, and the page that it made."""

    done: subprocess.CompletedProcess[str]
    seconds: float
    page: Path


def replay(out: Path) -> Replayed:
    """Ask for a small study where there is no GPU to run it."""
    began = time.monotonic()
    done = run(command(out, *SMALL), STANDIN_GPUS="0")
    return Replayed(done=done, seconds=time.monotonic() - began, page=out / "report.html")


def environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STANDIN", "NSYS"))}
    path = f"{STANDIN}{os.pathsep}{kept['PATH']}"
    # Reports are looked at in English, whatever the language of whoever runs the tests.
    known = {"PATH": path, "PYTHONPATH": f"{STANDIN / 'engines'}{os.pathsep}{ROOT}", "LC_ALL": "C.UTF-8"}
    return {**kept, **known, **extra}


def command(out: Path, *flags: str) -> list[str]:
    python = f"--vllm-python={sys.executable}", f"--sglang-python={sys.executable}"
    return [sys.executable, "-m", "study.sweep", "--out", str(out), f"--nsys={STANDIN / 'nsys'}", *python, *flags]


def run(argv: list[str], **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env=environment(**extra), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
