"""What commands say of a mistake in their command lines, as those of the analysis do; for launch too."""

from analysis.command_line import Parser
from analysis.program import refused

__all__ = ["Parser", "refused"]
