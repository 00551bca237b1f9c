"""How every command of the analysis runs as a program: what ends it from outside is no traceback."""

import sys
from collections.abc import Callable
from typing import NoReturn

from analysis import memory


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command line as the whole process, and exit with its status."""
    memory.keep()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except BrokenPipeError:
        # The reader has seen enough (head, less); what is still buffered has nowhere to go.
        sys.stdout = None
        sys.exit(1)
