"""model.tflite to a Graph that the compiler takes: edges taken off, every operator known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges
from pipeline.evaluate import evaluate
from pipeline.flatbuffer import read
from pipeline.graph import Graph, Node, Tensor
from pipeline.ops.base import Op, known_ops
from pipeline.problem import Problem, raise_all


def import_model(content: bytes, where: Path | str) -> Graph:
    """The checked Graph of a .tflite: inputs and outputs of integers, operators that have a kernel."""
    graph = peel_edges(read(content, where))
    raise_all([*edges.problems(graph, where), *_unknown_ops(graph, where)])
    return graph


def operators(graph: Graph, where: Path | str) -> tuple[Op, ...]:
    """One Op per node, proven to fit together; all the problems of all the nodes at once."""
    made, problems = [], []
    for node in graph.nodes:
        try:
            made.append(_operator(node, graph))
        except Problem as problem:
            problems.append(Problem(f"{where}: {problem.where}", problem.what, problem.hint))
    raise_all(problems)
    _prove(graph, tuple(made), where)
    return tuple(made)


DAMAGE = (
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
)  # of shapes and options that lie


def _operator(node: Node, graph: Graph) -> Op:
    try:
        return known_ops()[node.op].from_node(node, graph)
    except DAMAGE as error:
        what = f"has options or shapes that do not belong together ({type(error).__name__}: {error})"
        raise Problem(graph.label(node), what, "the file is damaged: convert it again") from error


def _prove(graph: Graph, ops: tuple[Op, ...], where: Path | str) -> None:
    """Run one window of zeros: every operator must make the shape that the file declares, for the C trusts it."""
    try:
        values = evaluate(graph, ops, np.zeros(edges.size(graph.edge("input")), np.int8))
        wrong = [i for i, value in values.items() if (value.shape, str(value.dtype)) != _declares(graph.tensors[i])]
        missing = [i for i in graph.outputs if i not in values]
    except DAMAGE as error:
        raise Problem(where, f"has shapes that do not belong together ({type(error).__name__}: {error})",
                      "the file is damaged: convert it again") from error  # fmt: skip
    again = "the file is damaged: convert it again"
    raise_all([Problem(where, _declared(graph.tensors[i], values[i]), again) for i in wrong])
    raise_all([Problem(where, f"nothing makes its output {graph.tensors[i].name}", again) for i in missing])


def _declares(tensor: Tensor) -> tuple[tuple[int, ...], str]:
    return tensor.shape, tensor.dtype


def _declared(tensor: Tensor, made: NDArray[Any]) -> str:
    said, is_ = (f"{list(shape)}" + f" of {dtype}" * (tensor.dtype != made.dtype)
                 for shape, dtype in (_declares(tensor), (made.shape, made.dtype)))  # fmt: skip
    return f"tensor {tensor.name} is declared {said}, but its operator makes {is_}"


def peel_edges(graph: Graph) -> Graph:
    """Take a QUANTIZE off float inputs and a DEQUANTIZE off float outputs: the device speaks int8."""
    float_inputs = [i for i in graph.inputs if graph.tensors[i].dtype == "float32"]
    float_outputs = [i for i in graph.outputs if graph.tensors[i].dtype == "float32"]
    at_input = {n.inputs[0]: n for n in graph.nodes if n.op == "QUANTIZE" and n.inputs[0] in float_inputs}
    at_output = {n.outputs[0]: n for n in graph.nodes if n.op == "DEQUANTIZE" and n.outputs[0] in float_outputs}
    peeled = {node.index for node in (*at_input.values(), *at_output.values())}
    return replace(
        graph,
        nodes=tuple(node for node in graph.nodes if node.index not in peeled),
        inputs=tuple(at_input[i].outputs[0] if i in at_input else i for i in graph.inputs),
        outputs=tuple(at_output[i].inputs[0] if i in at_output else i for i in graph.outputs),
    )


def _unknown_ops(graph: Graph, where: Path | str) -> list[Problem]:
    """All operators without a kernel in one Problem, by number and name."""
    unknown = [graph.label(node) for node in graph.nodes if node.op not in known_ops()]
    if not unknown:
        return []
    count = "1 operator has" if len(unknown) == 1 else f"{len(unknown)} operators have"
    return [Problem(where, f"{count} no compiled kernel: {', '.join(unknown)}",
                    f"change the layers; kernels there are: {', '.join(known_ops())}")]  # fmt: skip
