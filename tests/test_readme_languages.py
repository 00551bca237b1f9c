"""The README in Chinese is in step with the English one: headings, commands, tables, numbers, names and links."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path

import pytest

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:[.,:-]\d+)*")
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)]+)\)")
TITLE = re.compile(r"^#{1,6} .*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What stands below one heading: its code blocks, the rows of its tables, and the rest."""

    title: str
    blocks: tuple[str, ...]
    rows: tuple[str, ...]
    prose: str


def test_the_readmes_of_both_languages_are_in_step(root: Path) -> None:
    english, chinese = ((root / name).read_text(encoding="utf-8") for name in (ENGLISH, CHINESE))
    problems = list(differences(english, chinese))
    assert not problems, "\n".join([f"{CHINESE} is behind {ENGLISH}; bring over:", *problems])


def test_each_readme_links_to_the_other(root: Path) -> None:
    assert f"]({CHINESE})" in (root / ENGLISH).read_text(encoding="utf-8").partition("\n## ")[0]
    assert f"]({ENGLISH})" in (root / CHINESE).read_text(encoding="utf-8").partition("\n## ")[0]


def test_the_chinese_readme_is_in_chinese(root: Path) -> None:
    for part in parts((root / CHINESE).read_text(encoding="utf-8")):
        assert re.search(r"[\u4e00-\u9fff]", part.title), part.title


SAMPLE = """# A
See [the other](b.md) and `x`, 5 [4, 6] ms.

## B
```bash
make it
```
| a | b |
|---|---|
| one | 1.5 |
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("## B", "### B", "## B: the Chinese has ### B"),
        ("make it", "make that", "## B: code block 1 is not the same; the English has: make it"),
        ("| 1.5", "| 1.6", "## B: numbers of the table row: | one | 1.5 |"),
        ("| one | 1.5 |\n", "", "## B: the table row: | one | 1.5 |"),
        ("5 [4, 6]", "5 [4, 7]", "# A: the number 6"),
        ("`x`", "`y`", "# A: the name `x`"),
        ("(b.md)", "(c.md)", "# A: the link b.md"),
    ],
)
def test_what_is_behind_is_told_exactly(old: str, new: str, said: str) -> None:
    assert said in list(differences(SAMPLE, SAMPLE.replace(old, new)))


def test_what_only_the_translation_has_is_told_too() -> None:
    assert list(differences(SAMPLE, SAMPLE.replace("5 [4", "5 8 [4"))) == ["# A: the Chinese has the number 8 too many"]
    assert list(differences(SAMPLE, SAMPLE + "\n## C\n")) == ["the Chinese has ## C, the English nothing there"]


def test_a_part_that_is_new_in_between_is_told_as_a_whole() -> None:
    assert list(differences(SAMPLE.replace("## B", "## New\nwith 7\n\n## B"), SAMPLE)) == ["the whole of ## New"]


def differences(english: str, chinese: str) -> Iterator[str]:
    """What the Chinese lacks or has otherwise, a line each, by the English heading."""
    for mine, theirs in _side_by_side(list(parts(english)), list(parts(chinese))):
        if mine is None and theirs is not None:
            yield f"the Chinese has {theirs.title}, the English nothing there"
        elif theirs is None and mine is not None:
            yield f"the whole of {mine.title}"
        elif mine is not None and theirs is not None:
            yield from (f"{mine.title}: {problem}" for problem in _of_part(mine, theirs))


def _side_by_side(english: list[Part], chinese: list[Part]) -> Iterator[tuple[Part | None, Part | None]]:
    """Part beside part; where one language has more of them, by what reads the same in both."""
    if len(english) == len(chinese):
        yield from zip(english, chinese, strict=True)
        return
    looks = [[(part.title.split()[0], part.blocks, len(part.rows)) for part in side] for side in (english, chinese)]
    for _, first, last, begin, end in SequenceMatcher(a=looks[0], b=looks[1], autojunk=False).get_opcodes():
        yield from zip_longest(english[first:last], chinese[begin:end])


def _of_part(mine: Part, theirs: Part) -> Iterator[str]:
    if mine.title.split()[0] != theirs.title.split()[0]:
        yield f"the Chinese has {theirs.title}"
    for at, (block, other) in enumerate(zip_longest(mine.blocks, theirs.blocks, fillvalue=""), start=1):
        if block != other:
            text = "\n".join(block.splitlines()[1:-1])
            yield f"code block {at} is not the same; the English has: {text or 'none'}"
    yield from _of_rows(mine.rows, theirs.rows)
    yield from _left("the number", NUMBER.findall(_plain(mine.prose)), NUMBER.findall(_plain(theirs.prose)))
    yield from _left("the name", CODE.findall(mine.prose), CODE.findall(theirs.prose))
    yield from _left("the link", _links(mine.prose), _links(theirs.prose))


def _of_rows(mine: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[str]:
    for row, other in zip_longest(mine, theirs):
        if row is None:
            yield f"the Chinese has the table row {other} too many"
        elif other is None:
            yield f"the table row: {row}"
        elif row.count("|") != other.count("|"):
            yield f"as many columns as in the table row: {row}"
        elif _held(row) != _held(other):
            yield f"numbers of the table row: {row}"


def _held(row: str) -> list[list[str]]:
    """What of each cell reads the same in every language."""
    return [[*CODE.findall(cell), *NUMBER.findall(_plain(cell))] for cell in row.split("|")]


def _left(what: str, mine: list[str], theirs: list[str]) -> Iterator[str]:
    lacks, beyond = Counter(mine) - Counter(theirs), Counter(theirs) - Counter(mine)
    yield from (f"{what} {text}" for text in lacks)
    yield from (f"the Chinese has {what} {text} too many" for text in beyond)


def _links(text: str) -> list[str]:
    return [link for link in LINK.findall(text) if link not in (ENGLISH, CHINESE)]


def _plain(text: str) -> str:
    return LINK.sub("]", CODE.sub("", text))


def parts(text: str) -> Iterator[Part]:
    """The parts of a document, one a heading; a # in a code block is no heading."""
    blocks = FENCE.findall(text)
    hidden = FENCE.sub(lambda found: f"\0{blocks.index(found.group(0))}\0", text)
    titles = TITLE.findall(hidden)
    for title, body in zip(titles, TITLE.split(hidden)[1:], strict=True):
        lines = re.sub(r"\0\d+\0", "", body).splitlines()
        yield Part(
            title=title,
            blocks=tuple(blocks[int(at)] for at in re.findall(r"\0(\d+)\0", body)),
            rows=tuple(line for line in lines if line.startswith("|")),
            prose="\n".join(line for line in lines if not line.startswith("|")),
        )
