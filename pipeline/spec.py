"""What a models/<name>/model.py says: its data, network, task and limits, in one file per model."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.cores import PATTERNS
from pipeline.files import check_model_name, project_root
from pipeline.problem import Problem, Problems, raise_all
from pipeline.theirs import guarded, told

METRICS = {"classification": ("accuracy", "macro_f1"), "anomaly": ("auc", "detection_rate")}
ACTIVATIONS = (8, 16)  # bits


@dataclass(frozen=True)
class Window:
    """One input of the network: its shape, the rate of the signal in Hz, names of the channels, and their unit."""

    shape: tuple[int, ...]
    hz: float
    channels: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class Limits:
    """What the model must reach: `metric` at least `minimum` on each rung, and how far a rung may drop below float
    (`drop_int8`: the quantized one, also where activations have 16 bits).

    Optionally, per board: the most `ticks` of its clock, or `milliseconds` where that is one of time, that an inference
    may take (median), and the most bytes of `flash`, `ram` and `arena`, where that is to be less than the board has.
    """

    metric: str
    minimum: float
    drop_pruned: float
    drop_int8: float
    ticks: Mapping[str, int] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    flash: Mapping[str, int] = field(default_factory=dict)
    ram: Mapping[str, int] = field(default_factory=dict)
    arena: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How the network is fitted: Adam, at most `epochs` from `rate` down a cosine, stopped after `patience` epochs
    without progress; pruning then fine-tunes for `prune_epochs` from `prune_rate`. With 0 `epochs` the network is
    trained already, on windows as `windows()` gives them: they are not standardised."""

    epochs: int
    batch: int = 64
    rate: float = 2e-3
    patience: int = 8
    prune_epochs: int = 8
    prune_rate: float = 1e-3


@dataclass(frozen=True)
class Model:
    """The facts of one model. `labels` are the classes in order of the outputs, or (normal, fault) for anomaly.

    `window` is one for each of the network's inputs, in its order; `output` says which of several outputs is trained
    and judged, counted from 0.
    `sparsity` is the share of weights that pruning takes away, for all patterns or by pattern (pipeline/pattern.py);
    patterns that are not named have that of `unstructured`.
    `activations` have 8 bits or 16, inputs and outputs too; weights have 8. With `stream` the firmware takes so many
    rows of a window at a time, else whole windows.
    """

    task: Literal["classification", "anomaly"]
    window: Window | tuple[Window, ...]
    labels: tuple[str, ...]
    sparsity: float | Mapping[str, float]
    seed: int
    training: Training
    limits: Limits
    activations: Literal[8, 16] = 8
    output: int = 0
    stream: int | None = None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each input."""
        return tuple(each.shape for each in (self.window if isinstance(self.window, tuple) else (self.window,)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a window as `Side` has it: of several inputs their values side by side."""
        return self.shapes[0] if len(self.shapes) == 1 else (sum(map(math.prod, self.shapes)),)

    def share(self, pattern: str) -> float:
        """The share of weights that pruning in a pattern takes away."""
        if isinstance(self.sparsity, Mapping):
            return self.sparsity.get(pattern, self.sparsity["unstructured"])
        return self.sparsity

    def _check_sparsity(self) -> None:
        shares = self.sparsity if isinstance(self.sparsity, Mapping) else {"unstructured": self.sparsity}
        if unknown := sorted(set(shares) - set(PATTERNS)):
            raise ValueError(f"sparsity names {', '.join(unknown)}: there are {', '.join(PATTERNS)}")
        if "unstructured" not in shares:
            raise ValueError("sparsity does not say the share of unstructured zeros")
        if wrong := [share for share in shares.values() if not 0 <= share < 1]:
            raise ValueError(f"sparsity is {wrong[0]}, not a share below 1")

    def __post_init__(self) -> None:
        """Facts that do not fit together are a ValueError, which `load_model` reports with the file's name."""
        if self.task not in METRICS:
            raise ValueError(f"task is {self.task}, not {' or '.join(METRICS)}")
        self._check_sparsity()
        if self.task == "anomaly" and len(self.shapes) > 1:
            raise ValueError(f"window has {len(self.shapes)} inputs, an anomaly model reconstructs one")
        if len(self.labels) < 2:
            raise ValueError(f"labels are {len(self.labels)}, two or more are needed")
        if self.activations not in ACTIVATIONS:
            raise ValueError(f"activations is {self.activations}, not {' or '.join(map(str, ACTIVATIONS))} bits")
        if self.limits.metric not in METRICS[self.task]:
            raise ValueError(
                f"the limit's metric is {self.limits.metric}, {self.task} has {', '.join(METRICS[self.task])}"
            )


@dataclass(frozen=True)
class Side:
    """One side of a split: windows x [n, *shape] float32, labels y [n], and the group (index) each window is of; for
    a network of several inputs x is `pack(a, b)` of pipeline.windows."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    g: NDArray[np.int64]

    def of(self, groups: list[int]) -> Side:
        """The windows of some groups."""
        keep = np.isin(self.g, groups)
        return Side(self.x[keep], self.y[keep], self.g[keep])


@dataclass(frozen=True)
class Provenance:
    """Where the recordings came from."""

    package: str
    version: str
    file: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Splits:
    """Windows in physical units on sides that share no group; `rule` says in a sentence how the sides were chosen.

    `val` may be empty (early stopping then watches the training loss). `calib` is for anomaly detection only: normal
    windows on which the alarm threshold is set.
    """

    train: Side
    val: Side
    test: Side
    groups: tuple[str, ...]
    rule: str
    provenance: Provenance
    calib: Side | None = None

    def sides(self) -> dict[str, Side]:
        """The sides by name, without `calib` when there is none."""
        sides = {"train": self.train, "val": self.val, "test": self.test}
        return sides if self.calib is None else {**sides, "calib": self.calib}


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
class Ready:
    """The facts of a model that is not trained here: its task, and how many windows to draw where it gives none."""

    task: Literal["classification", "anomaly"]
    labels: tuple[str, ...]
    provenance: Provenance
    windows: int = 100
    seed: int = 1
    output: int = 0  # which of several is judged
    stream: int | None = None  # as in Model


@dataclass(frozen=True)
class ReadySource:
    """A loaded models/<name>/model.py with READY: `windows` gives int8 windows [n, *shape] and their labels [n]; for
    several inputs, or other types, an array [n, *shape] for each, as the model takes it."""

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
