"""A missed limit is exit 1 and one line that says by how much."""

from __future__ import annotations

import pytest

from pipeline.limits import check_drop, check_minimum, check_saving, check_sparsity
from pipeline.spec import Limits

SAME = {"dense_bytes": 80, "bytes": 80, "instructions": 1.0}
LIMITS = Limits("accuracy", minimum=0.8, drop_pruned=0.02, drop_int8=0.02)


def test_a_metric_below_its_minimum(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_minimum("watch float", LIMITS, {"accuracy": 0.8}) == 0
    assert check_minimum("watch float", LIMITS, {"accuracy": 0.75}) == 1
    assert capsys.readouterr().err == "limit missed: watch float: accuracy 0.7500 is 0.0500 below the limit 0.8\n"


def test_a_drop_larger_than_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_drop("watch int8", "auc", 0.02, {"auc": 0.9}, {"auc": 0.89}) == 0
    assert check_drop("watch int8", "auc", 0.02, {"auc": 0.9}, {"auc": 0.95}) == 0
    assert check_drop("watch int8", "auc", 0.02, {"auc": 0.9}, {"auc": 0.89}, "never told") == 0
    assert check_drop("watch int8", "auc", 0.02, {"auc": 0.9}, {"auc": 0.85}, "more bits") == 1
    said = (
        "limit missed: watch int8: auc drops by 0.0500 from float, 0.0300 more than the limit 0.02\n  hint: more bits\n"
    )
    assert capsys.readouterr().err == said


def test_fewer_zeros_than_the_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_sparsity("watch pruned", 0.7, 0.698, 0.005) == 0
    assert check_sparsity("watch pruned", 0.7, 0.65, 0.005) == 1
    assert capsys.readouterr().err == "limit missed: watch pruned: sparsity 0.6500 is 0.0500 below the target 0.7\n"


def test_zeros_that_save_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_saving("watch pruned", "rv32imc", [SAME, {"dense_bytes": 80, "bytes": 50, "instructions": 0.9}]) == 0
    assert check_saving("watch pruned", "cortex-m4", [SAME, {"dense_bytes": 80, "bytes": 50, "instructions": 1.1}]) == 1
    said = "pruning saves neither flash nor instructions on cortex-m4: it is no smaller a model"
    assert capsys.readouterr().err == f"limit missed: watch pruned: {said}\n"
