"""How every command runs as a program, says what it cannot do, and ends: what ends it from outside is no traceback."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import find_spec
from types import FrameType
from typing import NoReturn

from analysis import memory

REFUSED, INTERRUPTED = 1, 130
COMMANDS = {
    "analysis": ("analysis", "analysis.compact", "analysis.export", "analysis.report", "analysis.verdict"),
    "study": ("study.calibrate", "study.publish", "study.sweep"),
}
"""What `python -m` runs of each package; of any other module it would run nothing, and say nothing."""
_NEEDED = ("pandas", "psutil")
"""What an interpreter lacks that is not the one that the project was installed into."""
_TURN_S = 0.05


def begin(package: str) -> None:
    """Let an interruption end a command of the package with a line also while it is imported, which takes a second.

    Ends the program with a line where what is named is no command, or the interpreter lacks what the project installs.
    To be called by the package itself; where it is imported for anything else than its command, nothing changes.
    """
    given = sys.orig_argv
    named = given[given.index("-m") + 1] if "-m" in given[:-1] else ""
    if named.partition(".")[0] == package and named not in COMMANDS[package]:
        known = ", ".join(COMMANDS[package])
        also = f"; or python -m analysis {named.partition('.')[2]}, if that is meant" if package == "analysis" else ""
        sys.exit(refused(f"python -m {named}: no command; expected one of {known}{also}"))
    absent = [name for name in _NEEDED if find_spec(name) is None] if named.partition(".")[0] == package else []
    if absent:
        own = f".venv/bin/python -m {named}"
        sys.exit(refused(f"no {', '.join(absent)} in {sys.executable}; expected what make sweep installs; run {own}"))
    # A shell's background job starts with SIGINT ignored.
    if named.partition(".")[0] == package and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def refused(why: object) -> int:
    """Say on stderr why a command did not do what was asked, as every command does. Returns its exit status."""
    sys.stderr.write(f"error: {why}\n")
    return REFUSED


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception in the middle of an import may be taken for that of a module that is not there.
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command line as the whole process, and exit with its status."""
    memory.keep()
    # Two threads read a trace in long steps: each time that they take turns within one costs more than waiting does.
    sys.setswitchinterval(_TURN_S)
    try:
        if signal.getsignal(signal.SIGINT) == _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = main()
        if sys.stdout is not None:
            sys.stdout.flush()
        sys.exit(status)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader has seen enough (head, less); what is still buffered has nowhere to go.
        sys.stdout = None
        sys.exit(REFUSED)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.stdout = None
        why = f"what was found cannot be written ({error.strerror}): make room, or write it elsewhere"
        sys.exit(refused(why))
