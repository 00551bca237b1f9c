"""Two workers run tests side by side, one marked `alone` has no other beside it, and what both need is made once."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Of six tests either worker gets three: both meet in their first, then follows one that must be alone.
TESTS = """
import time
from pathlib import Path

import pytest
from conftest import once

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    def make():
        with (HERE / "made").open("a") as file:
            file.write("once")
        return {"three": 3}

    return once(tmp_path_factory, "three", make)


def other_began(name, seconds):
    (HERE / f"running {name}").touch()
    until, others = time.monotonic() + seconds, set()
    while time.monotonic() < until and not (others and seconds > 1):
        others |= {path.name for path in HERE.glob("running *")} - {f"running {name}"}
        time.sleep(0.01)
    time.sleep(0.1)
    (HERE / f"running {name}").unlink()
    return others


def test_meets_the_second(made):
    assert other_began("first", 20) and made == {"three": 3}


@pytest.mark.alone
def test_is_alone():
    assert not other_began("alone", 0.3)


def test_may_be_beside():
    other_began("beside", 0.3)


def test_meets_the_first(made):
    assert other_began("second", 20) and made == {"three": 3}


@pytest.mark.alone
def test_is_alone_too():
    assert not other_began("alone too", 0.3)


def test_may_be_beside_too():
    other_began("beside too", 0.3)
"""


def test_only_what_is_marked_runs_alone_and_what_both_workers_need_is_made_once(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_turns.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    asked = re.search(r"pytest (-n .*) -m 'not gpu'", (root / "Makefile").read_text())
    assert asked
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *asked[1].split()], cwd=tmp_path, env={**kept, "PYTHONPATH": str(root)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "made").read_text() == "once"
