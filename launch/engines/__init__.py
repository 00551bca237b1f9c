"""One engine a file: what it is told for a case, in the words of its version, and the environment it wants.

Each has VERSIONS, ENVIRONMENT and REFUSED; options and environment of a case; refused_layout, refused_version; capture.
"""

from importlib import import_module
from types import ModuleType

from study.spec import ENGINES as NAMES

ENGINES: dict[str, ModuleType] = {name: import_module(f"launch.engines.{name}") for name in NAMES}
