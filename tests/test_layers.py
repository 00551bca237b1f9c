"""Which part may import which, where each effect has its home, and what the tree as a whole promises."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGES = ("study", "launch", "analysis")
TOP_LEVEL = {*PACKAGES, "tests", "data", "README.md", "README.zh-CN.md", "Makefile", "LICENSE", "pyproject.toml"}
ENGINES = ("vllm", "sglang", "torch", "transformers")
LONGEST_FUNCTION = 60

# Who never imports whom: importers, imported. A name stands for the module and all below it.
FORBIDDEN = (
    (("analysis",), ("launch", "study")),
    (("launch",), ("analysis",)),
    (("analysis.metrics",), ("analysis.metrics", "analysis.plots")),
    (("analysis.plots",), ("analysis.metrics", "analysis.measure")),
    # Drivers run where the project is not installed.
    (("launch.drivers",), PACKAGES),
)
# What launch may know of the study: its words, never its course.
STUDY_FOR_LAUNCH = ("study.spec", "study.errors", "study.layouts", "study.models", "study.command_line")

COMMAND_LINES = (
    "analysis.__main__", "analysis.command_line", "analysis.compact", "analysis.elsewhere", "analysis.export",
    "analysis.report", "analysis.verdict", "analysis.whatif", "launch.install", "study.calibrate", "study.options",
    "study.plan_view", "study.progress", "study.publish", "study.sweep", "launch.drivers",
)  # fmt: skip
HOMES = {
    "subprocess": ("launch",),
    # A trace file is read in one place, in layers: the file, the packed columns, the meaning.
    "sqlite3": ("analysis.extract", "analysis.store", "analysis.columns", "analysis.compact"),
    "matplotlib": (
        "analysis.plots",
        "analysis.figures",
        "analysis.grids",
        "analysis.launch_map",
        "analysis.lettering",
        "analysis.notebook",
        "analysis.report",
    ),
    "perfetto": ("analysis.perfetto_file",),
    "bokeh": ("analysis.timeline_figure",),
    "argparse": COMMAND_LINES,
    "print": COMMAND_LINES,
    **dict.fromkeys(ENGINES, ("launch.drivers",)),
}

# Written in pieces of patterns, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(r"(?<![\w.$}~-])/(root|work|home/\w+|Users/\w+|var/tmp|mnt/\w+)/")
REGISTRY_HOSTS = re.compile(
    r"https?://[a-z0-9.-]*(pypi|pythonhosted|debian|ubuntu|npmjs|crates|conda)[a-z0-9-]*\.(org|com|io)"
)


def test_no_module_imports_what_its_layer_must_not(root: Path, tracked: tuple[Path, ...]) -> None:
    assert [problem for path in _modules(tracked) for problem in _layer_problems(path, _source(root, path))] == []


def test_every_effect_stays_at_home(root: Path, tracked: tuple[Path, ...]) -> None:
    assert [problem for path in _modules(tracked) for problem in _home_problems(path, _source(root, path))] == []


def test_no_function_is_long(root: Path, tracked: tuple[Path, ...]) -> None:
    python = [path for path in tracked if path.suffix == ".py"]
    assert [problem for path in python for problem in _long_functions(path, _source(root, path))] == []


def test_the_top_level_is_fixed(tracked: tuple[Path, ...]) -> None:
    assert _strangers(tracked) == set()


def test_no_file_names_a_machines_paths_or_a_registry(root: Path, tracked: tuple[Path, ...]) -> None:
    assert [problem for path in tracked for problem in _foreign_text(path, root / path)] == []


def test_every_package_is_listed_for_installation(root: Path, tracked: tuple[Path, ...]) -> None:
    text = (root / "pyproject.toml").read_text()
    folders = {".".join(path.parts[:-1]) for path in _modules(tracked)}
    assert {folder for folder in folders if f'"{folder}"' not in text} == set()


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("study/plan.py", "import torch", "study.plan:1 torch"),
        ("launch/server.py", "from vllm.engine import LLM", "launch.server:1 vllm.engine.LLM"),
        ("analysis/explain.py", "def f():\n    import sglang", "analysis.explain:2 sglang"),
        ("analysis/explain.py", "import importlib\nimportlib.import_module('torch')", "analysis.explain:2 torch"),
        ("study/sweep.py", "import subprocess", "study.sweep:1 subprocess"),
        ("analysis/tables.py", "import sqlite3 as s", "analysis.tables:1 sqlite3"),
        ("analysis/tables.py", "from matplotlib.figure import Figure", "analysis.tables:1 matplotlib.figure.Figure"),
        ("analysis/tables.py", "print('x')", "analysis.tables:1 print"),
        ("study/spec.py", "import argparse", "study.spec:1 argparse"),
    ],
)
def test_an_effect_away_from_home_is_caught(path: str, source: str, problem: str) -> None:
    assert list(_home_problems(Path(path), source)) == [problem]


@pytest.mark.parametrize(
    ("path", "source", "problem"),
    [
        ("analysis/report.py", "from launch import host", "analysis.report:1 launch.host"),
        ("analysis/report.py", "import study.spec", "analysis.report:1 study.spec"),
        ("launch/nsys.py", "from analysis.errors import TraceError", "launch.nsys:1 analysis.errors.TraceError"),
        ("launch/nsys.py", "from study.sweep import main", "launch.nsys:1 study.sweep.main"),
        ("analysis/metrics/gaps.py", "from . import idle", "analysis.metrics.gaps:1 analysis.metrics.idle"),
        ("analysis/metrics/gaps.py", "from ..plots import bars", "analysis.metrics.gaps:1 analysis.plots.bars"),
        ("analysis/plots/bars.py", "from analysis import metrics", "analysis.plots.bars:1 analysis.metrics"),
        ("launch/drivers/decode.py", "from study.spec import Case", "launch.drivers.decode:1 study.spec.Case"),
    ],
)
def test_an_import_across_layers_is_caught(path: str, source: str, problem: str) -> None:
    assert list(_layer_problems(Path(path), source)) == [problem]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("launch/drivers/vllm_offline.py", "import vllm, torch"),
        ("launch/nsys.py", "import subprocess\nfrom study.spec import Case"),
        ("study/runner.py", "from analysis import summary\nfrom launch import nsys"),
        ("analysis/plots/bars.py", "from matplotlib.figure import Figure\nfrom analysis.figures import PALETTE"),
        ("study/spec.py", "import torchless\nfrom study import vllm"),
    ],
)
def test_what_a_layer_may_import_passes(path: str, source: str) -> None:
    assert [*_layer_problems(Path(path), source), *_home_problems(Path(path), source)] == []


def test_a_long_function_is_caught() -> None:
    body = "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION
    assert list(_long_functions(Path("a.py"), body)) == [f"a.py:1 f: {LONGEST_FUNCTION + 1} lines"]
    assert list(_long_functions(Path("a.py"), body.removesuffix("    x = 1\n"))) == []


def test_a_new_name_at_the_top_is_caught() -> None:
    files = (Path("study/spec.py"), Path(".gitignore"), Path("utils.py"), Path("tools/x"))
    assert _strangers(files) == {"utils.py", "tools"}


# "|" stands for the slashes that would make these lines findings themselves.
@pytest.mark.parametrize("text", ["|root|x", "see |work|here", "P=|home|ann|bin", "https:||files.pythonhosted.org|x"])
def test_a_machines_path_or_registry_is_caught(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.md").write_text(f"fine\n{text.replace('|', '/')}\n")
    assert [problem[:7] for problem in _foreign_text(Path("a.md"), tmp_path / "a.md")] == ["a.md:2 "]


def _modules(tracked: tuple[Path, ...]) -> list[Path]:
    return [path for path in tracked if path.parts[0] in PACKAGES and path.suffix == ".py"]


def _source(root: Path, path: Path) -> str:
    return (root / path).read_text(encoding="utf-8")


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _below(module: str, parts: tuple[str, ...]) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in parts)


def _imports(path: Path, source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of whatever is imported; `from a import b` gives a.b, module or not."""
    package = ".".join(path.parent.parts).split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            named = node.args[0] if node.args else None
            if isinstance(named, ast.Constant) and isinstance(named.value, str):
                yield node.lineno, named.value


def _layer_problems(path: Path, source: str) -> Iterator[str]:
    module = _dotted(path)
    for line, name in _imports(path, source):
        crossing = any(_below(module, who) and _below(name, whom) for who, whom in FORBIDDEN)
        beyond = _below(module, ("launch",)) and _below(name, ("study",)) and not _below(name, STUDY_FOR_LAUNCH)
        if crossing or beyond:
            yield f"{module}:{line} {name}"


def _home_problems(path: Path, source: str) -> Iterator[str]:
    module = _dotted(path)
    for line, name in [*_imports(path, source), *_prints(source)]:
        for effect, homes in HOMES.items():
            if _below(name, (effect,)) and not _below(module, homes):
                yield f"{module}:{line} {name}"


def _prints(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "print"


def _long_functions(path: Path, source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{path}:{node.lineno} {node.name}: {lines} lines"


def _strangers(paths: tuple[Path, ...]) -> set[str]:
    return {path.parts[0] for path in paths if not path.parts[0].startswith(".")} - TOP_LEVEL


def _foreign_text(path: Path, file: Path) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return
    for number, line in enumerate(lines, start=1):
        for pattern in (MACHINE_PATHS, REGISTRY_HOSTS):
            if found := pattern.search(line):
                yield f"{path}:{number} {found.group(0)}"
