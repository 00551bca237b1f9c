"""An engine that does nothing at a known pace, and misbehaves on request. It exists for tests alone.

STANDIN_MISBEHAVE names the fault: load-error, out-of-memory, crash, hang, orphan (leaves a child that ignores
SIGTERM), wrong-graphs, no-capture. STANDIN_WHEN is `start`, `generate` or `close` (default start);
STANDIN_ENGINE names the one engine that misbehaves (default both).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

STEP_S = 0.0005


def fault(when: str) -> str | None:
    """The fault asked for at this moment, once the unconditional ones were committed."""
    asked = os.environ.get("STANDIN_MISBEHAVE")
    if asked is None or os.environ.get("STANDIN_WHEN", "start") != when:
        return None
    if os.environ.get("STANDIN_ENGINE", "standin") not in sys.modules:
        return None
    if asked == "load-error":
        raise ValueError("no weights named model.safetensors")
    if asked == "out-of-memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if asked == "crash":
        print("stand-in: about to crash", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if asked == "hang":
        time.sleep(3600)
    if asked == "orphan":
        ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)"
        child = subprocess.Popen([sys.executable, "-c", ignore], start_new_session=True)
        Path(os.environ["STANDIN_ORPHAN"]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(3600)
    return asked


def decode(tokens: int) -> None:
    """Take as long as `tokens` steps."""
    fault("generate")
    time.sleep(STEP_S * tokens)


def capture(word: str) -> None:
    """Tell the stand-in nsys that cudaProfilerStart or Stop was called."""
    if "STANDIN_CAPTURES" in os.environ and os.environ.get("STANDIN_MISBEHAVE") != "no-capture":
        with Path(os.environ["STANDIN_CAPTURES"]).open("a") as captures:
            captures.write(word + "\n")


def refuse_unknown(options: dict, known: set[str]) -> None:
    """Fail as an engine's own configuration does."""
    unknown = set(options) - known
    if unknown:
        raise TypeError(f"unexpected keyword argument {sorted(unknown)}")
