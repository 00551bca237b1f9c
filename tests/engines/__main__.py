"""What the engines' own configuration classes and argument parsers make of our options, version by version, on a CPU.

`make engines` fetches each version of an engine without its dependencies, puts it before those of an installed one, and
asks it what it makes of every kind of case; the answers are data/engines/ENGINE/VERSION.json, which the tests hold the
builders to. Exit status 1 where a version could not be asked, or makes of an option what it is not labelled with.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from launch import install
from study.command_line import Parser
from tests.engines import cases, held, tables

TABLES = Path("data/engines")
PROBES = Path(__file__).parent
VERSIONS = {
    "vllm": tuple(f"0.{v}" for v in ("20.0", "22.1", "23.0", "24.0", "25.1", "26.0", "27.1"))
    + tuple(f"0.{v}" for v in ("28.0", "29.0", "30.0", "31.0", "32.0", "33.0")),
    "sglang": tuple(f"0.5.{v}" for v in ("11", "12.post1", "13.post1", "14", "15.post1", "16", "17"))
    + tuple(f"0.5.{v}" for v in range(18, 24)),
}
# What older versions import and newer ones do not bring along.
BESIDE = {"vllm": ("gguf",), "sglang": ()}


def main(argv: Sequence[str] | None = None) -> int:
    """Ask every version; returns 0, or 1 where one did not answer."""
    args = parser().parse_args(argv)
    failed = 0
    for engine in args.engine or sorted(VERSIONS):
        python = Path(getattr(args, f"{engine}_python") or install.engine_python(Path(f".venv-{engine}")))
        for version in args.version or VERSIONS[engine]:
            try:
                table = ask(engine, version, python, args.sources)
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                print(f"{engine} {version}: {error}", file=sys.stderr)
                failed = 1
                continue
            tables.save(TABLES / engine, table)
            print(f"{engine} {version}: {cases.summary(table)}", flush=True)
            for problem in held.problems(table):
                print(problem, file=sys.stderr)
                failed = 1
    return failed


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    made = Parser(prog="python -m tests.engines", description=__doc__)
    made.add_argument("--engine", action="append", choices=sorted(VERSIONS), help="only this engine")
    made.add_argument("--version", action="append", help="only this version")
    for engine in VERSIONS:
        made.add_argument(f"--{engine}-python", help=f"python of an environment that holds {engine} (.venv-{engine})")
    made.add_argument("--sources", type=Path, help="keep what was fetched here, and take it from here if it is there")
    return made


def ask(engine: str, version: str, python: Path, sources: Path | None) -> dict[str, object]:
    """The table of one version."""
    with tempfile.TemporaryDirectory() as drafts:
        folder = fetched(engine, version, python, sources or Path(drafts))
        answers = {}
        for card, asked in cases.of_version(engine, version).items():
            answers[card] = probe(engine, python, folder, {"card": card, "cases": asked})
            if answers[card]["versions"][engine] != version:
                raise RuntimeError(f"asked {version}, answered by {answers[card]['versions'][engine]}")
    return {
        "engine": engine,
        "version": version,
        "checked": datetime.now(timezone.utc).date().isoformat(),
        "by": "executed: the version's own classes, with packages of another version's environment and no GPU",
        "beside": {name: found for name, found in answers["h200"]["versions"].items() if name != engine},
        "cards": {
            card: cases.joined(asked, answers[card]["cases"])
            for card, asked in cases.of_version(engine, version).items()
        },
    }


def fetched(engine: str, version: str, python: Path, sources: Path) -> list[Path]:
    """Folders to put first: the version, and what it needs that newer ones lack."""
    wanted = {sources / f"{engine}-{version}": f"{engine}=={version}"}
    wanted |= {sources / f"{name}-beside": name for name in BESIDE[engine]}
    for folder, package in wanted.items():
        if not folder.exists():
            draft = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(draft, ignore_errors=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(draft), package]
            subprocess.run(pip, check=True)
            draft.rename(folder)
    return list(wanted)


def probe(engine: str, python: Path, folders: Sequence[Path], request: dict[str, object]) -> dict[str, dict]:
    """What a version answers, in a process of its environment. Raises RuntimeError with its last words."""
    first = os.pathsep.join(str(folder.absolute()) for folder in folders)
    env = {**os.environ, "ENGINE_SOURCES": first, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    done = subprocess.run(
        [str(python), str(PROBES / f"{engine}_probe.py")],
        input=json.dumps(request), env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        answer: dict[str, dict] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        raise RuntimeError(f"no answer; its last words: {done.stderr.strip()[-600:]}") from None
    return answer


if __name__ == "__main__":
    sys.exit(main())
