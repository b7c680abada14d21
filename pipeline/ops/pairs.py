"""The layout `pairs`: what the kernels named nn_..._pairs_s8 read, for cores that add two products an instruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cores import Core
from pipeline.fixedpoint import requantize
from pipeline.ops.base import Int8s
from pipeline.ops.weighted import Weighted

BLOCK = 4  # outputs at a time, and values that are widened together
HIGH_SUM = 1 << 23  # what the sum of the weights in the high bytes stays below
LEAST = 3  # outputs; for fewer a block would be empty work
FAR, MOST = 255, 255  # of a sparse stream: words that one lies behind another, words of two outputs
BIAS = 1 << 26  # what a bias beside a shift of 5 bits stays below


def _words(values: NDArray[np.int64]) -> NDArray[np.int32]:
    """The low 32 bits of each."""
    words: NDArray[np.int32] = (values & 0xFFFFFFFF).astype(np.uint32).view(np.int32)
    return words


def settled(sums: Weighted) -> Weighted:
    """The same by other constants: rows of weights are outputs, each has a multiplier and a shift of its own, and
    one that is the same whatever the input (a dead filter, as a rule) has no weights."""
    outputs = len(sums.bias)
    rows, offset = sums.weights.reshape(outputs, -1).astype(np.int64), sums.input_offset
    multiplier, shift = (np.broadcast_to(each, outputs) for each in (sums.multiplier, sums.shift))
    ends = [np.where(rows > 0, rows * (a + offset), rows * (b + offset)) for a, b in ((-128, 127), (127, -128))]
    low, high = (sums.bias + each.sum(axis=1) for each in ends)
    fits = (low >= -(2**31)) & (high < 2**31)
    results = (requantize(each, multiplier, shift) + sums.output_offset for each in (low, high))
    low, high = (np.clip(each, *sums.range) for each in results)
    same = fits & (low == high)
    constant = 4 * (low - sums.output_offset)  # times 1/2, times 1/2
    return replace(sums, weights=np.where(same[:, np.newaxis], 0, rows).astype(np.int8).reshape(sums.weights.shape),
                   bias=np.where(same, constant, sums.bias).astype(np.int32),
                   multiplier=np.where(same, 1 << 30, multiplier).astype(np.int32),
                   shift=np.where(same, -1, shift).astype(np.int8))  # fmt: skip


def rescale(sums: Weighted) -> NDArray[np.int32] | None:
    """Per output (2 * multiplier modulo 2^32, (bias + input offset * sum of weights) * 32 + right shift - 1), as int32
    [outputs, 2]; None where the arithmetic is not that simple. `sums` is settled."""
    weights = sums.weights.reshape(len(sums.bias), -1)
    bias = sums.bias + sums.input_offset * weights.sum(axis=1, dtype=np.int64)
    if sums.shift.max() >= 0 or np.abs(bias).max() >= BIAS:
        return None
    return _words(np.stack([2 * sums.multiplier.astype(np.int64), bias * 32 - sums.shift - 1], axis=1))


def weights(rows: Int8s) -> NDArray[np.int32] | None:
    """Weights int8 [outputs, k] as words, both padded to multiples of four with zeros; None if a sum may not fit.

    Of four outputs a, b, c, d and four values of k a word each for (a, b) at k 0 and 2, (c, d) at 0 and 2, (a, b) at 1
    and 3, (c, d) at 1 and 3. Each half of a word is 256 * a + b: one multiplication for both outputs."""
    outputs, count = rows.shape
    wide = np.zeros((-(-outputs // BLOCK) * BLOCK, -(-count // BLOCK) * BLOCK), np.int64)
    wide[:outputs, :count] = rows
    if rows.min() < -127 or 128 * np.abs(wide[::2]).sum(axis=1).max() >= HIGH_SUM:
        return None
    halves = 256 * wide[::2] + wide[1::2]
    blocks = halves.reshape(len(wide) // BLOCK, 2, wide.shape[1] // BLOCK, 2, 2)  # block, ab or cd, group, half, pair
    words = np.moveaxis(blocks, (1, 2, 4, 3), (3, 1, 2, 4)) & 0xFFFF
    return _words(words[..., 0] | words[..., 1] << 16)


def stream(words: NDArray[np.int32]) -> NDArray[np.uint8] | None:
    """Words int32 [output pairs, count] as nn_sparse_pairs.h reads them; None if two outputs have too many."""
    made = bytearray()
    for row in words:
        entries, before = bytearray(), 0
        for place in np.flatnonzero(row).tolist():
            far, rest = divmod(place - before, FAR)
            entries += bytes([FAR, 0, 0, 0, 0]) * far + bytes([rest]) + row[place].astype("<i4").tobytes()
            before = place
        if len(entries) > 5 * MOST:
            return None
        made += bytes([len(entries) // 5]) + entries
    return np.frombuffer(bytes(made), np.uint8)


def smaller(packed: NDArray[np.int32], outputs: int) -> NDArray[np.uint8] | None:
    """The stream of what weights() made, or None where it takes no fewer bytes."""
    made = stream(np.moveaxis(packed, 3, 1).reshape(2 * len(packed), -1)[: -(-outputs // 2)])
    return made if made is not None and made.nbytes < packed.nbytes else None


def fields(sums: Weighted, core: Core) -> tuple[Mapping[str, Any], ...]:
    """The last fields of a struct, in the kernels' order, with dense weights and, uint8 then, with sparse ones; none if
    the core has no such kernels, or the layer does not fit the layout."""
    if core.packing != "pairs" or len(sums.bias) < LEAST:
        return ()
    sums = settled(sums)
    packed, scales = weights(sums.weights.reshape(len(sums.bias), -1)), rescale(sums)
    if packed is None or scales is None:
        return ()
    found = smaller(packed, len(sums.bias)) if core.sparse else None
    return (tail(sums, packed, scales), *([] if found is None else [tail(sums, found, scales)]))


def tail(sums: Weighted, packed: NDArray[Any], scales: NDArray[np.int32]) -> Mapping[str, Any]:
    """The fields that every kernel's struct ends with."""
    return {"output_offset": sums.output_offset, "min": sums.range[0], "max": sums.range[1], "weights": packed,
            "rescale": scales}  # fmt: skip
