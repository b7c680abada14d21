"""A model that is there already: its .tflite and test windows instead of training; the stages after quantize follow."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import metrics, reference
from pipeline.files import build_dir, model_id, write_arrays, write_bytes, write_json
from pipeline.flatbuffer import read, write
from pipeline.graph import Graph, Tensor
from pipeline.importer import peel_edges
from pipeline.problem import Problem, run
from pipeline.spec import Limits, ReadySource, load_ready

RULE = {
    "data": "the model's own test windows",
    "drawn": "random windows: labels are what the int8 reference says of them",
}
Facts = dict[str, Any]


def int8_model(content: bytes, where: Path | str) -> bytes:
    """The flatbuffer without QUANTIZE and DEQUANTIZE at its edges and without arithmetic on shapes that are known."""
    graph = _without_unused(_known_shapes(peel_edges(read(content, where))))
    return content if graph.nodes == read(content, where).nodes else write(graph)


def _known_shapes(graph: Graph) -> Graph:
    """Every RESHAPE takes the shape that its output declares."""
    tensors, nodes = list(graph.tensors), []
    for node in graph.nodes:
        shape = graph.tensor(node, 1)
        if node.op == "RESHAPE" and shape is not None and shape.data is None:
            known = np.array(graph.output(node).shape, np.int32)
            tensors.append(Tensor(f"{graph.output(node).name}_shape", known.shape, "int32", None, known))
            node = replace(node, inputs=(node.inputs[0], len(tensors) - 1))
        nodes.append(node)
    return replace(graph, tensors=tuple(tensors), nodes=tuple(nodes))


def _without_unused(graph: Graph) -> Graph:
    """Nodes whose outputs nobody reads are gone; so are those that only they read."""
    nodes: list[Any] = []
    needed = set(graph.outputs)
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            nodes.insert(0, node)
            needed.update(node.inputs)
    return replace(graph, nodes=tuple(replace(node, index=i) for i, node in enumerate(nodes)))


def drawn(source: ReadySource, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Seeded random windows int8 [n, *shape]: every second is uniform, the others wander, as signals do."""
    rng = np.random.default_rng(source.spec.seed)
    uniform = rng.integers(-128, 128, (source.spec.windows, *shape))
    steps = rng.normal(0, 12, (source.spec.windows, int(np.prod(shape)))).cumsum(axis=1).reshape(uniform.shape)
    walks = np.abs((steps + rng.integers(-128, 128)) % 510 - 255) - 128  # reflected at both ends
    even = (np.arange(source.spec.windows) % 2 == 0).reshape(-1, *[1] * len(shape))
    return np.where(even, uniform, np.clip(walks, -128, 127)).astype(np.int8)


def make(name: str) -> Facts:
    """Write model.tflite, reference.npz and quantize.json of build/<name>."""
    source, folder = load_ready(name), build_dir(name)
    content = int8_model(source.flatbuffer(), f"models/{name}")
    graph = read(content, f"models/{name}")
    edges = {"input": graph.tensors[graph.inputs[0]], "output": graph.tensors[graph.outputs[0]]}
    found = source.windows() if source.windows else None
    inputs = found[0] if found else drawn(source, edges["input"].shape[1:])
    if inputs.dtype != np.int8 or inputs.shape[1:] != edges["input"].shape[1:] or not len(inputs):
        what = f"windows() gives {inputs.dtype} {inputs.shape[1:]}, the model takes int8 {edges['input'].shape[1:]}"
        raise Problem(source.path, what, "give int8 windows as the model takes them")
    outputs, engine = reference.outputs(content, inputs, f"{name}: int8 reference", f"build/{name}/model.tflite")
    quants = {
        edge: {"scale": t.scale, "zero_point": t.zero_point, "shape": list(t.shape[1:])} for edge, t in edges.items()
    }
    task, labels = _judged(source, quants, inputs, outputs, found[1] if found else None)
    reals = [metrics.dequantize(outputs, quants["output"]), metrics.dequantize(inputs, quants["input"])]
    int8 = metrics.score(task, reals[0], labels, reals[1])
    write_bytes(folder / "model.tflite", content)
    arrays: dict[str, NDArray[Any]] = {
        "inputs": inputs,
        "outputs": outputs,
        "labels": labels,
        "groups": np.zeros(len(labels), np.int64),
    }
    arrays |= {f"{rung}_outputs": reals[0] for rung in ("float", "pruned")}
    write_arrays(folder / "reference.npz", arrays, packed=False)
    metric = "accuracy" if source.spec.task == "classification" else "auc"
    facts = {
        "model": name, "model_id": model_id(content), "tflite_bytes": len(content), "task": task, **quants,
        "metrics": {"float": None, "pruned": None, "int8": int8},
        "limits": asdict(Limits(metric, int8[metric], 0.0, 0.0)), "sparsity": [], "reference": engine,
        "rule": RULE["data" if found else "drawn"], "provenance": asdict(source.spec.provenance), "groups": ["all"],
    }  # fmt: skip
    write_json(folder / "quantize.json", facts)
    return facts


def _judged(
    source: ReadySource, quants: Facts, inputs: NDArray[np.int8], outputs: NDArray[np.int8], labels: Any
) -> tuple[Facts, NDArray[np.int64]]:
    """The task, and a label for each window: without data, what the reference says of it."""
    task: Facts = {"kind": source.spec.task, "labels": list(source.spec.labels)}
    if source.spec.task == "classification":
        guessed = outputs.reshape(len(outputs), -1).argmax(axis=1)
    else:
        real = (metrics.dequantize(outputs, quants["output"]), metrics.dequantize(inputs, quants["input"]))
        scores = metrics.anomaly_scores(*real)
        task["threshold"] = dict.fromkeys(("float", "pruned", "int8"), float(np.median(scores)))
        guessed = scores > task["threshold"]["int8"]
    return task, np.asarray(guessed if labels is None else labels, np.int64)


def main(argv: list[str]) -> int:
    """Take a ready model in, and say what it is."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ready", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    facts = make(parser.parse_args(argv).name)
    sys.stdout.write(f"{facts['model']}: {facts['tflite_bytes']} bytes, id {facts['model_id']}; {facts['rule']}\n")
    return 0


if __name__ == "__main__":
    run(main)
