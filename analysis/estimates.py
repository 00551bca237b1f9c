"""A number that was not measured, with its interval, and how intervals come from errors made before."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.errors import TraceError
from analysis.words import interval


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A prediction and its interval."""

    value: float
    low: float
    high: float

    def scaled(self, ratio: float) -> "Estimate":
        """Times a number that is known."""
        return Estimate(value=self.value * ratio, low=self.low * ratio, high=self.high * ratio)

    def over(self, other: "Estimate") -> "Estimate":
        """One by the other, both wrong at once at worst."""
        return Estimate(value=self.value / other.value, low=self.low / other.high, high=self.high / other.low)

    def at_least(self, other: "Estimate") -> "Estimate":
        """The larger of two, end by end."""
        return Estimate(
            value=max(self.value, other.value), low=max(self.low, other.low), high=max(self.high, other.high)
        )

    def holds(self, measured: float) -> bool:
        """Whether the interval holds a value."""
        return self.low <= measured <= self.high

    def to_json(self) -> dict[str, float]:
        """value, low and high, for JSON."""
        return {name: round(float(value), 6) for name, value in vars(self).items()}

    def __str__(self) -> str:
        return interval(self.value, self.low, self.high)


def within(value: float, error: float) -> Estimate:
    """A value that is known up to a factor of exp(error) either way."""
    return Estimate(value=value, low=value * math.exp(-error), high=value * math.exp(error))


def error_at(rate: float, measured_over_predicted: Sequence[float]) -> float:
    """The error, as a logarithm, that a further one like these stays below at `rate`.

    Of n errors that could have come in any order, a further one is as likely to be in any place among them: it is at
    most the k-th smallest in k of n + 1 cases. Raises TraceError where n is too small for the rate.
    """
    sizes = sorted(abs(math.log(ratio)) for ratio in measured_over_predicted)
    place = _up(rate * (len(sizes) + 1))
    if place > len(sizes):
        raise TraceError(
            f"{len(sizes)} errors; expected at least {least(rate)} for an interval that holds "
            f"{rate:.0%}; record more pairs"
        )
    return sizes[place - 1]


def least(rate: float) -> int:
    """How many errors error_at needs."""
    return _up(rate / (1 - rate))


def _up(value: float) -> int:
    return math.ceil(value - 1e-9)
