"""How every command of the analysis runs as a program: what ends it from outside is no traceback."""

import sys
from collections.abc import Callable
from typing import NoReturn

from analysis import memory

_TURN_S = 0.05


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command line as the whole process, and exit with its status."""
    memory.keep()
    # Two threads read a trace in long steps: each time that they take turns within one costs more than waiting does.
    sys.setswitchinterval(_TURN_S)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except BrokenPipeError:
        # The reader has seen enough (head, less); what is still buffered has nowhere to go.
        sys.stdout = None
        sys.exit(1)
