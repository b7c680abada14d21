"""The layout `sparse`: what the kernels named nn_..._sparse_s8 read, of fewer bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.ops.base import Int8s
from pipeline.ops.weighted import Weighted

LANES = 8  # NN_WIDE: places that a weight of a convolution serves
FAR = 15  # the largest distance, in four bits
MOST = 255  # pairs of one row: their number is a byte


def entries(row: Int8s) -> list[tuple[int, int]]:
    """(distance, weight) of each weight int8 [count] that is not zero, and a weight of zero after each FAR of the way
    where the next is farther; an even number."""
    made, before = [], 0
    for place in np.flatnonzero(row).tolist():
        made += [(FAR, 0)] * max(0, -(-(place - before) // FAR) - 1)
        made.append(((place - before - 1) % FAR + 1 if place > before else 0, int(row[place])))
        before = place
    return [*made, (0, 0)] if len(made) % 2 else made


def stream(weights: Int8s) -> NDArray[np.uint8] | None:
    """Weights int8 [rows, ...] as nn_sparse.h reads them; None if a row has too many."""
    made: list[int] = []
    for row in weights.reshape(len(weights), -1):
        found = entries(row)
        if len(found) > 2 * MOST:
            return None
        made.append(len(found) // 2)
        for (first, a), (second, b) in zip(found[::2], found[1::2], strict=True):
            made += [first | second << 4, a & 0xFF, b & 0xFF]
    return np.array(made, np.uint8)


def smaller(weights: Int8s) -> NDArray[np.uint8] | None:
    """The stream of weights int8 [rows, ...], or None where it takes no fewer bytes than they do."""
    made = stream(weights) if 3 * np.count_nonzero(weights) < 2 * weights.size else None
    return made if made is not None and len(made) < weights.size else None


def fields(sums: Weighted) -> Mapping[str, Any] | None:
    """The struct's fields in the kernels' order, or None: see smaller()."""
    made = smaller(sums.weights)
    return None if made is None else {**sums.fields(), "weights": made, "bias": sums.unsigned_bias(0)}
