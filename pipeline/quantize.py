"""Full-integer quantization, 8 bits or 16x8, calibrated on training windows, run by the oracle, shown as a ladder."""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges, metrics, recurrent, reference, words
from pipeline.files import board_names, build_dir, model_id, read_json, write_arrays, write_bytes, write_json
from pipeline.flatbuffer import read, write
from pipeline.graph import Graph, Tensor
from pipeline.islands import in_integers
from pipeline.limits import check_drop, check_minimum
from pipeline.model_file import Source, load_model
from pipeline.network import check_task, load_network, outputs, quiet, unrolled
from pipeline.problem import Problem, did_you_mean, run
from pipeline.progress import say
from pipeline.signature import as_called
from pipeline.spec import ACTIVATIONS, Side
from pipeline.subgraphs import whole
from pipeline.windows import read_windows, side_of, unpack

CALIBRATION_WINDOWS = 400
INTEGERS = {8: ("int8", "int32"), 16: ("int16", "int8", "int32", "int64")}  # of tensors; by bits of activations
MANY = 300  # operators: the largest networks for sensors have a third of that
RUNGS = ("float", "pruned", "int8")
Facts = dict[str, Any]


def calibration(train: Side, seed: int) -> NDArray[np.int64]:
    """Indices of the training windows that set the ranges: up to 400, drawn with the model's seed."""
    count = min(CALIBRATION_WINDOWS, len(train.x))
    return np.sort(np.random.default_rng(seed).choice(len(train.x), count, replace=False))


def convert(network: Any, *windows: NDArray[np.float32], activations: int = 8) -> bytes:
    """The network as a flatbuffer of integers with batch 1, activations of 8 or 16 bits and weights of 8; `windows`
    [n, *shape], for each input, set the ranges."""
    looped = recurrent.converted(network, windows, _converted) if activations == 8 else None
    if looped is not None:
        return looped
    network = unrolled(network)

    def whole(*values: Any) -> Any:
        return network(list(values) if len(values) > 1 else values[0])

    return _converted(network if len(windows) == 1 else whole, network, *windows, activations=activations)


def _converted(function: Any, of: Any, *windows: NDArray[np.float32], activations: int = 8) -> bytes:
    """A function of tensors, which uses the variables `of` something; its inputs and outputs are named in order."""
    import tensorflow as tf

    sets, names = tf.lite.OpsSet, [f"input{i:02}" for i in range(len(windows))]
    wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    specs = [tf.TensorSpec([1, *each.shape[1:]], tf.float32, name) for each, name in zip(windows, names, strict=True)]

    def named(*values: Any) -> Any:
        made = function(*values)
        return {f"output{i:02}": each for i, each in enumerate(made)} if isinstance(made, list | tuple) else made

    with quiet():
        concrete = tf.function(named).get_concrete_function(*specs)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], of)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        samples = [dict(zip(names, each, strict=True)) for each in zip(*windows, strict=True)]
        converter.representative_dataset = lambda: (
            {name: part[None] for name, part in each.items()} for each in samples
        )
        converter.target_spec.supported_ops = [wide if activations == 16 else sets.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int16 if activations == 16 else tf.int8
        # CMSIS-NN, under TFLite Micro, has 16x8 dense layers with one scale only
        converter._experimental_disable_per_channel_quantization_for_dense_layers = activations == 16
        try:
            return with_scales(as_called(bytes(converter.convert())))
        except RuntimeError as error:
            raise _narrow_only(error) or error from error


def with_scales(content: bytes) -> bytes:
    """Constants of zeros to which the converter gave a scale of 0, which no engine takes, with that of the result."""
    graph = read(content)
    scaled = {
        i: replace(graph.tensors[i], quant=graph.output(node).quant)
        for node in graph.nodes for i in node.inputs
        if i >= 0 and graph.tensors[i].data is not None and (quant := graph.tensors[i].quant) and not any(quant.scale)
    }  # fmt: skip
    tensors = tuple(scaled.get(i, tensor) for i, tensor in enumerate(graph.tensors))
    return write(replace(graph, tensors=tensors)) if scaled else content


def _narrow_only(error: RuntimeError) -> Problem | None:
    """The operators that the converter knows with 8 bits alone."""
    named = sorted(set(re.findall(r"16x8-bit not yet supported for op: '(\w+)'", str(error))))
    if not named:
        return None
    hint = "activations=8 has them; or other layers"
    return Problem("activations=16", f"TensorFlow's converter has no {', '.join(named)} with 16 bits", hint)


def check_integer(graph: Graph, where: object, activations: int = 8) -> None:
    """A Problem that names every tensor which is neither of such integers nor a state, with its type."""
    odd = [
        f"{tensor.name} is {tensor.dtype}"
        for each in whole(graph)
        for tensor in _integers_wanted(each)
        if tensor.dtype not in (*INTEGERS[activations], "bool")
    ]
    if odd:
        *first, last = INTEGERS[activations]
        what = f"{len(odd)} tensors are not {', '.join(first)} or {last}: {', '.join(odd)}"
        raise Problem(where, what, f"a layer has no int{activations} kernel: replace it, or keep it out of the network")


def _integers_wanted(graph: Graph) -> list[Tensor]:
    """The tensors that are no state."""
    own = {i for node in graph.nodes for i in node.intermediates}  # of an LSTM, with nothing in them
    made = in_integers(graph)
    own |= _named(graph) - _named(made)
    return [tensor for i, tensor in enumerate(made.tensors) if not tensor.is_variable and i not in own]


def _named(graph: Graph) -> set[int]:
    """The tensors that operators read and write."""
    return {i for node in graph.nodes for i in (*node.inputs, *node.outputs)}


def warn_of_many(graph: Graph, name: str) -> None:
    """A sentence where recurrent layers were unrolled into more operators than anybody wants."""
    if len(graph.nodes) > MANY:
        say(f"{name}: {len(graph.nodes)} operators, for recurrent layers were unrolled step by step: those with a mask,"
            " an initial state, stateful=True or 16-bit activations, and many that are short")  # fmt: skip


def warn_of_boards(limits: Facts, name: str) -> None:
    """A sentence for each board that has a limit, and no file."""
    named = {board for most in limits.values() if isinstance(most, dict) for board in most}
    for board in sorted(named - {*board_names()}):
        say(f"{name}: a limit is for {board}, and there is no such board: {did_you_mean(board, board_names())}")


def quantize(name: str, activations: int | None = None) -> int:
    """Convert build/<name>/pruned.keras; write model.tflite, reference.npz and quantize.json; check the limits.

    `activations` have so many bits, else those that the model's file says."""
    source, folder = load_model(name), build_dir(name)
    bits = activations or source.spec.activations
    made_by = f"python -m pipeline.prune {name}"
    pruned_facts = read_json(folder / "prune.json", made_by, ("task", "metrics", "sparsity"))
    check_task(source, pruned_facts["task"], folder / "prune.json", f"python -m pipeline.train {name}, then {made_by}")
    networks = _networks(source, folder)
    arrays, windows_facts = read_windows(name, *source.spec.shape)
    chosen = calibration(side_of(arrays, "train"), source.spec.seed)
    flatbuffer = convert(networks["pruned"], *unpack(arrays["x_train"][chosen], *source.spec.shapes), activations=bits)
    graph = read(flatbuffer, f"{name}: the converted model")
    check_integer(graph, f"{name}: the converted model", bits)
    warn_of_many(graph, name)
    warn_of_boards(asdict(source.spec.limits), name)
    first, last = edges.facts(graph.edge("input")), edges.facts(graph.edge("output"), source.spec.output)
    task = pruned_facts["task"]
    int8 = _int8_rung(name, flatbuffer, task, arrays, first, last)
    figures, engine = {**pruned_facts["metrics"], "int8": int8.pop("metrics")}, int8.pop("engine")
    test = side_of(arrays, "test")
    write_bytes(folder / "model.tflite", flatbuffer)
    reals = {f"{rung}_outputs": outputs(network, test.x, task["output"]) for rung, network in networks.items()}
    write_arrays(folder / "reference.npz", {**int8, "labels": test.y, "groups": test.g, **reals}, packed=False)
    write_json(
        folder / "quantize.json",
        {
            "model": name,
            "model_id": model_id(flatbuffer),
            "tflite_bytes": len(flatbuffer),
            "activations": bits,
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
            "hop": source.spec.stream,
        },
    )
    limits, where = source.spec.limits, f"{name} {words.rung('int8', bits)}"
    more = f"with 16 bits it loses less: python -m pipeline.quantize {name} --activations 16" if bits == 8 else ""
    dropped = check_drop(where, limits.metric, limits.drop_int8, figures["float"], figures["int8"], more)
    return max(dropped, check_minimum(where, limits, figures["int8"]))


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
        found, engine = reference.outputs(flatbuffer, inputs, f"{name}: reference", f"build/{name}/model.tflite")
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
    """The ladder from float to integers as a table."""
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
        rung = words.rung(row["rung"], facts["activations"])
        table.add_row(rung, *(f"{row[column]:.4f}" for column in columns), f"{row['delta']:+.4f}")
    Console().print(table)


def main(argv: list[str]) -> int:
    """Quantize one pruned model and print the ladder."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.quantize", description=__doc__)
    parser.add_argument("name", help="a folder of models/")
    bits = "of activations (default: what the model's file says, else 8)"
    parser.add_argument("--activations", type=int, choices=ACTIVATIONS, help=f"bits {bits}")
    parser.add_argument("--json", action="store_true", help="print quantize.json")
    options = parser.parse_args(argv)
    code = quantize(options.name, options.activations)
    facts = json.loads((build_dir(options.name) / "quantize.json").read_text())
    if options.json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        print_ladder(facts)
    return code


if __name__ == "__main__":
    run(main)
