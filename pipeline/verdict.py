"""From a device's bytes to a verdict: equality of windows, metrics, latency, limits. Pure: no files, no device."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import gates, words
from pipeline.built import Built
from pipeline.rungs import Answered
from pipeline.stats import Sequential

PASS, FAIL, PARTIAL, FAILED = "pass", "fail", "partial", "failed"
_LISTED = 20  # differing windows named in the report
_TOGETHER = 4096  # windows compared at a time
_IN_MEMORY = 1 << 26  # bytes of answers; more go to a file without a name

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
        if self.answered.all() and (np.diff(self.asked) > 0).all():
            return self
        here = np.flatnonzero(self.answered)
        first = here[np.unique(self.asked[here], return_index=True)[1]]
        return Outcome(self.asked[first], self.outputs[first], self.ticks[first], self.answered[first])

    @classmethod
    def of(cls, asked: NDArray[np.int64], output_shape: tuple[int, ...]) -> Outcome:
        """Nothing answered yet."""
        count = len(asked)
        return cls(asked, _room((count, *output_shape)), np.zeros(count, np.int64), np.zeros(count, bool))

    def rungs(self, built: Built) -> Answered:
        """The answered windows, for what each rung says of them."""
        here = np.flatnonzero(self.answered)
        return Answered(built.quantize, built.reference, self.asked[here], self.outputs, here)


def _room(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Zeros, in memory while they are few."""
    if np.prod(shape) < _IN_MEMORY:
        return np.zeros(shape, np.int8)
    return np.asarray(np.memmap(tempfile.TemporaryFile(), np.int8, "w+", shape=shape))


@dataclass(frozen=True)
class Counted:
    """What the ticks mean: the kind of the unit, ticks in one unit, units in a second (None: they are no time)."""

    kind: str
    ticks_per_unit: float
    hz: int | None


def compare(outcome: Outcome, expected: NDArray[np.int8]) -> Facts:
    """Windows {total, equal, failed, unanswered} and the first that differ from `expected` [n, *out]."""
    total, equal, failed = len(outcome.asked), 0, 0
    differing: list[Facts] = []
    for start in range(0, total, _TOGETHER):
        at = slice(start, start + _TOGETHER)
        wanted = expected[outcome.asked[at]].reshape(len(outcome.asked[at]), -1)
        got, answered = outcome.outputs[at].reshape(wanted.shape), outcome.answered[at]
        differs = answered & (got != wanted).any(axis=1)
        equal, failed = equal + int((answered & ~differs).sum()), failed + int(differs.sum())
        for i in np.flatnonzero(differs)[: _LISTED - len(differing)]:
            index, distance = int(outcome.asked[start + i]), np.abs(got[i].astype(np.int16) - wanted[i])
            differing.append({"index": index, "bytes": int((distance > 0).sum()), "largest": int(distance.max())})
    unanswered = int((~outcome.answered).sum())
    return {"total": total, "equal": equal, "failed": failed, "unanswered": unanswered, "differing": differing}


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
    if rules["milliseconds"] is not None and timing["milliseconds"]:  # where the clock is no time, ticks may be limited
        took = timing["milliseconds"]["median"]
        checks.append(_check("milliseconds of an inference", took, rules["milliseconds"], False))
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
        reasons.append(f"{windows['failed']} of {windows['total']} windows differ from the reference")
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
