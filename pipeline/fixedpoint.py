"""TFLite's integer arithmetic, once in Python: every function here has a twin in firmware/kernels/nn_fixed.h.

Values are int32 carried in int64 arrays. The rounding is gemmlowp's, as TFLite Micro uses it with double rounding.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# exp(-2^k) in Q0.31 for k = -2 .. 4, by which exp of the integer and half bits is multiplied.
EXP_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
EXP_MINUS_EIGHTH = 1895147668
ONE_THIRD = 715827883
Q2_48_OVER_17 = 1515870810
Q2_MINUS_32_OVER_17 = -1010580540

# In Q0.31: log(2), sqrt(1/2), its root, and the rational function's coefficients around it, with r = 2^(1/4):
# 11/240 * r, r / 20, 2 / r - r, r / 4.
LOG_2, SQRT_HALF, FOURTH_ROOT_HALF = 1488522236, 1518500250, 1805811301
LOG_NUMERATOR, LOG_SQUARE, LOG_CONSTANT, LOG_LINEAR = 117049297, 127690142, 1057819769, 638450708


def quantize_multiplier(real: float) -> tuple[int, int]:
    """real = multiplier / 2^31 * 2^shift with multiplier in [2^30, 2^31) (TFLite QuantizeMultiplier)."""
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return INT32_MAX, 30
    return multiplier, shift


def wrap32(x: Ints) -> Ints:
    """The low 32 bits as a signed number: what C's int32 multiplication leaves on the device."""
    return ((x + 2**31) & 0xFFFFFFFF) - 2**31


def saturate32(x: Ints) -> Ints:
    """Clamp to int32."""
    return np.clip(x, INT32_MIN, INT32_MAX)


def doubling_high_mul(a: ArrayLike, b: ArrayLike) -> Ints:
    """round(a * b / 2^31), half away from zero, saturated (gemmlowp SaturatingRoundingDoublingHighMul)."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    return saturate32(np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31)))


def divide_by_power(x: ArrayLike, exponent: ArrayLike) -> Ints:
    """round(x / 2^exponent), half away from zero (gemmlowp RoundingDivideByPOT)."""
    value, power = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << power) - 1
    threshold = (mask >> 1) + (value < 0)
    return np.asarray((value >> power) + ((value & mask) > threshold), np.int64)


def requantize(x: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> Ints:
    """x * multiplier / 2^31 * 2^shift with TFLite's double rounding (MultiplyByQuantizedMultiplier)."""
    power = np.asarray(shift, np.int64)
    left, right = np.maximum(power, 0), np.maximum(-power, 0)
    shifted = wrap32(np.asarray(x, np.int64) << left)
    return divide_by_power(doubling_high_mul(shifted, multiplier), right)


def reduced(multiplier: int) -> int:
    """A multiplier in Q0.31 as one in Q0.15, for `requantize_wide`."""
    return min((multiplier + (1 << 15)) >> 16, 2**15 - 1)


def requantize_wide(x: ArrayLike, multiplier: ArrayLike, shift: ArrayLike) -> Ints:
    """x * multiplier / 2^15 * 2^shift of 64 bits, rounded once, halves upward (TFLite's MultiplyByQuantizedMultiplier
    of int64); shift: [-31, 7]."""
    right = 15 - np.asarray(shift, np.int64)
    products = np.asarray(x, np.int64) * np.asarray(multiplier, np.int64)
    return wrap32((products + (np.int64(1) << (right - 1))) >> right)


def exp_on_negative(x: Ints, integer_bits: int) -> Ints:
    """exp(x) in Q0.31 for x <= 0 in Q(integer_bits).(31 - integer_bits) (gemmlowp exp_on_negative_values)."""
    fractional = 31 - integer_bits
    quarter = 1 << (fractional - 2)
    below_quarter = (x & (quarter - 1)) - quarter
    result = _exp_in_last_quarter(below_quarter << integer_bits)
    remainder = below_quarter - x
    for power, factor in enumerate(EXP_POWERS, start=-2):
        if power < integer_bits:
            bit = (remainder >> (fractional + power)) & 1
            result = np.where(bit == 1, doubling_high_mul(result, factor), result)
    return np.where(x == 0, INT32_MAX, result)


def _exp_in_last_quarter(a: Ints) -> Ints:
    """exp(a) for -1/4 <= a < 0, Q0.31: Taylor around -1/8."""
    x = a + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3, x4 = doubling_high_mul(x2, x), doubling_high_mul(x2, x2)
    tail = doubling_high_mul(divide_by_power(x4, 2) + x3, ONE_THIRD) + x2
    series = x + divide_by_power(tail, 1)
    return EXP_MINUS_EIGHTH + doubling_high_mul(EXP_MINUS_EIGHTH, series)


def one_over_one_plus(x: Ints) -> Ints:
    """1 / (1 + x) in Q0.31 for x in [0, 1] in Q0.31: three Newton steps (gemmlowp one_over_one_plus_x_for_x_in_0_1)."""
    half_denominator = (x + INT32_MAX + 1) >> 1
    estimate = Q2_48_OVER_17 + doubling_high_mul(half_denominator, Q2_MINUS_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, estimate)
        estimate = estimate + saturate32(doubling_high_mul(estimate, error) << 2)
    return saturate32(estimate << 1)


def reciprocal(x: int, integer_bits: int) -> tuple[int, int]:
    """(scale in Q0.31, bits) with 1 / x = scale * 2^-bits for x > 0 in Q(integer_bits) (TFLite GetReciprocal)."""
    headroom = 32 - int(x).bit_length()
    fraction = ((x << headroom) & 0xFFFFFFFF) - 2**31
    return int(one_over_one_plus(np.array(fraction, np.int64))), integer_bits - headroom


def logistic(x: Ints, integer_bits: int) -> Ints:
    """1 / (1 + exp(-x)) in Q0.31 for x in Q(integer_bits) (gemmlowp logistic)."""
    positive = one_over_one_plus(exp_on_negative(-np.abs(x), integer_bits))
    return np.where(x == 0, 1 << 30, np.where(x > 0, positive, INT32_MAX - positive))


def tanh(x: Ints, integer_bits: int) -> Ints:
    """tanh(x) in Q0.31 for x in Q(integer_bits) (gemmlowp tanh: (1 - exp(-2x)) / (1 + exp(-2x)))."""
    decayed = exp_on_negative(-np.abs(x), integer_bits + 1)
    positive = _one_minus_over_one_plus(decayed)
    return np.where(x == 0, 0, np.where(x > 0, positive, -positive))


def _one_minus_over_one_plus(x: Ints) -> Ints:
    """(1 - x) / (1 + x) in Q0.31 for x in [0, 1] (gemmlowp one_minus_x_over_one_plus_x_for_x_in_0_1)."""
    half_denominator = (x + INT32_MAX + 1) >> 1
    estimate = Q2_48_OVER_17 + doubling_high_mul(half_denominator, Q2_MINUS_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - doubling_high_mul(half_denominator, estimate)
        estimate = estimate + saturate32(doubling_high_mul(estimate, error) << 2)
    return saturate32((estimate - (1 << 29)) << 2)


def log_of_sum(x: int) -> int:
    """log(x) in Q5.26 for x >= 1 in Q12.19 (TFLite log_x_for_x_greater_than_or_equal_to_1).

    x = 2^k * r with r between sqrt(1/2) and 1, log(r) by a rational function around the middle of that interval.
    """
    mul = doubling_high_mul
    halved = mul(x, SQRT_HALF)
    zeros, halved_zeros = 32 - x.bit_length(), 32 - int(halved).bit_length() - 1
    above = saturate32(mul(x << (zeros - 1), SQRT_HALF) << 1)
    below = saturate32(np.array(x, np.int64) << halved_zeros)
    quarter = 1 << 23  # of a power of two, in Q6.25
    power = max(((12 - zeros) << 25) + quarter, ((12 - halved_zeros) << 25) - quarter)
    r = np.minimum(above, below)
    both, q = r + FOURTH_ROOT_HALF, 2 * (r - FOURTH_ROOT_HALF)
    middle, square = (both + 1) >> 1, mul(q, q)
    numerator = mul(q, r) + mul(mul(q, square), LOG_NUMERATOR)
    denominator = mul(middle, LOG_CONSTANT + q + mul(LOG_SQUARE, square)) + mul(LOG_LINEAR, q)
    of_r = mul(divide_by_power(numerator, 6), one_over_one_plus(denominator))
    return int(saturate32((mul(power, LOG_2) + of_r) << 1))


def inverse_sqrt(x: int) -> tuple[int, int]:
    """(multiplier, shift) of 1 / sqrt(x) = multiplier / 2^31 * 2^shift (TFLite GetInvSqrtQuantizedMultiplierExp)."""
    if x <= 1:
        return INT32_MAX, 0
    shift = 11
    while x >= 1 << 29:
        x, shift = x // 4, shift + 1
    pairs = (32 - x.bit_length() - 1) // 2 - 1
    shift -= pairs
    value = np.array((x << (2 * pairs)) >> 1, np.int64)  # Q3.28
    half, three_halves = divide_by_power(value, 1), (1 << 28) + (1 << 27)
    estimate = np.array(1 << 28, np.int64)
    for _ in range(5):
        cube = saturate32(doubling_high_mul(doubling_high_mul(estimate, estimate), estimate) << 6)
        step = doubling_high_mul(three_halves, estimate) - doubling_high_mul(half, cube)
        estimate = saturate32(step << 3)
    multiplier = int(doubling_high_mul(estimate, SQRT_HALF))
    if shift < 0:
        multiplier, shift = multiplier << -shift, 0
    return multiplier, -shift


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Largest |input| that stays in range after the rescale (TFLite CalculateInputRadius with 31 bits)."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits) / 2.0**left_shift)


def round_half_away(x: float) -> int:
    """C's round(): halves go away from zero."""
    return math.floor(abs(x) + 0.5) * (1 if x >= 0 else -1)
