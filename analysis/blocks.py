"""What a report is made of: sections of sentences, tables of text with the data behind them, and figures.

HTML and Markdown render them alike. Reads no file, draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.language import Text

Row = Mapping[Any, Any]
Cell = Callable[[Row], str]
NOTHING = Markup("")


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """A table of text, and the data behind it, in the units that the names of its columns end in.

    name: of its files, and where a link leads. void: for each row, why it does not count ('' where it does).
    cautions: for each row, what to be careful about ('' for nothing). mark: where the data come from.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    mark: str = ""
    void: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    data: pd.DataFrame = field(default_factory=pd.DataFrame)
    kind: str = "table"

    def lines(self) -> list[tuple[tuple[str, ...], str, str]]:
        """Every row with the reason why it does not count, and its caution."""
        nothing = ("",) * len(self.rows)
        return list(zip(self.rows, self.void or nothing, self.cautions or nothing, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Graphic:
    """A figure of matplotlib, what it shows in words for those who cannot see it, and the same as a table.

    draw: gives the figure, each time a new one; another process can call it too.
    """

    name: str
    draw: Callable[[], Any]
    alt: str
    table: Table
    mark: str = ""
    kind: str = "figure"

    @property
    def figure(self) -> Any:
        """The figure, drawn now."""
        return self.draw()


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """A part of the report. leads: sentences that say what it shows; notes: what to know beside it.

    A part that is more than text and figures brings HTML of its own, with the scripts and styles it needs: they go into
    the page as they are, the page's policy allows them by their hashes, and nothing in them may come from a study but
    as JSON in the HTML, in a script of type application/json. loaded: scripts that those put into the page, which the
    policy allows alike. inline_styles: whether a script puts style elements into the page, which only a wider policy
    allows.
    """

    id: str
    title: Text
    leads: tuple[str, ...] = ()
    blocks: tuple[Table | Graphic, ...] = ()
    notes: tuple[str, ...] = ()
    html: Markup = NOTHING
    scripts: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    inline_styles: bool = False

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table of the section, those of its figures too."""
        return tuple(block.table if isinstance(block, Graphic) else block for block in self.blocks)

    @property
    def graphics(self) -> tuple[Graphic, ...]:
        """Every figure of the section."""
        return tuple(block for block in self.blocks if isinstance(block, Graphic))


@dataclass(frozen=True, kw_only=True)
class CaseView:
    """One case in full: its command as a shell would take it, and what was asked beside what the engine resolved."""

    name: str
    source: str
    outcome: str
    reason: str
    command: str
    asked: tuple[tuple[str, str, str], ...]
    facts: tuple[tuple[str, str], ...]
    log_tail: str


def tabulate(
    data: pd.DataFrame,
    columns: Sequence[tuple[str, Cell]],
    *,
    name: str,
    caption: str,
    mark: str = "",
    void: Cell | None = None,
    caution: Cell | None = None,
) -> Table:
    """A table of text from data: a heading and a cell for each column, row by row."""
    rows = data.to_dict("records")
    return Table(
        name=name,
        caption=caption,
        columns=tuple(heading for heading, _ in columns),
        rows=tuple(tuple(cell(row) for _, cell in columns) for row in rows),
        mark=mark,
        void=tuple(void(row) for row in rows) if void else (),
        cautions=tuple(caution(row) for row in rows) if caution else (),
        data=data,
    )
