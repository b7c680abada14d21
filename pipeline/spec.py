"""What a models/<name>/model.py says: its data, network, task and limits, in one file per model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.cores import PATTERNS
from pipeline.values import by_board, names, positive, share, whole

METRICS = {"classification": ("accuracy", "macro_f1"), "anomaly": ("auc", "detection_rate")}
ACTIVATIONS = (8, 16)  # bits
SEEDS = 2**32  # that numpy and TensorFlow take


@dataclass(frozen=True)
class Window:
    """One input of the network: its shape, the rate of the signal in Hz, names of the channels, and their unit."""

    shape: tuple[int, ...]
    hz: float
    channels: tuple[str, ...]
    unit: str

    def __post_init__(self) -> None:
        """As Model's."""
        if not isinstance(self.shape, tuple) or not self.shape:
            raise ValueError(f"the window's shape is {self.shape!r}, not a tuple of whole numbers")
        for size in self.shape:
            whole("a size in the window's shape", size, 1)
        positive("the window's hz", self.hz)
        names("the window's channels", self.channels)


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

    def __post_init__(self) -> None:
        """As Model's."""
        share("the limit's minimum", self.minimum)
        for drop in ("drop_pruned", "drop_int8"):
            share(f"the limit's {drop}", getattr(self, drop), -1)
        for most in ("ticks", "milliseconds", "flash", "ram", "arena"):
            by_board(f"the limit of {most}", getattr(self, most))


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

    def __post_init__(self) -> None:
        """As Model's."""
        for name, least in {"epochs": 0, "batch": 1, "patience": 0, "prune_epochs": 0}.items():
            whole(f"the training's {name}", getattr(self, name), least)
        positive("the training's rate", self.rate)
        positive("the training's prune_rate", self.prune_rate)


def _check_labels(task: str, labels: Sequence[str]) -> None:
    if task not in METRICS:
        raise ValueError(f"task is {task}, not {' or '.join(METRICS)}")
    names("labels", labels)
    if len(labels) < 2:
        raise ValueError(f"labels are {len(labels)}, two or more are needed")
    if len(set(labels)) < len(labels):
        raise ValueError(f"labels are {', '.join(labels)}: one is there twice")
    if task == "anomaly" and len(labels) > 2:
        raise ValueError(f"labels are {len(labels)}, an anomaly model has two: normal, fault")


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
        if wrong := [each for each in shares.values() if not isinstance(each, int | float) or not 0 <= each < 1]:
            raise ValueError(f"sparsity is {wrong[0]!r}, not a share below 1")

    def _check_parts(self) -> None:
        windows = self.window if isinstance(self.window, tuple) else (self.window,)
        if not windows or not all(isinstance(each, Window) for each in windows):
            raise ValueError(f"window is {self.window!r}, not a Window or a tuple of them")
        for name, kind in {"training": Training, "limits": Limits}.items():
            if not isinstance(part := getattr(self, name), kind):
                raise ValueError(f"{name} is {part!r}, not a pipeline.spec.{kind.__name__}")

    def _check_stream(self) -> None:
        rows = self.shape[0]
        whole("stream", self.stream, 1)
        if len(self.shapes) > 1 or self.stream == rows or rows % (self.stream or 1):
            raise ValueError(f"stream is {self.stream}, not a part of the {rows} rows of the only input")

    def __post_init__(self) -> None:
        """Facts that do not fit together are a ValueError, which `load_model` reports with the file's name."""
        _check_labels(self.task, self.labels)
        self._check_sparsity()
        self._check_parts()
        whole("seed", self.seed, 0, SEEDS - 1)
        whole("output", self.output, 0)
        if self.stream is not None:
            self._check_stream()
        if self.task == "anomaly" and len(self.shapes) > 1:
            raise ValueError(f"window has {len(self.shapes)} inputs, an anomaly model reconstructs one")
        if self.activations not in ACTIVATIONS:
            raise ValueError(f"activations is {self.activations!r}, not {' or '.join(map(str, ACTIVATIONS))} bits")
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
class Ready:
    """The facts of a model that is not trained here: its task, and how many windows to draw where it gives none."""

    task: Literal["classification", "anomaly"]
    labels: tuple[str, ...]
    provenance: Provenance
    windows: int = 100
    seed: int = 1
    output: int = 0  # which of several is judged
    stream: int | None = None  # as in Model
    window: Window | None = None  # what an input is made of; packages say it

    def __post_init__(self) -> None:
        """As Model's."""
        _check_labels(self.task, self.labels)
        whole("windows", self.windows, 1)
        whole("seed", self.seed, 0, SEEDS - 1)
        whole("output", self.output, 0)
        if self.stream is not None:
            whole("stream", self.stream, 1)
