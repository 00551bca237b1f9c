"""Independent pieces of work side by side: numpy lets go of the interpreter while it computes.

However pieces lie in one another, no more of them run at once than there are processors, and so few that what they
take together fits into memory.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Semaphore
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")
# What the pieces take together is memory; beyond that many threads they wait for it, not for processors.
THREADS_MOST = 4
# Beside the thread that asks.
_HELPERS = Semaphore(min(THREADS_MOST, os.cpu_count() or 1) - 1)


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The result of each item, in their order; an error is raised, and what has not begun by then never does."""
    todo = list(items)
    results: dict[int, Result] = {}
    # Each thread takes the next number; no two take the same.
    numbers = iter(range(len(todo)))

    def take(number: int) -> None:
        try:
            results[number] = work(todo[number])
        except BaseException:
            deque(numbers, maxlen=0)
            raise

    def help_out() -> None:
        try:
            for number in numbers:
                take(number)
        finally:
            _HELPERS.release()

    helping = []
    with ThreadPoolExecutor(max(len(todo), 1)) as threads:
        for number in numbers:
            if number + 1 < len(todo) and _HELPERS.acquire(blocking=False):
                helping.append(threads.submit(help_out))
            take(number)
        if helping:
            # Who waits lends a processor: what a helper does may be the longer half.
            _HELPERS.release()
            wait(helping)
            _HELPERS.acquire()
    for helper in helping:
        helper.result()
    return [results[number] for number in range(len(todo))]


def both(first: Callable[[], Result], second: Callable[[], Other]) -> tuple[Result, Other]:
    """What the two return; if both raise, the error of the first."""
    pieces: tuple[Callable[[], Any], ...] = (first, second)
    found = side_by_side(lambda piece: piece(), pieces)
    return found[0], found[1]
