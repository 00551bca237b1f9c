"""What every test may ask for: the tracked files of the project, a real nsys, and what the recordings come to.

The latter takes long, and so is made once, also where tests run in two workers at a time; whoever asks for it leaves it
as it is. A test with a limit on time is marked `alone`: no test of the other worker runs meanwhile.
"""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import subprocess
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from launch import install
from tests import sweeps

if TYPE_CHECKING:
    from analysis.gathered import Gathered
    from analysis.pairs import Pair

ROOT = Path(__file__).resolve().parents[1]
# How long the replay takes is told by a test; whichever asks for it first makes it. A real nsys has once not found its
# own processes ("Local Endpoint is not available") while both workers were busy.
ALONE = frozenset({"replayed", "real_nsys"})
GENERATED = ("__pycache__", "out", ".egg-info")
Made = TypeVar("Made")


def pytest_collection_finish() -> None:
    """Modules and thousands of collected tests stay: to look through them again and again took a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tests of two workers run side by side, with all that they set up, but for those that must be alone."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    alone = item.get_closest_marker("alone") or not ALONE.isdisjoint(getattr(item, "fixturenames", ()))
    # Any file that all workers have will do; some file systems lock none exclusively that is open for reading only.
    with Path(__file__).open("rb+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        return (yield)


def once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[], Made]) -> Made:
    """What `make` returns, made by the worker that asks first and read by the others."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make()
    file = tmp_path_factory.getbasetemp().parent / name
    with file.open("ab+") as shared:
        fcntl.flock(shared, fcntl.LOCK_EX)
        if not file.stat().st_size:
            shared.write(pickle.dumps(make()))
        shared.seek(0)
        made: Made = pickle.load(shared)
        return made


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
    return once(tmp_path_factory, "replayed", lambda: sweeps.replay(tmp_path_factory.mktemp("replayed")))


@pytest.fixture(scope="session")
def shipped() -> tuple[Path, ...]:
    """The recordings."""
    return tuple(sorted(path.parent for path in (ROOT / "data" / "recordings").glob("*/recording.json")))


@pytest.fixture(scope="module")
def one_processor() -> Generator[None, None, None]:
    """Small traces are read sooner than a second process starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="session")
def gathered(shipped: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    """All recordings, as a report has them."""
    from analysis.gathered import gather

    return once(tmp_path_factory, "gathered", lambda: gather(shipped))


@pytest.fixture(scope="session")
def pairs_of(shipped: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Pair]]:
    """The pairs of the recordings named, `pairs_of("h200x4-2026-11-21")`, or of all: `pairs_of()`."""
    from analysis.pairs import recorded

    def of(name: str) -> list[Pair]:
        return once(tmp_path_factory, f"pairs-{name}", lambda: recorded(ROOT / "data" / "recordings" / name)[0])

    of_one = cache(of)
    return lambda *names: [pair for name in names or [folder.name for folder in shipped] for pair in of_one(name)]
