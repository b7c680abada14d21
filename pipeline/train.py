"""Train a model's network on its windows, score it on the held-out side, draw the curve; or cross-validate it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import metrics
from pipeline.curve import curve
from pipeline.files import build_dir, needed, write_bytes, write_json
from pipeline.fit import Course, fit
from pipeline.limits import check_minimum
from pipeline.problem import EXIT_TOOL, Problem, run
from pipeline.spec import Model, Source, load_model
from pipeline.windows import Arrays, augmentation, current_windows, side_of

Task = dict[str, Any]


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


def build_network(source: Source) -> Any:
    """The model's untrained network, seeded; a Problem when it is not tf_keras or does not fit the windows."""
    keras_ = keras(source.spec.seed)
    network, spec = source.network(), source.spec
    if not isinstance(network, keras_.Model):
        made = f"{type(network).__module__.split('.')[0]} {type(network).__name__}"
        hint = "pruning takes tf_keras only: import tf_keras, not keras or tensorflow.keras (Keras 3)"
        raise Problem(source.path, f"network() gives a {made}, not a tf_keras Model", hint)
    takes, gives = tuple(network.input_shape[1:]), tuple(network.output_shape[1:])
    wanted = spec.window.shape if spec.task == "anomaly" else (len(spec.labels),)
    if (takes, gives) != (spec.window.shape, wanted):
        what = f"network() turns {takes} into {gives}, SPEC says {spec.window.shape} into {wanted}"
        raise Problem(source.path, what)
    return network


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
    network, settings = build_network(source), source.spec.training
    course = Course(f"{name}: training", settings.epochs, settings.rate, settings.patience)
    augment = augmentation(source, facts["standardise"])
    sides = side_of(arrays, "train"), side_of(arrays, "val")
    fitted = fit(keras(source.spec.seed), network, source.spec, *sides, course, augment)
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


def load_network(path: Path, made_by: str, seed: int) -> Any:
    """A network that a stage saved; a missing or broken file names the command that makes it."""
    try:
        return keras(seed).models.load_model(needed(path, made_by), compile=False)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise Problem(path, f"is not a network that tf_keras reads: {reason}", f"run: {made_by}") from error


def save_network(network: Any, path: Path) -> None:
    """Write a .keras file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        network.save(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


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
