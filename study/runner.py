"""Runs cases: starts a wave of engines together, measures them one at a time, and turns each into a folder."""

import csv
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from launch import monitor
from launch.monitor import Monitor
from launch.process import STOP_SIGNALS, Child
from study import commands, judge, record
from study.commands import Command, Tools
from study.models import Model
from study.plan import devices
from study.progress import Progress
from study.record import StudyFolder
from study.spec import Case

POLL_S = 0.1
GPU_SAMPLES = "gpu.csv"
PACKAGES = "packages.json"
# A measured engine that does not end by itself within this, its profiler's report included, is ended.
CLOSING_S = 180.0


@dataclass(kw_only=True, eq=False)
class Attempt:
    """One case while it runs: its process, and what its driver has reported so far."""

    case: Case
    folder: Path
    command: Command
    gpus: Sequence[int]
    go: Path | None
    child: Child
    started_utc: str
    phase: str = "starting"
    phase_since_s: float = field(default_factory=time.time)
    heard_s: float = field(default_factory=time.monotonic)
    phases_s: dict[str, float] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    windows: list[dict[str, Any]] = field(default_factory=list)
    loads: list[dict[str, Any]] = field(default_factory=list)
    failure: str | None = None
    done: bool = False
    beside_count: int = 0

    def enter(self, phase: str, at_s: float | None = None) -> None:
        """Close the books of one phase and open the next, at the epoch second that the driver gives or now."""
        now_s = time.time() if at_s is None else at_s
        self.phases_s[self.phase] = round(self.phases_s.get(self.phase, 0.0) + now_s - self.phase_since_s, 3)
        self.phase, self.phase_since_s = phase, now_s


@contextmanager
def in_one_piece() -> Iterator[None]:
    """Hold signals that would stop the study back until the block is done, then interrupt if any came."""
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if any(before[signal.Signals(number)] != signal.SIG_IGN for number in came):
        raise KeyboardInterrupt


class Runner:
    """Runs waves of cases into a study folder. Use as a context manager: leaving it leaves no process behind."""

    def __init__(
        self,
        *,
        folder: StudyFolder,
        tools: Tools,
        models: Mapping[str, Model],
        host: Callable[[Case, Mapping[str, Any]], Mapping[str, Any]],
        packages: Callable[[Case], Mapping[str, str]],
        progress: Progress,
        gpus: Sequence[int],
    ) -> None:
        """`host` tells of the machine for a case and its engine's words, `packages` what its engine lives with.

        gpus: the numbers of those that may be used.
        """
        self._gpus = gpus
        self._folder, self._tools, self._models, self._progress = folder, tools, models, progress
        self._host, self._packages = host, packages
        self._running: list[Attempt] = []
        self._finishing: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(max_workers=4)

    def __enter__(self) -> "Runner":
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what runs and drop what is half made; a second signal does not cut this short."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
        try:
            for attempt in self._running:
                attempt.child.stop()
                self._folder.discard(attempt.case)
            self._settle()
        finally:
            self._pool.shutdown()
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(self, wave: Sequence[Case], *, together: bool = False) -> None:
        """Start the engines of a wave on disjoint GPUs, then measure one after the other while the rest idle.

        together: untraced ones all at the same time; their records say beside how many others.
        """
        for case, places in zip(wave, devices(wave), strict=True):
            self._start(case, gpus=[self._gpus[place] for place in places], held=len(wave) > 1)
        self._follow(self._running, until=lambda attempt: attempt.phase != "starting")
        self._settle()  # exports of the wave before would disturb a measurement
        started = [attempt for attempt in self._running if not attempt.failure]
        together = together and not any(commands.traced(attempt.case) for attempt in started)
        for group in [started] if together else [[attempt] for attempt in started]:
            self._measure(group)
        for attempt in list(self._running):
            self._end(attempt)

    def _measure(self, group: Sequence[Attempt]) -> None:
        with ExitStack() as all_sampling:
            # Each on its own: a case that is done is not sampled while others go on.
            sampling = [all_sampling.enter_context(ExitStack()) for _ in group]
            for attempt, own in zip(group, sampling, strict=True):
                attempt.beside_count = len(group) - 1
                own.enter_context(Monitor(attempt.folder / GPU_SAMPLES, attempt.gpus))
            for attempt in group:
                if attempt.go:
                    attempt.go.touch()
            self._follow(
                group, until=lambda attempt: False, then=lambda attempt: sampling[group.index(attempt)].close()
            )
        for attempt in group:
            self._end(attempt)

    def settle(self) -> None:
        """Wait until every case that has ended lies in its folder."""
        self._settle()

    def _start(self, case: Case, *, gpus: Sequence[int], held: bool) -> None:
        folder = self._folder.begin(case)
        go = folder / "go" if held else None
        command = commands.run(case, tools=self._tools, model=self._models[case.model], folder=folder, gpus=gpus, go=go)
        self._progress.phase(case, "starting")
        env = {**os.environ, **command.env}
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with in_one_piece():  # a process that was started and not noted would outlive an interrupt
            child = Child(command.argv, env=env, log=folder / "engine.log", events=folder / "events.jsonl")
            attempt = Attempt(case=case, folder=folder, command=command, gpus=gpus, go=go, child=child, started_utc=now)
            self._running.append(attempt)

    def _follow(
        self,
        attempts: Sequence[Attempt],
        until: Callable[[Attempt], bool],
        then: Callable[[Attempt], None] = lambda attempt: None,
    ) -> None:
        """Listen to cases until each has failed, has ended, or is as far as `until` says, and then do `then`."""
        for attempt in attempts:
            attempt.heard_s = time.monotonic()  # while others of its wave were followed, nobody listened
        left = list(attempts)
        while left:
            for attempt in list(left):
                if not self._goes_on(attempt, until):
                    left.remove(attempt)
                    then(attempt)
            if left:
                time.sleep(POLL_S)

    def _goes_on(self, attempt: Attempt, until: Callable[[Attempt], bool]) -> bool:
        exited = attempt.child.exit_code()  # asked before the events are read, so that none is missed
        for event in attempt.child.events():
            self._take(attempt, event)
        if exited is not None:
            attempt.failure = attempt.failure or (None if attempt.done else judge.ended(exited, attempt.phase))
        if exited is not None or attempt.failure or until(attempt):
            return False
        silent_s = time.monotonic() - attempt.heard_s
        if not attempt.done and silent_s > self._tools.timeout_s:
            attempt.failure = f"time-out: nothing heard for {silent_s:.0f} s while {attempt.phase}"
            return False
        return not (attempt.done and silent_s > CLOSING_S)

    def _take(self, attempt: Attempt, event: Mapping[str, Any]) -> None:
        attempt.heard_s = time.monotonic()
        kind = event["event"]
        fields = {key: value for key, value in event.items() if key not in ("event", "time_s")}
        if kind == "phase":
            attempt.enter(fields["phase"], event["time_s"])
            self._progress.phase(attempt.case, attempt.phase, batch=fields.get("batch"), load=fields.get("load"))
        elif kind == "resolved":
            attempt.resolved = fields
        elif kind == "window":
            attempt.windows.append({**fields, "tpot_ms": fields["seconds"] / fields["tokens"] * 1e3})
        elif kind == "load":
            attempt.loads.append(fields)
        elif kind == "error" and not attempt.done:
            attempt.failure = judge.raised(fields["kind"], fields["message"], attempt.phase)
        elif kind == "done":
            attempt.done = True
            attempt.enter("stopping", event["time_s"])

    def _end(self, attempt: Attempt) -> None:
        attempt.child.stop()
        attempt.enter("exporting")
        self._running.remove(attempt)
        self._finishing.append(self._pool.submit(self._finish, attempt))

    def _settle(self) -> None:
        finishing, self._finishing = self._finishing, []
        for future in finishing:
            future.result()

    def _finish(self, attempt: Attempt) -> None:
        """Export, prove the label, write the record."""
        case, folder = attempt.case, attempt.folder
        traces: list[dict[str, Any]] = []
        if not attempt.failure:
            self._progress.phase(case, "exporting")
            traces, attempt.failure = judge.export(case, tools=self._tools, folder=folder)
        attempt.enter("recording")
        host = self._host(case, attempt.resolved)
        record.write_json(folder / PACKAGES, self._packages(case))
        _write_samples(folder / "samples.csv", attempt.windows)
        tail = judge.log_tail(folder / "engine.log")
        failure = judge.explained(attempt.failure, tail)
        verdict = judge.outcome(case, failure, attempt.resolved, traces, folder)
        for leftover in ("events.jsonl", "go"):
            (folder / leftover).unlink(missing_ok=True)
        content = {
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "log_tail": [] if verdict.outcome == "ok" else tail,
            "made_by": "study.sweep",
            "asked": record.asked(case),
            "resolved": {**attempt.resolved, **judge.captured(case, folder / "engine.log")},
            "argv": list(attempt.command.argv),
            "env": record.kept_environment({**os.environ, **attempt.command.env}),
            "host": dict(host),
            "started_utc": attempt.started_utc,
            "phases_s": attempt.phases_s,
            "beside_count": attempt.beside_count,
            "loads": attempt.loads,
            "gpu_state": monitor.summary(monitor.read(folder / GPU_SAMPLES)),
            "files": {
                "log": "engine.log",
                "samples": "samples.csv" if attempt.windows else None,
                "requests": commands.REQUESTS if attempt.loads else None,
                "gpu": GPU_SAMPLES,
                "packages": PACKAGES,
                "traces": traces,
            },
        }
        self._folder.finish(case, content)
        self._progress.finished(case, verdict, attempt.windows, attempt.loads)


def _write_samples(path: Path, windows: Sequence[Mapping[str, Any]]) -> None:
    if not windows:
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["batch", "window", "tokens", "seconds", "tpot_ms"])
        writer.writeheader()
        writer.writerows(windows)
