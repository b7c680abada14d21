"""Which windows are run: all, a stratified random sample, or as many as make sure."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.problem import Problem
from pipeline.stats import Sequential, most_differing

Facts = dict[str, Any]


def choose(labels: NDArray[np.int64], wanted: int | None, seed: int) -> NDArray[np.int64]:
    """Indices of all windows, or of `wanted` drawn at random, each label as often as in the whole, in order."""
    if wanted is None or wanted >= len(labels):
        return np.arange(len(labels))
    chance = np.random.default_rng(seed)
    kinds, counts = np.unique(labels, return_counts=True)
    shares = wanted * counts / len(labels)
    take = np.floor(shares).astype(np.int64)
    rest = np.argsort(take - shares + chance.random(len(kinds)) * 1e-9)[: wanted - int(take.sum())]
    take[rest] += 1
    drawn = [
        chance.choice(np.flatnonzero(labels == kind), n, replace=False) for kind, n in zip(kinds, take, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def shuffled(asked: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The windows in random order, as a sequential test needs them."""
    return np.random.default_rng(seed).permutation(asked)


def sequential(task: Facts, target: float | None) -> Sequential | None:
    """The test of --until-sure."""
    if target is None:
        return None
    if not 0.5 <= target < 1:
        raise Problem(
            "--until-sure", f"an accuracy of {target:g} cannot be tested", "from 0.5 to below 1, such as 0.90"
        )
    if task["kind"] != "classification":
        raise Problem("--until-sure", f"is about accuracy, this model's task is {task['kind']}", "run without it")
    return Sequential(target)


def words(total: int, count: int, failed: int, seed: int) -> Facts:
    """What a sample of `count` of `total` windows shows, and what not."""
    most = most_differing(total, count, failed)
    shows = f"with 95 % confidence at most {most} of all {total} windows differ ({100 * most / total:.2g} %)"
    return {"windows": count, "of": total, "seed": seed, "most_differing": most, "words": shows}


def sure(test: Sequential, whole: bool) -> Facts:
    """What the sequential test came to."""
    high, low = test.target + test.margin, test.target - test.margin
    risk = f"wrong in at most {100 * test.error:g} % where it is {100 * low:g} % or less, or {100 * high:g} % or more"
    said = {
        "above": f"accuracy is at least {100 * test.target:g} %, sure after {test.count} windows ({risk})",
        "below": f"accuracy is below {100 * test.target:g} %, sure after {test.count} windows ({risk})",
        "": f"not sure after {test.count} windows{', which are all' if whole else ''}",
    }
    return {**dataclasses.asdict(test), "words": said[test.decided]}
