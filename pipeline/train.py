"""Train a model's network on its windows: early stopping, cosine learning rate, class weights, and the curve."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import metrics
from pipeline.curve import curve
from pipeline.files import build_dir, write_bytes, write_json
from pipeline.limits import check_minimum
from pipeline.problem import EXIT_TOOL, Problem, run
from pipeline.progress import progress
from pipeline.spec import Model, Side, Source, load_model
from pipeline.windows import Arrays, Augment, augmentation, current_windows, side_of

UNEVEN = 1.2  # classes get weights when the largest has this many times the windows of the smallest
LAST_RATE = 0.01  # the cosine schedule ends at this share of the first rate
Task = dict[str, Any]


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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what C++ code writes to stderr nowhere (TensorFlow logs before it can be told not to)."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def keras(seed: int) -> Any:
    """tf_keras with a fixed seed and deterministic operators; TensorFlow is imported here and not before."""
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="0")
    try:
        with quiet():
            import tensorflow as tf
            import tf_keras
    except ImportError as error:
        what = f"training needs TensorFlow and tf-keras: {error}"
        raise Problem("tensorflow", what, "run: pip install '.[train]'", EXIT_TOOL) from error
    tf.get_logger().setLevel("ERROR")
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    return tf_keras


def fit(
    network: Any,
    source: Source,
    train: Side,
    val: Side,
    course: Course,
    augment: Augment | None,
    callbacks: tuple[Any, ...] = (),
) -> Fit:
    """Compile and fit; early stopping keeps the best epoch's weights, without it the last epoch's are kept."""
    spec, keras_ = source.spec, keras(source.spec.seed)
    classify, watched = spec.task == "classification", "val_loss" if len(val.x) else "loss"
    network.compile(
        keras_.optimizers.Adam(course.rate),
        "sparse_categorical_crossentropy" if classify else "mse",
        ["accuracy"] if classify else [],
    )
    schedule = keras_.callbacks.LearningRateScheduler(lambda epoch: cosine(epoch, course.epochs, course.rate))
    stop = keras_.callbacks.EarlyStopping(watched, patience=course.patience or 0, restore_best_weights=True)
    weights = class_weights(train.y) if classify else None
    with progress(course.title, course.epochs) as advance:
        show = keras_.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: advance(1, _note(logs, watched)))
        history = network.fit(
            batches(train, classify, spec, augment, weights),
            validation_data=(val.x, val.y if classify else val.x) if len(val.x) else None,
            epochs=course.epochs,
            verbose=0,
            shuffle=False,
            callbacks=[schedule, show, *([stop] if course.patience else []), *callbacks],
        ).history
    kept = int(np.argmin(history[watched])) + 1 if course.patience else len(history[watched])
    return Fit({key: [round(float(v), 6) for v in values] for key, values in history.items()}, kept, weights)


def batches(train: Side, classify: bool, spec: Model, augment: Augment | None, weights: list[float] | None) -> Any:
    """Shuffled batches of (windows, targets[, window weights]), changed by `augment` anew each epoch."""
    sequence = keras(spec.seed).utils.Sequence
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
            batch = (x, train.y[chosen] if classify else x)
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


def outputs(network: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's outputs [n, *out] for windows [n, *shape]."""
    return np.asarray(network.predict(x, batch_size=256, verbose=0), np.float32)


def task_of(spec: Model) -> Task:
    """The task as quantize.json holds it; thresholds come with `evaluate`."""
    return {"kind": spec.task, "labels": list(spec.labels), **({"threshold": {}} if spec.task == "anomaly" else {})}


def evaluate(network: Any, task: Task, arrays: Arrays, rung: str) -> dict[str, Any]:
    """Metrics on the test side; an anomaly task's threshold for this rung is calibrated on the way, into `task`."""
    if task["kind"] == "anomaly":
        calib = side_of(arrays, "calib")
        task["threshold"][rung] = metrics.threshold(metrics.anomaly_scores(outputs(network, calib.x), calib.x))
    test = side_of(arrays, "test")
    return metrics.score(task, outputs(network, test.x), test.y, test.x, rung)


def train(name: str) -> int:
    """Fit, score the held-out test side, write float.keras, train.json and train.png."""
    started, source = time.monotonic(), load_model(name)
    arrays, facts = current_windows(name)
    keras(source.spec.seed)
    network, settings = source.network(), source.spec.training
    course = Course(f"{name}: training", settings.epochs, settings.rate, settings.patience)
    augment = augmentation(source, facts["standardise"])
    fitted = fit(network, source, side_of(arrays, "train"), side_of(arrays, "val"), course, augment)
    task = task_of(source.spec)
    figures = evaluate(network, task, arrays, "float")
    folder = build_dir(name)
    save_network(network, folder / "float.keras")
    write_bytes(folder / "train.png", curve(name, fitted.history, fitted.kept))
    write_json(
        folder / "train.json",
        {
            "model": name,
            "seed": source.spec.seed,
            "parameters": int(network.count_params()),
            "epochs": len(fitted.history["loss"]),
            "kept_epoch": fitted.kept,
            "class_weights": fitted.class_weights,
            "task": task,
            "metrics": figures,
            "history": fitted.history,
            "seconds": round(time.monotonic() - started, 1),
        },
    )
    return check_minimum(f"{name} float", source.spec.limits, figures)


def save_network(network: Any, path: Path) -> None:
    """Write a .keras file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        network.save(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _note(logs: dict[str, float], watched: str) -> str:
    shown = "val_accuracy" if "val_accuracy" in logs else watched
    return f"{shown.replace('_', ' ')} {logs[shown]:.3f}"


def _summary(facts: dict[str, Any]) -> str:
    figures = ", ".join(f"{key} {value:.4f}" for key, value in facts["metrics"].items() if isinstance(value, float))
    kept = f"kept epoch {facts['kept_epoch']} of {facts['epochs']}"
    return f"{facts['model']}: {facts['parameters']} parameters, {kept}, {facts['seconds']} s; test {figures}\n"


def main(argv: list[str]) -> int:
    """Train one model, or cross-validate it with --folds."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.train", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--folds", type=int, metavar="N", help="instead cross-validate over N parts of the subjects")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(argv)
    if options.folds is not None:
        from pipeline.folds import cross_validate, print_folds

        result = cross_validate(options.name, options.folds)
        sys.stdout.write(json.dumps(result) + "\n") if options.json else print_folds(result)
        return 0
    code = train(options.name)
    facts = json.loads((build_dir(options.name) / "train.json").read_text())
    sys.stdout.write(json.dumps(facts) + "\n" if options.json else _summary(facts))
    return code


if __name__ == "__main__":
    run(main)
