"""The metrics against examples worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import metrics

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 2])


def test_confusion_counts_true_rows_and_predicted_columns() -> None:
    assert metrics.confusion(LABELS, PREDICTED, 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_accuracy_and_macro_f1_of_a_worked_example() -> None:
    table = metrics.confusion(LABELS, PREDICTED, 3)
    assert metrics.accuracy(table) == pytest.approx(4 / 6)
    # F1: class 0 2*2/(3+3), class 1 2*1/(2+2), class 2 1
    assert metrics.macro_f1(table) == pytest.approx((4 / 6 + 1 / 2 + 1) / 3)


def test_macro_f1_leaves_out_a_class_that_never_occurs() -> None:
    assert metrics.macro_f1(metrics.confusion(np.array([0, 1]), np.array([0, 1]), 5)) == 1.0


def test_classification_takes_the_largest_output() -> None:
    outputs = np.array([[0.1, 0.9], [0.8, 0.2]], np.float32)
    scores = metrics.classification(outputs, np.array([1, 1]), 2)
    assert scores == {"accuracy": 0.5, "macro_f1": pytest.approx(1 / 3), "confusion": [[0, 0], [1, 1]]}


def test_auc_of_a_worked_example_counts_ties_half() -> None:
    # pairs (fault, normal): 3>1 3>2 3>3(half) 2>1 2=2(half) 2<3 -> 1+1+0.5+1+0.5+0 = 4 of 6
    assert metrics.auc(np.array([1.0, 2, 3, 3, 2]), np.array([0, 0, 0, 1, 1])) == pytest.approx(4 / 6)


def test_auc_of_one_class_only_is_zero() -> None:
    assert metrics.auc(np.array([1.0, 2.0]), np.array([0, 0])) == 0.0


scored = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=2, max_size=30)


@given(scored)
def test_auc_equals_counting_every_pair_and_the_area_under_roc(pairs: list[tuple[int, int]]) -> None:
    scores, labels = np.array([float(s) for s, _ in pairs]), np.array([label for _, label in pairs])
    normal, fault = scores[labels == 0], scores[labels == 1]
    if not len(normal) or not len(fault):
        return
    wins = sum((f > n) + 0.5 * (f == n) for f in fault for n in normal)
    assert metrics.auc(scores, labels) == pytest.approx(wins / (len(normal) * len(fault)))
    false_alarms, detections = metrics.roc(scores, labels)
    assert (false_alarms[0], detections[0], false_alarms[-1], detections[-1]) == (0, 0, 1, 1)
    assert np.trapz(detections, false_alarms) == pytest.approx(metrics.auc(scores, labels))


def test_anomaly_rates_are_of_scores_above_the_threshold() -> None:
    scores = metrics.anomaly(np.array([1.0, 2, 3, 4, 2]), np.array([0, 0, 0, 1, 1]), 2.0)
    assert (scores["false_alarm_rate"], scores["detection_rate"]) == (pytest.approx(1 / 3), 0.5)


def test_anomaly_score_is_the_mean_squared_error_of_a_window() -> None:
    assert metrics.anomaly_scores(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])).tolist() == [2.0]


def test_threshold_is_the_99th_percentile() -> None:
    assert metrics.threshold(np.arange(101.0)) == pytest.approx(99.0)


def test_score_uses_the_rungs_own_threshold() -> None:
    task = {"kind": "anomaly", "labels": ["normal", "fault"], "threshold": {"float": 5.0, "int8": 0.5}}
    inputs, outputs, labels = np.zeros((2, 1)), np.array([[0.0], [1.0]]), np.array([0, 1])
    assert metrics.score(task, outputs, labels, inputs, "float")["detection_rate"] == 0.0
    assert metrics.score(task, outputs, labels, inputs, "int8")["detection_rate"] == 1.0


def test_quantize_rounds_clamps_and_dequantize_undoes_it() -> None:
    quantization = {"scale": 0.5, "zero_point": -3}
    values = metrics.quantize(np.array([0.0, 0.6, -100.0, 100.0], np.float32), quantization)
    assert values.tolist() == [-3, -2, -128, 127]
    assert metrics.dequantize(values[:2], quantization).tolist() == [0.0, 0.5]
