"""The layout `tiles`: it says the same as TFLite's constants, and refuses what its arithmetic would not hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.ops import tiles
from pipeline.ops.weighted import Weighted

RNG = np.random.default_rng(7)


def layer(outputs: int, count: int) -> Weighted:
    weights = RNG.integers(-128, 128, (outputs, count)).astype(np.int8)
    multiplier, shift = np.full(outputs, 1 << 30, np.int32), np.full(outputs, -9, np.int8)
    bias = RNG.integers(-1000, 1000, outputs).astype(np.int32)
    return Weighted(weights, bias, multiplier, shift, input_offset=5, output_offset=-3, range=(-128, 127))


@pytest.mark.parametrize(("outputs", "count"), [(1, 1), (4, 16), (5, 17), (9, 40)])
def test_tiles_hold_every_weight_once(outputs: int, count: int) -> None:
    sums = layer(outputs, count)
    made = tiles.weights(sums.weights)
    assert made.shape == (-(-outputs // 4), -(-count // 16), 4, 16)
    read = np.moveaxis(made, 2, 1).reshape(4 * made.shape[0], 16 * made.shape[1])
    assert np.array_equal(read[:outputs, :count], sums.weights)
    assert np.count_nonzero(made) == np.count_nonzero(sums.weights)


def test_the_input_offset_is_in_the_bias() -> None:
    sums = layer(5, 17)
    fields = tiles.fields(sums)
    assert fields is not None and len(fields["bias"]) == len(fields["shift"]) == 8
    x = RNG.integers(-128, 128, 17)
    wanted = sums.weights.astype(np.int64) @ (x + 5) + sums.bias
    assert np.array_equal(sums.weights.astype(np.int64) @ x + fields["bias"][:5], wanted)


def test_a_shift_to_the_left_is_left_to_the_portable_kernels() -> None:
    sums = layer(5, 17)
    assert tiles.fields(replace(sums, shift=np.array([0, -9, -9, -9, -9], np.int8))) is None
