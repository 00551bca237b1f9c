"""The scripts of launch/: each is one sweep, whose plan a dry run shows."""

import subprocess
import sys
from pathlib import Path

import pytest

HOSTS = ("rtx4090", "a800", "h200")
FIRST = ["--dry-run", "--gpu-count", "8", "--repeats", "1", "--tracing", "off"]


def ran(root: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / "launch" / script), *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_script_is_tested_here(root: Path) -> None:
    found = {path.name for path in (root / "launch").iterdir() if path.suffix in {".sh", ".sbatch"}}
    assert found == {*(f"{host}.sh" for host in HOSTS), "slurm.sbatch"}


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_s_script_plans_every_model_for_its_gpu(root: Path, tmp_path: Path, host: str) -> None:
    done = ran(root, f"{host}.sh", str(tmp_path / "out"), *FIRST)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Plan for 8 x {host} (NVIDIA")
    assert "112 combinations of engine, model, layout and switches" in done.stdout
    assert not (tmp_path / "out").exists()


def test_what_a_4090_cannot_hold_is_skipped_with_the_sum(root: Path, tmp_path: Path) -> None:
    done = ran(root, "rtx4090.sh", str(tmp_path), *FIRST, "--models", "qwen2-57b", "--tp", "4", "--graphs", "on")
    assert "weights do not fit: 26.7 GiB per GPU at tp4, rtx4090 has room for 20.7 GiB" in done.stdout


def test_the_cluster_s_script_runs_live_and_hands_its_flags_on(root: Path, tmp_path: Path) -> None:
    assert ran(root, "slurm.sbatch", str(tmp_path), "--tp", "x").stderr.startswith("error: --tp: found 'x'")
    assert "--live and --replay: found both" in ran(root, "slurm.sbatch", str(tmp_path), "--replay").stderr


@pytest.mark.parametrize("script", [*(f"{host}.sh" for host in HOSTS), "slurm.sbatch"])
def test_a_script_without_its_folder_says_how_it_is_called(root: Path, script: str) -> None:
    for given, found in (([], ""), (["--dry-run"], "; found --dry-run for the folder")):
        done = ran(root, script, *given)
        assert done.returncode == 1
        assert f"launch/{script} OUTPUT_FOLDER [MORE FLAGS OF study.sweep]{found}\n" in done.stderr
