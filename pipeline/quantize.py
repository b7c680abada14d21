"""Full-integer quantization: int8 in and out, calibrated on training windows, run by the oracle, shown as a ladder."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import metrics, reference
from pipeline.files import build_dir, model_id, read_json, write_arrays, write_bytes, write_json
from pipeline.flatbuffer import read
from pipeline.graph import Graph, Tensor
from pipeline.islands import in_integers
from pipeline.limits import check_drop, check_minimum
from pipeline.network import load_network, outputs, quiet, unrolled
from pipeline.problem import Problem, run
from pipeline.progress import say
from pipeline.spec import Side, Source, load_model
from pipeline.windows import read_windows, side_of

CALIBRATION_WINDOWS = 400
INTEGERS = ("int8", "int32")
MANY = 300  # operators: the largest networks for sensors have a third of that
RUNGS = ("float", "pruned", "int8")
Facts = dict[str, Any]


def calibration(train: Side, seed: int) -> NDArray[np.int64]:
    """Indices of the training windows that set the ranges: up to 400, drawn with the model's seed."""
    count = min(CALIBRATION_WINDOWS, len(train.x))
    return np.sort(np.random.default_rng(seed).choice(len(train.x), count, replace=False))


def convert(network: Any, *windows: NDArray[np.float32]) -> bytes:
    """The network as a full-int8 flatbuffer with batch 1; `windows` [n, *shape], for each input, set the ranges."""
    import tensorflow as tf

    network, specs = unrolled(network), [tf.TensorSpec([1, *each.shape[1:]], tf.float32) for each in windows]
    with quiet():
        concrete = tf.function(network).get_concrete_function(specs if len(specs) > 1 else specs[0])
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], network)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        sets = list(zip(*windows, strict=True))
        converter.representative_dataset = lambda: ([part[None] for part in each] for each in sets)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())


def check_integer(graph: Graph, where: object) -> None:
    """A Problem that names every tensor which is neither int8, int32 nor a state, with its type."""
    own = {i for node in graph.nodes for i in node.intermediates}  # of an LSTM, with nothing in them
    made = in_integers(graph)
    own |= _named(graph) - _named(made)
    odd = [
        f"{tensor.name} is {tensor.dtype}"
        for i, tensor in enumerate(made.tensors)
        if tensor.dtype not in INTEGERS and not tensor.is_variable and i not in own
    ]
    if odd:
        what = f"{len(odd)} tensors are not int8 or int32: {', '.join(odd)}"
        raise Problem(where, what, "a layer has no int8 kernel: replace it, or keep it out of the network")


def _named(graph: Graph) -> set[int]:
    """The tensors that operators read and write."""
    return {i for node in graph.nodes for i in (*node.inputs, *node.outputs)}


def warn_of_many(graph: Graph, name: str) -> None:
    """A sentence where recurrent layers were unrolled into more operators than anybody wants."""
    if len(graph.nodes) > MANY:
        say(f"{name}: {len(graph.nodes)} operators, for recurrent layers were unrolled step by step; an LSTM with tanh,"
            " sigmoid and a bias is one operator, whatever its steps")  # fmt: skip


def edge(tensor: Tensor) -> Facts:
    """Scale, zero point and shape (without the batch) of the model's input or output."""
    return {"scale": tensor.scale, "zero_point": tensor.zero_point, "shape": list(tensor.shape[1:])}


def quantize(name: str) -> int:
    """Convert build/<name>/pruned.keras; write model.tflite, reference.npz and quantize.json; check the limits."""
    source, folder = load_model(name), build_dir(name)
    pruned_facts = read_json(folder / "prune.json", f"python -m pipeline.prune {name}")
    networks = _networks(source, folder)
    arrays, windows_facts = read_windows(name)
    chosen = calibration(side_of(arrays, "train"), source.spec.seed)
    flatbuffer = convert(networks["pruned"], arrays["x_train"][chosen])
    graph = read(flatbuffer, f"{name}: the converted model")
    check_integer(graph, f"{name}: the converted model")
    warn_of_many(graph, name)
    first, last = edge(graph.tensors[graph.inputs[0]]), edge(graph.tensors[graph.outputs[0]])
    task = pruned_facts["task"]
    int8 = _int8_rung(name, flatbuffer, task, arrays, first, last)
    figures, engine = {**pruned_facts["metrics"], "int8": int8.pop("metrics")}, int8.pop("engine")
    test = side_of(arrays, "test")
    write_bytes(folder / "model.tflite", flatbuffer)
    reals = {f"{rung}_outputs": outputs(network, test.x) for rung, network in networks.items()}
    write_arrays(folder / "reference.npz", {**int8, "labels": test.y, "groups": test.g, **reals}, packed=False)
    write_json(
        folder / "quantize.json",
        {
            "model": name,
            "model_id": model_id(flatbuffer),
            "tflite_bytes": len(flatbuffer),
            "task": task,
            "input": first,
            "output": last,
            "standardise": windows_facts["standardise"],
            "window": windows_facts["window"],
            "metrics": figures,
            "ladder": ladder(figures, source.spec.limits.metric),
            "limits": asdict(source.spec.limits),
            "sparsity": pruned_facts["sparsity"],
            "reference": engine,
            "calibration": {"windows": len(chosen), "side": "train"},
            "provenance": windows_facts["provenance"],
            "groups": windows_facts["groups"],
        },
    )
    limits = source.spec.limits
    dropped = check_drop(f"{name} int8", limits.metric, limits.drop_int8, figures["float"], figures["int8"])
    return max(dropped, check_minimum(f"{name} int8", limits, figures["int8"]))


def _networks(source: Source, folder: Path) -> dict[str, Any]:
    """The float and the pruned network."""
    stages = {"float": "train", "pruned": "prune"}
    return {
        rung: load_network(folder / f"{rung}.keras", f"python -m pipeline.{stage} {source.name}", source.spec.seed)
        for rung, stage in stages.items()
    }


def _int8_rung(
    name: str, flatbuffer: bytes, task: Facts, arrays: dict[str, NDArray[Any]], first: Facts, last: Facts
) -> Facts:
    """Inputs and outputs of the whole test side as the reference computes them, its engine, and their metrics."""
    engines: list[str] = []

    def reconstruct(side: Side) -> tuple[NDArray[np.int8], NDArray[np.int8], NDArray[Any], NDArray[Any]]:
        inputs = metrics.quantize(side.x, first)
        found, engine = reference.outputs(flatbuffer, inputs, f"{name}: int8 reference", f"build/{name}/model.tflite")
        engines.append(engine)
        return inputs, found, metrics.dequantize(inputs, first), metrics.dequantize(found, last)

    if task["kind"] == "anomaly":
        _, _, real_in, real_out = reconstruct(side_of(arrays, "calib"))
        task["threshold"]["int8"] = metrics.threshold(metrics.anomaly_scores(real_out, real_in))
    test = side_of(arrays, "test")
    inputs, found, real_in, real_out = reconstruct(test)
    score = metrics.score(task, real_out, test.y, real_in, "int8")
    return {"inputs": inputs, "outputs": found, "metrics": score, "engine": engines[-1]}


def ladder(figures: Facts, metric: str) -> list[Facts]:
    """One row a rung: every single-number metric, and how far the limit's metric moved from float."""
    base = figures["float"][metric]
    return [
        {
            "rung": rung,
            **{key: value for key, value in figures[rung].items() if isinstance(value, float)},
            "delta": figures[rung][metric] - base,
        }
        for rung in RUNGS
    ]


def print_ladder(facts: Facts) -> None:
    """The ladder float -> pruned -> int8 as a table."""
    from rich.console import Console
    from rich.table import Table

    columns = [key for key in facts["ladder"][0] if key not in ("rung", "delta")]
    table = Table(
        "rung",
        *(column.replace("_", " ") for column in columns),
        "delta " + facts["limits"]["metric"],
        title=f"{facts['model']}: {facts['tflite_bytes']} bytes, id {facts['model_id']}",
    )
    for row in facts["ladder"]:
        table.add_row(row["rung"], *(f"{row[column]:.4f}" for column in columns), f"{row['delta']:+.4f}")
    Console().print(table)


def main(argv: list[str]) -> int:
    """Quantize one pruned model and print the ladder."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.quantize", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    parser.add_argument("--json", action="store_true", help="print quantize.json")
    options = parser.parse_args(argv)
    code = quantize(options.name)
    facts = json.loads((build_dir(options.name) / "quantize.json").read_text())
    if options.json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        print_ladder(facts)
    return code


if __name__ == "__main__":
    run(main)
