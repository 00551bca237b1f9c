"""A child process tree, with real processes that obey, ignore SIGTERM, leave the session or hide their environment."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from launch import nsys, process
from launch.process import Child, run_to_end

SLEEP = "import time; time.sleep(3600)\n"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
# What every driver does first: it says which process it is.
TELL = "import json, os, pathlib; pathlib.Path('events').write_text(json.dumps({'pid': os.getpid()}) + '\\n')\n"
Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts Python code as a child in the test's folder, where its events and its log lie; stopped in the end."""
    monkeypatch.chdir(tmp_path)
    children = []

    def begin(code: str) -> Child:
        argv = [sys.executable, "-S", "-c", code]
        children.append(Child(argv, env=os.environ, log=Path("log"), events=Path("events")))
        return children[-1]

    yield begin
    for left in in_folder(tmp_path):
        left.kill()
    for child in children:
        wait_for(lambda child=child: child.exit_code() is not None)


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is none of the child's business."""
    with subprocess.Popen([sys.executable, "-S", "-c", SLEEP], start_new_session=True) as running:
        yield running
        running.kill()


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def spawn(code: str = "", options: str = "") -> str:
    """Code that starts more code as a sleeping process, which leaves its id in the file `spawned` once it has begun."""
    begun = f"{code}import os, pathlib; pathlib.Path('spawned').write_text(str(os.getpid()))\n{SLEEP}"
    return f"import subprocess, sys; started = subprocess.Popen([sys.executable, '-S', '-c', {begun!r}]{options})\n"


def spawned() -> int:
    wait_for(lambda: Path("spawned").exists() and Path("spawned").read_text())
    return int(Path("spawned").read_text())


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def in_folder(folder: Path) -> list[psutil.Process]:
    """Every process of this test, however it was started: they all work in its folder."""
    found = []
    for running in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if running.pid != os.getpid() and Path(running.cwd()) == folder:
                found.append(running)
    return found


def test_events_come_once_each_and_a_half_written_line_waits_for_its_end(start: Start) -> None:
    child = start(SLEEP)
    assert child.events() == []
    Path("events").write_text('{"event": "a"}\n{"eve')
    assert child.events() == [{"event": "a"}]
    assert child.events() == []
    with Path("events").open("a") as events:
        events.write('nt": "b", "pid": 1}\n')
    assert child.events() == [{"event": "b", "pid": 1}]
    assert child.driver_pid == 1
    child.driver_pid = None


def test_the_driver_is_known_by_the_latest_event_that_names_it(start: Start) -> None:
    child = start(TELL + SLEEP)
    wait_for(child.events)
    assert psutil.Process(child.driver_pid).ppid() == os.getpid()
    with Path("events").open("a") as events:
        events.write(json.dumps({"event": "done"}) + "\n")
    before = child.driver_pid
    assert child.events() and child.driver_pid == before


def test_output_is_appended_to_the_log(start: Start) -> None:
    Path("log").write_text("before\n")
    child = start("import sys; print('out', flush=True); print('err', file=sys.stderr)")
    wait_for(lambda: child.exit_code() is not None)
    assert Path("log").read_text() == "before\nout\nerr\n"


def test_a_command_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        Child([str(tmp_path / "absent")], env={}, log=tmp_path / "log", events=tmp_path / "events")


def test_the_exit_code_is_none_while_it_runs_and_then_its_own(start: Start) -> None:
    child = start("import time; time.sleep(0.3); raise SystemExit(5)")
    assert child.exit_code() is None
    wait_for(lambda: child.exit_code() is not None)
    assert child.exit_code() == 5


def test_stopping_ends_the_driver_first_and_lets_its_wrapper_finish_the_report(start: Start) -> None:
    child = start(spawn(TELL) + "started.wait(); import time, pathlib; time.sleep(0.3); pathlib.Path('report').touch()")
    driver = spawned()
    child.stop()
    assert Path("report").exists() and child.exit_code() == 0
    assert not alive(driver)


def test_a_wrapper_whose_driver_has_ended_already_still_has_time_for_the_report(start: Start) -> None:
    driven = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {TELL!r}])\n"
    late = "import time, pathlib; pathlib.Path('ended').touch(); time.sleep(0.5); pathlib.Path('report').touch()"
    child = start(driven + late)
    wait_for(Path("ended").exists)
    child.stop()
    assert Path("report").exists() and child.exit_code() == 0


def test_a_command_that_never_named_its_driver_is_asked_to_end_as_a_group(start: Start) -> None:
    polite = "import signal, sys, pathlib; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    child = start(f"{polite}pathlib.Path('ready').touch()\n{SLEEP}")
    wait_for(Path("ready").exists)
    child.stop()
    assert child.exit_code() == 7


def test_what_ignores_being_asked_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TERMINATE_S", 0.2)
    monkeypatch.setattr(process, "KILL_S", 0.5)
    child = start(STUBBORN + TELL + SLEEP)
    wait_for(child.events)
    child.stop()
    assert child.exit_code() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "options"),
    [
        pytest.param("", "", id="a plain worker"),
        pytest.param(STUBBORN, "", id="one that ignores SIGTERM"),
        pytest.param("", ", start_new_session=True", id="one that left the session"),
        pytest.param("", ", env={}", id="one whose environment is gone"),
    ],
)
@pytest.mark.parametrize("parent", ["dies first", "lives on"])
def test_no_descendant_is_left_behind(
    start: Start, monkeypatch: pytest.MonkeyPatch, code: str, options: str, parent: str
) -> None:
    monkeypatch.setattr(process, "KILL_S", 2)
    child = start(spawn(code, options) + (SLEEP if parent == "lives on" else ""))
    worker = spawned()
    if parent == "dies first":
        wait_for(lambda: child.exit_code() is not None)
    assert alive(worker)
    child.stop()
    assert not alive(worker) and child.exit_code() is not None


def test_a_real_nsys_outlives_its_driver_and_leaves_none_of_its_helpers(
    start: Start, tmp_path: Path, real_nsys: Path
) -> None:
    driver = [sys.executable, "-S", "-c", f"{TELL}{SLEEP}"]
    argv = nsys.profile(driver, nsys=str(real_nsys), output=Path("trace"), tracing="node", windows=1)
    child = start(f"import os; os.execv({argv[0]!r}, {argv!r})")
    wait_for(child.events)
    assert child.driver_pid is not None and alive(child.driver_pid)
    profilers = in_folder(tmp_path)
    assert len(profilers) > 2
    child.stop()
    assert child.exit_code() == 128 + signal.SIGTERM  # nsys speaks of its application, so it was not killed itself
    assert not [process for process in profilers if process.is_running() and alive(process.pid)]


def test_no_other_process_is_touched(start: Start, bystander: subprocess.Popen[bytes]) -> None:
    other, child = start(SLEEP), start(SLEEP)
    child.stop()
    assert child.exit_code() == -signal.SIGTERM
    assert other.exit_code() is None and bystander.poll() is None


def test_a_process_that_only_bears_the_driver_s_number_is_not_touched(
    start: Start, monkeypatch: pytest.MonkeyPatch, bystander: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setattr(process, "TERMINATE_S", 0.2)
    child = start(SLEEP)
    Path("events").write_text(json.dumps({"event": "phase", "pid": bystander.pid}) + "\n")
    child.stop()
    with pytest.raises(subprocess.TimeoutExpired):
        bystander.wait(0.3)


def test_a_helper_command_gives_its_exit_code_and_its_words_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    code = "import sys; print('out', flush=True); sys.exit('err')"
    assert run_to_end([sys.executable, "-S", "-c", code], log=log, timeout_s=20) == 1
    assert log.read_text() == "before\nout\nerr\n"


def test_a_helper_command_that_is_absent_or_too_slow_has_an_exit_code_as_in_a_shell(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert run_to_end([str(tmp_path / "absent")], log=log, timeout_s=20) == 127
    assert "absent" in log.read_text()
    assert run_to_end([sys.executable, "-S", "-c", SLEEP], log=log, timeout_s=0.2) == -signal.SIGKILL
