"""Train a model's network on its windows, score it on the held-out side, draw the curve; or cross-validate it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from pipeline import metrics
from pipeline.curve import curve
from pipeline.files import build_dir, write_bytes, write_json
from pipeline.fit import Course, fit
from pipeline.limits import check_minimum
from pipeline.model_file import load_model
from pipeline.network import Task, build_network, check_outputs, keras, outputs, save_network, task_of
from pipeline.problem import run
from pipeline.windows import Arrays, augmentation, current_windows, side_of


def evaluate(network: Any, task: Task, arrays: Arrays, rung: str) -> dict[str, Any]:
    """Metrics on the test side; an anomaly task's threshold for this rung is calibrated on the way, into `task`."""
    if task["kind"] == "anomaly":
        calib = side_of(arrays, "calib")
        made = outputs(network, calib.x, task["output"])
        task["threshold"][rung] = metrics.threshold(metrics.anomaly_scores(made, calib.x))
    test = side_of(arrays, "test")
    return metrics.score(task, outputs(network, test.x, task["output"]), test.y, test.x, rung)


def train(name: str) -> int:
    """Fit, score the held-out test side, write float.keras, train.json and train.png."""
    started, source = time.monotonic(), load_model(name)
    arrays, facts = current_windows(name)
    network, settings = build_network(source), source.spec.training
    course = Course(f"{name}: training", settings.epochs, settings.rate, settings.patience)
    augment = augmentation(source, facts["standardise"])
    sides = side_of(arrays, "train"), side_of(arrays, "val")
    check_outputs(source, network, sides[0].x)
    fitted = fit(keras(source.spec.seed), network, source.spec, *sides, course, augment)
    task = task_of(source.spec)
    figures = evaluate(network, task, arrays, "float")
    folder = build_dir(name)
    save_network(network, folder / "float.keras")
    if fitted.history:
        write_bytes(folder / "train.png", curve(name, fitted.history, fitted.kept))
    write_json(
        folder / "train.json",
        {
            "model": name,
            "seed": source.spec.seed,
            "parameters": int(network.count_params()),
            "epochs": len(fitted.history.get("loss", [])),
            "kept_epoch": fitted.kept,
            "class_weights": fitted.class_weights,
            "task": task,
            "metrics": figures,
            "history": fitted.history,
            "seconds": round(time.monotonic() - started, 1),
        },
    )
    return check_minimum(f"{name} float", source.spec.limits, figures)


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
