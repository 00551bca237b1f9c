"""What no capture holds: values that would be analysed into wrong numbers are refused instead.

Each function raises TraceError, and returns nothing where all is well.
"""

from collections.abc import Container, Set

import numpy as np
import pandas as pd

from analysis.errors import TraceError
from analysis.intervals import Ints
from analysis.store import DAMAGED

# No capture lasts a week: a time that lies further off is none.
_LONGEST_NS = 7 * 24 * 3600 * 10**9


def expect_columns(table: str, present: Set[str], needed: Set[str]) -> None:
    """A table that is there has all that is needed of it."""
    if present and not present >= needed:
        raise TraceError(
            f"table {table} lacks {', '.join(sorted(needed - present))}: not an nsys export of a known version; "
            "export the report again with nsys 2022.4 or later"
        )


def expect_times(what: str, starts_ns: Ints, ends_ns: Ints) -> None:
    """Nothing ends before it begins, which is how a time that is NULL reads, too; and all lies within one capture."""
    backwards = int(np.count_nonzero(ends_ns < starts_ns))
    if backwards:
        first = int(starts_ns[int(np.argmax(ends_ns < starts_ns))])
        found = (
            f"{backwards} of {len(ends_ns)} {what} end before they begin, or one of the two is absent (the first of "
            f"them begins at {first} ns)"
        )
    elif len(ends_ns) and int(ends_ns.max()) - int(starts_ns.min()) > _LONGEST_NS:
        found = f"more than a week lies between the first and the last of the {what}"
    else:
        return
    raise TraceError(f"{found}; expected the times of one capture; {DAMAGED}, and if it stays so record again")


def expect_names(ids: Ints, named: Container[int]) -> None:
    """Every CUDA function has a name, by which launches are known."""
    unnamed = sum(int(number) not in named for number in ids)
    if unnamed:
        raise TraceError(
            f"{unnamed} of {len(ids)} CUDA functions have no name in table StringIds; expected all names, by which "
            f"launches are known; {DAMAGED}"
        )


def expect_graph_calls(called: Ints, calls: pd.DataFrame) -> None:
    """Nodes of graphs, of which `called` has the rows of their calls, -1 for none, were started by graph launches."""
    called = called[called >= 0]
    wrong = called[~(calls["kind"] == "graph").to_numpy(bool)[called]] if len(called) else called
    if len(wrong):
        raise TraceError(
            f"{len(wrong)} nodes of graphs were started by other calls than graph launches "
            f"({calls['name'].iloc[int(wrong[0])]}); expected cudaGraphLaunch; {DAMAGED}"
        )
