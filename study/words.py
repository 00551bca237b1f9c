"""How an unknown word is answered: the nearest allowed one, and all of them."""

from collections.abc import Iterable
from difflib import get_close_matches


def hint(word: str, allowed: Iterable[str]) -> str:
    """A sentence for the end of an error message: did you mean ...? Allowed: ..."""
    allowed = tuple(allowed)
    near = get_close_matches(word.lower(), allowed, n=1, cutoff=0.5)
    return (f"did you mean {near[0]!r}? " if near else "") + f"allowed: {', '.join(allowed)}"
