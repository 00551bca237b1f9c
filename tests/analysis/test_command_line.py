"""What commands say of a mistake in their command lines: one line, exit status 1, and no flag by its first letters."""

import re
from pathlib import Path

import pytest

from analysis.command_line import Parser, positive, studies, whole
from analysis.errors import TraceError


def _parser() -> Parser:
    made = Parser(prog="study")
    made.add_argument("folder", metavar="FOLDER")
    made.add_argument("--tracing", choices=("node", "graph"))
    made.add_argument("--steps", type=whole(1))
    made.add_argument("--models", nargs=2)
    where = made.add_mutually_exclusive_group()
    where.add_argument("--live", action="store_true")
    where.add_argument("--replay", action="store_true")
    made.add_argument("--host", type=positive)
    made.add_argument("--out", type=Path)
    return made


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a --tracng node", "--tracng: unknown; did you mean --tracing?"),
        ("a --tracng=node", "--tracng: unknown; did you mean --tracing?"),
        ("--tracng node", "--tracng: unknown; did you mean --tracing?"),
        ("a --tra node", "--tra: unknown; did you mean --tracing?"),
        ("a --Live", "--Live: unknown; did you mean --live?"),
        ("a -live", "-live: unknown; did you mean --live?"),
        ("a --colour", "--colour: unknown"),
        (
            "a --tra node --colour --Live --tra",
            "--tra: unknown; did you mean --tracing? --colour: unknown; --Live: unknown; did you mean --live?",
        ),
        ("", "FOLDER: missing"),
        ("a b", "found b beyond what is expected"),
        ("a --tracing", "--tracing: found nothing behind it, expected a value"),
        ("a --models x", "--models: expected 2 values behind it"),
        ("a --tracing nodes", "--tracing: unknown value 'nodes'; did you mean node? expected one of node, graph"),
        ("a --live --replay", "--live and --replay: found both, expected one of them"),
        ("a --steps x", "--steps: found 'x', expected a whole number, at least 1"),
        ("a --steps 1.5", "--steps: found '1.5', expected a whole number, at least 1"),
        ("a --steps -1", "--steps: found '-1', expected a whole number, at least 1"),
        ("a --out=", "--out: found an empty name, expected a path"),
        ("a --host x", "--host: found 'x', expected a number above 0, such as 1.5"),
        ("a --host inf", "--host: found 'inf', expected a number above 0, such as 1.5"),
    ],
)
def test_a_mistake_is_told_in_a_line(given: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        _parser().parse_args(given.split())
    assert ended.value.code == 1
    end = "" if said.endswith("?") else ";"
    assert capsys.readouterr().err == f"error: {said}{end} study --help tells more\n"


def test_what_is_meant_is_taken() -> None:
    found = _parser().parse_args(["--tracing=node", "--steps", "3", "--host", "1.5", "--", "--folder"])
    assert (found.folder, found.tracing, found.steps, found.host) == ("--folder", "node", 3, 1.5)


def test_a_flag_behind_a_command_is_the_commands_own(capsys: pytest.CaptureFixture[str]) -> None:
    made = Parser(prog="analysis")
    command = made.add_subparsers(dest="command", required=True).add_parser("predict")
    command.add_argument("--calibration")
    assert made.parse_args(["predict", "--calibration", "x"]).calibration == "x"
    with pytest.raises(SystemExit, match="1"):
        made.parse_args(["predict", "--calib", "x"])
    said = "error: --calib: unknown; did you mean --calibration? analysis predict --help tells more\n"
    assert capsys.readouterr().err == said


def test_help_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        _parser().parse_args(["-h"])
    assert "--tracing" in capsys.readouterr().out


def test_a_study_given_twice_by_whatever_name_is_refused(tmp_path: Path) -> None:
    study, other, link = tmp_path / "a", tmp_path / "b", tmp_path / "link"
    study.mkdir()
    other.mkdir()
    link.symlink_to(study)
    assert studies([study, other, tmp_path / "absent"]) == [study, other, tmp_path / "absent"]
    with pytest.raises(TraceError, match=f"^{study}: given twice; expected each study folder once; leave one out$"):
        studies([study, other, study])
    for same in (link, other / ".." / "a"):
        with pytest.raises(TraceError, match=f"^{same}: given twice, first as {study}; expected"):
            studies([study, same])


def test_no_command_takes_flags_by_their_first_letters(root: Path, tracked: tuple[Path, ...]) -> None:
    """Drivers run where this package is not, and have argparse's own parser."""
    made = {path: _parsers((root / path).read_text()) for path in tracked if path.suffix == ".py"}
    ours = {path for path, found in made.items() if found and path.parts[0] in ("analysis", "launch", "study")}
    assert {path.parent.as_posix() for path in ours} == {"launch/drivers"}
    assert [path for path in ours if "allow_abbrev=False" not in "".join(made[path])] == []


def _parsers(source: str) -> list[str]:
    return re.findall(r"ArgumentParser\([^)]*\)", source)
