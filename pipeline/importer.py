"""model.tflite to a Graph that the compiler takes: edges taken off, every operator known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import edges
from pipeline.evaluate import evaluate
from pipeline.flatbuffer import scan
from pipeline.graph import Graph, Node, Tensor
from pipeline.islands import in_integers
from pipeline.left_out import Reason, reason
from pipeline.ops.base import Op, known_ops
from pipeline.ops.choice import parts
from pipeline.ops.sizes import SHORT, short_sizes
from pipeline.passes import outputs_apart, shapes_known, without_dead
from pipeline.problem import Problem, Problems, raise_all

LARGEST = 8 << 20  # values of a tensor: more than the memory of any board


def import_model(content: bytes, where: Path | str) -> Graph:
    """The checked Graph of a .tflite: inputs and outputs of integers, operators that have a kernel, a size for a board.

    A model with anything else is refused with all that is wrong with it.
    """
    try:
        whole, found = scan(content, where)
        graph = without_dead(outputs_apart(shapes_known(in_integers(peel_edges(whole)))))
    except DAMAGE as error:
        raise _damaged(where, error) from error
    checked(graph, where, found)
    return graph


def checked(graph: Graph, where: Path | str, found: Sequence[Problem] = ()) -> None:
    """Refuse what no compiled model has, with what was `found` before and what else is wrong with its operators."""
    checks = (edges.problems, _too_large, _unknown_ops, _floats)
    found = [*found, *(problem for check in checks for problem in check(graph, where))]
    if found:
        known = [node for node in graph.nodes if node.op in known_ops() and not _is_float(graph, node)]
        raise_all([*found, *_made(replace(graph, nodes=tuple(known)), where)[1]])


def operators(graph: Graph, where: Path | str) -> tuple[Op, ...]:
    """One Op per node, proven to fit together; all the problems of all the nodes at once."""
    made, problems = _made(graph, where)
    raise_all(problems)
    _prove(graph, made, where)
    return made


def _made(graph: Graph, where: Path | str) -> tuple[tuple[Op, ...], list[Problem]]:
    """The Ops of the nodes, and what is wrong with those that have none."""
    made, problems = [], []
    for node in graph.nodes:
        try:
            made.append(_operator(node, graph))
        except (Problem, Problems) as refused:
            each = refused.problems if isinstance(refused, Problems) else (refused,)
            problems += [Problem(f"{where}: {problem.where}", problem.what, problem.hint) for problem in each]
    return tuple(made), problems


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
        made = known_ops()[node.op].from_node(node, graph)
        sizes = [size for part in parts(node, graph, made) for size in short_sizes(part.call.fields)]
    except DAMAGE as error:
        what = f"has options or shapes that do not belong together ({type(error).__name__}: {error})"
        raise Problem(graph.label(node), what, "the file is damaged: convert it again") from error
    if max(sizes, default=0) > SHORT:
        what = f"has a size of {max(sizes)}, and its kernel counts to {SHORT}"
        raise Problem(graph.label(node), what, "make the window shorter or the layer smaller")
    return made


def _prove(graph: Graph, ops: tuple[Op, ...], where: Path | str) -> None:
    """Run one window of zeros: every operator must make the shape that the file declares, for the C trusts it."""
    try:
        with np.errstate(divide="raise"):
            values = evaluate(graph, ops, np.zeros(edges.size(graph.edge("input")), np.int8))
        wrong = [i for i, value in values.items() if (value.shape, str(value.dtype)) != _declares(graph.tensors[i])]
        missing = [i for i in graph.outputs if i not in values]
    except DAMAGE as error:
        raise _damaged(where, error) from error
    again = "the file is damaged: convert it again"
    raise_all([Problem(where, _declared(graph.tensors[i], values[i]), again) for i in wrong])
    raise_all([Problem(where, f"nothing makes its output {graph.tensors[i].name}", again) for i in missing])


def _damaged(where: Path | str, error: Exception) -> Problem:
    what = f"has shapes that do not belong together ({type(error).__name__}: {error})"
    return Problem(where, what, "the file is damaged: convert it again")


def _declares(tensor: Tensor) -> tuple[tuple[int, ...], str]:
    return tensor.shape, tensor.dtype


def _declared(tensor: Tensor, made: NDArray[Any]) -> str:
    said, is_ = (f"{list(shape)}" + f" of {dtype}" * (tensor.dtype != made.dtype)
                 for shape, dtype in (_declares(tensor), (made.shape, made.dtype)))  # fmt: skip
    return f"tensor {tensor.name} is declared {said}, but its operator makes {is_}"


def peel_edges(graph: Graph) -> Graph:
    """Take a QUANTIZE off float inputs and a DEQUANTIZE off float outputs: the device speaks int8."""
    float_inputs = {i for i in graph.inputs if graph.tensors[i].dtype == "float32"}
    float_outputs = {i for i in graph.outputs if graph.tensors[i].dtype == "float32"}
    whole = [node for node in graph.nodes if node.inputs and node.outputs]
    at_input = {n.inputs[0]: n for n in whole if n.op == "QUANTIZE" and n.inputs[0] in float_inputs}
    at_output = {n.outputs[0]: n for n in whole if n.op == "DEQUANTIZE" and n.outputs[0] in float_outputs}
    peeled = {node.index for node in (*at_input.values(), *at_output.values())}
    return replace(
        graph,
        nodes=tuple(node for node in graph.nodes if node.index not in peeled),
        inputs=tuple(at_input[i].outputs[0] if i in at_input else i for i in graph.inputs),
        outputs=tuple(at_output[i].inputs[0] if i in at_output else i for i in graph.outputs),
    )


def _too_large(graph: Graph, where: Path | str) -> list[Problem]:
    """Tensors that no board could hold, all in one Problem."""
    makers = {i: graph.label(node) for node in graph.nodes for i in node.outputs}
    large = [
        f"{makers.get(i, t.name)} {list(t.shape)}"
        for i, t in enumerate(graph.tensors) if min(t.shape, default=1) < 0 or t.count > LARGEST
    ]  # fmt: skip
    if not large:
        return []
    what = f"is too large: {LARGEST >> 20} MB and more take {', '.join(large)}"
    return [Problem(where, what, "make the window shorter or the layers smaller")]


def _is_float(graph: Graph, node: Node) -> bool:
    return any(graph.tensors[i].dtype.startswith("float") for i in (*node.inputs, *node.outputs) if i >= 0)


def _floats(graph: Graph, where: Path | str) -> list[Problem]:
    """All operators on floats in one Problem."""
    floats = [graph.label(node) for node in graph.nodes if _is_float(graph, node)]
    if not floats:
        return []
    count = "1 operator computes" if len(floats) == 1 else f"{len(floats)} operators compute"
    hint = "quantize all of it to integers: python -m pipeline.quantize"
    return [Problem(where, f"{count} with floats: {', '.join(floats)}", hint)]


def _unknown_ops(graph: Graph, where: Path | str) -> list[Problem]:
    """All operators without a kernel, by number and name: one Problem for each reason."""
    reasons: dict[Reason, list[str]] = {}
    for node in graph.nodes:
        if node.op not in known_ops():
            reasons.setdefault(reason(node.op), []).append(graph.label(node))
    found = []
    for each, unknown in reasons.items():
        count = "1 operator has" if len(unknown) == 1 else f"{len(unknown)} operators have"
        found.append(Problem(where, f"{count} no compiled kernel: {', '.join(unknown)} ({each.why})", each.advice))
    return found
