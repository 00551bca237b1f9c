"""What the runner holds in one process; whole runs with real processes are in test_sweep.py."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launch.process import STOP_SIGNALS
from study import runner
from study.runner import in_one_piece


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_inside_the_block_interrupts_once_the_block_is_done(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    done = []
    with pytest.raises(KeyboardInterrupt), in_one_piece():
        os.kill(os.getpid(), number)
        done.append("noted")
    assert done == ["noted"] and signal.getsignal(number) == before


def test_without_a_signal_nothing_is_interrupted_and_the_handlers_are_back() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with in_one_piece():
        pass
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


def test_a_signal_that_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with in_one_piece():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


class Measured:
    """A case's process that is asked so often whether it has ended before it has; and its sampling."""

    def __init__(self, name: str, polls: int, told: list[str]) -> None:
        self.name, self.polls, self.told = name, polls, told

    def exit_code(self) -> int | None:
        self.polls -= 1
        self.told.append(f"{self.name} {'goes on' if self.polls else 'ended'}")
        return None if self.polls else 0

    def events(self) -> list[dict[str, object]]:
        return []


def test_a_case_that_is_done_is_not_sampled_while_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    @contextmanager
    def monitor(file: Path, gpus: list[str]) -> Iterator[None]:
        yield
        told.append(f"{gpus[0]} no longer sampled")

    monkeypatch.setattr(runner, "Monitor", monitor)
    monkeypatch.setattr(runner, "POLL_S", 0)
    monkeypatch.setattr(runner.Runner, "_end", lambda self, attempt: None)
    nothing = dict.fromkeys(("folder", "tools", "models", "host", "packages", "progress"))
    about = {"case": None, "folder": tmp_path, "command": None, "go": None, "started_utc": "", "done": True}
    group = [
        runner.Attempt(**about, gpus=[name], child=Measured(name, polls, told)) for name, polls in (("a", 1), ("b", 3))
    ]
    runner.Runner(**nothing, gpus=[])._measure(group)
    assert told == [
        "a ended", "a no longer sampled", "b goes on", "b goes on", "b ended", "b no longer sampled",
    ]  # fmt: skip
    assert [attempt.beside_count for attempt in group] == [1, 1]
