"""The layout `pairs`: it says the same as TFLite's constants, and refuses what its arithmetic would not hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.ops import pairs
from pipeline.ops.weighted import Weighted

RNG = np.random.default_rng(6)
MULTIPLIER = np.array([1 << 30, (1 << 31) - 1, 0, 1_500_000_000, 1_200_000_000], np.int32)


def layer(weights: np.ndarray) -> Weighted:
    """Five outputs: the third is always nothing, the fourth always its bias, the last one always full."""
    bias = np.array([7, -90_000, 12_345, 5_000, 1 << 30], np.int32)
    shift = np.array([-9, -8, 0, -6, -3], np.int8)
    return Weighted(weights, bias, MULTIPLIER, shift, input_offset=128, output_offset=-128, range=(-128, 127))


def filters(count: int = 9) -> np.ndarray:
    weights = RNG.integers(-127, 128, (5, count)).astype(np.int8)
    weights[3] = 0
    return weights


def test_outputs_that_never_change_lose_their_weights_and_keep_their_bytes() -> None:
    sums = layer(filters())
    settled = pairs.settled(sums)
    assert [bool(row.any()) for row in settled.weights] == [True, True, False, False, False]
    assert np.array_equal(settled.weights[:2], sums.weights[:2])
    x = np.vstack([RNG.integers(-128, 128, (500, 9)), np.full((1, 9), -128), np.full((1, 9), 127)]) + 128
    before, after = (each.finish(x @ each.weights.T.astype(np.int64)) for each in (sums, settled))
    assert np.array_equal(before, after)
    assert len(np.unique(before[:, :2])) > 2


def test_words_hold_every_weight_twice() -> None:
    rows = filters(10)
    words = pairs.weights(rows)
    assert words is not None and words.shape == (2, 3, 2, 2)
    halves = np.ascontiguousarray(words).view(np.int16).reshape(2, 3, 2, 2, 2).astype(np.int64)
    second = (halves + 128) % 256 - 128
    read = np.zeros((8, 12), np.int64)
    for block, group, half, which, place in np.ndindex(halves.shape):
        row, column, at = 4 * block + 2 * which, 4 * group + half + 2 * place, (block, group, half, which, place)
        read[row : row + 2, column] = (halves[at] - second[at]) // 256, second[at]
    assert np.array_equal(read[:5, :10], rows) and not read[5:].any() and not read[:, 10:].any()


@pytest.mark.parametrize(
    "change",
    [
        lambda sums: replace(
            sums, weights=np.vstack([np.resize([-128, 127], (1, 9)), sums.weights[1:]]).astype(np.int8)
        ),
        lambda sums: replace(sums, weights=np.full((5, 600), 127, np.int8)),
        lambda sums: replace(sums, shift=np.array([0, -8, 0, -6, -3], np.int8)),
        lambda sums: replace(sums, bias=np.full(5, 1 << 27, np.int32), shift=np.full(5, -20, np.int8)),
        lambda sums: Weighted(sums.weights[:2], sums.bias[:2], MULTIPLIER[:2], sums.shift[:2], 0, 0, (-128, 127)),
    ],
    ids=["a weight of -128", "sums beyond 24 bits", "no right shift", "a bias beyond 27 bits", "two outputs"],
)
def test_what_does_not_fit_is_left_to_the_portable_kernels(change) -> None:  # type: ignore[no-untyped-def]
    sums = layer(filters())
    assert pairs.fields(sums) is not None
    assert pairs.fields(change(sums)) is None
