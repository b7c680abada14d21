"""The layout `sparse`: what the kernels named nn_..._sparse_s8 read, of fewer bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.fixedpoint import requantize
from pipeline.ops.base import Int8s
from pipeline.ops.weighted import Weighted

FAR = 15  # the largest distance, in four bits
SMALL, SHIFTS = 1 << 20, (-19, -2)  # sums and shifts that nn_small.h takes


def entries(row: Int8s) -> list[tuple[int, int]]:
    """(distance, weight) of each weight int8 [2 or more] that is not zero, and a weight of zero after each FAR of the
    way where the next is farther."""
    made, before = [], 0
    for place in np.flatnonzero(row).tolist():
        made += [(FAR, 0)] * max(0, -(-(place - before) // FAR) - 1)
        made.append(((place - before - 1) % FAR + 1 if place > before else 0, int(row[place])))
        before = place
    return [*made, (1, 0)] if made and made[-1][0] == 0 else made  # a distance of 0 at the end is no weight


def stream(weights: Int8s) -> NDArray[np.uint8]:
    """Weights int8 [rows, 2 or more ...] as nn_sparse.h reads them."""
    made: list[int] = []
    for row in weights.reshape(len(weights), -1):
        found = entries(row)
        for (first, a), (second, b) in zip(found[::2], found[1::2], strict=False):
            made += [first | second << 4, a & 0xFF, b & 0xFF]
        made += [found[-1][0], found[-1][1] & 0xFF] if len(found) % 2 else [0]
    return np.array(made, np.uint8)


def smaller(weights: Int8s) -> NDArray[np.uint8] | None:
    """The stream of weights int8 [rows, ...], or None where it takes no fewer bytes than they do."""
    made = stream(weights) if 3 * np.count_nonzero(weights) < 2 * weights.size else None
    return made if made is not None and len(made) < weights.size else None


def small(sums: Weighted) -> Mapping[str, Any] | None:
    """Biases, multipliers and shifts for nn_small.h; None where a sum of a row, with values of [0, 255] and the
    kernels' bias, or what is made of it does not fit there."""
    rows, bias = sums.weights.reshape(len(sums.bias), -1).astype(np.int64), sums.unsigned_bias(0)
    multiplier, shift = sums.multiplier.astype(np.int64), sums.shift.astype(np.int64)
    if len(multiplier) > 1:  # rows without weights may have any scale: their bias times 2^-3 instead
        constant, value = ~rows.any(axis=1), requantize(bias, multiplier, shift).clip(-512, 512)
        bias, multiplier = np.where(constant, 8 * value, bias), np.where(constant, 1 << 30, multiplier)
        shift = np.where(constant, -2, shift)
    ends = np.abs([bias, bias + 255 * rows.clip(min=0).sum(axis=1), bias + 255 * rows.clip(max=0).sum(axis=1)])
    if ends.max() >= SMALL or shift.min() < SHIFTS[0] or shift.max() > SHIFTS[1]:
        return None
    products = ends.max(axis=0) * multiplier >> 20
    fits = (products + (1 << 10) + (1 << (10 - shift)) < 1 << 31) & (products >> (11 - shift) < (1 << 14) - 1)
    made = {"bias": bias.astype(np.int32), "multiplier": multiplier.astype(np.int32), "shift": shift.astype(np.int8)}
    return made if fits.all() else None


def fields(sums: Weighted, only_small: bool) -> Mapping[str, Any] | None:
    """The struct's fields in the kernels' order, or None: see smaller() and small()."""
    made = smaller(sums.weights)
    scale = None if made is None else small(sums)
    if made is None or (only_small and scale is None):
        return None
    constants = {"small": int(scale is not None), "weights": made, "bias": sums.unsigned_bias(0)}
    return {**sums.fields(), **constants, **(scale or {})}
