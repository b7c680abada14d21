"""The Python half of the rounding contract, held against exact arithmetic; its C twin is held to it by test_fixed_c."""

from __future__ import annotations

import ctypes
import math
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import fixedpoint as fx

INT32 = st.integers(fx.INT32_MIN, fx.INT32_MAX)
EDGES = [fx.INT32_MIN, fx.INT32_MIN + 1, -(2**30), -1, 0, 1, 2**30, fx.INT32_MAX - 1, fx.INT32_MAX]
ROOT = Path(__file__).resolve().parents[1]


def half_away(x: Fraction) -> int:
    return math.floor(abs(x) + Fraction(1, 2)) * (1 if x >= 0 else -1)


@given(INT32, INT32)
def test_doubling_high_mul_is_the_rounded_product(a: int, b: int) -> None:
    # gemmlowp adds the nudge and truncates: exact halves of negative products go up, towards zero
    exact = Fraction(a * b, 2**31)
    rounded = math.ceil(exact - Fraction(1, 2)) if exact < 0 and exact.denominator == 2 else half_away(exact)
    assert int(fx.doubling_high_mul(a, b)) == min(rounded, fx.INT32_MAX)


@given(INT32, st.integers(0, 31))
def test_divide_by_power_rounds_halves_away_from_zero(x: int, exponent: int) -> None:
    assert int(fx.divide_by_power(x, exponent)) == half_away(Fraction(x, 2**exponent))


@given(st.integers(-(2**47), 2**47 - 1), st.integers(0, 2**31 - 1), st.integers(-31, 7))
def test_requantize_wide_rounds_once_by_a_multiplier_of_15_bits(x: int, multiplier: int, shift: int) -> None:
    factor = fx.reduced(multiplier)
    assert abs(factor - multiplier / 2**16) <= (0.5 if multiplier < 0x7FFF8000 else 1)
    rounded = math.floor(Fraction(x * factor, 2 ** (15 - shift)) + Fraction(1, 2))
    assert int(fx.requantize_wide(x, factor, shift)) == (rounded + 2**31) % 2**32 - 2**31


@given(st.floats(1e-12, 1e6))
def test_quantize_multiplier_is_within_its_last_bit(real: float) -> None:
    multiplier, shift = fx.quantize_multiplier(real)
    if multiplier == 0:
        assert real < 2.0**-31
    else:
        assert 2**30 <= multiplier < 2**31
        assert multiplier / 2**31 * 2.0**shift == pytest.approx(real, rel=2**-30)


def test_quantize_multiplier_at_the_edges() -> None:
    assert fx.quantize_multiplier(0.0) == (0, 0)
    assert fx.quantize_multiplier(1.0) == (2**30, 1)
    assert fx.quantize_multiplier(1 - 2**-40) == (2**30, 1)  # rounds up to the next power
    assert fx.quantize_multiplier(2.0**-40) == (0, 0)
    assert fx.quantize_multiplier(2.0**40) == (fx.INT32_MAX, 30)


def test_exp_logistic_and_reciprocal_are_close_to_the_real_functions() -> None:
    x = -np.arange(1, 2**31, 2**22, dtype=np.int64)
    assert np.abs(fx.exp_on_negative(x, 5) / 2**31 - np.exp(x / 2**26)).max() < 1e-6
    both = np.concatenate([x, [0], -x])
    assert np.abs(fx.logistic(both, 4) / 2**31 - 1 / (1 + np.exp(-both / 2**27))).max() < 1e-6
    for value in (1, 5, 2**19, 2**26 + 12345, 2**31 - 1):
        scale, bits = fx.reciprocal(value, 12)
        assert scale / 2**31 * 2.0**-bits == pytest.approx(2.0**19 / value, rel=1e-6)


def test_log_and_inverse_root_are_close_to_the_real_functions() -> None:
    for value in (2**19, 2**19 + 1, 3 * 2**18, 2**26 + 12345, 2**31 - 1):
        assert fx.log_of_sum(value) / 2**26 == pytest.approx(math.log(value / 2**19), abs=2e-6)
    for value in (2, 3, 255**2, 2**29 - 1, 2**29, 2**31 - 1):
        multiplier, shift = fx.inverse_sqrt(value)
        assert multiplier / 2**31 * 2.0**shift == pytest.approx(value**-0.5, rel=1e-4)


@pytest.fixture(scope="module")
def c_functions(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("fixed")
    flags = ["-std=c11", "-O2", "-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    source = ROOT / "tests" / "fixtures" / "fixed" / "fixed.c"
    include = f"-I{ROOT / 'firmware' / 'kernels'}"
    subprocess.run(["gcc", *flags, include, str(source), "-o", str(folder / "fixed.so")], check=True)
    library = ctypes.CDLL(str(folder / "fixed.so"))
    library.inverse_sqrt.restype = ctypes.c_int64
    library.requantize_wide.argtypes = [ctypes.c_int64, ctypes.c_int32, ctypes.c_int32]
    return library


def test_c_equals_python_at_the_edges_and_at_random(c_functions: ctypes.CDLL) -> None:
    rng = np.random.default_rng(7)
    values = [*EDGES, *(int(v) for v in rng.integers(fx.INT32_MIN, fx.INT32_MAX, 300))]
    for x in values:
        for multiplier in (0, 1, 2**30, 2**31 - 1, int(rng.integers(2**30, 2**31))):
            assert c_functions.doubling_high_mul(x, multiplier) == int(fx.doubling_high_mul(x, multiplier))
            for shift in (-31, -8, -1, 0, 1, 7, 30):
                assert c_functions.requantize(x, multiplier, shift) == int(fx.requantize(x, multiplier, shift))
            wide, factor = x * 2**16 + multiplier % 2**16, fx.reduced(multiplier)
            for shift in (-31, -15, 0, 7):
                assert c_functions.requantize_wide(wide, factor, shift) == int(fx.requantize_wide(wide, factor, shift))
        assert c_functions.divide_by_power(x, 12) == int(fx.divide_by_power(x, 12))
        inside = np.int64(min(abs(x), fx.INT32_MAX))
        below = -inside
        assert c_functions.exp_on_negative_q5(int(below)) == int(fx.exp_on_negative(below, 5))
        assert c_functions.one_over_one_plus(int(inside)) == int(fx.one_over_one_plus(inside))
        multiplier, power = fx.inverse_sqrt(int(inside))
        assert c_functions.inverse_sqrt(int(inside)) == multiplier * 64 + power + 32
        at_least_one = max(int(inside), 1 << 19)
        assert c_functions.log_of_sum(at_least_one) == fx.log_of_sum(at_least_one)
    assert c_functions.doubling_high_mul(fx.INT32_MIN, fx.INT32_MIN) == fx.INT32_MAX


@pytest.mark.parametrize("header", ["nn_output.h", "xtensa-lx6/nn_output.h"])
def test_outputs_of_every_core_are_the_rescale_around_each_threshold(header: str, tmp_path: Path) -> None:
    kernels, library = ROOT / "firmware" / "kernels", tmp_path / "output.so"
    flags = ["-std=c11", "-O2", "-shared", "-fPIC", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    argv = ["gcc", *flags, f"-I{kernels}", f'-DNN_OUTPUT="{kernels / header}"']
    subprocess.run([*argv, str(ROOT / "tests" / "fixtures" / "fixed" / "output.c"), "-o", str(library)], check=True)
    outputs, rng = ctypes.CDLL(str(library)).outputs, np.random.default_rng(8)
    for i in range(400):
        bounds = ((-128, 127), tuple(sorted(rng.integers(-128, 128, 2))))[i % 2]
        offset = int((bounds[0], rng.integers(-128, 128))[i % 3 // 2])
        multiplier, shift = int(rng.integers(2**30, 2**31)), -int(rng.integers(0, 16))
        bias = int(rng.integers(-(2 ** (i % 31)), 2 ** (i % 31) + 1))
        spread = 2.0 ** (31 - shift) / multiplier
        around = ((np.arange(-300, 300) + 0.5) * spread).astype(np.int64)[:, np.newaxis] + np.arange(-3, 4)
        far = np.concatenate([2 ** np.arange(8, 30), -(2 ** np.arange(8, 30)), rng.integers(-(2**24), 2**24, 300)])
        wanted = np.concatenate([around.ravel(), far, np.arange(-5, 6)])
        sums = (wanted - bias).astype(np.int32)
        to, channel = np.array([offset, *bounds], np.int32), np.array([bias, multiplier, shift], np.int32)
        got = np.empty(len(sums), np.int8)
        outputs(*(each.ctypes.data_as(ctypes.c_void_p) for each in (to, channel, sums)), len(sums),
                got.ctypes.data_as(ctypes.c_void_p))  # fmt: skip
        expected = np.clip(fx.requantize(wanted, multiplier, shift) + offset, *bounds)
        wrong = np.flatnonzero(got != expected)
        assert not len(wrong), (to, channel, wanted[wrong[0]], got[wrong[0]], expected[wrong[0]])
