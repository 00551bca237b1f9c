"""Which versions of an engine have flags that are known, and how an older one spells them.

Known means: the engine's own configuration classes were given our options and said what they make of them; what they
said is in data/engines, one file a version. An older version is refused, because it has not been asked. A newer one
may run, with a word about it: what it does not know it refuses itself, and a case whose label it contradicts is
invalid.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_VERSION = re.compile(r"v?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|rc|dev)\d*)?(?:[-_.]?post(\d+))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Known:
    """The oldest and the newest version of an engine whose flags are known."""

    engine: str
    oldest: str
    newest: str

    def refusal(self, version: str) -> str | None:
        """Why a study cannot use this version, or None."""
        if not before(version, self.oldest):
            return None
        wanted = f"{self.oldest} to {self.newest}"
        return f"{self.engine} {version} is older than {self.oldest}, from which on its flags are known: use {wanted}"

    def doubt(self, version: str) -> str | None:
        """What to say beside the cases of this version, or None."""
        if not before(self.newest, version):
            return None
        return f"{self.engine} {version} is newer than {self.newest}, up to which its flags are known"


def before(version: str, other: str) -> bool:
    """Whether a version came before another: 0.5.13 before 0.5.13.post1 before 0.5.14rc1 before 0.5.14."""
    return _order(version) < _order(other)


def spelled(options: Mapping[str, Any], version: str, earlier: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Options by the names that a version has for them; `earlier` gives, per version, what was renamed in it: new, old.

    Only for names that changed and meant the same; what a version cannot say has to be refused before.
    """
    for renamed_in, names in earlier.items():
        if before(version, renamed_in):
            options = {names.get(name, name): value for name, value in options.items()}
    return dict(options)


def _order(version: str) -> tuple[tuple[int, ...], int, int]:
    found = _VERSION.match(version)
    if found is None:  # a version that is no number, of a build from source: newer than all
        return (2**31,), 0, 0
    numbers, early, post = found.groups()
    release = tuple(int(number) for number in numbers.split("."))
    return (*release, 0, 0, 0)[:4], -1 if early else 0, int(post or 0)
