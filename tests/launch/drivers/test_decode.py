"""The decode driver without an engine: prompts, the clock, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.drivers import decode

ENGINE = """
import pathlib, time

class Engine:
    def __init__(self, options):
        self.options = options
        self.told = pathlib.Path("told")

    def _tell(self, word):
        with self.told.open("a") as told:
            told.write(word + "\\n")

    def resolved(self):
        return {"graphs": "on", **self.options}

    def generate(self, prompts, tokens):
        if self.options.get("fails"):
            raise MemoryError("too small by far")
        self._tell(f"generate {len(prompts)}x{len(prompts[0])} {tokens}")
        time.sleep(self.options.get("step_s", 0) * tokens)

    def start_profile(self):
        self._tell("start")

    def stop_profile(self):
        self._tell("stop")

    def close(self):
        self._tell("close")
"""


class Clock:
    """An engine whose generation takes a known time: so long for the prefill, so long a step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, prefill_s: float, step_s: float) -> None:
        self.now_s, self.prefill_s, self.step_s, self.asked = 0.0, prefill_s, step_s, []
        monkeypatch.setattr(decode.time, "perf_counter", lambda: self.now_s)

    def generate(self, prompts: list[list[int]], tokens: int) -> None:
        self.asked.append(tokens)
        self.now_s += self.prefill_s + (tokens - 1) * self.step_s


def start(folder: Path, *flags: str, **options: object) -> subprocess.Popen[str]:
    (folder / "scripted_offline.py").write_text(ENGINE)
    argv = [
        sys.executable, decode.__file__, "--engine", "scripted", "--engine-args", json.dumps(options),
        "--prompt-tokens", "5", "--output-tokens", "10", "--vocabulary", "1000", "--seed", "3", "--events", "events",
        *flags,
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def events(folder: Path) -> list[dict]:
    path = folder / "events"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wait_for_phase(folder: Path, phase: str) -> None:
    deadline = time.monotonic() + 10
    while not any(event.get("phase") == phase for event in events(folder)):
        assert time.monotonic() < deadline, f"never {phase}"
        time.sleep(0.02)


def test_prompts_are_the_same_for_one_seed_and_others_for_another() -> None:
    once = decode.token_prompts(4, 50, 128_256, seed=7)
    assert once == decode.token_prompts(4, 50, 128_256, seed=7) != decode.token_prompts(4, 50, 128_256, seed=8)
    assert [len(prompt) for prompt in once] == [50] * 4 and once[0] != once[1]
    assert decode.token_prompts(2, 50, 128_256, seed=7) == once[:2]


def test_prompts_stay_within_the_vocabulary_and_off_its_ends() -> None:
    ids = {token for prompt in decode.token_prompts(20, 500, 1000, seed=0) for token in prompt}
    assert min(ids) == 100 and max(ids) == 799


def test_the_time_of_a_window_is_that_of_its_decode_steps_without_the_prefill(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, prefill_s=5.0, step_s=0.25)
    assert decode.decode_seconds(clock, [[1]], 8) == 8 * 0.25
    assert clock.asked == [1, 9]


def test_a_window_shorter_than_the_noise_of_the_prefill_is_an_error_and_no_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch, prefill_s=5.0, step_s=-0.25)
    with pytest.raises(RuntimeError, match=r"8 decode steps took -2.0* s more than the prefill; ask for more"):
        decode.decode_seconds(clock, [[1]], 8)


def test_every_batch_is_warmed_up_and_then_timed_window_by_window(tmp_path: Path) -> None:
    driver = start(tmp_path, "--batches", "1,4", "--windows", "2", step_s=0.001)
    output, _ = driver.communicate(timeout=20)
    assert driver.returncode == 0, output
    told = (tmp_path / "told").read_text().splitlines()
    tokens = [32, 32, 1, 11, 1, 11]
    assert told == [*(f"generate {batch}x5 {count}" for batch in (1, 4) for count in tokens), "close"]
    windows = [event for event in events(tmp_path) if event["event"] == "window"]
    assert [(event["batch"], event["window"], event["tokens"]) for event in windows] == [
        (1, 0, 10), (1, 1, 10), (4, 0, 10), (4, 1, 10)
    ]  # fmt: skip
    assert events(tmp_path)[0]["pid"] == driver.pid and events(tmp_path)[-1]["event"] == "done"
    assert [event["graphs"] for event in events(tmp_path) if event["event"] == "resolved"] == ["on"]


def test_a_traced_batch_gets_one_capture_window_with_steps_to_settle_and_no_timed_one(tmp_path: Path) -> None:
    driver = start(tmp_path, "--batches", "2", "--windows", "0", "--traced-steps", "64")
    output, _ = driver.communicate(timeout=20)
    assert driver.returncode == 0, output
    told = (tmp_path / "told").read_text().splitlines()
    assert told[2:] == ["start", f"generate 2x5 {64 + decode.SETTLE_TOKENS}", "stop", "close"]
    assert [event["event"] for event in events(tmp_path)][-2:] == ["traced", "done"]


def test_an_engine_s_error_is_an_event_in_its_own_words_and_an_exit_code(tmp_path: Path) -> None:
    driver = start(tmp_path, "--batches", "1", "--windows", "1", fails=True)
    output, _ = driver.communicate(timeout=20)
    last = events(tmp_path)[-1]
    assert (last["event"], last["kind"], last["message"]) == ("error", "MemoryError", "too small by far")
    assert driver.returncode == 1 and "Traceback" in output
    assert (tmp_path / "told").read_text() == "close\n"


def test_an_engine_that_is_not_there_is_an_event_too(tmp_path: Path) -> None:
    driver = start(tmp_path, "--batches", "1", "--windows", "1", "--engine", "absent")
    driver.communicate(timeout=20)
    assert driver.returncode == 1 and events(tmp_path)[-1]["kind"] == "ModuleNotFoundError"


def test_being_asked_to_end_closes_the_engine(tmp_path: Path) -> None:
    driver = start(tmp_path, "--batches", "1", "--windows", "1", step_s=3600)
    wait_for_phase(tmp_path, "warming up")
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=20)
    assert driver.returncode == 143
    assert (tmp_path / "told").read_text().splitlines()[-1] == "close"
    assert events(tmp_path)[-1]["event"] == "phase"


def test_nothing_is_measured_before_the_go(tmp_path: Path) -> None:
    driver = start(tmp_path, "--batches", "1", "--windows", "1", "--go", "go", step_s=0.001)
    wait_for_phase(tmp_path, "ready")
    time.sleep(0.2)
    assert not (tmp_path / "told").exists()
    (tmp_path / "go").touch()
    driver.communicate(timeout=20)
    assert driver.returncode == 0 and (tmp_path / "told").exists()
