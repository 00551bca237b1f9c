"""How answers of versions are kept: whole for the first that gave them, its name for those that gave the same."""

import json
from pathlib import Path
from typing import Any

from launch.engines.versions import before
from tests.engines import cases

SAME = "same_as"


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """The table of each version of an engine, answers included, oldest first."""
    tables: dict[str, dict[str, Any]] = {}
    for path in folder.glob("*.json"):
        tables[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    for table in tables.values():
        if SAME in table:
            table["cards"] = tables[table.pop(SAME)]["cards"]
    return _in_order(tables)


def save(folder: Path, table: dict[str, Any]) -> None:
    """Keep the table of a version, beside those that are there; what is the same as before is written once."""
    folder.mkdir(parents=True, exist_ok=True)
    first: dict[str, str] = {}
    for version, kept in _in_order({**load(folder), table["version"]: table}).items():
        answers = json.dumps(kept["cards"], sort_keys=True)
        told = {name: value for name, value in kept.items() if name != "cards"}
        alike = {SAME: first[answers]} if answers in first else {"cards": kept["cards"]}
        first.setdefault(answers, version)
        (folder / f"{version}.json").write_text(cases.shown({**told, **alike}), encoding="utf-8")


def _in_order(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    older = {version: sum(before(other, version) for other in tables) for version in tables}
    return {version: tables[version] for version in sorted(tables, key=older.__getitem__)}
