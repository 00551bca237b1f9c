"""One child process tree: started in a session of its own, followed by its events file, ended without leftovers."""

import contextlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

TOKEN = "CUDA_GRAPH_STUDY_CHILD"
TERMINATE_S = 60.0  # nsys writes its report while the application it wraps is gone: seconds to a minute at eight GPUs
KILL_S = 10.0
POLL_S = 0.02
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""What asks a study, and so its children, to end."""


class Child:
    """A command, its descendants, and the events that its driver reports.

    Whatever ends the study, `stop` leaves no process of this tree behind and touches no other.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], log: Path, events: Path) -> None:
        """Start `argv`; its output goes to `log`. Raises OSError when it cannot be started."""
        self._token = uuid.uuid4().hex
        self._events = events
        self._read = 0
        self.driver_pid: int | None = None
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                list(argv),
                env={**env, TOKEN: self._token},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def events(self) -> list[dict[str, Any]]:
        """Events since the last call; a line still being written is left for the next."""
        if not self._events.exists():
            return []
        whole, newline, _ = self._events.read_bytes()[self._read :].rpartition(b"\n")
        self._read += len(whole) + len(newline)
        found = [json.loads(line) for line in whole.splitlines()]
        self.driver_pid = next((event["pid"] for event in found if "pid" in event), self.driver_pid)
        return found

    def exit_code(self) -> int | None:
        """The exit code of the command, negative for a signal; None while it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """End what still runs: the application first, so that nsys can write; then the group; then by force."""
        self.events()
        if self.exit_code() is None and self.driver_pid is not None:
            self._end_driver(self.driver_pid)
            self._wait(TERMINATE_S)
        if self.exit_code() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._wait(KILL_S)
        self._sweep_up()

    def _end_driver(self, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            driver = psutil.Process(pid)
            # The driver may be gone and its number have passed to a stranger.
            if self._is_ours(driver):
                driver.terminate()

    def _wait(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def _sweep_up(self) -> None:
        deadline = time.monotonic() + KILL_S
        while (left := self._owned()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(POLL_S)  # waiting with psutil would take the exit code away from Popen
        self._wait(KILL_S)

    def _owned(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        # Workers rename themselves, which wipes their visible environment; the profiler's helpers leave the
        # session. Either mark alone would miss some.
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            return os.getsid(process.pid) == self._process.pid or process.environ().get(TOKEN) == self._token
        except (psutil.Error, OSError):
            return False


def run_to_end(argv: Sequence[str], *, log: Path, timeout_s: float) -> int:
    """Run a helper command with its output appended to `log`; returns its exit code, or -9 past the time-out."""
    with log.open("ab") as sink:
        try:
            return subprocess.run(
                list(argv), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, timeout=timeout_s, check=False
            ).returncode
        except OSError as error:
            sink.write(f"{argv[0]}: {error}\n".encode())
            return 127
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
