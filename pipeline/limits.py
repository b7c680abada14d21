"""The model's own limits: each miss is one line on stderr that says by how much, and exit code 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.problem import EXIT_LIMIT
from pipeline.progress import say
from pipeline.spec import Limits

Figures = dict[str, Any]


def check_minimum(where: str, limits: Limits, figures: Figures) -> int:
    """0, or 1 when the limit's metric is below its minimum."""
    least, reached = limits.minimum, figures[limits.metric]
    if reached >= least:
        return 0
    say(f"limit missed: {where}: {limits.metric} {reached:.4f} is {least - reached:.4f} below the limit {least}")
    return EXIT_LIMIT


def check_drop(where: str, metric: str, most: float, before: Figures, after: Figures, hint: str = "") -> int:
    """0, or 1 when the metric fell by more than `most` from the float network; then the hint is told too."""
    drop = before[metric] - after[metric]
    if drop <= most:
        return 0
    say(f"limit missed: {where}: {metric} drops by {drop:.4f} from float, {drop - most:.4f} more than the limit {most}")
    if hint:
        say(f"  hint: {hint}")
    return EXIT_LIMIT


def check_sparsity(where: str, target: float, reached: float, slack: float) -> int:
    """0, or 1 when fewer weights are zero than the target, give or take the rounding of single layers."""
    if reached >= target - slack:
        return 0
    say(f"limit missed: {where}: sparsity {reached:.4f} is {target - reached:.4f} below the target {target}")
    return EXIT_LIMIT


def check_saving(where: str, core: str, rows: Sequence[Figures]) -> int:
    """0, or 1 when pruning saves flash and instructions in no layer on a core; rows: see pipeline.saving."""
    if any(row["bytes"] < row["dense_bytes"] and row["instructions"] < 1 for row in rows):
        return 0
    say(f"limit missed: {where}: pruning saves neither flash nor instructions on {core}: it is no smaller a model")
    return EXIT_LIMIT
