"""Functions of a model's own file: what they raise is told with the line of that file, not as a traceback."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from pipeline.problem import Problem, Problems

Takes = ParamSpec("Takes")
Gives = TypeVar("Gives")


def told(path: Path, what: str, error: Exception, hint: str = "") -> Problem:
    """What an exception says, at the last line of the file that led to it; where it was raised elsewhere, the hint says
    so."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    where = f"{path}:{lines[-1]}" if lines else path
    last = frames[-1] if frames else None
    if last is not None and lines and Path(last.filename) != path:
        hint = hint or f"raised by {last.filename}:{last.lineno}"
    return Problem(where, f"{what}: {type(error).__name__}: {' '.join(str(error).split())}", hint)


def guarded(path: Path, name: str, function: Callable[Takes, Gives]) -> Callable[Takes, Gives]:
    """The function of the file at `path`, with a Problem in place of whatever it raises."""

    @functools.wraps(function)
    def called(*args: Takes.args, **kwargs: Takes.kwargs) -> Gives:
        try:
            return function(*args, **kwargs)
        except (Problem, Problems):
            raise
        except Exception as error:  # any: it is not our code
            raise told(path, f"{name} failed", error) from error

    return called
