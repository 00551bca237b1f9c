"""What an engine's configuration classes look for on a host with GPUs, for one without: a card, and kernel libraries.

Runs inside an engine's own environment, beside a probe. Only what the classes ask of a card is answered; nothing is
computed.
"""

import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import sys
import types
from collections.abc import Callable
from typing import Any, ClassVar
from unittest.mock import MagicMock

GIB = 2**30


class Card:
    """The GPU that the engine is told of: its name, compute capability, memory and multiprocessors; eight of them."""

    count = 8
    is_integrated = False

    def __init__(self, *, name: str, capability: tuple[int, int], memory_gib: float, processors: int) -> None:
        self.name, self.capability = name, capability
        self.major, self.minor = capability
        self.total_memory = int(memory_gib * GIB)
        self.multi_processor_count = processors


CARDS = {
    "h200": Card(name="NVIDIA H200", capability=(9, 0), memory_gib=139.8, processors=132),
    "rtx4090": Card(name="NVIDIA GeForce RTX 4090", capability=(8, 9), memory_gib=23.6, processors=128),
}


class Standin(types.ModuleType):
    """A module in which everything can be looked up, and nothing does anything."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, MagicMock(name=name))
        return getattr(self, name)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a stand-in for every module that `missing` names."""

    def __init__(self, missing: Callable[[str], bool]) -> None:
        self._missing = missing

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if self._missing(name) else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return Standin(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None


def sources_first() -> None:
    """Let the engine come from $ENGINE_SOURCES, and all else from the environment that runs this."""
    sys.path[:0] = [part for part in os.environ.get("ENGINE_SOURCES", "").split(os.pathsep) if part]


def torch_with(card: Card) -> None:
    """Let torch.cuda speak of eight such cards; memory is all free."""
    import torch

    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: card.count
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_device_name = lambda *_: card.name
    torch.cuda.get_device_capability = lambda *_: card.capability
    torch.cuda.get_device_properties = lambda *_: card
    torch.cuda.mem_get_info = lambda *_: (card.total_memory, card.total_memory)


def versions(engine: str) -> dict[str, str]:
    """The versions of an engine and of what its configuration classes are made with."""
    return {name: importlib.metadata.version(name) for name in (engine, "torch", "transformers", "pydantic")}


def failure(error: BaseException) -> str:
    """One line of what an engine said no with; the host's own paths are left out of it."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return " ".join(word for word in said.split(" ") if not word.startswith(("/", "input_value=")))[:400]
