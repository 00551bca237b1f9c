"""The command line of python -m study.sweep: a flag for every key of a study, and how to go about it."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from study import config, live
from study.command_line import Parser
from study.spec import Spec, rules


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on the command line: the study with its overrides, and how to go about it.

    `study` is the name or path of the study file; `nsys` None means the one on PATH; `language` is the report's, None
    the locale's; `argv` is recorded verbatim.
    """

    spec: Spec
    study: str
    nsys: Path | None
    dry_run: bool
    replay: bool
    live: bool
    retry_failed: bool
    report: bool
    language: str | None
    argv: tuple[str, ...]


def parse(argv: Sequence[str]) -> Options:
    """Read the command line, less the program's name. Raises StudyError for a study that cannot be."""
    given = vars(parser().parse_args(argv))
    return Options(
        spec=config.load(given["study"], _overrides(given)),
        study=given["study"],
        nsys=given["nsys"],
        dry_run=given["dry_run"],
        replay=given["replay"],
        live=given["live"],
        retry_failed=given["retry_failed"],
        report=given["report"],
        language=given["language"],
        argv=tuple(argv),
    )


def parser() -> argparse.ArgumentParser:
    """The parser. Values of keys stay text: config checks those of flags and files alike."""
    made = Parser(
        prog="python -m study.sweep",
        usage="%(prog)s [--study NAME_OR_PATH] [--dry-run | --replay | --live] [--KEY VALUE ...]; -h shows all",
        description="Run a study on this host's GPUs, or replay a recorded one where there are none.",
    )
    made.add_argument(
        "--study", metavar="NAME_OR_PATH", default=config.DEFAULT, help=f"{', '.join(config.names())}, or a .toml file"
    )
    _add_ways(made)
    keys = made.add_argument_group("the study", "Each overrides the study file's key; lists with commas: --tp 1,2,4")
    for key in rules():
        _add_key(keys, key)
    return made


def _add_ways(made: argparse.ArgumentParser) -> None:
    made.add_argument("--dry-run", action="store_true", help="print every case with its command lines, and every skip")
    where = made.add_mutually_exclusive_group()
    where.add_argument("--replay", action="store_true", help="analyse the recorded study, even where there are GPUs")
    where.add_argument("--live", action="store_true", help="run on GPUs, or fail and say why that is impossible")
    made.add_argument("--retry-failed", action="store_true", help="run failed cases of the output folder again")
    made.add_argument(
        "--report", action=argparse.BooleanOptionalAction, default=True,
        help=f"write the report of a live run at its end; {live.typed()} -m analysis.report FOLDER makes it later",
    )  # fmt: skip
    made.add_argument("--language", choices=("en", "zh"), help="of the report (default: the locale's)")
    made.add_argument("--nsys", metavar="PATH", type=Path, help="the nsys to trace with (default: the one on PATH)")


def _add_key(group: "argparse._ArgumentGroup", key: str) -> None:
    rule, kind = rules()[key], config.kind_of(key)
    words = rule.words() if rule.words else ()
    if kind == config.Table:
        for word in words:
            group.add_argument(f"--{word}-{key}", dest=f"{key}.{word}", metavar="PATH", help=f"{rule.help}: {word}")
    elif kind is bool:
        group.add_argument(config.flag_of(key), dest=key, action=argparse.BooleanOptionalAction, help=rule.help)
    else:
        help_ = rule.help + (f": {', '.join(words)}" if words else "")
        group.add_argument(config.flag_of(key), dest=key, metavar=_metavar(kind), help=help_)


def _metavar(kind: object) -> str:
    if kind in config.LISTS:
        return "NAME,NAME" if kind == config.Texts else "N,N"
    return {int: "N", str: "NAME", Path: "PATH"}[kind]  # type: ignore[index]


def _overrides(given: dict[str, object]) -> dict[str, object]:
    overrides: dict[str, object] = {}
    for name, value in given.items():
        key, _, entry = name.partition(".")
        if key not in rules() or value is None:
            continue
        overrides[key] = {**dict(overrides.get(key, {})), entry: value} if entry else value  # type: ignore[call-overload]
    return overrides
