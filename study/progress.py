"""Tells whoever waits which case runs, in which phase, and how long the rest may take."""

import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from study.spec import Case

if TYPE_CHECKING:
    from study.judge import Verdict


class Progress:
    """A live line on a terminal, plain lines elsewhere, and one line a finished case."""

    def __init__(self, console: Console, *, total: int) -> None:
        """`total` counts the cases still to run."""
        self._console, self._total = console, total
        self._done = 0
        self._since_s = time.monotonic()
        self._now = "planning"
        self._lock = threading.Lock()
        self._live = Live(console=console, get_renderable=self._line, refresh_per_second=2, transient=True)

    def __enter__(self) -> "Progress":
        """Start the clock, and the live line where there is a terminal."""
        self._since_s = time.monotonic()
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the live line away."""
        if self._console.is_terminal:
            self._live.stop()

    def phase(self, case: Case, phase: str, batch: int | None = None, load: int | None = None) -> None:
        """A case has entered a phase."""
        at = f" batch {batch}" if batch is not None else f" load {load}" if load is not None else ""
        text = f"{case.name}: {phase}{at}"
        with self._lock:
            self._now = text
            if not self._console.is_terminal:
                self._console.print(self._line().plain, soft_wrap=True, markup=False, highlight=False)

    def finished(
        self,
        case: Case,
        verdict: "Verdict",
        windows: Sequence[Mapping[str, Any]],
        loads: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """A case lies in its folder; prints its iteration times or what became of its requests, or why it has none."""
        with self._lock:
            self._done += 1
            traced = f"label proven, traced {_medians(verdict.traced_ms)}"
            result = verdict.reason or iteration_times(windows) or answered(loads) or traced
            style = "green" if verdict.outcome == "ok" else "red"
            line = f"[{self._done}/{self._total}] {case.name}: {verdict.outcome}, {result}"
            self._console.print(Text(line, style=style), soft_wrap=True)

    def _line(self) -> Text:
        elapsed_s = time.monotonic() - self._since_s
        rest = f", about {_clock(elapsed_s / self._done * (self._total - self._done))} to go" if self._done else ""
        return Text(f"[{self._done}/{self._total}] {_clock(elapsed_s)}{rest} | {self._now}")


def iteration_times(windows: Sequence[Mapping[str, Any]]) -> str:
    """The median iteration time of each batch, such as `batch 1: 4.92 ms`; empty without windows."""
    batches = sorted({window["batch"] for window in windows})
    medians = {
        batch: statistics.median(window["tpot_ms"] for window in windows if window["batch"] == batch)
        for batch in batches
    }
    return _medians(medians)


def answered(loads: Sequence[Mapping[str, Any]]) -> str:
    """What became of the requests of each load point, such as `4 requests/s: 200 ok in 50.1 s`; empty without any."""
    return ", ".join(
        f"{_point(load)}: {', '.join(f'{count} {status}' for status, count in load['statuses'].items())} "
        f"in {load['seconds']:.1f} s"
        for load in loads
    )


def _point(load: Mapping[str, Any]) -> str:
    return f"{load['rate']:g} requests/s" if load.get("rate") else f"{load['concurrency']} in flight"


def _medians(by_batch: Mapping[int, float]) -> str:
    at = {batch: f"batch {batch}" if batch else "while serving" for batch in by_batch}
    return ", ".join(f"{at[batch]}: {median_ms:.2f} ms" for batch, median_ms in by_batch.items())


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
