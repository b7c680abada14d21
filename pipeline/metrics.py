"""Task metrics from real (dequantized) outputs, in numpy only: the same function scores the host and the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]

CALIBRATION_PERCENTILE = 99.0


def dequantize(values: NDArray[np.int8], quantization: Mapping[str, Any]) -> NDArray[np.float32]:
    """Real numbers of int8 values: scale * (q - zero_point) (TFLite quantization specification); of windows or answers
    with several parts [n, bytes], those of the judged one. A class that the model itself decides on is its one-hot
    vector [n, classes]."""
    if quantization.get("parts"):
        values = _part(values, quantization["parts"][quantization["judged"]])
    if "classes" in quantization:
        return np.eye(quantization["classes"], dtype=np.float32)[_decided(values, quantization)]
    shifted = values.astype(np.float32) - np.float32(quantization["zero_point"])
    return np.asarray(np.float32(quantization["scale"]) * shifted, np.float32)


def _decided(values: NDArray[Any], quantization: Mapping[str, Any]) -> NDArray[np.int64]:
    """The class [n] that a single output names: an index, or the probability of the second."""
    real = (values.reshape(len(values)).astype(np.float64) - quantization["zero_point"]) * quantization["scale"]
    return np.asarray(np.clip(np.rint(real), 0, quantization["classes"] - 1), np.int64)


def quantize(values: Real, quantization: Mapping[str, Any]) -> NDArray[np.int8]:
    """int8 values of real numbers: round(r / scale) + zero_point, ties to even, clamped to -128..127; where the model
    takes several inputs, or another type, windows [n, bytes] of packed ones [n, values]."""
    if "parts" not in quantization:
        return steps(values, quantization, "int8")
    made, start = np.zeros((len(values), *quantization["shape"]), np.int8), 0
    flat = values.reshape(len(values), -1)
    for part in quantization["parts"]:
        end = start + int(np.prod(part["shape"], dtype=np.int64))
        part_bytes = np.ascontiguousarray(steps(flat[:, start:end], part, part["dtype"])).view(np.int8)
        made[:, part["at"] : part["at"] + part_bytes.shape[1]], start = part_bytes, end
    return made


def steps(values: Real, quantization: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    """Values of `dtype`, int8 or int16, of real numbers, in their shape: round(r / scale) + zero_point, clamped."""
    limits = np.iinfo(dtype)
    found = np.rint(values / np.float32(quantization["scale"])) + quantization["zero_point"]
    return np.asarray(np.clip(found, limits.min, limits.max), dtype)


def single(quantization: Mapping[str, Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the only tensor of a window or an answer; of several, those of their bytes."""
    parts = quantization.get("parts", ())
    known = parts[0] if len(parts) == 1 else {"dtype": "int8", **quantization}
    return tuple(known["shape"]), np.dtype(known["dtype"])


def _part(windows: NDArray[np.int8], part: Mapping[str, Any]) -> NDArray[Any]:
    """The values [n, *shape] of one part of windows or answers [n, bytes]."""
    dtype, start = np.dtype(part["dtype"]), part["at"]
    count = int(np.prod(part["shape"], dtype=np.int64))
    values = np.ascontiguousarray(windows[:, start : start + count * dtype.itemsize]).view(dtype)
    return values.reshape(len(windows), *part["shape"])


def score(task: Mapping[str, Any], outputs: Real, labels: Labels, inputs: Real, rung: str = "int8") -> dict[str, Any]:
    """The task's metrics of outputs [n, *out] for inputs [n, *shape]; `rung` picks the calibrated threshold.

    classification: accuracy, macro_f1, confusion [true][predicted].
    anomaly (label 0 normal, 1 fault): auc, false_alarm_rate, detection_rate, threshold.
    """
    if task["kind"] == "classification":
        return classification(outputs, labels, len(task["labels"]))
    return anomaly(anomaly_scores(outputs, inputs), labels, float(task["threshold"][rung]))


def classification(outputs: Real, labels: Labels, classes: int) -> dict[str, Any]:
    """Accuracy, macro F1 and the confusion matrix of the largest outputs (the first of equals)."""
    table = confusion(labels, outputs.reshape(len(labels), -1).argmax(axis=1), classes)
    return {"accuracy": accuracy(table), "macro_f1": macro_f1(table), "confusion": table.tolist()}


def confusion(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """Counts [true class, predicted class]."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, predicted), 1)
    return table


def accuracy(table: NDArray[np.int64]) -> float:
    """Share of windows on the diagonal of a confusion matrix."""
    return float(np.trace(table) / max(int(table.sum()), 1))


def macro_f1(table: NDArray[np.int64]) -> float:
    """Mean over the classes that occur of F1 = 2 tp / (2 tp + fp + fn) (van Rijsbergen 1979, beta = 1)."""
    hits, missed_and_false = np.diag(table), table.sum(0) + table.sum(1)
    occurs = missed_and_false > 0
    return float(np.mean(2 * hits[occurs] / missed_and_false[occurs])) if occurs.any() else 0.0


def anomaly_scores(outputs: Real, inputs: Real) -> NDArray[np.float64]:
    """Mean squared error of the reconstruction of each window."""
    error = outputs.astype(np.float64).reshape(len(outputs), -1) - inputs.astype(np.float64).reshape(len(inputs), -1)
    return np.asarray(np.mean(error**2, axis=1))


def threshold(scores: NDArray[np.float64]) -> float:
    """The alarm threshold: the 99th percentile (linear interpolation) of the scores of normal calibration windows."""
    return float(np.percentile(scores, CALIBRATION_PERCENTILE))


def anomaly(scores: NDArray[np.float64], labels: Labels, alarm_above: float) -> dict[str, Any]:
    """AUC, and the shares of normal (false alarms) and faulty (detections) windows that score above the threshold."""
    alarms = scores > alarm_above
    return {
        "auc": auc(scores, labels),
        "false_alarm_rate": _share(alarms[labels == 0]),
        "detection_rate": _share(alarms[labels == 1]),
        "threshold": alarm_above,
    }


def auc(scores: NDArray[np.float64], labels: Labels) -> float:
    """Area under the ROC curve as Mann-Whitney U / (n0 n1): a fault scores above a normal one, ties count half."""
    normal, fault = np.sort(scores[labels == 0]), scores[labels == 1]
    if not len(normal) or not len(fault):
        return 0.0
    below = np.searchsorted(normal, fault, "left") + np.searchsorted(normal, fault, "right")
    return float(below.sum() / 2 / (len(normal) * len(fault)))


def roc(scores: NDArray[np.float64], labels: Labels) -> tuple[list[float], list[float]]:
    """False-alarm and detection rates from (0, 0) to (1, 1), one point for each distinct score, highest first."""
    levels = np.unique(scores)[::-1]
    normal, fault = np.sort(scores[labels == 0]), np.sort(scores[labels == 1])
    alarms = [1 - np.searchsorted(side, levels, "left") / max(len(side), 1) for side in (normal, fault)]
    return [0.0, *alarms[0].tolist()], [0.0, *alarms[1].tolist()]


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0
