"""One fit of a Keras network: batches, class weights, learning-rate schedule, early stopping, progress."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.problem import Problem, Problems, gist
from pipeline.progress import progress
from pipeline.spec import Model, Side
from pipeline.windows import Augment, given

UNEVEN = 1.2  # classes get weights when the largest has this many times the windows of the smallest
LAST_RATE = 0.01  # the cosine schedule ends at this share of the first rate


@dataclass(frozen=True)
class Course:
    """How one fit goes: its epochs and first learning rate, and the patience of early stopping (None: all epochs)."""

    title: str
    epochs: int
    rate: float
    patience: int | None = None


@dataclass(frozen=True)
class Fit:
    """What one fit gave: the history by epoch, the epoch (from 1) that was kept, class weights (None when even)."""

    history: dict[str, list[float]]
    kept: int
    class_weights: list[float] | None


def fit(
    keras: Any,
    network: Any,
    spec: Model,
    train: Side,
    val: Side,
    course: Course,
    augment: Augment | None,
    callbacks: tuple[Any, ...] = (),
) -> Fit:
    """Compile and fit; early stopping keeps the best epoch's weights, without it the last epoch's; no epochs, no fit.

    `keras` is tf_keras, given by the caller: this module imports no TensorFlow.
    """
    if not course.epochs:
        return Fit({}, 0, None)
    classify, watched = spec.task == "classification", "val_loss" if len(val.x) else "loss"
    loss, measures = ("sparse_categorical_crossentropy", ["accuracy"]) if classify else ("mse", [])
    several = len(network.outputs) > 1
    judged = [i == spec.output for i in range(len(network.outputs))]
    losses, measured = [loss if each else None for each in judged], [measures if each else [] for each in judged]
    network.compile(keras.optimizers.Adam(course.rate), *((losses, measured) if several else (loss, measures)))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: cosine(epoch, course.epochs, course.rate))
    stop = keras.callbacks.EarlyStopping(watched, patience=course.patience or 0, restore_best_weights=True)
    weights = class_weights(train.y) if classify else None
    with progress(course.title, course.epochs) as advance:

        def show(epoch: int, logs: dict[str, float]) -> None:
            _check_loss(course, epoch, logs)
            advance(1, _note(logs, watched))

        shown = keras.callbacks.LambdaCallback(on_epoch_end=show)
        history = _fitted(
            network,
            course,
            x=batches(keras, network, train, spec, augment, weights),
            validation_data=(given(network, val.x), val.y if classify else val.x) if len(val.x) else None,
            callbacks=[schedule, shown, *([stop] if course.patience else []), *callbacks],
        )
    kept = stop.best_epoch + 1 if course.patience else len(history[watched])
    return Fit({key: [round(float(v), 6) for v in values] for key, values in history.items()}, kept, weights)


def _fitted(network: Any, course: Course, **settings: Any) -> dict[str, list[float]]:
    """The history of network.fit(); a Problem in place of whatever TensorFlow raises of the network."""
    try:
        history: dict[str, list[float]] = network.fit(
            epochs=course.epochs, verbose=0, shuffle=False, **settings
        ).history
    except (Problem, Problems):
        raise
    except Exception as error:  # any: a layer may raise what it likes
        raise Problem(course.title, f"the network cannot be fitted: {gist(error)}") from error
    return history


def _check_loss(course: Course, epoch: int, logs: dict[str, float]) -> None:
    for name in ("loss", "val_loss"):
        if not math.isfinite(logs.get(name, 0.0)):
            what = f"{name.replace('_', ' ')} is {logs[name]} in epoch {epoch + 1}"
            raise Problem(course.title, what, f"try a lower rate than {course.rate:g}")


def batches(
    keras: Any, network: Any, train: Side, spec: Model, augment: Augment | None, weights: list[float] | None
) -> Any:
    """Shuffled batches of (windows, targets[, window weights]), changed by `augment` anew each epoch."""
    classify, sequence = spec.task == "classification", keras.utils.Sequence
    size, random = spec.training.batch, np.random.default_rng(spec.seed)
    y_weights = None if weights is None else np.array(weights, np.float32)[train.y]

    class Batches(sequence):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.order = random.permutation(len(train.x))

        def __len__(self) -> int:
            return -(-len(train.x) // size)

        def on_epoch_end(self) -> None:
            self.order = random.permutation(len(train.x))

        def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
            chosen = self.order[index * size : (index + 1) * size]
            x = train.x[chosen] if augment is None else augment(train.x[chosen], random)
            batch = (given(network, x), train.y[chosen] if classify else x)
            return batch if y_weights is None else (*batch, y_weights[chosen])

    return Batches()


def cosine(epoch: int, epochs: int, rate: float) -> float:
    """Learning rate of an epoch: half a cosine from `rate` to 1 % of it (Loshchilov and Hutter 2017, no restart)."""
    return rate * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + float(np.cos(np.pi * epoch / epochs))))


def class_weights(labels: NDArray[np.int64]) -> list[float] | None:
    """n / (classes * count) for each class when classes are uneven, else None."""
    counts = np.bincount(labels)
    if counts.min() == 0 or counts.max() / counts.min() < UNEVEN:
        return None
    return [round(float(weight), 4) for weight in len(labels) / (len(counts) * counts)]


def _note(logs: dict[str, float], watched: str) -> str:
    shown = "val_accuracy" if "val_accuracy" in logs else watched
    return f"{shown.replace('_', ' ')} {logs[shown]:.3f}"
