"""Processes that work beside this one: where they come from, what they are given, and what happens if one is killed.

Within `shared()` all work goes to the same ones, which have loaded what it needs; work that is given out without
runs as soon as it is asked for in this process, as it does where there is one processor.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context, resource_tracker
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_POOL: ContextVar[ProcessPoolExecutor | None] = ContextVar("processes that work is given to", default=None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Given(Generic[Result]):
    """Work that was given out: result() waits for it, or does it now where nobody was there to take it."""

    function: Callable[[Any], Result]
    item: Any
    future: Future[Result] | None

    def result(self) -> Result:
        """What the function gave. Raises what it raised."""
        if self.future is not None:
            try:
                return self.future.result()
            except BrokenProcessPool:
                pass  # A worker was killed, most likely for its memory: one at a time needs less of it.
        return self.function(self.item)


@contextmanager
def shared(*modules: str) -> Iterator[None]:
    """Within it work is given to processes that stay; within another one, to those of that one.

    modules: what they load at once, while this process does something else.
    """
    processes_count = os.cpu_count() or 1
    if _POOL.get() is not None or processes_count < 2:
        yield
        return
    # Not forked: the caller may run threads (a progress display), whose locks a fork would copy.
    pool = ProcessPoolExecutor(processes_count, get_context("spawn"), _begin)
    before = _POOL.set(pool)
    try:
        for _ in range(processes_count if modules else 0):
            give(_load, modules)
        yield
    finally:
        _POOL.reset(before)
        pool.shutdown(cancel_futures=True)


def give(function: Callable[[Item], Result], item: Item) -> Given[Result]:
    """Have the function of an item computed by the next process that has time; both have to be picklable."""
    pool = _POOL.get()
    try:
        with _interrupts_held():
            future = None if pool is None else pool.submit(function, item)
    except BrokenProcessPool:
        future = None
    return Given(function=function, item=item, future=future)


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], sizes: Sequence[int]) -> list[Result]:
    """The result of each item, in the order given; in processes where there are several of both. sizes: of the work."""
    if len(items) < 2:
        return [function(item) for item in items]
    # The largest first: the last one to finish then keeps nobody waiting for long.
    order = sorted(range(len(items)), key=lambda index: -sizes[index])
    with shared():
        given = {index: give(function, items[index]) for index in order}
        return [given[index].result() for index in range(len(items))]


def _load(modules: Sequence[str]) -> None:
    for module in modules:
        import_module(module)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Processes that are started within it know of no interruption before they have come to leave it to the parent."""
    resource_tracker.ensure_running()  # where it has to be started it lets them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """Leave interrupts to the parent, and look for objects in circles seldom: that took a twentieth of the time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(100_000, 20, 50)
