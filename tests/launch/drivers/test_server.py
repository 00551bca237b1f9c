"""The server as a child process: where it runs, and that nothing of it is left, however it behaves."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from launch.drivers import server

DEAF = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(3600)"
)
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]]).wait()"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GENTLE_S", 0.2)
    monkeypatch.setattr(server, "FORCE_S", 0.5)


def run(*argv: str) -> server.Server:
    return server.Server([sys.executable, *argv], {})


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"never made {path}"
        time.sleep(0.02)


def test_a_server_runs_in_a_group_of_its_own_and_the_session_of_its_driver() -> None:
    own = f"import os; exit(3 if os.getpgrp() == os.getpid() and os.getsid(0) == {os.getsid(0)} else 4)"
    assert asyncio.run(run("-c", own).ended()) == 3


def test_the_variables_given_come_on_top_of_the_driver_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN", "1")
    child = server.Server(
        [sys.executable, "-c", "import os; exit(os.environ['OWN'] + os.environ['NEW'])"], {"NEW": "2"}
    )
    assert asyncio.run(child.ended()) == 1


def test_the_end_of_a_server_is_noticed_at_once_with_how_it_ended() -> None:
    began = time.monotonic()
    assert asyncio.run(run("-c", "exit(7)").ended()) == 7
    assert asyncio.run(run("-c", "import os; os.kill(os.getpid(), 9)").ended()) == -9
    assert time.monotonic() - began < 5


def test_a_server_that_ends_when_asked_is_asked_and_not_killed(tmp_path: Path) -> None:
    told = tmp_path / "told"
    polite = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep(0.05); open(sys.argv[1], 'w').write('ended by itself'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); open(sys.argv[1] + '.up', 'w'); time.sleep(3600)"
    )
    child = run("-c", polite, str(told))
    wait_for(tmp_path / "told.up")
    asyncio.run(child.stop())
    assert told.read_text() == "ended by itself" and child.members() == []


def test_a_server_and_a_worker_that_ignore_being_asked_are_gone_in_the_end(tmp_path: Path) -> None:
    child = run("-c", PARENT, DEAF, str(tmp_path / "up"))
    wait_for(tmp_path / "up")
    assert len(child.members()) == 2
    asyncio.run(child.stop())
    assert child.members() == []


def test_a_worker_that_outlives_its_server_is_ended_too(tmp_path: Path) -> None:
    child = run("-c", PARENT.replace(".wait()", ""), DEAF, str(tmp_path / "up"))
    wait_for(tmp_path / "up")
    assert asyncio.run(child.ended()) == 0 and len(child.members()) == 1
    asyncio.run(child.stop())
    assert child.members() == []


def test_a_stranger_is_no_member_and_stays(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    try:
        child = run("-c", "pass")
        asyncio.run(child.ended())
        asyncio.run(child.stop())
        assert stranger.poll() is None and psutil.pid_exists(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_group_of_another_session_is_not_touched_though_its_number_be_the_same() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    try:
        child = run("-c", "pass")
        asyncio.run(child.ended())
        child._process.pid = other.pid  # as if the number had been given out again
        assert child.members() == []
        asyncio.run(child.stop())
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()


def test_a_free_port_is_one_that_can_be_listened_on() -> None:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", server.free_port()))


def test_no_free_port_is_an_error_that_says_where_it_was_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(server.random, "sample", lambda *_, **__: [port])
        with pytest.raises(OSError, match="none of 100 ports tried between 20000 and 30000 is free"):
            server.free_port()
