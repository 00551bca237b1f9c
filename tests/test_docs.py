"""What the documents show works: commands parse, targets and files exist, links lead somewhere."""

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FENCE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]*\ssrc=\"([^\"]+)\"")
OUR_PACKAGES = ("study", "launch", "analysis")
PLAIN = ("cd", "git", "pip")  # understood by every reader, and nothing here to hold them against


class Parsed(Exception):
    """The arguments were understood; what would follow is not to happen."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let every command line of the project end where its arguments have been parsed."""
    original = argparse.ArgumentParser.parse_args

    def parse(self: argparse.ArgumentParser, *given: object) -> None:
        original(self, *given)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_readme_opens_with_the_two_commands(root: Path) -> None:
    shown = [command[:2] for command in _commands((root / "README.md").read_text())]
    assert shown[:2] == [["make", "sweep"], ["make", "test"]]


@pytest.mark.usefixtures("parse_only")
def test_every_command_in_a_document_is_understood(root: Path, tracked: tuple[Path, ...]) -> None:
    problems = [
        f"{path}: {shlex.join(command)}: {problem}"
        for path in _documents(tracked)
        for command in _commands((root / path).read_text())
        if (problem := _problem(command, root))
    ]
    assert problems == []


def test_every_link_in_a_document_leads_somewhere(root: Path, tracked: tuple[Path, ...]) -> None:
    documents = {path: (root / path).read_text() for path in _documents(tracked)}
    assert [link for path, text in documents.items() for link in _dead_links(path, text, root)] == []


@pytest.mark.usefixtures("parse_only")
@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("python -m launch.install nsys --dry-run", None),
        ("python -m launch.install nsys --no-such-flag", "exit code 1"),
        ("NSYS=nsys .venv/bin/python -m launch.install triton", "exit code 1"),
        ("python3 -m venv .venv", None),
        ("python -m launch.nothing", "no module launch.nothing"),
        ("make test PYTHON=python3.12", None),
        ("make tests", "no target tests"),
        ("launch/nothing.sh out", "not something a reader can run here"),
        ("frobnicate", "not something a reader can run here"),
    ],
)
def test_a_command_that_does_not_work_is_caught(root: Path, command: str, problem: str | None) -> None:
    assert _problem(shlex.split(command), root) == problem


def test_commands_are_read_over_continued_lines_and_without_comments() -> None:
    text = "```bash\nmake sweep  # runs\n# a comment\npython -m x \\\n  --flag 'a b'\n```\n```\nnot this\n```\n"
    assert list(_commands(text)) == [["make", "sweep"], ["python", "-m", "x", "--flag", "a b"]]


def test_a_link_to_nothing_is_caught(root: Path) -> None:
    text = '[a](LICENSE) [b](absent.md#part) ![c](https://example.org/x.png) <img width=5 src="gone.png"> [d](#here)'
    assert list(_dead_links(Path("README.md"), text, root)) == ["README.md: absent.md", "README.md: gone.png"]


def _documents(tracked: tuple[Path, ...]) -> list[Path]:
    return [path for path in tracked if path.suffix == ".md" and "templates" not in path.parts]


def _commands(text: str) -> Iterator[list[str]]:
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def _problem(command: list[str], root: Path) -> str | None:
    """Why a command would not work, or None; variables set before it are passed over."""
    while command and re.match(r"\w+=", command[0]):
        command = command[1:]
    program, *arguments = command
    if Path(program).name in {"python", "python3"} and arguments[:1] == ["-m"]:
        return _module_problem(arguments[1], arguments[2:])
    if program == "make":
        return _make_problem(arguments, root)
    if program in PLAIN or ("/" in program and os.access(root / program, os.X_OK)):
        return None
    return "not something a reader can run here"


def _module_problem(name: str, arguments: list[str]) -> str | None:
    if not name.startswith(OUR_PACKAGES):
        return None if importlib.util.find_spec(name) else f"no module {name}"
    try:
        module = _command_line(name)
    except ModuleNotFoundError:
        return f"no module {name}"
    try:
        module.main(arguments)
    except Parsed:
        return None
    except SystemExit as end:
        return f"exit code {end.code}" if end.code else None
    return "took no notice of its arguments"


def _command_line(name: str) -> ModuleType:
    module = importlib.import_module(name)
    return module if hasattr(module, "main") else importlib.import_module(f"{name}.__main__")


def _make_problem(arguments: list[str], root: Path) -> str | None:
    targets = re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE)
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    for target in (word for word in arguments if "=" not in word):
        if target not in targets:
            return f"no target {target}"
        if target == "sweep":
            return _module_problem("study.sweep", shlex.split(given.get("ARGS", "")))
    return None


def _dead_links(path: Path, text: str, root: Path) -> Iterator[str]:
    for link in (markdown or image for markdown, image in LINK.findall(text)):
        if "://" not in link and not (root / path.parent / link).exists():
            yield f"{path}: {link}"
