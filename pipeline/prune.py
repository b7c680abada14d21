"""Magnitude pruning of a trained network: zeros grow along a polynomial while it is fine-tuned, or whole channels go
before it is."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline import channels, saving
from pipeline.board import load_board
from pipeline.cores import CORES, PATTERNS, PORTABLE, Core, core_of
from pipeline.files import build_dir, read_json, write_json
from pipeline.fit import Course, Fit, fit
from pipeline.limits import check_drop, check_minimum, check_saving, check_sparsity
from pipeline.model_file import Source, load_model
from pipeline.network import check_task, keras, load_network, quiet, save_network
from pipeline.problem import EXIT_TOOL, Problem, run
from pipeline.spec import Model
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


def sparse_copy(dense: Any, source: Source, arrays: Arrays, constants: dict[str, Any],
                pattern: str) -> tuple[Any, Fit, float]:  # fmt: skip
    """The network fine-tuned while zeros grow to the model's sparsity (Zhu and Gupta 2017), its wrappers off, and the
    share of zeros among the weights that can be pruned; where the sparsity is 0, the network as it is."""
    target = source.spec.share(pattern)
    if not target:
        return dense, Fit({}, 0, None), 0.0
    tfmot, keras_, settings = toolkit(), keras(source.spec.seed), source.spec.training
    steps = -(-len(side_of(arrays, "train").x) // settings.batch) * settings.prune_epochs
    ramp = tfmot.PolynomialDecay(0.0, target, begin_step=0, end_step=int(RAMP * steps), frequency=10)
    wrapped = _wrapped(dense, keras_, lambda layer: tfmot.prune_low_magnitude(layer, pruning_schedule=ramp))
    parts = [part for part in wrapped.submodules if getattr(part, "pruning_vars", ())]
    chosen = [weight for part in parts for weight, *_ in part.pruning_vars]
    if not chosen:
        raise Problem(source.path, "no layer of its network can be pruned", "write sparsity=0")
    for part in parts:
        if pattern == "2x2" and saving.kind(part.layer) in (*saving.CONVOLUTIONS, *saving.DENSE):
            _by_words(part.pruning_obj)
    fitted = _tuned(keras_, wrapped, source, arrays, constants, tfmot.UpdatePruningStep())
    stripped = tfmot.strip_pruning(wrapped)
    return stripped, fitted, float(np.mean(np.concatenate([weight.numpy().ravel() for weight in chosen]) == 0))


def thin_copy(dense: Any, source: Source, arrays: Arrays, constants: dict[str, Any],
              core: Core) -> tuple[Any, Fit, float, list[dict[str, Any]]]:  # fmt: skip
    """The network without the channels that cost most on a core for what they do, fine-tuned; the share of its weights
    that went with them, and what each layer saves; where the sparsity is 0, the network as it is."""
    target = source.spec.share("channels")
    if not target:
        return dense, Fit({}, 0, None), 0.0, []
    chain = channels.chain_of(dense, source.path)
    kept = channels.choose(chain, core, target, source.path)
    keras_ = keras(source.spec.seed)
    thin = channels.smaller(keras_, dense, chain, kept)
    fitted = _tuned(keras_, thin, source, arrays, constants)
    return thin, fitted, 1 - chain.weights(kept) / chain.weights({}), channels.savings(chain, kept, core)


def _tuned(
    keras_: Any, network: Any, source: Source, arrays: Arrays, constants: dict[str, Any], *callbacks: Any
) -> Fit:
    """Fine-tuning of a network, in place."""
    settings, train, val = source.spec.training, side_of(arrays, "train"), side_of(arrays, "val")
    course = Course(f"{source.name}: pruning", settings.prune_epochs, settings.prune_rate)
    augment = augmentation(source, constants)
    return fit(keras_, network, source.spec, train, val, course, augment, callbacks)


def _by_words(pruning: Any) -> None:
    """Zeros of tfmot's mask come four at a time, as pairs.weights() puts weights [..., outputs] into words: those of
    two outputs, and of values 0 and 2 or 1 and 3 of four. tfmot's own blocks are neighbours, and of matrices only."""
    import tensorflow as tf

    one_by_one = pruning._update_mask

    def mask(weights: Any) -> tuple[Any, Any]:
        outputs = weights.shape[-1]
        count = int(np.prod(weights.shape[:-1]))
        shape = (-(-count // 4), 2, 2, -(-outputs // 2), 2)
        padding = [[0, 4 * shape[0] - count], [0, 2 * shape[3] - outputs]]
        words, there = (tf.reshape(tf.pad(tf.reshape(values, (count, outputs)), padding), shape)
                        for values in (tf.abs(weights), tf.ones_like(weights)))  # fmt: skip
        sizes = tf.reduce_sum(words, (1, 4), keepdims=True) / tf.reduce_sum(there, (1, 4), keepdims=True)
        threshold, kept = one_by_one(sizes)
        wide = tf.reshape(tf.broadcast_to(kept, shape), (4 * shape[0], 2 * shape[3]))
        return threshold, tf.reshape(wide[:count, :outputs], weights.shape)

    pruning._maybe_update_block_mask = mask


def _wrapped(layer: Any, keras_: Any, wrap: Callable[[Any], Any]) -> Any:
    """A model, or a layer in it, with what prunes; a layer that tfmot does not know stays as it is."""
    if hasattr(layer, "layers"):
        return keras_.models.clone_model(layer, clone_function=lambda inner: _wrapped(inner, keras_, wrap))
    try:
        return wrap(layer)
    except ValueError:
        return layer


def prune(name: str, board: str | None = None, pattern: str | None = None) -> int:
    """Prune build/<name>/float.keras to the model's sparsity; write pruned.keras and prune.json; check the limits.

    The pattern is the one that the board's core can use, unless told. A model is called pruned only if that saves
    flash and instructions: on the board's core, or on some core where there is no board, or none that uses zeros.
    """
    target = core_of(load_board(board).core) if board else PORTABLE
    pattern = pattern or target.pattern
    started, source, folder = time.monotonic(), load_model(name), build_dir(name)
    made_by = f"python -m pipeline.train {name}"
    path, before = folder / "float.keras", read_json(folder / "train.json", made_by, ("task", "metrics"))
    check_task(source, before["task"], folder / "train.json", made_by)
    arrays, facts = read_windows(name, *source.spec.shape)
    dense, copy = (load_network(path, made_by, source.spec.seed) for _ in range(2))
    if pattern == "channels":
        core = target.name
        pruned, fitted, reached, saved = thin_copy(copy, source, arrays, facts["standardise"], target)
    else:
        pruned, fitted, reached = sparse_copy(copy, source, arrays, facts["standardise"], pattern)
        core, saved = _best(pruned, candidates(source.spec, target))
    table = sparsity_table(dense, pruned)
    task = before["task"]
    figures = evaluate(pruned, task, arrays, "pruned")
    save_network(pruned, folder / "pruned.keras")
    write_json(
        folder / "prune.json",
        {
            "model": name,
            "pattern": pattern,
            "target": source.spec.share(pattern),
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
    missed = check_saving(f"{name} pruned", core, saved) if source.spec.share(pattern) else 0
    return max(missed, _check(source.spec, pattern, f"{name} pruned", reached, before["metrics"], figures))


def candidates(spec: Model, target: Core) -> list[Core]:
    """The cores of which one must gain; with 16-bit activations no kernel skips zeros on any."""
    cores = [target] if target.sparse else list(CORES.values())
    return cores if spec.activations == 8 else [replace(core, sparse=False) for core in cores]


def _best(network: Any, cores: list[Core]) -> tuple[str, list[dict[str, Any]]]:
    """The core on which the network's zeros save most bytes, and what they save there."""
    tables = {core.name: saving.savings(network, core) for core in cores}
    name = min(tables, key=lambda each: sum(row["bytes"] for row in tables[each]))
    return name, tables[name]


def _check(spec: Model, pattern: str, where: str, reached: float, before: dict[str, Any], after: dict[str, Any]) -> int:
    limits = spec.limits
    return max(
        check_sparsity(where, spec.share(pattern), reached, SLACK),
        check_drop(where, limits.metric, limits.drop_pruned, before, after),
        check_minimum(where, limits, after),
    )


def print_table(facts: dict[str, Any]) -> None:
    """The zeros of each layer before and after, and what they cost; or its channels."""
    from rich.console import Console
    from rich.table import Table

    if facts["pattern"] == "channels":
        _print_channels(facts, Console(), Table("layer", "channels", "bytes before", "bytes", "instructions"))
        return
    table = Table(
        "layer", "weights", "zeros before", "zeros after", title=f"{facts['model']}: {facts['pattern']} zeros"
    )
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


def _print_channels(facts: dict[str, Any], console: Any, table: Any) -> None:
    table.title = f"{facts['model']}: channels for {facts['core']}, {facts['reached']:.1%} of the weights gone"
    for row in facts["saved"]:
        before, after = row["channels"]
        table.add_row(row["layer"], f"{after} of {before}", str(row["dense_bytes"]), str(row["bytes"]),
                      f"{row['instructions']:.0%}")  # fmt: skip
    console.print(table)


def main(argv: list[str]) -> int:
    """Prune one trained model."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.prune", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--board", help="the board whose core must gain (default: any core)")
    parser.add_argument("--json", action="store_true", help="print prune.json")
    parser.add_argument(
        "--pattern", choices=PATTERNS, help="which weights go together (default: as the board's core wants zeros)"
    )
    options = parser.parse_args(argv)
    code = prune(options.name, options.board, options.pattern)
    facts = json.loads((build_dir(options.name) / "prune.json").read_text())
    if options.json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        print_table(facts)
    return code


if __name__ == "__main__":
    run(main)
