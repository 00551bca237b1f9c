"""As much of torch as the drivers ask for."""

from types import SimpleNamespace

__version__ = "2.0+standin"
version = SimpleNamespace(cuda="0.0")
