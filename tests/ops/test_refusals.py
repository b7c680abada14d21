"""Every operator refuses what its kernel cannot do, with the node's number and name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.graph import Graph, Quant, Tensor
from pipeline.importer import operators
from pipeline.ops import cases
from pipeline.ops.base import known_ops, op
from pipeline.problem import Problem, Problems

RNG = np.random.default_rng(3)


def first(name: str) -> Graph:
    return next(iter(known_ops()[name].cases(np.random.default_rng(5))))


def with_tensor(graph: Graph, index: int, **change: Any) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **change)
    return replace(graph, tensors=tuple(tensors))


def with_types(graph: Graph, dtype: str) -> Graph:
    return replace(
        graph, tensors=tuple(replace(tensor, dtype=dtype, quant=Quant((0.1,), (0,))) for tensor in graph.tensors)
    )


def typed(dtype: str) -> Graph:
    x = Tensor("x", (1, 4), dtype)
    return cases.one_node("MUL", [x, x], x, "MulOptions", fused_activation_function=1)


def compared() -> Graph:
    return next(
        graph for graph in known_ops()["EQUAL"].cases(np.random.default_rng(5)) if graph.tensors[0].dtype == "int32"
    )


def with_options(graph: Graph, **options: Any) -> Graph:
    node = graph.nodes[0]
    return replace(graph, nodes=(replace(node, options={**node.options, **options}),))


def grouped() -> Graph:
    graph = first("CONV_2D")
    x = graph.tensors[0]
    return with_tensor(graph, 0, shape=(*x.shape[:3], x.shape[3] * 7))


def computed() -> Graph:
    tensors = [cases.activation(RNG, (3, 3), name) for name in ("x", "w", "y")]
    return cases.one_node("FULLY_CONNECTED", [*tensors[:2], cases.constant("bias", (1, 2, 3))], tensors[2],
                          "FullyConnectedOptions", fused_activation_function=0)  # fmt: skip


def strided() -> Graph:
    return next(
        graph for graph in known_ops()["STRIDED_SLICE"].cases(np.random.default_rng(5)) if len(graph.tensors) == 5
    )


def sixteen(name: str) -> Graph:
    """The first case whose input has 16 bits."""
    made = known_ops()[name].cases(np.random.default_rng(5))
    return next(graph for graph in made if graph.tensors[graph.inputs[0]].dtype == "int16")


SAME = (0.1, 0)
SCALED = Quant((0.5,), (0,))
OTHER = Quant((0.5,), (3,))
REFUSALS: dict[str, tuple[Graph, str]] = {
    "a float activation": (
        with_tensor(first("CONV_2D"), 0, dtype="float32", quant=None),
        "is float32, not quantized int8",
    ),
    "per-channel activations": (
        with_tensor(first("RELU"), 0, quant=Quant((0.1, 0.2), (0, 0))),
        "has per-channel scales",
    ),
    "weights that are not constant": (with_tensor(first("CONV_2D"), 1, data=None), "its weights are not constant"),
    "weights with a zero point": (
        with_tensor(first("FULLY_CONNECTED"), 1, quant=Quant((0.1,), (7,))),
        "not symmetric int8",
    ),
    "biases of another type": (with_tensor(first("CONV_2D"), 2, dtype="int64"), "its biases are int64, not int32"),
    "16 bits that are not around zero": (
        with_tensor(cases.of_16_bits(first("FULLY_CONNECTED")), 0, quant=Quant((0.1,), (5,))),
        "is int16, not quantized int16 around zero",
    ),
    "a 16-bit output finer than its sums": (
        with_tensor(cases.of_16_bits(first("FULLY_CONNECTED")), 2, quant=Quant((1e-12,), (0,))),
        "its sums are rescaled by 2^",
    ),
    "a 16-bit slope that turns round": (
        with_options(cases.of_16_bits(first("LEAKY_RELU")), alpha=-0.5),
        "its slope below zero is -0.5",
    ),
    "a 16-bit softmax with another output": (cases.of_16_bits(first("SOFTMAX")), "its output has scale 1.52588e-05"),
    "a 16-bit softmax of large numbers": (
        with_tensor(sixteen("SOFTMAX"), 0, quant=Quant((3.0,), (0,))),
        "its input scale 3 is too large",
    ),
    "a 16-bit logistic with another output": (
        with_tensor(sixteen("LOGISTIC"), 1, quant=SCALED),
        "its output has scale 0.5",
    ),
    "a 16-bit tanh of large numbers": (
        with_tensor(sixteen("TANH"), 0, quant=Quant((2.7,), (0,))),
        "its input scale 2.7 is too large",
    ),
    "too few biases": (with_tensor(first("CONV_2D"), 2, shape=(1,)), "has 1 biases for"),
    "too few weight scales": (
        with_tensor(first("CONV_2D"), 1, quant=Quant((0.1, 0.2), (0, 0))),
        "has 2 weight scales for",
    ),
    "options of another operator": (
        replace(first("MAX_POOL_2D"), nodes=(replace(first("MAX_POOL_2D").nodes[0], options={}),)),
        "do not belong together",
    ),
    "groups of unequal size": (grouped(), "channels by"),
    "an activation without kernel": (with_options(first("CONV_2D"), fused_activation_function=4), "TANH has no kernel"),
    "shuffled weights": (with_options(first("FULLY_CONNECTED"), weights_format=1), "shuffled format"),
    "a pool that rescales": (with_tensor(first("MAX_POOL_2D"), 1, quant=OTHER), "are quantized differently"),
    "a reshape that changes the count": (with_tensor(first("RESHAPE"), 2, shape=(1, 25)), "makes 25 values out of 24"),
    "many scattered axes": (
        cases.one_node(
            "MEAN",
            [cases.activation(RNG, (2,) * 8, "x"), cases.constant("axes", (1, 3, 5, 7))],
            cases.activation(RNG, (2,) * 4, "y"),
            "ReducerOptions",
            keep_dims=False,
        ),
        "reduces axes [1, 3, 5, 7] of",
    ),
    "softmax with another output": (with_tensor(first("SOFTMAX"), 1, quant=OTHER), "softmax must have 1/256 and -128"),
    "softmax of a tiny scale": (with_tensor(first("SOFTMAX"), 0, quant=Quant((1e-9,), (0,))), "too small"),
    "logistic with another output": (
        with_tensor(first("LOGISTIC"), 1, quant=OTHER),
        "logistic must have 1/256 and -128",
    ),
    "moving along six axes": (
        cases.one_node(
            "TRANSPOSE",
            [cases.activation(RNG, (2,) * 6, "x", *SAME), cases.constant("axes", (5, 4, 3, 2, 1, 0))],
            cases.activation(RNG, (2,) * 6, "y", *SAME),
            "TransposeOptions",
        ),
        "moves values along 6 axes",
    ),
    "a sum finer than its inputs": (
        with_tensor(first("SUB"), first("SUB").outputs[0], quant=Quant((1e-9,), (0,))),
        "is too small beside its inputs'",
    ),
    "a convolution of a batch": (with_tensor(first("CONV_2D"), 0, shape=(2, 1, 7, 4)), "works on a batch of 2"),
    "a pool of a batch": (with_tensor(first("MAX_POOL_2D"), 0, shape=(3, 4, 4, 1)), "works on a batch of 3"),
    "a blow-up whose steps lead outside": (
        cases.one_node(
            "RESIZE_BILINEAR",
            [cases.activation(RNG, (1, 1, 1, 1), "x", *SAME), cases.constant("size", (600, 1))],
            cases.activation(RNG, (1, 600, 1, 1), "y", *SAME),
            "ResizeBilinearOptions",
            align_corners=False,
            half_pixel_centers=False,
        ),
        "where its steps of 1/1024 lead out of the input",
    ),
    "blocks with padding": (
        cases.one_node(
            "SPACE_TO_BATCH_ND",
            [
                cases.activation(RNG, (1, 3, 1), "x", *SAME),
                cases.constant("block", (2,)),
                cases.constant("paddings", ((1, 0),)),
            ],
            cases.activation(RNG, (2, 2, 1), "y", *SAME),
            "SpaceToBatchNDOptions",
        ),
        "pads by (1, 0, 0, 0), with whatever TFLite Micro finds in its memory",
    ),
    "blocks that do not fill": (
        with_tensor(first("SPACE_TO_BATCH_ND"), 1, data=np.array([3], np.int32)),
        "do not fill [2, 4, 3]",
    ),
    "places outside": (
        with_tensor(first("GATHER_ND"), 1, data=np.full((5, 2), 9, np.int32)),
        "picks slices outside the [1, 6] there are",
    ),
    "a quotient finer than its inputs": (
        with_tensor(first("DIV"), 2, quant=Quant((1e-9,), (0,))),
        "is too small for a quotient of its inputs",
    ),
    "matrices of unequal batches": (
        with_tensor(with_tensor(first("BATCH_MATMUL"), 0, shape=(3, 4, 4)), 1, shape=(2, 4, 4)),
        "multiplies [3, 4, 4] by [2, 4, 4]",
    ),
    "computed weights with biases": (computed(), "has biases beside weights that are computed"),
    "an ellipsis": (with_options(strided(), ellipsis_mask=1), "slices with an ellipsis or a new axis"),
    "an empty slice": (with_tensor(strided(), 2, data=np.array((0, 1, 0), np.int32)), "slices nothing out of axis"),
    "indices outside": (with_tensor(first("GATHER"), 1, data=np.full(7, 99, np.int32)), "picks slices outside the 6"),
    "indices outside a batch": (
        with_options(
            with_tensor(
                with_tensor(first("GATHER"), 0, shape=(2, 6, 3)), 1, shape=(2, 7), data=np.full((2, 7), 6, np.int32)
            ),
            batch_dims=1,
        ),
        "picks slices outside the 12",
    ),
    "an activation it does not apply": (
        with_options(first("CONCATENATION"), fused_activation_function=1),
        "has a fused activation, which it does not apply",
    ),
    "l2 normalization with another output": (
        with_tensor(first("L2_NORMALIZATION"), 1, quant=OTHER),
        "l2 normalization must have 1/128 and 0",
    ),
    "an activation behind l2 normalization": (
        with_options(first("L2_NORMALIZATION"), fused_activation_function=1),
        "has a fused activation, which it does not apply",
    ),
    "log softmax with another output": (
        with_tensor(first("LOG_SOFTMAX"), 1, quant=OTHER),
        "log softmax must have 1/16 and 127",
    ),
    "moving to another type": (with_tensor(first("TRANSPOSE"), 2, dtype="int16"), "makes int16 of int8"),
    "64-bit indices of a class": (with_tensor(first("ARG_MAX"), 2, dtype="int64"), "makes int64 indices"),
    "a comparison to int8": (with_tensor(compared(), 2, dtype="int8"), "makes int8 of int32"),
    "a comparison of large scales": (
        with_tensor(with_tensor(first("EQUAL"), 0, quant=OTHER), 1, quant=Quant((2.0,), (0,))),
        "compares values of scale 2",
    ),
    "a sum of 32 bits with a scale": (typed("int32"), "computes with int32 of a scale or with a fused activation"),
    "a sum of 16 bits without a scale": (typed("int16"), "computes with int16 that is not around zero"),
    "logic of numbers": (with_types(first("LOGICAL_NOT"), "int8"), "takes int8, not bool"),
    "a choice by numbers": (with_tensor(first("SELECT_V2"), 0, dtype="int8"), "is decided by int8, not bool"),
    "a choice of rows": (with_tensor(first("SELECT"), 0, shape=(1,)), "chooses among (1, 3, 5) by (1,)"),
    "a cast to bool": (with_tensor(first("CAST"), 1, dtype="bool"), "casts int8 to bool"),
    "a rescale to 64 bits": (with_tensor(first("QUANTIZE"), 1, dtype="int64"), "makes int64 of int8"),
    "a shape in 64 bits": (with_tensor(first("SHAPE"), 1, dtype="int64"), "gives a shape as int64"),
    "a fill of two values": (with_tensor(first("FILL"), 1, shape=(2,)), "fills with 2 values"),
    "tanh with another output": (with_tensor(first("TANH"), 1, quant=OTHER), "tanh must have 1/128 and 0"),
    "hard swish to a finer output": (
        with_tensor(first("HARD_SWISH"), 1, quant=Quant((1e-6,), (0,))),
        "is too small beside",
    ),
    "adding five axes": (
        cases.one_node(
            "ADD",
            [cases.activation(RNG, (2, 1, 2, 1, 2), "a"), cases.activation(RNG, (1, 2, 1, 2, 1), "b")],
            cases.activation(RNG, (2,) * 5, "y"),
            "AddOptions",
            fused_activation_function=0,
        ),
        "broadcasts to 5 axes",
    ),
}


@pytest.mark.parametrize("what", sorted(REFUSALS))
def test_refuses(what: str) -> None:
    graph, words = REFUSALS[what]
    with pytest.raises(Problem) as caught:
        operators(graph, "m.tflite")
    assert words in "\n".join(caught.value.lines())
    assert caught.value.where == f"m.tflite: #{graph.nodes[-1].index} {graph.nodes[-1].op}"


def test_refuses_shapes_that_lie_before_the_c_trusts_them() -> None:
    graph = first("FULLY_CONNECTED")
    longer = with_tensor(graph, graph.outputs[0], shape=(*graph.tensors[graph.outputs[0]].shape[:-1], 1, 12))
    with pytest.raises((Problem, Problems), match=r"is declared|do not belong together|biases for"):
        operators(longer, "m.tflite")
    relu = first("RELU")
    with pytest.raises(Problem, match=r"tensor output is declared \[1, 300\], but its operator makes \[1, 256\]"):
        operators(with_tensor(relu, 1, shape=(1, 300)), "m.tflite")
    with pytest.raises(Problem, match="nothing makes its output"):
        operators(replace(relu, nodes=()), "m.tflite")
    add = cases.one_node(
        "ADD",
        [cases.activation(RNG, (1, 3), "a"), cases.activation(RNG, (1, 4), "b")],
        cases.activation(RNG, (1, 4), "y"),
        "AddOptions",
        fused_activation_function=0,
    )
    with pytest.raises(Problem, match="do not belong together"):
        operators(add, "m.tflite")


def test_shows_the_problems_of_all_operators_at_once() -> None:
    x = replace(cases.activation(RNG, (1, 4), "x"), dtype="uint8")
    graph = cases.two_nodes("QUANTIZE", "RELU", [x, x, x], ((0,), (1,)), "QuantizeOptions")
    with pytest.raises(Problems) as caught:
        operators(graph, "m.tflite")
    assert [problem.where for problem in caught.value.problems] == ["m.tflite: #0 QUANTIZE", "m.tflite: #1 RELU"]


def test_refuses_a_second_module_for_one_operator() -> None:
    known_ops()
    with pytest.raises(ValueError, match=r"CONV_2D is both pipeline.ops.conv_2d and"):

        @op("CONV_2D")
        class Another:
            pass


def test_every_operator_is_found_without_a_list() -> None:
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN", "SOFTMAX", "RESHAPE"} <= set(known_ops())


def test_a_tensor_reports_its_own_figures() -> None:
    tensor = Tensor("x", (1, 2, 3), "int8", Quant((0.5,), (-3,)))
    assert (tensor.count, tensor.scale, tensor.zero_point) == (6, 0.5, -3)
