import time
from threading import Barrier, Event, Lock, Semaphore, get_ident

import pytest

from analysis import threads


def test_results_come_in_the_order_of_the_items() -> None:
    assert threads.side_by_side(lambda item: -item, range(100)) == [-item for item in range(100)]
    assert threads.side_by_side(lambda item: item, []) == []


def test_pieces_within_pieces_take_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_HELPERS", Semaphore(1))
    lock, running, most = Lock(), 0, 0

    def piece(_: int) -> None:
        nonlocal running, most
        with lock:
            running, most = running + 1, max(most, running + 1)
        time.sleep(0.001)
        with lock:
            running -= 1

    threads.side_by_side(lambda _: threads.side_by_side(piece, range(5)), range(5))
    assert most == 2


def test_two_pieces_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_HELPERS", Semaphore(1))
    # Either waits for the other.
    meet = Barrier(2, timeout=10)
    assert len(threads.both(meet.wait, meet.wait)) == 2


def test_who_waits_lends_a_processor_to_the_longer_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_HELPERS", Semaphore(1))
    begun, meet = Event(), Barrier(2, timeout=10)

    def longer() -> None:
        begun.set()
        # By the end of the first of these, who does the other piece waits; the next two wait for each other.
        threads.side_by_side(lambda work: work(), [lambda: time.sleep(0.2), meet.wait, meet.wait])

    threads.both(lambda: begun.wait(10), longer)
    assert threads._HELPERS.acquire(blocking=False)
    assert not threads._HELPERS.acquire(blocking=False)


def test_one_processor_does_one_piece_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_HELPERS", Semaphore(0))
    assert set(threads.side_by_side(lambda _: get_ident(), range(5))) == {get_ident()}


def test_an_error_ends_the_work_and_frees_the_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_HELPERS", Semaphore(1))
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("piece 0")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="piece 0"):
        threads.side_by_side(work, range(100))
    assert len(begun) < 50
    assert threads._HELPERS.acquire(blocking=False)
