"""A page with both languages beside each other, as they are before each sentence is kept once."""

import html
import json
import re

_TOLD = re.compile(r'<script type="application/json" id="said">(.*?)</script>', re.DOTALL)
_SENTENCE = re.compile(r'<span data-said="(\d+)">([^<]*)</span>')


def in_both(text: str) -> str:
    """The page with a span for each language in the place of every sentence."""
    found = _TOLD.search(text)
    assert found is not None
    others, chinese_page = json.loads(found[1]), '<html lang="zh-Hans"' in text

    def beside(sentence: re.Match[str]) -> str:
        both = [sentence[2], html.escape(others[int(sentence[1])])]
        english, chinese = both[::-1] if chinese_page else both
        return f'<span lang="en">{english}</span><span lang="zh-Hans">{chinese}</span>'

    return _SENTENCE.sub(beside, _TOLD.sub("", text))


def in_one(text: str) -> str:
    """The page as one reads it in its own language."""
    return _SENTENCE.sub(r"\2", text)
