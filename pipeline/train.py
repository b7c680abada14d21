"""Train a model's network on its windows: early stopping, cosine learning rate, class weights, a curve, or folds."""

from __future__ import annotations

import argparse
import contextlib
import io
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
from pipeline.files import build_dir, write_bytes, write_json
from pipeline.problem import EXIT_LIMIT, EXIT_TOOL, Problem, run
from pipeline.progress import progress, say
from pipeline.spec import Model, Side, Source, load_model
from pipeline.windows import current_windows, side_of, standardisation

UNEVEN = 1.2  # classes get weights when the largest has this many times the windows of the smallest
LAST_RATE = 0.01  # the cosine schedule ends at this share of the first rate
Task = dict[str, Any]


@dataclass(frozen=True)
class Fit:
    """One fit: the history per epoch, the epoch whose weights were kept, and the class weights (None when even)."""

    history: dict[str, list[float]]
    best_epoch: int
    class_weights: list[float] | None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what C++ code writes to stderr to nowhere (TensorFlow logs before it can be told not to)."""
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


def fit(network: Any, spec: Model, train: Side, val: Side, *, epochs: int, rate: float, title: str,
        callbacks: tuple[Any, ...] = (), patience: int | None = None) -> Fit:
    """Compile and fit; with `patience` stop early and keep the best epoch's weights, else keep the last epoch's."""
    keras_ = keras(spec.seed)
    classify, watched = spec.task == "classification", "val_loss" if len(val.x) else "loss"
    loss, measures = ("sparse_categorical_crossentropy", ["accuracy"]) if classify else ("mse", [])
    network.compile(keras_.optimizers.Adam(rate), loss, measures)
    stop = keras_.callbacks.EarlyStopping(watched, patience=patience or epochs, restore_best_weights=patience is not None)
    schedule = keras_.callbacks.LearningRateScheduler(lambda epoch: cosine(epoch, epochs, rate))
    weights = class_weights(train.y) if classify else None
    with progress(title, epochs) as advance:
        show = keras_.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: advance(1, _note(logs, watched)))
        history = network.fit(
            train.x, train.y if classify else train.x, batch_size=spec.training.batch, epochs=epochs, verbose=0,
            validation_data=(val.x, val.y if classify else val.x) if len(val.x) else None,
            class_weight=dict(enumerate(weights)) if weights else None,
            callbacks=[stop, schedule, show, *callbacks],
        ).history
    kept = int(np.argmin(history[watched])) if patience is not None else len(history[watched]) - 1
    return Fit({key: [round(float(v), 6) for v in values] for key, values in history.items()}, kept + 1, weights)


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
    """The task as quantize.json holds it; thresholds come with `calibrate`."""
    return {"kind": spec.task, "labels": list(spec.labels), **({"threshold": {}} if spec.task == "anomaly" else {})}


def evaluate(network: Any, task: Task, arrays: dict[str, NDArray[Any]], rung: str) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Metrics and outputs on the test side; an anomaly task's threshold for this rung is calibrated on the way."""
    if task["kind"] == "anomaly":
        calib = side_of(arrays, "calib")
        task["threshold"][rung] = metrics.threshold(metrics.anomaly_scores(outputs(network, calib.x), calib.x))
    test = side_of(arrays, "test")
    out = outputs(network, test.x)
    return metrics.score(task, out, test.y, test.x, rung), out


def check_minimum(name: str, spec: Model, rung: str, figures: dict[str, Any]) -> int:
    """0, or 1 after saying by how much the limit is missed."""
    metric, least = spec.limits.metric, spec.limits.minimum
    if figures[metric] >= least:
        return 0
    short = f"{metric} {figures[metric]:.4f} is {least - figures[metric]:.4f} below the limit {least}"
    say(f"limit missed: {name} {rung}: {short}")
    return EXIT_LIMIT


def train(name: str) -> int:
    """Fit, score the held-out test side, write float.keras, train.json and train.png."""
    started, source = time.monotonic(), load_model(name)
    arrays, _ = current_windows(name)
    keras(source.spec.seed)
    network, settings = source.network(), source.spec.training
    fitted = fit(network, source.spec, side_of(arrays, "train"), side_of(arrays, "val"), epochs=settings.epochs,
                 rate=settings.rate, title=f"{name}: training", patience=settings.patience)
    task = task_of(source.spec)
    figures, _ = evaluate(network, task, arrays, "float")
    folder = build_dir(name)
    save_network(network, folder / "float.keras")
    write_bytes(folder / "train.png", curve(name, fitted))
    write_json(folder / "train.json", {
        "model": name, "seed": source.spec.seed, "parameters": int(network.count_params()), "epochs": len(fitted.history["loss"]),
        "best_epoch": fitted.best_epoch, "class_weights": fitted.class_weights, "task": task, "metrics": figures,
        "history": fitted.history, "seconds": round(time.monotonic() - started, 1),
    })
    return check_minimum(name, source.spec, "float", figures)


def save_network(network: Any, path: Path) -> None:
    """Write a .keras file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.keras")
    try:
        network.save(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def curve(name: str, fitted: Fit) -> bytes:
    """The training curve as a PNG: loss, validation loss, and accuracy where there is one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    wanted = [[key for key in keys if key in fitted.history] for keys in (("loss", "val_loss"), ("accuracy", "val_accuracy"))]
    panels = [keys for keys in wanted if keys]
    figure, axes = pyplot.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.2), squeeze=False, layout="constrained")
    for axis, keys in zip(axes[0], panels, strict=True):
        for key in keys:
            axis.plot(range(1, len(fitted.history[key]) + 1), fitted.history[key], label=key)
        axis.axvline(fitted.best_epoch, color="grey", linestyle=":", label="kept")
        axis.set_xlabel("epoch")
        axis.legend()
    figure.suptitle(name)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return buffer.getvalue()


def folds(name: str, count: int) -> dict[str, Any]:
    """Cross-validation by group: each fold tests on its own groups and validates on the next fold's; folds.json."""
    source = load_model(name)
    if source.spec.task != "classification":
        raise Problem(name, "folds need a classification model", "an anomaly model trains on normal recordings only")
    arrays, facts = current_windows(name)
    whole = Side(*(np.concatenate([arrays[f"{part}_{side}"] for side in ("train", "val", "test")]) for part in "xyg"))
    groups = sorted(set(whole.g.tolist()))
    if not 3 <= count <= len(groups):
        raise Problem(name, f"cannot make {count} folds of {len(groups)} groups", f"give 3 to {len(groups)}")
    parts = [part.tolist() for part in np.array_split(np.array(groups), count)]
    rows = [_fold(source, whole, parts, index, facts["groups"]) for index in range(count)]
    values = {metric: [row[metric] for row in rows] for metric in ("accuracy", "macro_f1")}
    summary = {metric: {"mean": float(np.mean(v)), "spread": float(np.std(v, ddof=1))} for metric, v in values.items()}
    result = {"model": name, "seed": source.spec.seed, "folds": rows, "summary": summary}
    write_json(build_dir(name) / "folds.json", result)
    return result


def _fold(source: Source, whole: Side, parts: list[list[int]], index: int, names: list[str]) -> dict[str, Any]:
    """Fit on all but two parts: standardised anew by this fold's own training groups."""
    held, watched = parts[index], parts[(index + 1) % len(parts)]
    learnt = [group for part in parts for group in part if group not in held and group not in watched]
    mean, scale = standardisation(whole.of(learnt).x)
    train_side, val, test = (Side((s.x - mean) / scale, s.y, s.g) for s in map(whole.of, (learnt, watched, held)))
    keras(source.spec.seed)
    network, settings = source.network(), source.spec.training
    fitted = fit(network, source.spec, train_side, val, epochs=settings.epochs, rate=settings.rate,
                 title=f"{source.name}: fold {index + 1} of {len(parts)}", patience=settings.patience)
    figures = metrics.score(task_of(source.spec), outputs(network, test.x), test.y, test.x, "float")
    return {"test": [names[group] for group in held], "best_epoch": fitted.best_epoch, "windows": len(test.x), **figures}


def _note(logs: dict[str, float], watched: str) -> str:
    shown = "val_accuracy" if "val_accuracy" in logs else watched
    return f"{shown} {logs[shown]:.3f}"


def _print_folds(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("fold", "test", "windows", "accuracy", "macro F1", title=f"{result['model']}: cross-validation by group")
    for index, row in enumerate(result["folds"], start=1):
        table.add_row(str(index), ", ".join(row["test"]), str(row["windows"]), f"{row['accuracy']:.3f}", f"{row['macro_f1']:.3f}")
    spread = [f"{value['mean']:.3f} ± {value['spread']:.3f}" for value in result["summary"].values()]
    table.add_row("mean", "", "", *spread)
    Console().print(table)


def main(argv: list[str]) -> int:
    """Train one model, or cross-validate it with --folds."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.train", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--folds", type=int, metavar="N", help="cross-validate over N groups of subjects instead")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(argv)
    if options.folds is not None:
        result = folds(options.name, options.folds)
        sys.stdout.write(json.dumps(result) + "\n") if options.json else _print_folds(result)
        return 0
    code = train(options.name)
    facts = json.loads((build_dir(options.name) / "train.json").read_text())
    sys.stdout.write(json.dumps(facts) + "\n" if options.json else _summary(facts))
    return code


def _summary(facts: dict[str, Any]) -> str:
    figures = ", ".join(f"{key} {value:.4f}" for key, value in facts["metrics"].items() if isinstance(value, float))
    kept = f"kept epoch {facts['best_epoch']} of {facts['epochs']}"
    return f"{facts['model']}: {facts['parameters']} parameters, {kept}, {facts['seconds']} s; test {figures}\n"


if __name__ == "__main__":
    run(main)
