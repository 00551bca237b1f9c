"""python -m launch.install: environments for the engines, and a command-line nsys; finds the nsys that there is."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from launch import nsys, packages
from study.command_line import Parser, refused
from study.errors import StudyError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENGINES = ("vllm", "sglang", "hf")
ENGINE_GB = 25  # an engine with its torch is 10 GB, and pip holds the downloads beside it
NSYS_GB = 2
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
NSIGHT = ("nsight-systems/*/bin/nsys", "nsight-compute/*/host/target-linux-*/nsys")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 with the reason on stderr, or 130 if interrupted."""
    args = parser().parse_args(argv)
    try:
        if args.target == "nsys":
            print(_install_nsys(args.dir or nsys_folder(), dry_run=args.dry_run))
        else:
            print(_install_engine(args.target, args.dir or Path(f".venv-{args.target}"), dry_run=args.dry_run))
    except (StudyError, OSError) as error:
        return refused(error)
    except KeyboardInterrupt:
        print("interrupted: the same command begins again", file=sys.stderr)
        return 130
    return 0


def parser() -> Parser:
    """The command line's parser."""
    made = Parser(prog="python -m launch.install", description=__doc__)
    told = f"nsys, or an engine: {', '.join(ENGINES)}"
    made.add_argument("target", choices=("nsys", *ENGINES), metavar="TARGET", help=told)
    made.add_argument("--dir", type=Path, help="where to put it (nsys: in this environment; an engine: .venv-ENGINE)")
    made.add_argument("--dry-run", action="store_true", help="print the commands and run none")
    return made


def nsys_folder() -> Path:
    """Where this command puts nsys unless told otherwise: inside the environment that it runs in."""
    return Path(sys.prefix) / "nsys"


def nsys_path() -> Path | None:
    """The nsys to use: $NSYS, the one on PATH, the one installed here, one of NVIDIA's own folders; or None.

    Raises StudyError when $NSYS names no executable.
    """
    named = os.environ.get("NSYS")
    if named:
        found = shutil.which(named)
        if found is None:
            raise StudyError(f"NSYS={named} is no executable: give the path of an nsys, or unset NSYS")
        return Path(found)
    on_path = shutil.which("nsys")
    installed = nsys_folder() / "bin" / "nsys"
    if on_path is not None or installed.exists():
        return Path(on_path or installed)
    return find_nsight(Path("/opt/nvidia"))


def find_nsight(root: Path) -> Path | None:
    """The newest nsys of an Nsight Systems under `root`, or else of an Nsight Compute, which brings its own."""
    for pattern in NSIGHT:
        if found := sorted(root.glob(pattern), key=lambda path: _numbers(path.relative_to(root).parts[1])):
            return found[-1]
    return None


def requirements(engine: str, pyproject: Path = PYPROJECT) -> tuple[str, ...]:
    """What an engine's environment holds: the extra of that name. Raises StudyError where pyproject lacks it."""
    try:
        extras = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        return tuple(extras[engine])
    except FileNotFoundError:
        raise StudyError(f"{pyproject} is missing, which lists the versions of {engine}: run from a checkout") from None
    except KeyError:
        raise StudyError(f"{pyproject} has no extra '{engine}': expected one of {', '.join(ENGINES)}") from None


def engine_commands(engine: str, folder: Path, wanted: Sequence[str]) -> tuple[list[str], ...]:
    """The commands that make an engine's environment; the project itself stays out of it."""
    python = str(engine_python(folder))
    return (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--no-user", "--upgrade", "pip"],
        [python, "-m", "pip", "install", "--no-user", *wanted],
    )


def engine_python(folder: Path) -> Path:
    """The interpreter of an engine's environment, absolute, its own link not followed."""
    return Path.cwd() / folder / "bin" / "python"


def check_space(folder: Path, needed_gb: float) -> None:
    """Raise StudyError where the file system of `folder` (which need not exist) has less than `needed_gb` free."""
    existing = next(part for part in (folder.absolute(), *folder.absolute().parents) if part.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if free_gb < needed_gb:
        raise StudyError(f"{existing} has {free_gb:.1f} GB free, {needed_gb:g} GB are needed: free some, or give --dir")


def _install_engine(engine: str, folder: Path, *, dry_run: bool) -> str:
    commands = engine_commands(engine, folder, requirements(engine))
    if dry_run:
        return "\n".join(shlex.join(command) for command in commands)
    if importlib.util.find_spec("ensurepip") is None:
        raise StudyError(f"{sys.executable} has no pip for new environments: install its venv package (python3-venv)")
    check_space(folder, ENGINE_GB)
    for command in commands:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
        if code != 0:
            raise StudyError(f"{engine}: '{shlex.join(command)}' failed with exit code {code}; its own lines say why")
    return f"{engine} is ready: --{engine}-python {engine_python(folder)}"


def _install_nsys(folder: Path, *, dry_run: bool) -> str:
    there = folder / "bin" / "nsys"
    # Any nsys serves unless a folder of one's own was asked for.
    found = nsys_path() if folder == nsys_folder() else there
    if found is not None and found.exists():
        return f"nsys {nsys.version(str(found)) or 'does not run'}: {found}"
    source = packages.this_source()
    if dry_run:
        return source.stanza() + shlex.join(["apt-get", "download", *packages.NAMES])
    if folder.exists() and any(folder.iterdir()):
        raise StudyError(f"{folder} holds something other than an nsys: remove it, or give another --dir")
    check_space(folder, NSYS_GB)
    packages.fetch(source, folder)
    return f"nsys {nsys.version(str(there))}: {there}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version))


if __name__ == "__main__":
    sys.exit(main())
