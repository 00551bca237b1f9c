"""What every test may ask for: the tracked files of the project, and a real nsys."""

import os
import subprocess
from pathlib import Path

import pytest

from launch import install

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("__pycache__", "out", ".egg-info")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tracked() -> tuple[Path, ...]:
    """The project's own files, relative to its root: what git tracks, or all there is where this is no checkout."""
    listing = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    try:
        names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        files = [Path(name) for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        visible = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
        files = [path.relative_to(ROOT) for top in visible for path in (top, *top.rglob("*"))]
        files = [path for path in files if not any(part.endswith(GENERATED) for part in path.parts)]
    return tuple(file for file in files if (ROOT / file).is_file())


@pytest.fixture(scope="session")
def real_nsys() -> Path:
    """A real nsys; where one is promised (in CI, after a successful install) its absence is a failure, not a skip."""
    found = install.nsys_path()
    if found is None:
        absent = "no nsys on this machine: python -m launch.install nsys gets one, or says how"
        if os.environ.get("CI") == "true" or os.environ.get("NSYS_EXPECTED"):
            pytest.fail(absent)
        pytest.skip(absent)
    return found
