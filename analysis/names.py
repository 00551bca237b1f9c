"""Names of what runs on a GPU as people read them: what is called, without where it lives and what it is given."""

import re

from analysis.groups import function

# Torch's kernels apply a functor, which is among their template arguments, within shells that all of them share.
_SHELLS = r"unnamed\b|memory\b|ReduceOp\b|Opaque|gpu_|Tensor\w*Metadata|\w*_internal_kernel"
_FUNCTOR = re.compile(rf"at::native::(?:unnamed::)?(?!{_SHELLS})(\w+)")


def short(name: str) -> str:
    """A kernel's function, and of torch's kernels what they apply; other names as they are."""
    if not re.search(r"[<(]", name):
        return name
    found = function(name)
    own = found.name.rpartition("::")[2] or name
    applied = _FUNCTOR.search(found.arguments)
    return f"{own}<{applied[1]}>" if applied else own
