"""What a serving client asks for: lengths read from a file, prompts and arrival times drawn from a seed.

The seed alone decides them, so that two servers of one study get the same requests at the same times. Standard library
only: this runs in an engine's environment.
"""

import csv
import importlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS = ("prompt_tokens", "output_tokens")
# What the engines' own serving benchmarks keep of ShareGPT.
SHORTEST_TOKENS = 4
LONGEST_PROMPT_TOKENS = 1024
LONGEST_TOTAL_TOKENS = 2048


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request to send: the token ids of its prompt and how many tokens it must be answered with."""

    prompt: tuple[int, ...]
    output_tokens: int


def read_lengths(path: Path) -> list[tuple[int, int]]:
    """Pairs of prompt and output length in tokens, from a CSV file with those two columns; `#` opens a comment line.

    Raises ValueError naming the file, the line and what was expected.
    """
    with path.open(encoding="utf-8", newline="") as file:
        numbered = [(n, line) for n, line in enumerate(file, start=1) if line.strip() and not line.startswith("#")]
    rows = list(csv.reader(line for _, line in numbered))
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        found = f"found {','.join(rows[0])!r}" if rows else "it has no line"
        raise ValueError(f"{path}: {found}; expected the header {','.join(COLUMNS)}")
    pairs = [_pair(path, number, cells) for (number, _), cells in zip(numbered[1:], rows[1:], strict=True)]
    if not pairs:
        raise ValueError(f"{path}: there is no line below the header; expected a pair of lengths on each")
    return pairs


def _pair(path: Path, number: int, cells: Sequence[str]) -> tuple[int, int]:
    try:
        prompt, output = (int(cell) for cell in cells)
    except ValueError:
        prompt, output = 0, 0
    if prompt < 1 or output < 1:
        raise ValueError(f"{path}:{number}: found {','.join(cells)!r}; expected two whole numbers of tokens, 1 or more")
    return prompt, output


def sharegpt_lengths(dataset: Path, tokenizer: Path) -> list[tuple[int, int]]:
    """Pairs of prompt and output length in tokens of a ShareGPT file: the first two turns of each conversation.

    Short and long ones are left out as the engines' serving benchmarks do. Needs transformers and a tokenizer's folder.
    Raises ValueError where the file is no such list, or nothing of it is left.
    """
    transformers: Any = importlib.import_module("transformers")
    encode = transformers.AutoTokenizer.from_pretrained(str(tokenizer))
    conversations = json.loads(dataset.read_text(encoding="utf-8"))
    try:
        turns = [[turn["value"] for turn in one["conversations"][:2]] for one in conversations]
    except (KeyError, TypeError):
        raise ValueError(f'{dataset}: expected ShareGPT\'s list of {{"conversations": [{{"value": ...}}]}}') from None
    lengths = [tuple(len(encode(text).input_ids) for text in pair) for pair in turns if len(pair) == 2]
    kept = [(prompt, output) for prompt, output in lengths if _usable(prompt, output)]
    if not kept:
        raise ValueError(f"{dataset}: none of {len(turns)} conversations has two turns of usable length")
    return kept


def _usable(prompt: int, output: int) -> bool:
    long = prompt > LONGEST_PROMPT_TOKENS or prompt + output > LONGEST_TOTAL_TOKENS
    return min(prompt, output) >= SHORTEST_TOKENS and not long


def requests(lengths: Sequence[tuple[int, int]], *, count: int, vocabulary: int, seed: str) -> list[Request]:
    """`count` requests of lengths drawn from `lengths` with replacement, the same for every case of one seed."""
    draw = random.Random(f"requests {seed}")
    # Special tokens sit at both ends of these vocabularies; a stop token in a prompt is legal but pointless.
    ids = range(100, int(vocabulary * 0.8))
    pairs = [draw.choice(lengths) for _ in range(count)]
    return [Request(prompt=tuple(draw.choices(ids, k=prompt)), output_tokens=output) for prompt, output in pairs]


def arrivals(rate: float, *, seed: str) -> Iterator[float]:
    """Arrival times in seconds of a Poisson process of `rate` requests a second, without end.

    At another rate the same seed gives the same process, stretched.
    """
    draw = random.Random(f"arrivals {seed}")
    now = 0.0
    while True:
        now += draw.expovariate(1.0)
        yield now / rate
