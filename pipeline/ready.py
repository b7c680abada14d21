"""A model that is there already: its .tflite and test windows instead of training; the stages after quantize follow."""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges, metrics, reference
from pipeline.files import build_dir, model_id, write_arrays, write_bytes, write_json
from pipeline.flatbuffer import read, write
from pipeline.graph import Graph, Tensor
from pipeline.importer import peel_edges
from pipeline.islands import in_integers
from pipeline.model_file import ReadySource, load_ready
from pipeline.passes import shapes_known, without_dead
from pipeline.problem import Problem, raise_all, run
from pipeline.spec import Limits

RULE = {
    "data": "the model's own test windows",
    "drawn": "random windows: labels are what the reference says of them",
}
Facts = dict[str, Any]


def _content(source: ReadySource) -> bytes:
    content = source.flatbuffer()
    if not isinstance(content, bytes):
        raise Problem(source.path, f"flatbuffer() gives a {type(content).__name__}", "give the .tflite's bytes")
    return content


def int8_model(content: bytes, where: Path | str) -> bytes:
    """The flatbuffer without QUANTIZE and DEQUANTIZE at its edges and without arithmetic on shapes that are known."""
    graph = without_dead(shapes_known(in_integers(peel_edges(read(content, where)))))
    return content if graph.nodes == read(content, where).nodes else write(graph)


def given(source: ReadySource, tensors: Sequence[Tensor], windows: Any) -> NDArray[np.int8]:
    """windows() of the model's file, an array or one for each input, as windows int8 [n, *shape] (see edges.py); real
    numbers are quantized as the input says."""
    arrays = [np.asarray(each) for each in ([windows] if isinstance(windows, np.ndarray) else windows)]
    if not all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f"):
        raise Problem(source.path, "windows() gives values that are not finite", "leave out what was not measured")
    arrays = [_quantized(each, tensor) for each, tensor in itertools.zip_longest(arrays, tensors) if each is not None]
    said = [f"{array.dtype} {array.shape[1:]}" for array in arrays]
    takes = [f"{tensor.dtype} {edges.without_batch(tensor)}" for tensor in tensors]
    if said != takes or len({len(array) for array in arrays}) != 1:
        what = f"windows() gives {', '.join(said)}, the model takes {', '.join(takes)}"
        raise Problem(source.path, what, "give windows as the model takes them, as many for each of its inputs")
    if not len(arrays[0]):
        raise Problem(source.path, "windows() gives none", "without windows() they are drawn")
    return np.stack([edges.join(tensors, each) for each in zip(*arrays, strict=True)])


def _quantized(array: NDArray[Any], tensor: Tensor | None) -> NDArray[Any]:
    if array.dtype.kind != "f" or tensor is None or tensor.quant is None or tensor.dtype not in ("int8", "int16"):
        return array
    return metrics.steps(array, {"scale": tensor.scale, "zero_point": tensor.zero_point}, tensor.dtype)


def _found(source: ReadySource, tensors: Sequence[Tensor]) -> tuple[NDArray[np.int8], NDArray[np.int64]] | None:
    """The model's own windows and their labels; None where it has none."""
    if source.windows is None:
        return None
    pair = source.windows()
    if not isinstance(pair, tuple) or len(pair) != 2 or not isinstance(pair[0], Sequence | np.ndarray):
        what = f"windows() gives a {type(pair).__name__}, not a pair"
        raise Problem(source.path, what, "return windows, labels: an array of windows and one of a number for each")
    inputs, labels = given(source, tensors, pair[0]), np.asarray(pair[1])
    if labels.shape != (len(inputs),) or labels.dtype.kind not in "iu":
        what = f"windows() gives {len(inputs)} windows and labels {labels.dtype} {list(labels.shape)}"
        raise Problem(source.path, what, "give a whole number for each window")
    known = len(source.spec.labels)
    if wrong := sorted({*labels.tolist()} - {*range(known)}):
        raise Problem(source.path, f"windows() gives label {wrong[0]}, READY names {known} from 0")
    return inputs, labels.astype(np.int64)


def _check_output(source: ReadySource, quants: Facts, outputs: NDArray[np.int8], inputs: NDArray[np.int8]) -> None:
    """A value for each class, or for each value of the input."""
    made, taken = (metrics.dequantize(each[:1], quants[edge]).size for edge, each in
                   (("output", outputs), ("input", inputs)))  # fmt: skip
    if source.spec.task == "classification" and made != len(source.spec.labels):
        what = f"READY names {len(source.spec.labels)} labels, the model's output has {made} values"
        raise Problem(source.path, what, "name the class of each value, in their order")
    if source.spec.task == "anomaly" and made != taken:
        what = f"an anomaly model reconstructs its input, this one makes {made} values of {taken}"
        raise Problem(source.path, what, 'one that tells normal from fault by itself is a "classification"')


def _edges(source: ReadySource, graph: Graph) -> Facts:
    """What quantize.json says of the inputs and outputs."""
    if not 0 <= source.spec.output < len(graph.outputs):
        what = f"judges output {source.spec.output}, the model has {len(graph.outputs)}"
        raise Problem(source.path, what, "READY's output counts from 0")
    first, last = edges.facts(graph.edge("input")), edges.facts(graph.edge("output"), source.spec.output)
    window, taken = source.spec.window, sum(tensor.count for tensor in graph.edge("input"))
    if window and (math.prod(window.shape) != taken or taken % len(window.channels)):
        what = f"READY's window is {window.shape} of {len(window.channels)} channels, the model takes {taken} values"
        raise Problem(source.path, what, "a window's shape has as many values, and a whole number for each channel")
    if source.spec.task == "classification" and graph.edge("output")[source.spec.output].count == 1:
        last["classes"] = len(source.spec.labels)
    return {"input": first, "output": last}


def drawn(source: ReadySource, tensors: Sequence[Tensor]) -> NDArray[np.int8]:
    """Seeded random windows int8 [n, *shape]: every second is uniform, the others wander, as signals do; of several
    inputs, and those of another type, all are uniform."""
    rng, shape = np.random.default_rng(source.spec.seed), edges.shape(tensors)
    if not edges.is_plain(tensors):
        return np.stack([edges.drawn(tensors, rng) for _ in range(source.spec.windows)])
    uniform = rng.integers(-128, 128, (source.spec.windows, *shape))
    steps = rng.normal(0, 12, (source.spec.windows, int(np.prod(shape)))).cumsum(axis=1).reshape(uniform.shape)
    walks = np.abs((steps + rng.integers(-128, 128)) % 510 - 255) - 128  # reflected at both ends
    even = (np.arange(source.spec.windows) % 2 == 0).reshape(-1, *[1] * len(shape))
    return np.where(even, uniform, np.clip(walks, -128, 127)).astype(np.int8)


def make(name: str) -> Facts:
    """Write model.tflite, reference.npz and quantize.json of build/<name>."""
    source, folder = load_ready(name), build_dir(name)
    content = int8_model(_content(source), f"models/{name}")
    graph = read(content, f"models/{name}")
    raise_all(edges.problems(graph, f"models/{name}"))
    found, quants = _found(source, graph.edge("input")), _edges(source, graph)
    inputs = found[0] if found else drawn(source, graph.edge("input"))
    outputs, engine = reference.outputs(content, inputs, f"{name}: reference", f"build/{name}/model.tflite")
    _check_output(source, quants, outputs, inputs)
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
        "hop": source.spec.stream, "standardise": None, "drawn": found is None,
        "window": asdict(source.spec.window) if source.spec.window else None,
    }  # fmt: skip
    write_json(folder / "quantize.json", facts)
    return facts


def _judged(
    source: ReadySource, quants: Facts, inputs: NDArray[np.int8], outputs: NDArray[np.int8], labels: Any
) -> tuple[Facts, NDArray[np.int64]]:
    """The task, and a label for each window: without data, what the reference says of it."""
    task: Facts = {"kind": source.spec.task, "labels": list(source.spec.labels)}
    if source.spec.task == "classification":
        guessed = metrics.dequantize(outputs, quants["output"]).reshape(len(outputs), -1).argmax(axis=1)
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
