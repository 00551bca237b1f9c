"""Independent pieces of work side by side: numpy lets go of the interpreter while it computes."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")
# What the pieces take together is memory; beyond that many threads they wait for it, not for processors.
THREADS_MOST = 4


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The result of each item, in their order; the first error is raised."""
    todo = list(items)
    if len(todo) < 2:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(THREADS_MOST, os.cpu_count() or 1, len(todo))) as threads:
        return list(threads.map(work, todo))


def both(first: Callable[[], Result], second: Callable[[], Other]) -> tuple[Result, Other]:
    """What the two return; if both raise, the error of the first."""
    with ThreadPoolExecutor(1) as threads:
        later = threads.submit(second)
        found = first()
        return found, later.result()
