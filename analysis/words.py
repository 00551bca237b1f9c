"""Numbers as sentences and tables have them, one style each."""


def counted(number: int, word: str) -> str:
    """So many of a thing: 1 rank, 2 ranks, 2 studies."""
    if number != 1 and word.endswith("dy"):
        return f"{number} {word[:-1]}ies"
    ending = "" if number == 1 else "es" if word.endswith(("s", "ch")) else "s"
    return f"{number} {word}{ending}"


def three(value: float) -> str:
    """Three significant digits whatever the number, from 100 on whole: 2.20, 15.6, 0.877.

    Every gain is told so, and every number that stands in or beside an interval: where one has fewer digits than the
    one that it is compared with, they look like other numbers.
    """
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def interval(value: float, low: float, high: float) -> str:
    """A number with its interval."""
    return f"{three(value)} [{three(low)}, {three(high)}]"


def often(times: float) -> str:
    """How many times, with a decimal where it is no whole number, and two figures of what is less than once."""
    shown = f"{times:.2g}" if times < 0.95 else f"{times:.1f}".removesuffix(".0")
    return "once" if shown == "1" else f"{shown} times"
