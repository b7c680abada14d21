"""How sure a figure is: intervals, paired comparison, what a sample shows, a sequential test. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

Z95 = 1.959963984540054  # standard normal quantile of 97.5 %


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927), for independent windows."""
    if not count:
        return 0.0, 1.0
    share, z2 = hits / count, Z95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def auc_interval(auc: float, normal: int, fault: int) -> tuple[float, float]:
    """95 % interval of an area under the ROC curve (Hanley and McNeil 1982), cut to 0..1."""
    if not normal or not fault:
        return 0.0, 1.0
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (fault - 1) * (q1 - auc**2) + (normal - 1) * (q2 - auc**2)
    half = Z95 * math.sqrt(max(0.0, spread) / (normal * fault))
    return max(0.0, auc - half), min(1.0, auc + half)


def mcnemar(better: int, worse: int) -> float:
    """Two-sided p of McNemar's exact test: `better` and `worse` of the flipped windows, were both equally likely."""
    count = better + worse
    tail = sum(math.comb(count, k) for k in range(min(better, worse) + 1)) / 2**count
    return min(1.0, 2.0 * float(tail))


def most_differing(total: int, sample: int, found: int) -> int:
    """With 95 % confidence, at most so many of `total` windows differ when `found` of a random `sample` did.

    Exact: the largest number under which so few in the sample still have a chance of 5 % (hypergeometric).
    """
    all_ways = math.comb(total, sample)
    low, high = found, total - (sample - found)
    while low < high:  # the chance falls as more differ
        middle = (low + high + 1) // 2
        ways = sum(math.comb(middle, k) * math.comb(total - middle, sample - k) for k in range(found + 1))
        low, high = (middle, high) if 20 * ways >= all_ways else (low, middle - 1)
    return low


@dataclass
class Sequential:
    """Wald's sequential probability ratio test: is a share at least `target + margin` or at most `target - margin`?

    Each of the two wrong answers has a chance of at most about `error`; between the two, either answer may come.
    """

    target: float
    margin: float = 0.02
    error: float = 0.05
    hits: int = 0
    count: int = 0
    decided: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.margin = min(self.margin, (1 - self.target) / 2)

    def take(self, hit: bool) -> None:
        """One more window, drawn at random; after a decision nothing changes any more."""
        if self.decided:
            return
        self.count += 1
        self.hits += hit
        low, high = self.target - self.margin, self.target + self.margin
        ratio = self.hits * math.log(high / low) + (self.count - self.hits) * math.log((1 - high) / (1 - low))
        bound = math.log((1 - self.error) / self.error)
        if abs(ratio) >= bound:
            self.decided = "above" if ratio > 0 else "below"
