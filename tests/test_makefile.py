"""The set-up behind make sweep and make test: one line where it cannot be, and no step that is done already."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Stands in for the environment's interpreter: notes what it is asked to do.
NOTING = """#!/bin/sh
for word in "$@"; do printf '%s|' "$word" >> calls; done
echo >> calls
"""
# Answers as a Python 3.9 would.
OLD = f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 18); $2"
exit 1
"""


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def ready(checkout: Path) -> Path:
    """A checkout whose set-up holds."""
    _script(checkout / ".venv" / "bin" / "python", NOTING)
    for stamp in (".installed", ".installed-dev"):
        (checkout / ".venv" / stamp).touch()
    return checkout


def test_an_old_python_is_refused_in_one_line_and_leaves_nothing(checkout: Path) -> None:
    old = _script(checkout / "old-python", OLD)
    done = _make(checkout, "sweep", f"PYTHON={old}")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith(f"No Python 3.10 or newer among: {old}.")
    assert not (checkout / ".venv").exists()


def test_a_python_without_ensurepip_is_told_which_package_is_missing(checkout: Path) -> None:
    (checkout / "bare").mkdir()
    (checkout / "bare" / "ensurepip.py").write_text("raise ModuleNotFoundError('ensurepip')\n")
    bare = _script(checkout / "bare-python", f'#!/bin/sh\nPYTHONPATH=bare exec {sys.executable} "$@"\n')
    done = _make(checkout, "test", f"PYTHON={bare}")
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr.splitlines()[0]
    assert not (checkout / ".venv").exists()


def test_a_set_up_that_holds_is_not_made_again(ready: Path) -> None:
    assert _make(ready, "sweep", "ARGS=--out 'a b' --dry-run").returncode == 0
    assert _calls(ready) == ["-m|study.sweep|--out|a b|--dry-run|"]


def test_the_tests_are_lint_types_nsys_and_pytest(ready: Path) -> None:
    assert _make(ready, "test", "ARGS=-k extract").returncode == 0
    assert _calls(ready) == [
        "-m|ruff|check|.|",
        "-m|mypy|--strict|",
        "-m|launch.install|nsys|",
        "-m|pytest|-n|2|--dist|worksteal|-m|not gpu|-k|extract|",
    ]


def test_a_changed_pyproject_is_installed_again(ready: Path) -> None:
    os.utime(ready / ".venv" / ".installed", (0, 0))
    assert _make(ready, "sweep").returncode == 0
    assert "-m|pip|install|-qq|--editable|.|" in _calls(ready)
    assert _calls(ready)[-1] == "-m|study.sweep|"
    assert (ready / ".venv" / ".installed").stat().st_mtime > 0


def test_an_environment_whose_interpreter_is_gone_is_made_again(ready: Path) -> None:
    (ready / ".venv" / "bin" / "python").unlink()
    old = _script(ready / "old-python", OLD)
    assert "No Python 3.10" in _make(ready, "sweep", f"PYTHON={old}").stderr


def test_pip_settings_that_send_packages_elsewhere_do_not_reach_it(ready: Path) -> None:
    _script(ready / ".venv" / "bin" / "python", "#!/bin/sh\nenv | grep ^PIP_ > settings\n")
    assert _make(ready, "sweep", PIP_USER="1", PIP_TARGET="elsewhere", PIP_INDEX_URL="kept").returncode == 0
    settings = (ready / "settings").read_text().splitlines()
    assert {"PIP_USER=0", "PIP_INDEX_URL=kept"} <= set(settings)
    assert not any(line.startswith("PIP_TARGET") for line in settings)


def _make(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # This very test may run below make, whose variables would otherwise decide here too.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    env = {key: value for key, value in inherited.items() if key not in {"PYTHON", "ARGS", "MFLAGS"}} | variables
    return subprocess.run(["make", *words], cwd=folder, env=env, capture_output=True, text=True, check=False)


def _calls(folder: Path) -> list[str]:
    """What the stand-in was asked to do, less the probe that it starts at all."""
    return [line for line in (folder / "calls").read_text().splitlines() if line != "-c||"]


def _script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
