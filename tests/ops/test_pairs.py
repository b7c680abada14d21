"""The layout `pairs`: it says the same as TFLite's constants, and refuses what its arithmetic would not hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.cores import core_of
from pipeline.ops import pairs
from pipeline.ops.weighted import Weighted

CORE = core_of("cortex-m4")
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
        lambda sums: replace(
            sums, weights=np.full((5, 400), 100, np.int8), bias=np.full(5, 1 << 27), shift=np.full(5, -19, np.int8)
        ),
        lambda sums: Weighted(sums.weights[:2], sums.bias[:2], MULTIPLIER[:2], sums.shift[:2], 0, 0, (-128, 127)),
    ],
    ids=["a weight of -128", "sums beyond 24 bits", "no right shift", "a bias beyond 27 bits", "two outputs"],
)
def test_what_does_not_fit_is_left_to_the_portable_kernels(change) -> None:  # type: ignore[no-untyped-def]
    sums = layer(filters())
    assert pairs.fields(sums, CORE)
    assert not pairs.fields(change(sums), CORE)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_stream_holds_every_word_at_its_place(share: float) -> None:
    words = RNG.integers(-(2**31), 2**31, (5, 1200)).astype(np.int32)
    words[RNG.random(words.shape) < share] = 0
    words[3], words[:, :600] = 0, 0  # farther than a byte says
    made = pairs.stream(words if share > 0.5 else words[:, :800])
    assert made is not None
    read, rest, count = np.zeros_like(words), made.tobytes(), 0
    for row in read:
        place, entries, rest = 0, rest[1 : 1 + 5 * rest[0]], rest[1 + 5 * rest[0] :]
        for at in range(0, len(entries), 5):
            place, count = place + entries[at], count + 1
            row[place] += np.frombuffer(entries[at + 1 : at + 5], "<i4")[0]
    assert not rest and count >= np.count_nonzero(words if share > 0.5 else words[:, :800])
    assert np.array_equal(read, words if share > 0.5 else np.pad(words[:, :800], ((0, 0), (0, 400))))


def test_two_outputs_with_too_many_words_stay_dense() -> None:
    many, few = (pairs.weights(np.resize(np.int8([1, *[0] * rest]), (4, 2560))) for rest in (7, 15))
    assert many is not None and few is not None
    assert pairs.smaller(many, 4) is None  # 320 of 1280 words
    made = pairs.smaller(few, 4)
    assert made is not None and made.nbytes == 2 * (1 + 5 * 160)
