"""Magnitude pruning of a trained network: zeros grow along a polynomial while it is fine-tuned."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.board import load_board
from pipeline.cores import CORES, Core, core_of
from pipeline.files import build_dir, read_json, write_json
from pipeline.fit import Course, Fit, fit
from pipeline.limits import check_drop, check_minimum, check_saving, check_sparsity
from pipeline.network import keras, load_network, quiet, save_network
from pipeline.problem import EXIT_TOOL, Problem, run
from pipeline.saving import savings
from pipeline.spec import Model, Source, load_model
from pipeline.train import evaluate
from pipeline.windows import Arrays, augmentation, read_windows, side_of

SLACK = 0.005  # tfmot rounds the number of zeros of each layer
RAMP = 0.6  # share of the fine-tuning over which sparsity grows; the rest mends what the zeros broke


def toolkit() -> Any:
    """tfmot's sparsity module; a Problem when it is not installed."""
    try:
        with quiet():
            from tensorflow_model_optimization.sparsity import keras as sparsity
    except ImportError as error:
        what = f"pruning needs tensorflow-model-optimization: {error}"
        raise Problem("tensorflow-model-optimization", what, "run: pip install '.[train]'", EXIT_TOOL) from error
    return sparsity


def kernels(network: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Weights of each layer that is pruned, by layer name: matrices and filters, not biases or normalisation."""
    named = {layer.name: [w for w in layer.get_weights() if w.ndim >= 2] for layer in network.layers}
    return {name: np.concatenate([w.ravel() for w in weights]) for name, weights in named.items() if weights}


def sparsity_table(before: Any, after: Any) -> list[dict[str, Any]]:
    """Share of zeros of each layer before and after, and how many weights it has."""
    old, new = kernels(before), kernels(after)
    zeros = {name: (float(np.mean(old[name] == 0)), float(np.mean(new[name] == 0))) for name in new}
    return [{"layer": name, "before": b, "after": a, "weights": int(new[name].size)} for name, (b, a) in zeros.items()]


def overall(table: list[dict[str, Any]], key: str = "after") -> float:
    """Share of zeros over all layers of a sparsity table."""
    return float(sum(row[key] * row["weights"] for row in table) / sum(row["weights"] for row in table))


def sparse_copy(dense: Any, source: Source, arrays: Arrays, constants: dict[str, Any]) -> tuple[Any, Fit, float]:
    """The network fine-tuned while zeros grow to the model's sparsity (Zhu and Gupta 2017), its wrappers off, and the
    share of zeros among the weights that can be pruned; where the sparsity is 0, the network as it is."""
    if not source.spec.sparsity:
        return dense, Fit({}, 0, None), 0.0
    tfmot, keras_, settings = toolkit(), keras(source.spec.seed), source.spec.training
    train, val = side_of(arrays, "train"), side_of(arrays, "val")
    steps = -(-len(train.x) // settings.batch) * settings.prune_epochs
    ramp = tfmot.PolynomialDecay(0.0, source.spec.sparsity, begin_step=0, end_step=int(RAMP * steps), frequency=10)
    wrapped = _wrapped(dense, keras_, lambda layer: tfmot.prune_low_magnitude(layer, pruning_schedule=ramp))
    chosen = [weight for part in wrapped.submodules for weight, *_ in getattr(part, "pruning_vars", ())]
    if not chosen:
        raise Problem(source.path, "no layer of its network can be pruned", "write sparsity=0")
    course = Course(f"{source.name}: pruning", settings.prune_epochs, settings.prune_rate)
    augment = augmentation(source, constants)
    fitted = fit(keras_, wrapped, source.spec, train, val, course, augment, (tfmot.UpdatePruningStep(),))
    stripped = tfmot.strip_pruning(wrapped)
    return stripped, fitted, float(np.mean(np.concatenate([weight.numpy().ravel() for weight in chosen]) == 0))


def _wrapped(layer: Any, keras_: Any, wrap: Callable[[Any], Any]) -> Any:
    """A model, or a layer in it, with what prunes; a layer that tfmot does not know stays as it is."""
    if hasattr(layer, "layers"):
        return keras_.models.clone_model(layer, clone_function=lambda inner: _wrapped(inner, keras_, wrap))
    try:
        return wrap(layer)
    except ValueError:
        return layer


def prune(name: str, board: str | None = None) -> int:
    """Prune build/<name>/float.keras to the model's sparsity; write pruned.keras and prune.json; check the limits.

    A model is called pruned only if its zeros save flash and instructions: on the board's core, or on some core.
    """
    started, source, folder = time.monotonic(), load_model(name), build_dir(name)
    made_by = f"python -m pipeline.train {name}"
    path, before = folder / "float.keras", read_json(folder / "train.json", made_by)
    arrays, facts = read_windows(name)
    dense, copy = (load_network(path, made_by, source.spec.seed) for _ in range(2))
    pruned, fitted, reached = sparse_copy(copy, source, arrays, facts["standardise"])
    table = sparsity_table(dense, pruned)
    core, saved = _best(pruned, [core_of(load_board(board).core)] if board else list(CORES.values()))
    task = before["task"]
    figures = evaluate(pruned, task, arrays, "pruned")
    save_network(pruned, folder / "pruned.keras")
    write_json(
        folder / "prune.json",
        {
            "model": name,
            "target": source.spec.sparsity,
            "reached": reached,
            "sparsity": table,
            "core": core,
            "saved": saved,
            "task": task,
            "metrics": {"float": before["metrics"], "pruned": figures},
            "history": fitted.history,
            "seconds": round(time.monotonic() - started, 1),
        },
    )
    missed = check_saving(f"{name} pruned", core, saved) if source.spec.sparsity else 0
    return max(missed, _check(source.spec, f"{name} pruned", reached, before["metrics"], figures))


def _best(network: Any, cores: list[Core]) -> tuple[str, list[dict[str, Any]]]:
    """The core on which the network's zeros save most bytes, and what they save there."""
    tables = {core.name: savings(network, core) for core in cores}
    name = min(tables, key=lambda each: sum(row["bytes"] for row in tables[each]))
    return name, tables[name]


def _check(spec: Model, where: str, reached: float, before: dict[str, Any], after: dict[str, Any]) -> int:
    limits = spec.limits
    return max(
        check_sparsity(where, spec.sparsity, reached, SLACK),
        check_drop(where, limits.metric, limits.drop_pruned, before, after),
        check_minimum(where, limits, after),
    )


def print_table(facts: dict[str, Any]) -> None:
    """The zeros of each layer before and after, and what they cost."""
    from rich.console import Console
    from rich.table import Table

    table = Table("layer", "weights", "zeros before", "zeros after", title=f"{facts['model']}: magnitude pruning")
    for row in facts["sparsity"]:
        table.add_row(row["layer"], str(row["weights"]), f"{row['before']:.1%}", f"{row['after']:.1%}")
    total = sum(row["weights"] for row in facts["sparsity"])
    table.add_row("all", str(total), f"{overall(facts['sparsity'], 'before'):.1%}", f"{facts['reached']:.1%}")
    Console().print(table)
    table = Table("layer", "zeros", "format", "bytes dense", "bytes", "instructions", title=f"on {facts['core']}")
    for row in facts["saved"]:
        table.add_row(row["layer"], f"{row['zeros']:.1%}", row["format"], str(row["dense_bytes"]), str(row["bytes"]),
                      f"{row['instructions']:.0%}")  # fmt: skip
    Console().print(table)


def main(argv: list[str]) -> int:
    """Prune one trained model."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.prune", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--board", help="the board whose core must gain (default: any core)")
    parser.add_argument("--json", action="store_true", help="print prune.json")
    options = parser.parse_args(argv)
    code = prune(options.name, options.board)
    facts = json.loads((build_dir(options.name) / "prune.json").read_text())
    if options.json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        print_table(facts)
    return code


if __name__ == "__main__":
    run(main)
