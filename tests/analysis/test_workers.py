"""Work that is given out is done once, elsewhere where there is an elsewhere, and whatever becomes of who took it."""

import os
import signal

import pytest

from analysis import workers


def _process(number: int) -> tuple[int, int]:
    return number, os.getpid()


def _killed(number: int) -> int:
    """Twice the number, but for a process that is not the one of the tests, which is killed."""
    if os.environ["THE_TESTS"] != str(os.getpid()):
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def _refused(number: int) -> int:
    raise ValueError(f"refused {number}")


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.mark.usefixtures("two_processors")
def test_within_shared_the_same_processes_do_it_all_and_results_keep_their_order() -> None:
    with workers.shared("analysis.errors"):
        first = workers.in_processes(_process, range(6), range(6))
        with workers.shared():
            second = workers.in_processes(_process, range(6), range(6))
        alone = workers.give(_process, 7).result()
    assert [number for number, _ in [*first, *second]] == [*range(6)] * 2
    places = {process for _, process in [*first, *second, alone]}
    assert os.getpid() not in places and len(places) <= 2


def test_without_or_with_one_processor_it_is_done_here_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers.give(_process, 1).result() == (1, os.getpid())
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    done: list[int] = []
    with workers.shared():
        given = workers.give(done.append, 3)
        assert done == []
        given.result()
    assert done == [3]


@pytest.mark.usefixtures("two_processors")
def test_what_a_killed_process_had_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TESTS", str(os.getpid()))
    with workers.shared():
        assert workers.in_processes(_killed, [1, 2, 3], [1, 2, 3]) == [2, 4, 6]
        # The processes are gone; what comes now finds none.
        assert workers.give(_process, 4).result() == (4, os.getpid())


@pytest.mark.usefixtures("two_processors")
def test_what_the_work_raises_is_raised_here() -> None:
    with workers.shared(), pytest.raises(ValueError, match="refused 2"):
        workers.give(_refused, 2).result()


def _held(_: int) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.usefixtures("two_processors")
def test_an_interruption_while_a_process_starts_is_left_to_this_one() -> None:
    with workers.shared():
        assert workers.give(_held, 1).result()
    assert not _held(1)
