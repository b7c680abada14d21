"""What a fact in a model's file may be; one that is something else is a ValueError that says what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping


def whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """A whole number from `least` to `most`."""
    known = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not known or not isinstance(value, int) or (most is not None and value > most):
        span = f"from {least} on" if most is None else f"of {least} to {most}"
        raise ValueError(f"{name} is {value!r}, not a whole number {span}")


def positive(name: str, value: object) -> None:
    """A number above 0."""
    if not _within(value, 0, math.inf) or value in (0, math.inf):
        raise ValueError(f"{name} is {value!r}, not a number above 0")


def share(name: str, value: object, least: int = 0) -> None:
    """A share of 1, not percent; one that is a difference may be below 0."""
    if not _within(value, least, 1):
        raise ValueError(f"{name} is {value!r}, not a share of {least} to 1: 90 % are 0.9")


def by_board(name: str, value: object) -> None:
    """A number above 0 for each board that is named."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} is {value!r}, not a dict of numbers by board")
    for board, most in value.items():
        positive(f"{name} of {board}", most)


def names(name: str, value: object) -> None:
    """A tuple of names."""
    if not isinstance(value, tuple | list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} are {value!r}, not a tuple of names")


def _within(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
