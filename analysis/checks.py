"""A question to a capture with its answer, and all of them together: whether a verdict may rest on it."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question to a capture. `gates`: a failure voids the verdict; otherwise it is a note. remedy: "" if passed."""

    name: str
    passed: bool
    gates: bool
    found: str
    expected: str
    remedy: str

    @property
    def reason(self) -> str:
        """The failure in a line: what was found, what was expected, what to do."""
        return f"{self.name}: {self.found}; expected {self.expected}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Fitness:
    """All checks of a trace, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def fit(self) -> bool:
        """Whether a verdict may rest on the trace."""
        return not self.unfit

    @property
    def unfit(self) -> tuple[Check, ...]:
        """The failed checks that void the verdict."""
        return tuple(check for check in self.checks if check.gates and not check.passed)

    @property
    def notes(self) -> tuple[Check, ...]:
        """The failed checks that are caveats."""
        return tuple(check for check in self.checks if not check.gates and not check.passed)

    def to_json(self) -> dict[str, Any]:
        """{"fit": bool, "checks": [{"name", "passed", "gates", "found", "expected", "remedy"}]}."""
        return {"fit": self.fit, "checks": [asdict(check) for check in self.checks]}


def checked(name: str, passed: bool, found: str, expected: str, remedy: str, *, gates: bool = True) -> Check:
    """The answer to a question; there is no remedy for what is well."""
    remedy = "" if passed else remedy
    return Check(name=name, passed=bool(passed), gates=gates, found=found, expected=expected, remedy=remedy)
