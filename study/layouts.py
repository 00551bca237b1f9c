"""How a model is split over GPUs, and in which words: tp4, tp4pp2, tp4dp2, tp4dpa2.

dp means whole replicas with an engine's own scheduler in front, dpa DP attention: attention is replicated, and the
experts of a mixture are split over all the GPUs. The engines call them otherwise: vLLM's `-dp` replicates a dense
model, but shares out the experts of a mixture; SGLang's `--dp` replicates either, and with `--enable-dp-attention`
its `--tp` counts the GPUs of all replicas.
"""

import re
from dataclasses import dataclass

from study.errors import StudyError

_WORDS = re.compile(r"tp([1-9]\d*)(?:pp([1-9]\d*))?(?:dp(a?)([1-9]\d*))?")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """TP ranks of a stage, stages of a replica, replicas; and whether the replicas are of attention alone."""

    tp: int
    pp: int = 1
    dp: int = 1
    dp_attention: bool = False

    @property
    def gpus(self) -> int:
        """How many GPUs it takes."""
        return self.tp * self.pp * self.dp

    @property
    def label(self) -> str:
        """The word that parse reads."""
        stages = f"pp{self.pp}" if self.pp > 1 else ""
        replicas = f"dp{'a' if self.dp_attention else ''}{self.dp}" if self.dp > 1 else ""
        return f"tp{self.tp}{stages}{replicas}"


def parse(text: str) -> Layout:
    """The layout of a word such as tp4pp2. Raises StudyError for what is none."""
    found = _WORDS.fullmatch(text)
    if found is None:
        raise StudyError(f"layout {text!r}: expected tpN, then ppN, dpN or dpaN where there are such, as in tp4pp2")
    tp, pp, attention, dp = found.groups()
    made = Layout(tp=int(tp), pp=int(pp or 1), dp=int(dp or 1), dp_attention=bool(attention))
    if made.label != text:
        raise StudyError(f"layout {text!r}: write {made.label}, so that one layout has one name")
    return made
