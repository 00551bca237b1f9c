import platform
import subprocess
import sys

import pytest

_TWICE = """
import resource
from analysis import memory
memory.keep()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(1 << 26)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_memory_that_was_freed_is_not_new_when_it_is_used_again() -> None:
    out = subprocess.run([sys.executable, "-c", _TWICE], check=True, capture_output=True, text=True).stdout
    first, again = map(int, out.split())
    assert again < 100 < first
