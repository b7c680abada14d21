"""What float, pruned, int8 and device say of windows, a part of them at a time: the test split stays on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import metrics

RUNGS = ("float", "pruned", "int8", "device")
PART_BYTES = 1 << 22  # of windows looked at together

Facts = dict[str, Any]


@dataclass(frozen=True)
class Answered:
    """Windows that were answered: their indices in the test split [n], their places [n] in the device's outputs."""

    quantize: Mapping[str, Any]
    reference: Mapping[str, NDArray[Any]]
    chosen: NDArray[np.int64]
    device: NDArray[np.int8]
    places: NDArray[np.int64]

    def parts(self) -> Iterator[Answered]:
        """The same windows, so many at a time as take little memory."""
        width = sum(int(np.prod(self.reference[key].shape[1:])) for key in ("inputs", "outputs"))
        step = max(1, PART_BYTES // (8 * width))
        for start in range(0, len(self.chosen), step):
            at = slice(start, start + step)
            yield Answered(self.quantize, self.reference, self.chosen[at], self.device, self.places[at])

    @property
    def labels(self) -> NDArray[np.int64]:
        """The windows' true labels [n]."""
        return np.asarray(self.reference["labels"][self.chosen])

    def inputs(self) -> NDArray[np.float32]:
        """The windows [n, *shape], as quantized."""
        return metrics.dequantize(self.reference["inputs"][self.chosen], self.quantize["input"])

    def outputs(self, rung: str) -> NDArray[Any]:
        """The real outputs [n, *out] of a rung."""
        if rung in ("float", "pruned"):
            return np.asarray(self.reference[f"{rung}_outputs"][self.chosen])
        got = self.device[self.places] if rung == "device" else self.reference["outputs"][self.chosen]
        return metrics.dequantize(got, self.quantize["output"])

    def said(self, rung: str) -> NDArray[Any]:
        """Of each window the class that the rung says, or its anomaly score [n]."""
        anomaly = self.quantize["task"]["kind"] == "anomaly"
        found = [
            metrics.anomaly_scores(part.outputs(rung), part.inputs())
            if anomaly
            else part.outputs(rung).reshape(len(part.chosen), -1).argmax(axis=1)
            for part in self.parts()
        ]
        return np.concatenate(found)

    def score(self, rung: str) -> Facts:
        """The task's metrics of a rung."""
        task, said = self.quantize["task"], self.said(rung)
        if task["kind"] == "anomaly":
            return metrics.anomaly(said, self.labels, float(task["threshold"]["int8" if rung == "device" else rung]))
        table = metrics.confusion(self.labels, said, len(task["labels"]))
        figures = {"accuracy": metrics.accuracy(table), "macro_f1": metrics.macro_f1(table)}
        return {**figures, "confusion": table.tolist()}

    def scores(self) -> dict[str, Facts | None]:
        """The task's metrics of all rungs.

        Of the whole split, the host's three are those of quantize.json. Of a part of it they are computed here, from
        the same windows as the device's (for anomaly detection from the windows as quantized).
        """
        noted = {rung: self.quantize["metrics"].get(rung) for rung in RUNGS}
        if not len(self.chosen):
            return dict.fromkeys(RUNGS)
        if len(self.chosen) == len(self.reference["labels"]):
            return {**noted, "device": self.score("device")}
        return {rung: self.score(rung) if noted[rung] or rung == "device" else None for rung in RUNGS}
