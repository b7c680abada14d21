"""From a device's bytes to a verdict: equality of windows, metrics, latency, limits. Pure: no files, no device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import gates, metrics, words
from pipeline.built import Built
from pipeline.stats import Sequential

PASS, FAIL, PARTIAL, FAILED = "pass", "fail", "partial", "failed"
_LISTED = 20  # differing windows named in the report

Facts = dict[str, Any]


@dataclass
class Outcome:
    """What came back for the windows asked, `asked` [k] being their indices in the test split.

    outputs int8 [k, *out] and ticks [k] count only where `answered` [k]; `stopped` says why a run ended early:
    FAILED or PARTIAL, and `reason` in words.
    """

    asked: NDArray[np.int64]
    outputs: NDArray[np.int8]
    ticks: NDArray[np.int64]
    answered: NDArray[np.bool_]
    stopped: str = ""
    reason: str = ""
    layers: Facts | None = None  # what pipeline.layers saw, when it looked
    link: Facts = field(default_factory=dict)
    seed: int = 0  # of the choice of windows
    sure: Sequential | None = None  # the test of --until-sure
    boards: list[Facts] | None = None  # of several boards, what each did
    resumed: int = 0  # answers taken from the journal of an unfinished run
    gates: Facts | None = None  # limits of the command line, and the baseline

    def take(self, index: int, ticks: int, output: bytes) -> None:
        """Note the answer to the window asked as the `index`th."""
        self.outputs[index].flat = np.frombuffer(output, np.int8)
        self.ticks[index], self.answered[index] = ticks, True

    def keep_answered(self) -> None:
        """Forget the windows that were not answered: they were not needed."""
        here = self.answered
        self.asked, self.outputs, self.ticks = self.asked[here], self.outputs[here], self.ticks[here]
        self.answered = here[here]

    def once(self) -> Outcome:
        """The answered windows, each once though several boards ran it."""
        here = np.flatnonzero(self.answered)
        first = here[np.unique(self.asked[here], return_index=True)[1]]
        return Outcome(self.asked[first], self.outputs[first], self.ticks[first], self.answered[first])

    @classmethod
    def of(cls, asked: NDArray[np.int64], output_shape: tuple[int, ...]) -> Outcome:
        """Nothing answered yet."""
        count = len(asked)
        return cls(asked, np.zeros((count, *output_shape), np.int8), np.zeros(count, np.int64), np.zeros(count, bool))


@dataclass(frozen=True)
class Counted:
    """What the ticks mean: the kind of the unit, ticks in one unit, units in a second (None: they are no time)."""

    kind: str
    ticks_per_unit: float
    hz: int | None


def compare(outcome: Outcome, expected: NDArray[np.int8]) -> Facts:
    """Windows {total, equal, failed, unanswered} and the first that differ from `expected` [n, *out]."""
    wanted = expected[outcome.asked].reshape(len(outcome.asked), -1)
    got = outcome.outputs.reshape(wanted.shape)
    differs = outcome.answered & (got != wanted).any(axis=1)
    distance = np.abs(got.astype(np.int16) - wanted)
    equal = int((outcome.answered & ~differs).sum())
    return {
        "total": len(wanted),
        "equal": equal,
        "failed": int(differs.sum()),
        "unanswered": int((~outcome.answered).sum()),
        "differing": [
            {
                "index": int(outcome.asked[i]),
                "bytes": int((got[i] != wanted[i]).sum()),
                "largest": int(distance[i].max()),
            }
            for i in np.flatnonzero(differs)[:_LISTED]
        ],
    }


def score(built: Built, outcome: Outcome) -> dict[str, Facts | None]:
    """The task's metrics of float, pruned, int8 and device on the answered windows.

    Of the whole split, the host's three are those of quantize.json. Of a part of it they are computed here, from the
    same windows as the device's (for anomaly detection from the windows as quantized).
    """
    task, reference = built.quantize["task"], built.reference
    chosen = outcome.asked[outcome.answered]
    if not len(chosen):
        return {**dict.fromkeys(("float", "pruned", "int8")), "device": None}
    labels = reference["labels"][chosen]
    inputs = metrics.dequantize(reference["inputs"][chosen], built.quantize["input"])
    real = {
        "float": reference["float_outputs"][chosen],
        "pruned": reference["pruned_outputs"][chosen],
        "int8": metrics.dequantize(reference["outputs"][chosen], built.quantize["output"]),
        "device": metrics.dequantize(outcome.outputs[outcome.answered], built.quantize["output"]),
    }
    rungs = {"float": "float", "pruned": "pruned", "int8": "int8", "device": "int8"}
    known = {"device", *(name for name, figures in built.quantize["metrics"].items() if figures)}
    scores: dict[str, Facts | None] = {
        name: metrics.score(task, outputs, labels, inputs, rungs[name]) if name in known else None
        for name, outputs in real.items()
    }
    whole = len(chosen) == len(reference["labels"])
    return {**scores, **built.quantize["metrics"]} if whole else scores


def clock(outcome: Outcome, counted: Counted) -> Facts:
    """Median, 95th percentile and maximum of an inference in the clock's unit, and in milliseconds where it is time."""
    facts: Facts = {"kind": counted.kind, "hz": counted.hz, "ticks_per_unit": counted.ticks_per_unit}
    units = outcome.ticks[outcome.answered] / counted.ticks_per_unit
    names = ("median", "p95", "max")
    if not len(units):
        return {**facts, **dict.fromkeys(names), "milliseconds": None}
    values = dict(zip(names, (round(float(v), 1) for v in np.percentile(units, (50, 95, 100))), strict=True))
    milliseconds = {name: 1000 * value / counted.hz for name, value in values.items()} if counted.hz else None
    return {**facts, **values, "milliseconds": milliseconds}


def limits(built: Built, scores: Mapping[str, Any], timing: Facts, whole: bool, rules: Facts) -> list[Facts]:
    """Each limit with its value and whether it is met; None where a part of the test split cannot tell."""
    metric, checks = rules["metric"], []
    for name, limit in rules["metrics"].items() if scores["device"] is not None else ():
        least = name != gates.AT_MOST
        checks.append(_check(f"{words.plain(name)} on the device", scores["device"][name], limit, least, whole))
    if scores["device"] is not None and scores["float"] is not None:
        drop = scores["float"][metric] - scores["device"][metric]
        checks.append(_check(f"{words.plain(metric)} lost from float to device", drop, rules["drop"], False, whole))
    if rules["ticks"] is not None and timing["median"] is not None:
        checks.append(_check(f"{timing['kind']} of an inference", timing["median"], rules["ticks"], False))
    size = built.size
    return checks + [_check(f"{region} bytes", size[region], rules[region], False) for region in gates.REGIONS]


def sure_limit(test: Sequential, score: Mapping[str, Any]) -> Facts:
    """The sequential test as a limit: met when it was decided that accuracy is at least its target."""
    name = f"accuracy on the device, by a sequential test of {test.count} windows"
    return {**_check(name, score["accuracy"], test.target, True), "met": test.decided == "above"}


def judge(outcome: Outcome, windows: Facts, checks: list[Facts], more: Sequence[str] = ()) -> tuple[str, list[str]]:
    """The verdict and its reasons, `more` of them: FAILED or PARTIAL when the run was not whole, else FAIL or PASS."""
    reasons = [outcome.reason] if outcome.reason else []
    if windows["failed"]:
        reasons.append(f"{windows['failed']} of {windows['total']} windows differ from the int8 reference")
    reasons += [f"limit missed: {_missed(check)}" for check in checks if check["met"] is False]
    reasons += more
    if outcome.stopped:
        return outcome.stopped, reasons
    if windows["unanswered"]:
        return FAILED, [f"{windows['unanswered']} windows were not answered", *reasons]
    return (FAIL if reasons else PASS), reasons


def _check(name: str, value: float, limit: float, at_least: bool, known: bool = True) -> Facts:
    met = (value >= limit if at_least else value <= limit) if known else None
    return {"name": name, "value": value, "at": "least" if at_least else "most", "limit": limit, "met": met}


def _missed(check: Facts) -> str:
    limit = f"the limit is at {check['at']} {check['limit']:.6g}"
    return f"{check['name']} is {check['value']:.6g}, {limit} (missed by {abs(check['value'] - check['limit']):.3g})"
