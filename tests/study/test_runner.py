"""What the runner holds in one process; whole runs with real processes are in test_sweep.py."""

import os
import signal

import pytest

from study.runner import STOP_SIGNALS, in_one_piece


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
