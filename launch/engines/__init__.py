"""One engine a file: what it is told for a case, and the environment it wants."""

from types import ModuleType

from launch.engines import sglang, vllm

ENGINES: dict[str, ModuleType] = {"vllm": vllm, "sglang": sglang}
