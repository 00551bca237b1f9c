"""Typical iterations made by hand: a value an operation, all times in us."""

from collections.abc import Sequence

import numpy as np

from analysis.typical import Strand, Typical


def strand(
    own: Sequence[float], launch: Sequence[float] | float = 1.0, *, gap: float = 0.0, meets: Sequence[int] = (),
    body: Sequence[int] | None = None, product: Sequence[int] | None = None, staged: Sequence[int] = (),
) -> Strand:  # fmt: skip
    """`launch` is host time for each, half of it before the call; `body` and `product` are all where not given."""
    count = len(own)
    host = np.broadcast_to(np.asarray(launch, float), count) / 2
    every = range(count)
    return Strand(
        own_us=np.asarray(own, float), think_us=host.copy(), call_us=host.copy(), gap_us=np.full(count, gap),
        meets=np.isin(every, meets), staged=np.isin(every, staged),
        body=np.isin(every, every if body is None else body),
        product=np.isin(every, every if product is None else product),
    )  # fmt: skip


def typical(
    *strands: Strand, graphs: bool = False, engine: str = "", experts: bool = False, gpu: str = "NVIDIA H200",
    copies: int = 0,
) -> Typical:  # fmt: skip
    return Typical(strands=strands, graphs=graphs, engine=engine, experts=experts, gpu=gpu, sequences=1, copies=copies)


def drawn(seed: int, *, ranks: int = 2, operations: int = 40, gap: float = 0.0) -> Typical:
    """Something of the kind that engines do, at random: layers with a collective each, hosts about as long as GPUs."""
    draw = np.random.default_rng(seed)
    meets = range(4, operations, 5) if ranks > 1 else ()
    made = []
    intrinsic = draw.uniform(2, 5, operations)
    for _ in range(ranks):
        own = draw.uniform(1, 20, operations)
        own[list(meets)] = intrinsic[list(meets)]
        products = np.flatnonzero(draw.random(operations) < 0.5)
        products = products[~np.isin(products, list(meets))]
        launch = draw.uniform(1, 20, operations) * draw.choice([0.5, 1, 2])
        made.append(strand(own, launch, gap=gap, meets=list(meets), product=products.tolist()))
    return typical(*made)
