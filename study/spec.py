"""What one case is: the unit of a study, one engine start."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """One engine start that measures every batch size asked for.

    Lengths are in tokens; `output_tokens` is the decode length of one timed window and `traced_steps` the
    number of steady decode steps that a trace must hold.
    """

    engine: str
    model: str
    tp: int
    graphs: str
    tracing: str
    repeat: int
    batches: tuple[int, ...]
    prompt_tokens: int
    output_tokens: int
    windows: int
    traced_steps: int
    seed: int
    checkpoint: str | None = None

    @property
    def name(self) -> str:
        """The folder name of the case; equal names mean the same configuration."""
        return f"{self.model}_{self.engine}_tp{self.tp}_graphs-{self.graphs}_trace-{self.tracing}_r{self.repeat}"
