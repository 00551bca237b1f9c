"""What an operation does, by its name: matrix product, attention, norm, ...

Names are demangled C++ functions, Triton kernels, or what torch.compile calls what it fuses. A group is given where
the name is sure; all else is `other`. Which kernels are collectives is decided in collectives.py.
"""

import re
from typing import NamedTuple

from analysis import collectives

GROUPS = {
    "GEMM": "matrix products, with the sums of their split-K parts",
    "attention": "attention over the KV cache, the joining of its parts, and its schedule",
    "norm": "RMS and layer norms, with the residual addition fused into them",
    "activation": "SiLU, GELU and the like, gated or not",
    "rope/cache": "rotary position embedding, writing keys and values into the cache",
    "embedding": "the token table, where the name says so; a general gather is a copy",
    "elementwise": "pointwise arithmetic that no other group claims",
    "collective": "between GPUs; spinning for others left out",
    "copy": "moves, gathers or fills memory without arithmetic: copies, casts, memsets, indexing",
    "sampling": "from logits to a token",
    "other": "whatever its name does not tell: bookkeeping of the batch, scans, reductions, quantisation",
    "whole graph": "a graph launch that was recorded as one operation: what ran in it is unseen",
}
# What torch.compile calls a pointwise kernel of which it names nothing that was fused.
UNNAMED_POINTWISE = re.compile(r"^triton_poi_fused_\d+$")

_CLONE = re.compile(r"\s*\[clone [^\]]*\]$")
_UNNAMED = re.compile(r"<unnamed>|\(anonymous namespace\)|\{anonymous\}")
_OPENING = {")": "(", ">": "<"}
# Kernels that are but a shell: what they run is their first template argument that has a name.
_SHELL = re.compile(r"^cutlass::(device_kernel|Kernel2?)$|enable_sm\d+\w*$")
_FIRST_ARGUMENT = re.compile(r"[A-Za-z_][\w:]*")
_FUSED = re.compile(r"^triton_(?P<form>poi|red|per|tem|mm|for)_fused_(?P<parts>\w*?)_?\d*$")
_TORCH = re.compile(r"^at::native::|(^|::)elementwise_kernel_with_index$")

# Tried in this order on the function's qualified name, template arguments and parameters left out.
_FUNCTIONS = tuple(
    (group, re.compile("|".join(patterns), re.IGNORECASE))
    for group, *patterns in (
        ("other", r"\bmoe::", r"moe_align", r"gating"),
        ("rope/cache", r"rotary", r"(^|[_:])m?rope(_|$)", r"(reshape|concat)_and_cache"),
        ("rope/cache", r"(store|append|save|write)_?(paged)?_?kv", r"set_(mla_)?kv_buffer"),
        ("sampling", r"\bsampling::", r"gumbel", r"argmax", r"multinomial", r"num_sampled", r"penalt", r"temperature"),
        ("sampling", r"(^|[_:])top_?[kp]_", r"(^|[_:])min_p_", r"renorm_prob"),
        ("attention", r"\bflash::", r"flash_?attn", r"flash_?fwd", r"fmha", r"attention", r"attn", r"merge_?states?"),
        ("attention", r"with_?(paged|ragged)_?kv_?cache", r"_fwd_(grouped_)?kernel_stage\d", r"flash_?mla", r"_sdpa_"),
        ("GEMM", r"nvjet", r"\bcublas(Lt)?::", r"gemm", r"gemv", r"splitk_?reduce", r"xmma", r"matmul", r"scaled_mm"),
        ("GEMM", r"cutlass_\d+_\w*(tensorop|wmma|simt)", r"marlin", r"machete", r"fused_moe_kernel", r"(^|[_:])b?mm_"),
        ("norm", r"(rms|layer|group)_?norm", r"\bnorm::"),
        ("activation", r"act_and_mul", r"silu", r"gelu", r"swiglu", r"geglu", r"\brelu"),
        ("embedding", r"embedding"),
        ("copy", r"(^|_|::)copy(_|$)", r"batched_?copy", r"memcpy", r"memset"),
    )
)
# What torch's own kernels run is told by their functor, which is a template argument.
_TORCH_FUNCTIONS = tuple(
    (group, re.compile(function), re.compile(argument))
    for group, function, argument in (
        ("sampling", r"reduce_kernel$", r"ArgM(ax|in)Ops"),
        ("norm", r"reduce_kernel$", r"MeanOps"),
        ("norm", r"layer_norm|LayerNorm|RMSNorm", r""),
        ("elementwise", r"elementwise_kernel_with_index$", r""),
        ("copy", r"index|gather|Gather|scatter|CatArray|[cC]opy", r""),
        ("copy", r"elementwise_kernel$", r"\b(\w*copy_kernel_cuda|FillFunctor)\b"),
        ("copy", r"multi_tensor_apply_kernel$", r"\bCopy<"),
        ("activation", r"elementwise_kernel", r"(?i)\b(silu|gelu|relu|hardswish|mish)\w*kernel|(silu|gelu)\w*functor"),
        ("elementwise", r"elementwise_kernel|multi_tensor_apply_kernel$", r""),
        ("embedding", r"[eE]mbedding", r""),
    )
)  # fmt: skip
_PARTS = tuple(
    (group, re.compile(rf"(^|_)({pattern})(_|$)"))
    for group, pattern in (
        ("attention", r"flex_attention|scaled_dot_product\w*"),
        ("norm", r"(fused_add_)?rms_norm|(native_)?layer_norm|rsqrt"),
        ("activation", r"silu|gelu|relu"),
        ("rope/cache", r"rotary_embedding|rope|cos|sin"),
        ("sampling", r"argmax|multinomial|exponential"),
        ("embedding", r"embedding"),
    )
)


class Function(NamedTuple):
    """A kernel's qualified name without its return type, and the text of its template arguments."""

    name: str
    arguments: str


def group(name: str, kind: str = "kernel") -> str:
    """What an operation of this name and kind (one of tables.KINDS) does: one of GROUPS."""
    if kind != "kernel":
        return "whole graph" if kind == "graph" else "copy"
    if collectives.kind(name):
        return "collective"
    if fused := _FUSED.match(name):
        return _of_parts(fused["form"], fused["parts"])
    found = function(name)
    if _TORCH.search(found.name):
        rules = (
            (of, at.search(found.name) and functor.search(found.arguments)) for of, at, functor in _TORCH_FUNCTIONS
        )
        return next((of for of, fits in rules if fits), "other")
    return next((of for of, pattern in _FUNCTIONS if pattern.search(found.name)), "other")


def function(name: str) -> Function:
    """What is called, of a demangled name: read from its end, since return types hold brackets that do not match."""
    rest = _UNNAMED.sub("unnamed", _CLONE.sub("", name)).strip()
    if rest.endswith(")"):
        rest = rest[: _opening(rest)]
    arguments = ""
    if rest.endswith(">"):
        at = _opening(rest)
        rest, arguments = rest[:at], rest[at + 1 : -1]
    own = rest.rpartition(" ")[2].removeprefix("unnamed::")
    while arguments and _SHELL.search(own):
        inner = _FIRST_ARGUMENT.match(arguments)
        if inner is None:
            break
        own, arguments = inner[0], arguments[inner.end() :].removeprefix("<")
    return Function(own, arguments)


def family(name: str) -> str:
    """A name that variants of one kernel share: its function, whatever its template arguments.

    Kernels that say what they run in their arguments alone (torch's functors) share it with none.
    """
    found = function(name)
    return name if _TORCH.search(found.name) else found.name


def _of_parts(form: str, parts: str) -> str:
    """The group of what torch.compile fused: `form` is how the kernel runs, `parts` what it is of, by name."""
    found = next((of for of, pattern in _PARTS if pattern.search(parts)), "")
    if form in ("tem", "mm"):
        return "attention" if found == "attention" else "GEMM"
    return found or ("elementwise" if form == "poi" else "other")


def _opening(text: str) -> int:
    """Where the bracket that the text ends with was opened; 0 where it never was."""
    closing = text[-1]
    opening, depth = _OPENING[closing], 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] == closing) - (text[at] == opening)
        if depth == 0:
            return at
    return 0
