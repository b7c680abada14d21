"""Islands of float32 in an integer model: those that only move values become integers, the others are refused."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline import flatbuffer
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.importer import import_model, operators
from pipeline.islands import in_integers
from pipeline.layers import Step, first_difference
from pipeline.problem import Problem, Problems
from pipeline.quantize import check_integer
from pipeline.tensors import tensors

X, Y = Quant((0.5,), (3,)), Quant((0.25,), (-7,))


def island(*between: Node, reals: int = 1, quantized: tuple[int, ...] = (1,)) -> Graph:
    """int8 [1, 8] (tensor 0), DEQUANTIZE to 1, what lies `between`, and a QUANTIZE of each of `quantized`."""
    tensors = [Tensor("x", (1, 8), "int8", X), *(Tensor(f"real{i}", (1, 8), "float32") for i in range(reals))]
    outputs = range(len(tensors), len(tensors) + len(quantized))
    tensors += [Tensor(f"y{i}", (1, 8), "int8", Y) for i in outputs]
    ends = [
        Node(9, "QUANTIZE", (real,), (y,), {"table": "QuantizeOptions"})
        for real, y in zip(quantized, outputs, strict=True)
    ]
    nodes = (Node(0, "DEQUANTIZE", (0,), (1,), {"table": "DequantizeOptions"}), *between, *ends)
    return Graph(tuple(tensors), tuple(replace(n, index=i) for i, n in enumerate(nodes)), (0,), tuple(outputs))


def told(graph: Graph) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    return [(node.op, node.inputs, node.outputs) for node in graph.nodes]


def test_what_moves_moves_int8_of_the_islands_source() -> None:
    graph = island(Node(1, "RESHAPE", (1,), (2,), {}), reals=2, quantized=(2, 1))
    made = in_integers(graph)
    assert in_integers(made) == made
    assert told(made) == [("RESHAPE", (0,), (2,)), ("DEQUANTIZE", (2,), (3,)), ("DEQUANTIZE", (0,), (4,))]
    assert (made.tensors[2].dtype, made.tensors[2].quant) == ("int8", X)
    check_integer(graph, "watch")


def test_a_function_between_is_kept_for_the_table() -> None:
    functions = (Node(1, "ELU", (1,), (2,), {}), Node(2, "RESHAPE", (2,), (3,), {}))
    made = in_integers(island(*functions, reals=3, quantized=(3,)))
    assert [node.options.get("between") for node in made.nodes] == [None, ("ELU",)]
    both = (Node(1, "NEG", (1,), (2,), {}), Node(2, "SIN", (2,), (3,), {}))
    graph = import_model(flatbuffer.write(island(*both, reals=3, quantized=(3,))), "watch")
    assert [node.options.get("between") for node in graph.nodes] == [("NEG", "SIN")]
    table = operators(graph, "watch")[0].run(np.arange(-128, 128, dtype=np.int8))
    assert table[128 + 3 + 2] == round(np.sin(-1.0) / 0.25) - 7


@pytest.mark.parametrize("op", ["EXP", "CONV_3D"])
def test_an_island_that_computes_is_left_and_refused(op: str) -> None:
    graph = island(Node(1, op, (1,), (2,), {}), reals=2, quantized=(2,))
    assert in_integers(graph) == graph
    with pytest.raises(Problem, match="watch: 2 tensors are not int8 or int32: real0 is float32, real1 is float32"):
        check_integer(graph, "watch")


def test_refused_models_name_the_operators_of_the_island() -> None:
    graph = island(Node(1, "EXP", (1,), (2,), {"table": "ExpOptions"}), reals=2, quantized=(2,))
    with pytest.raises((Problem, Problems)) as caught:
        import_model(flatbuffer.write(graph), "watch")
    assert re.search(r"3 operators compute with floats: #0 DEQUANTIZE, #1 EXP, #2 QUANTIZE", str(caught.value))


def test_float_steps_of_tflite_micro_have_nothing_to_be_compared_with() -> None:
    content = flatbuffer.write(island())
    expected = {f"t{i}": values for i, values in tensors(content, np.arange(8, dtype=np.int8), "watch").items()}
    assert sorted(expected) == ["t0", "t2"]
    model: Any = SimpleNamespace(plan={"operators": [{"output": 1}, {"output": 2}]})
    right = Step(0, zlib.crc32(expected["t2"].tobytes()))
    assert first_difference([Step(0, 99), right], model, expected) is None
    assert first_difference([Step(0, 99), Step(0, 99)], model, expected) == 1


def test_an_island_that_is_read_as_float_or_is_an_output_stays() -> None:
    moved = island(Node(1, "RESHAPE", (1,), (2,), {}), reals=2, quantized=(2,))
    for graph in (replace(moved, outputs=(1,)), replace(moved, outputs=(2,))):
        assert in_integers(graph) == graph
