"""A models/<name>/model.py, loaded: its facts (spec.py) and functions, whose errors are told with the file's line.

python -m pipeline.model_file   # lists the models
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.files import check_model_name, model_names, project_root
from pipeline.problem import Problem, Problems, raise_all, run
from pipeline.spec import Model, Ready, Splits

Takes = ParamSpec("Takes")
Gives = TypeVar("Gives")


@dataclass(frozen=True)
class Source:
    """A loaded models/<name>/model.py.

    `augment(x, random)` is optional: it gives changed copies of training windows (in physical units), anew each epoch.
    """

    name: str
    path: Path
    spec: Model
    windows: Callable[[], Splits]
    network: Callable[[], Any]
    augment: Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class ReadySource:
    """A loaded models/<name>/model.py with READY: `windows` gives windows [n, *shape], int8 or real numbers that the
    model's scale makes int8 of, and their labels [n]; of several inputs, or other types, an array [n, *shape] for each.
    """

    name: str
    path: Path
    spec: Ready
    flatbuffer: Callable[[], bytes]
    windows: Callable[[], tuple[NDArray[Any] | Sequence[NDArray[Any]], NDArray[np.int64]]] | None = None


PIECES = {
    "SPEC": "SPEC = pipeline.spec.Model(...)",
    "windows": "def windows() -> pipeline.spec.Splits",
    "network": "def network() -> an uncompiled Keras model",
}


def model_path(name: str) -> Path:
    """models/<name>/model.py; a Problem with the nearest name when there is none."""
    return project_root() / "models" / check_model_name(name) / "model.py"


def load_model(name: str) -> Source:
    """Load models/<name>/model.py; every missing piece is named at once."""
    path = model_path(name)
    module = _import(name, path)
    if hasattr(module, "READY"):
        raise Problem(
            path, "brings its own .tflite: there is nothing to train", f"run: python -m pipeline.ready {name}"
        )
    raise_all([Problem(path, f"does not define {piece}", f"add: {PIECES[piece]}") for piece in _missing(module)])
    if not isinstance(module.SPEC, Model):
        raise Problem(path, f"SPEC is a {type(module.SPEC).__name__}, not a Model", f"write: {PIECES['SPEC']}")
    augment = getattr(module, "augment", None)
    return Source(
        name, path, module.SPEC, guarded(path, "windows()", module.windows), guarded(path, "network()", module.network),
        None if augment is None else guarded(path, "augment()", augment),
    )  # fmt: skip


def is_ready(name: str) -> bool:
    """Whether models/<name>/model.py brings its own .tflite."""
    return hasattr(_import(name, model_path(name)), "READY")


def load_ready(name: str) -> ReadySource:
    """Load models/<name>/model.py, which must have READY and flatbuffer()."""
    path = model_path(name)
    module = _import(name, path)
    if not isinstance(getattr(module, "READY", None), Ready) or not hasattr(module, "flatbuffer"):
        what = "does not define READY = pipeline.spec.Ready(...) and def flatbuffer() -> bytes"
        raise Problem(path, what, f"a model that is trained has no use for this: python -m pipeline.train {name}")
    windows = getattr(module, "windows", None)
    flatbuffer = guarded(path, "flatbuffer()", module.flatbuffer)
    return ReadySource(name, path, module.READY, flatbuffer, windows and guarded(path, "windows()", windows))


def _missing(module: ModuleType) -> list[str]:
    return [piece for piece in PIECES if not hasattr(module, piece)]


def _import(name: str, path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"models.{name}", path)
    if found is None or found.loader is None:
        raise Problem(path, "is not a Python file")
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except SyntaxError as error:
        raise Problem(f"{path}:{error.lineno}", f"is not valid Python: {error.msg}") from error
    except (Problem, Problems):
        raise
    except Exception as error:  # any: it is not our code
        hint = "a model imports only numpy and pipeline at its top" if isinstance(error, ImportError) else ""
        raise told(path, "cannot be loaded", error, hint) from error
    return module


def told(path: Path, what: str, error: Exception, hint: str = "") -> Problem:
    """What an exception says, at the last line of the file that led to it; where it was raised elsewhere, the hint says
    so, unless that was a check of ours."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    said, last = " ".join(str(error).split()), Path(frames[-1].filename) if frames else path
    if last.parent != Path(__file__).parent:
        said = f"{type(error).__name__}: {said}"
        hint = hint or f"raised by {last}:{frames[-1].lineno}" * (lines != [] and last != path)
    return Problem(f"{path}:{lines[-1]}" if lines else path, f"{what}: {said}", hint)


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


def labels(names: Sequence[str]) -> str:
    """Some of them by name."""
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def line(name: str) -> str:
    """A model in one line of the list."""
    if is_ready(name):
        ready = load_ready(name).spec
        return f"{ready.task} into {labels(ready.labels)}; brings its .tflite, of {ready.provenance.package}"
    spec = load_model(name).spec
    windows = spec.window if isinstance(spec.window, tuple) else (spec.window,)
    taken = [f"{' x '.join(map(str, each.shape))} at {each.hz:g} Hz" for each in windows]
    return f"{spec.task} into {labels(spec.labels)}; trained here, on windows of {' and '.join(taken)}"


def main(argv: list[str]) -> int:
    """List the models; one that cannot be loaded says why."""
    argparse.ArgumentParser(prog="python -m pipeline.model_file", description="List the models.").parse_args(argv)
    names, problems = model_names(), list[Problem]()
    for name in names:
        try:
            sys.stdout.write(f"{name:<{max(map(len, names))}}  {line(name)}\n")
        except (Problem, Problems) as problem:
            problems += problem.problems if isinstance(problem, Problems) else [problem]
    raise_all(problems)
    return 0


if __name__ == "__main__":
    run(main)
