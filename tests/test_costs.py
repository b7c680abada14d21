"""The cost model: what is measured, what it chooses, and that the fit finds what is there."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

from pipeline import costs, facts, words
from pipeline.cores import CORES, core_of
from pipeline.ops.base import Call

sys.path.insert(0, str(ROOT / "benchmarks"))
import calibrate


def dense(kernel: str, inputs: int, outputs: int, stored: int | None = None) -> Call:
    weights = np.ones((outputs, inputs), np.int8)
    fields = {"rows": 1, "inputs": inputs, "outputs": outputs, "min": -128, "max": 127, "multiplier": np.ones(outputs),
              "weights": weights if stored is None else np.zeros(stored, np.uint8)}  # fmt: skip
    return Call(kernel, "", fields, plain=weights)


def test_every_core_was_measured_or_is_like_one_that_was() -> None:
    assert {core: costs.unit(core) for core in CORES} == {**dict.fromkeys(CORES, "instructions"), "avr": "cycles"}
    assert costs.unit("portable") is None and costs.predicted("portable", dense("nn_dense_s8", 8, 8)) is None


@pytest.mark.parametrize("core", [name for name, core in CORES.items() if core.sparse])
def test_few_weights_are_cheaper_sparse_and_many_dense(core: str) -> None:
    plain = dense("nn_dense_s8", 128, 64)
    few, many = (dense("nn_dense_sparse_s8", 128, 64, stored=64 + 3 * 64 * pairs) for pairs in (4, 60))
    assert costs.cheapest(core, (plain, few)) is few
    assert costs.cheapest(core, (plain, many)) is plain
    assert costs.cheapest("portable", (plain, few)) is plain  # nothing was measured: the first
    assert costs.cheapest(core, ()) is None


def test_a_kernel_that_was_not_measured_is_like_its_family() -> None:
    cost = costs.predicted("rv32imc", dense("nn_dense_new_s8", 128, 64))
    assert cost and 0.3 < cost / (costs.predicted("rv32imc", dense("nn_dense_s8", 128, 64)) or 0) < 3


def test_the_fit_finds_what_each_feature_takes() -> None:
    rng = np.random.default_rng(1)
    steps = [{"calls": 1.0, "work": float(rng.integers(10, 10_000)), "bytes": float(rng.integers(500))}
             for _ in range(20)]  # fmt: skip
    values = [100 + 1.5 * step["work"] for step in steps]
    assert calibrate.fitted(steps, values) == pytest.approx({"calls": 100, "work": 1.5}, rel=1e-3)


@pytest.mark.parametrize(
    ("unit", "kind", "price"),
    [("instructions", "instructions", 1.0), ("cycles", "microseconds", 1 / 16), ("instructions", "cycles", None)],
)
def test_a_prediction_is_shown_where_the_clock_counts_the_same(unit: str, kind: str, price: float | None) -> None:
    model = SimpleNamespace(plan={"predicted": {"total": 1600, "unit": unit}, "operators": [{"predicted": 1600}]},
                            board=SimpleNamespace(clock_hz=16_000_000))  # fmt: skip
    assert facts._price(model, kind) == price
    steps = facts._priced({"steps": [{"ticks": 99}]}, model, price)["steps"]
    assert steps == [{"ticks": 99, "predicted": price and 1600 * price}]
    report = {"predicted": price and 1600 * price, "clock": {"median": 80.0, "kind": kind}}
    said = {None: "", 1.0: "; predicted 1,600 instructions, +1900.0 %", 1 / 16: "; predicted 100 microseconds, +25.0 %"}
    assert words.predicted(report) == said[price]


def test_no_core_takes_a_layout_that_costs_more() -> None:
    wide, plain = dense("nn_dense_pairs_s8", 256, 64), dense("nn_dense_s8", 256, 64)
    assert core_of("cortex-m4").packing and costs.cheapest("cortex-m4", (plain, wide)) is wide
