"""What every test may ask for: the tracked files of the project, a real nsys, and what the recordings come to.

The latter takes long, and so is made once; whoever asks for it leaves it as it is.
"""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from launch import install
from tests import sweeps

if TYPE_CHECKING:
    from analysis.gathered import Gathered
    from analysis.pairs import Pair

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("__pycache__", "out", ".egg-info")


def pytest_collection_finish() -> None:
    """Modules and thousands of collected tests stay: to look through them again and again took a tenth of the time."""
    gc.collect()
    gc.freeze()


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


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> sweeps.Replayed:
    """Everything that ships, replayed by the command that a reader types first."""
    return sweeps.replay(tmp_path_factory.mktemp("replayed"))


@pytest.fixture(scope="session")
def shipped() -> tuple[Path, ...]:
    """The recordings."""
    return tuple(sorted(path.parent for path in (ROOT / "data" / "recordings").glob("*/recording.json")))


@pytest.fixture(scope="session")
def gathered(shipped: tuple[Path, ...]) -> Gathered:
    """All recordings, as a report has them."""
    from analysis.gathered import gather

    return gather(shipped)


@pytest.fixture(scope="session")
def pairs_of(shipped: tuple[Path, ...]) -> Callable[..., list[Pair]]:
    """The pairs of the recordings named, `pairs_of("h200x4-2026-11-21")`, or of all: `pairs_of()`."""
    from analysis.pairs import recorded

    of_one = cache(lambda name: recorded(ROOT / "data" / "recordings" / name)[0])
    return lambda *names: [pair for name in names or [folder.name for folder in shipped] for pair in of_one(name)]
