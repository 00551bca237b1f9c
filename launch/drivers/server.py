"""One server as a child process: a free port, a process group of its own, and an end that leaves nothing running.

Its output goes where the driver's goes, and its session is the driver's, by which whoever started that knows both.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Below the range from which systems draw the ports of outgoing connections, so that none takes it in between.
PORTS = range(20_000, 30_000)
POLL_S = 0.05
# Long enough for an engine to end its workers by itself, short enough to be done before whoever asked loses patience.
GENTLE_S = 40.0
FORCE_S = 5.0


class Server:
    """A running server."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Start `argv` with `env` over this process's own environment."""
        # An engine that kills its whole group when a worker fails must not take its profiler and its driver along.
        own: dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"preexec_fn": os.setpgrp}
        self._process = subprocess.Popen(list(argv), env={**os.environ, **env}, stdin=subprocess.DEVNULL, **own)

    async def ended(self) -> int:
        """Wait for the server's end; returns its exit code, negative for a signal."""
        while (code := self._process.poll()) is None:
            await asyncio.sleep(POLL_S)
        return code

    async def stop(self) -> None:
        """Ask the server to end, then what is left of its group, then insist."""
        if self._process.poll() is None:
            self._process.terminate()
        await self._empty(GENTLE_S)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.members():
                os.killpg(self._process.pid, number)
                await self._empty(FORCE_S)
        self._process.poll()

    async def _empty(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.members() and time.monotonic() < deadline:
            self._process.poll()
            await asyncio.sleep(POLL_S)

    def members(self) -> list[int]:
        """The living processes of the server's group; none of another session, should the number have been reused."""
        ours = [str(self._process.pid), str(os.getsid(0))]
        return [pid for pid, state, *group in _processes() if group == ours and state not in ("Z", "X")]


def _processes() -> list[Any]:
    """Number, state, process group and session of every process there is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name stands in parentheses and may hold anything.
            state, _, group, session, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        found.append((int(stat.parent.name), state, group, session))
    return found


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    for port in random.sample(PORTS, k=100):
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"none of 100 ports tried between {PORTS.start} and {PORTS.stop} is free")
