"""How commands end: with their status, and without a traceback where the user or a reader has had enough."""

import subprocess
import sys

import pytest

CALL = "from analysis import program\ndef main():\n    {}\nprogram.run(main)"


@pytest.mark.parametrize(
    ("does", "status", "said"),
    [
        ("return 3", 3, ""),
        ("raise KeyboardInterrupt", 1, "interrupted\n"),
        ("raise BrokenPipeError", 1, ""),
    ],
)
def test_a_command_ends_with_its_status_and_without_a_traceback(does: str, status: int, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", CALL.format(does)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", said)
