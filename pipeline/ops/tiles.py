"""The layout `tiles`: what the kernels named nn_..._tiles_s8 read, for cores with vectors of sixteen bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import wrap32
from pipeline.ops.base import Int8s
from pipeline.ops.pairs import settled
from pipeline.ops.weighted import Weighted

ROWS = 4  # NN_TILE_ROWS of firmware/kernels/nn_tiles.h: outputs at a time
DEPTH = 16  # NN_TILE_DEPTH: bytes of a vector


def tiles(count: int) -> int:
    """How many tiles `count` values take."""
    return -(-count // DEPTH)


def weights(rows: Int8s) -> Int8s:
    """Weights int8 [outputs, k] as [outputs / ROWS, k / DEPTH, ROWS, DEPTH], both filled up with zeros."""
    outputs, count = rows.shape
    wide = np.zeros((-(-outputs // ROWS) * ROWS, tiles(count) * DEPTH), np.int8)
    wide[:outputs, :count] = rows
    return np.ascontiguousarray(np.moveaxis(wide.reshape(-1, ROWS, tiles(count), DEPTH), 1, 2))


def fields(sums: Weighted) -> Mapping[str, Any] | None:
    """The last fields of a struct, in the kernels' order; None where a sum is shifted to the left."""
    sums = settled(sums)
    if sums.shift.max() >= 0:
        return None
    rows = sums.weights.reshape(len(sums.bias), -1)
    offsets = sums.input_offset * rows.sum(axis=1, dtype=np.int64)
    bias = wrap32(sums.bias.astype(np.int64) + offsets).astype(np.int32)
    return {"tiles": tiles(rows.shape[1]), "outputs": len(rows), "output_offset": sums.output_offset,
            "min": sums.range[0], "max": sums.range[1], "weights": weights(rows), "bias": _filled(bias),
            "multiplier": _filled(sums.multiplier), "shift": _filled(sums.shift)}  # fmt: skip


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    """Up to a multiple of ROWS, with zeros."""
    return np.pad(values, (0, -len(values) % ROWS))
