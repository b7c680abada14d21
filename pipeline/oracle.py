"""The reference every other result is held against: tflite-runtime 2.14 with its reference kernels (BUILTIN_REF).

Its bytes equal TFLite Micro's; those of TensorFlow's own interpreter, of ai-edge-litert and of any XNNPACK run do not.
It must run in a process that has not imported TensorFlow: `run_apart` starts one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges, problem
from pipeline.files import read_arrays, write_arrays, write_bytes
from pipeline.flatbuffer import read
from pipeline.graph import Graph
from pipeline.problem import EXIT_TOOL, Problem, raise_all
from pipeline.progress import progress

Int8 = NDArray[np.int8]


def run(flatbuffer: bytes, inputs: Int8, title: str = "oracle", where: Path | str = "model.tflite") -> Int8:
    """Answers int8 [n, *out] to windows int8 [n, *shape] (see edges.py), one invocation a window."""
    interpreter, graph = _interpreter(flatbuffer, where), read(flatbuffer, where)
    edges.check_windows(graph.edge("input"), inputs, where)
    results = np.zeros((len(inputs), *edges.shape(graph.edge("output"))), np.int8)
    with progress(title, len(inputs)) as advance:
        for index, window in enumerate(inputs):
            results[index] = _invoke(interpreter, graph, window)
            advance()
    return results


def tensors(flatbuffer: bytes, window: Int8, where: Path | str = "model.tflite") -> dict[int, NDArray[Any]]:
    """Every tensor by index after one int8 window [*shape] ran, intermediate ones included."""
    interpreter = _interpreter(flatbuffer, where, keep=True)
    _invoke(interpreter, read(flatbuffer, where), window)
    indices = [int(detail["index"]) for detail in interpreter.get_tensor_details() if detail["name"]]
    return {index: np.array(interpreter.get_tensor(index)) for index in indices}


def run_apart(flatbuffer: bytes, inputs: Int8, title: str = "oracle") -> Int8:
    """`run` in a process of its own, for callers that have imported TensorFlow."""
    with tempfile.TemporaryDirectory() as folder:
        model, windows, results = (Path(folder) / name for name in ("model.tflite", "inputs.npz", "outputs.npz"))
        write_bytes(model, flatbuffer)
        write_arrays(windows, {"inputs": inputs})
        command = [sys.executable, "-m", "pipeline.oracle", str(model), str(windows), str(results), "--title", title]
        done = subprocess.run(command, cwd=Path(__file__).resolve().parents[1], check=False)
        if done.returncode != 0:
            raise Problem(
                "oracle", f"ended with exit code {done.returncode}", "its own message is above", done.returncode
            )
        return read_arrays(results, "python -m pipeline.quantize")["outputs"]


def _interpreter(flatbuffer: bytes, where: Path | str, keep: bool = False) -> Any:
    """An allocated interpreter of a model whose inputs and outputs are integers."""
    interpreter_class, resolver = _runtime()
    graph = read(flatbuffer, where)  # tflite-runtime itself crashes on a broken file
    _check_edges(graph, where)
    _check_state(graph, where)
    try:
        interpreter = interpreter_class(
            model_content=flatbuffer,
            num_threads=1,
            experimental_op_resolver_type=resolver,
            experimental_preserve_all_tensors=keep,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise _refused(where, error) from error
    return interpreter


def _refused(where: Path | str, error: Exception) -> Problem:
    reason = " ".join(str(error).split())
    return Problem(where, f"is not a model that tflite-runtime 2.14 runs: {reason}", "convert it again")


def _check_edges(graph: Graph, where: Path | str) -> None:
    """Inputs and outputs, each of a type that a window carries; all that are not at once."""
    raise_all(edges.problems(graph, where))


def _check_state(graph: Graph, where: Path | str) -> None:
    """tflite-runtime 2.14 takes every SVDF's state for int16 and writes behind its end."""
    narrow = [graph.label(node) for node in graph.nodes if node.op == "SVDF" and graph.input(node, 4).dtype != "int16"]
    if narrow:
        raise Problem(where, f"tflite-runtime 2.14 misreads the 8-bit state of {', '.join(narrow)}",
                      "the reference is the integer oracle")  # fmt: skip


def _runtime() -> tuple[Any, Any]:
    if "tensorflow" in sys.modules:
        raise RuntimeError("tflite-runtime breaks when imported after TensorFlow: use run_apart")
    try:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        hint = (
            "run: pip install tflite-runtime==2.14.0 (Python 3.10 or 3.11); its successor ai-edge-litert is NOT equal"
        )
        raise Problem("tflite-runtime", f"is not installed: {error}", hint, EXIT_TOOL) from error
    return Interpreter, OpResolverType.BUILTIN_REF


def _invoke(interpreter: Any, graph: Graph, window: Int8) -> Int8:
    inputs, outputs = graph.edge("input"), graph.edge("output")
    for index, values in zip(graph.inputs, edges.split(inputs, np.asarray(window, np.int8)), strict=True):
        interpreter.set_tensor(index, values)
    try:
        interpreter.reset_all_variables()  # a window knows nothing of those before it
        interpreter.invoke()
    except RuntimeError as error:  # some kernels look at types only now
        raise _refused("model.tflite", error) from error
    return edges.join(outputs, [interpreter.get_tensor(index) for index in graph.outputs])


def main(argv: list[str]) -> int:
    """Run a model.tflite over the array `inputs` of one .npz and write the array `outputs` to another."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.oracle", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--title", default="oracle", help="shown beside the progress bar")
    options = parser.parse_args(argv)
    if not options.model.exists():
        raise Problem(options.model, "does not exist")
    inputs = read_arrays(options.inputs, "python -m pipeline.quantize", ["inputs"])["inputs"]
    results = run(options.model.read_bytes(), inputs, options.title, options.model)
    write_arrays(options.outputs, {"outputs": results})
    return 0


if __name__ == "__main__":
    problem.run(main)
