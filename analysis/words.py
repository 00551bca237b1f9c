"""Numbers beside words, as sentences have them."""


def counted(number: int, word: str) -> str:
    """So many of a thing: 1 rank, 2 ranks."""
    ending = "" if number == 1 else "es" if word.endswith(("s", "ch")) else "s"
    return f"{number} {word}{ending}"


def often(times: float) -> str:
    """How many times, with a decimal where it is no whole number, and two figures of what is less than once."""
    shown = f"{times:.2g}" if times < 0.95 else f"{times:.1f}".removesuffix(".0")
    return "once" if shown == "1" else f"{shown} times"
