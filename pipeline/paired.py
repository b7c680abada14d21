"""Statistics of a run: how sure its metric is, which windows flip against float and host int8, which are worst."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import metrics, stats
from pipeline.built import Built
from pipeline.rungs import Answered
from pipeline.verdict import Outcome

Facts = dict[str, Any]
LISTED = 20  # flipped windows named
WORST = 6  # windows shown in the report
METHODS = {"classification": "Wilson", "anomaly": "Hanley and McNeil"}


def statistics(built: Built, outcome: Outcome, score: Facts | None) -> Facts | None:
    """Interval of the main metric, paired comparisons with float and int8, the worst windows; None for no windows."""
    if score is None:
        return None
    answered = outcome.rungs(built)
    chosen, truth = answered.chosen, answered.labels
    views = {rung: _view(answered, rung) for rung in ("float", "int8", "device")}
    worst = np.argsort(views["device"]["margin"], kind="stable")[:WORST]
    return {
        "interval": interval(built.quantize["task"], truth, views["device"]["right"], score),
        "float": flips(chosen, truth, views["float"], views["device"]),
        "int8": flips(chosen, truth, views["int8"], views["device"]),
        "worst": [_window(chosen, truth, views["device"], at) for at in worst],
    }


def interval(task: Facts, truth: NDArray[np.int64], right: NDArray[np.bool_], score: Facts) -> Facts:
    """The 95 % interval of the metric, taking windows as independent."""
    if task["kind"] == "classification":
        name, (low, high) = "accuracy", stats.wilson(int(right.sum()), len(right))
    else:
        name, (low, high) = "auc", stats.auc_interval(score["auc"], int((truth == 0).sum()), int((truth == 1).sum()))
    return {"metric": name, "value": score[name], "low": low, "high": high, "method": METHODS[task["kind"]]}


def flips(chosen: NDArray[np.int64], truth: NDArray[np.int64], before: Facts, device: Facts) -> Facts:
    """Windows that the device decides otherwise, with both margins; `better` and `worse` by the labels."""
    at = np.flatnonzero(before["said"] != device["said"])
    better = int((device["right"] & ~before["right"]).sum())
    worse = int((before["right"] & ~device["right"]).sum())
    listed = [
        {
            **_window(chosen, truth, device, i),
            "before": {"said": int(before["said"][i]), "margin": _round(before["margin"][i])},
        }
        for i in at[:LISTED]
    ]
    p = stats.mcnemar(better, worse)
    return {"flipped": len(at), "better": better, "worse": worse, "p": _round(p), "windows": listed}


def _window(chosen: NDArray[np.int64], truth: NDArray[np.int64], view: Facts, at: int) -> Facts:
    said, margin = int(view["said"][at]), _round(view["margin"][at])
    return {"index": int(chosen[at]), "label": int(truth[at]), "said": said, "margin": margin}


def _view(answered: Answered, rung: str) -> Facts:
    """What is said of each window, whether that is right, and by how much: below 0 is wrong.

    classification: the true label's output less the largest other one; anomaly: score over threshold, as a share of it.
    """
    task = answered.quantize["task"]
    look = _classes if task["kind"] == "classification" else _alarms
    said, margin = (np.concatenate(each) for each in zip(*(look(part, rung) for part in answered.parts()), strict=True))
    return {"said": said, "right": said == answered.labels, "margin": margin}


def _classes(part: Answered, rung: str) -> tuple[NDArray[Any], NDArray[Any]]:
    flat = part.outputs(rung).reshape(len(part.chosen), -1).astype(np.float64)
    rows, truth = np.arange(len(flat)), part.labels
    said, own = flat.argmax(axis=1), flat[rows, truth]
    flat[rows, truth] = -np.inf
    return said, own - flat.max(axis=1)


def _alarms(part: Answered, rung: str) -> tuple[NDArray[Any], NDArray[Any]]:
    least = float(part.quantize["task"]["threshold"]["float" if rung == "float" else "int8"])
    over = metrics.anomaly_scores(part.outputs(rung), part.inputs()) / least - 1
    return (over > 0).astype(np.int64), np.where(part.labels == 1, over, -over)


def _round(value: float) -> float:
    return round(float(value), 6)
