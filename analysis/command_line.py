"""What a command says of a mistake in its own command line: one line, exit status 1, like of any other mistake.

What was found, what was expected, what to do. Flags are taken as they are called, never by their first letters; of the
study folders that are given each may be given once.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from analysis.errors import TraceError
from analysis.program import refused

Found = TypeVar("Found")
# argparse's words, and ours for them.
_WORDS = (
    (r"^argument ", ""),
    (r"the following arguments are required: (.*)", r"\1: missing"),
    (r"unrecognized arguments: (\S+).*", r"found \1 beyond what is expected"),
    (r"expected one argument$", "found nothing behind it, expected a value"),
    (r"expected at least one argument$", "found nothing behind it, expected values"),
    (r"expected (\d+) arguments$", r"expected \1 values behind it"),
    (r"^(\S+): not allowed with argument (\S+)$", r"\2 and \1: found both, expected one of them"),
)


class Parser(argparse.ArgumentParser):
    """argparse's, but for what it says of mistakes; the beginning of a flag is no flag."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse; flags that are none are told, all of them, before anything else that they may make wrong."""
        given = list(sys.argv[1:] if args is None else args)
        known = self._option_string_actions
        flags = dict.fromkeys(_flags(given, until_command=self._subparsers is not None))
        if unknown := [f"{flag}: unknown{_near(flag, known)}" for flag in flags if flag not in known]:
            self.error("; ".join(unknown).replace("?; ", "? "))
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line and end the program."""
        for theirs, ours in _WORDS:
            message = re.sub(theirs, ours, message)
        end = "" if message.endswith("?") else ";"
        sys.exit(refused(f"{message}{end} {self.prog} --help tells more"))

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        if action.type is Path and not arg_string:
            # The path of an empty name is the working folder, which nobody means who writes "$OUT" before setting it.
            raise argparse.ArgumentError(action, "found an empty name, expected a path")
        return super()._get_value(action, arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            allowed = [str(choice) for choice in action.choices]
            near = _near(str(value), allowed) or ";"
            why = f"unknown value {value!r}{near} expected one of {', '.join(allowed)}"
            raise argparse.ArgumentError(action, why)


def whole(least: int) -> Callable[[str], int]:
    """The type of a flag that takes a whole number of at least so much."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text.strip()) or int(text) < least:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number, at least {least}")
        return int(text)

    return number


def positive(text: str) -> float:
    """The type of a flag that takes a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0, such as 1.5")
    return number


def reported(work: Callable[[], Found]) -> Found | None:
    """What the work gives; None after its TraceError was told."""
    try:
        return work()
    except TraceError as error:
        refused(error)
        return None


def studies(paths: Sequence[Path]) -> list[Path]:
    """The study folders among what was given; a shell's * also gives the files that lie beside them, which are named.

    Raises TraceError where there is no folder, or one twice, by whatever names.
    """
    folders = [path for path in paths if not _is(path.is_file)]
    files = [path for path in paths if path not in folders]
    if not folders:
        raise TraceError(
            f"{', '.join(map(str, files))}: a file; expected a folder that study.sweep wrote, or one under "
            "data/recordings; for a single trace use python -m analysis"
        )
    for number, path in enumerate(folders):
        if before := [other for other in folders[:number] if _same(other, path)]:
            other = "" if str(before[0]) == str(path) else f", first as {before[0]}"
            raise TraceError(f"{path}: given twice{other}; expected each study folder once; leave one out")
    for path in files:
        print(f"{path}: a file, no study folder; left out", file=sys.stderr)
    return folders


def _same(one: Path, other: Path) -> bool:
    return one == other or _is(lambda: one.samefile(other))


def _is(looked: Callable[[], bool]) -> bool:
    """What was asked of a path; of one that cannot be looked at no, as is told when it is opened."""
    try:
        return looked()
    except OSError:
        return False


def _flags(given: Iterable[str], *, until_command: bool) -> Iterable[str]:
    """The words that argparse takes for flags, without their values: those before a command alone where one comes."""
    for word in given:
        is_flag = re.match(r"-[^\d.]", word) is not None and " " not in word
        if word == "--" or (until_command and not is_flag):
            return
        if is_flag:
            yield word.partition("=")[0]


def _near(word: str, known: Iterable[str]) -> str:
    names = {other.lstrip("-"): other for other in known}
    name = word.lstrip("-").lower()
    longer = [other for other in names if other.startswith(name)] if len(name) > 1 else []
    near = longer or get_close_matches(name, names, n=1)
    return f"; did you mean {names[near[0]]}?" if near else ""
