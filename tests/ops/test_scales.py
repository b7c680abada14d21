"""Scales that make ties, and their fixed-point constants: what the operators' own cases seldom meet."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ops.cases_project import Case, calibrated, cases_of
from ops.test_conformance import OPS, assert_equal, micro_answers, python_answers, reference_answers

from pipeline import edges, flatbuffer
from pipeline.generate import compile_model
from pipeline.graph import Graph, Tensor, scales
from pipeline.ops import cases
from pipeline.ops.base import Unary, known_ops
from pipeline.problem import Problem, Problems

FIXED = {1 / 16, 1 / 128, 1 / 256}  # of outputs whose scale the operator prescribes
BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
STATEFUL = {"SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM"}  # their scales hang together
SEEDS = 8


def rough(graph: Graph, rng: np.random.Generator) -> Graph:
    """The graph with scales of a few bits, or far away from each other; equal ones stay equal, biases fit."""
    bits, far, made = int(rng.choice([1, 2, 4, 12, 24])), rng.random() < 0.2, {scale: scale for scale in FIXED}

    def of(scale: float) -> float:
        if scale not in made:
            wide = 2.0 ** int(rng.integers(-10, 11)) if far and rng.random() < 0.4 else 1.0
            fraction, power = math.frexp(scale * wide)
            made[scale] = float(np.float32(round(fraction * 2**bits) / 2**bits * 2.0**power))
        return made[scale]

    def rescaled(tensor: Tensor) -> Tensor:
        if tensor.quant is None or tensor.dtype not in ("int8", "int16"):
            return tensor
        return replace(tensor, quant=replace(tensor.quant, scale=tuple(of(scale) for scale in tensor.quant.scale)))

    tensors = [rescaled(tensor) for tensor in graph.tensors]
    for node in graph.nodes:
        slot = BIAS.get(node.op, len(node.inputs))
        bias = graph.tensor(node, slot)
        if bias is not None and bias.quant is not None:
            x, w = tensors[node.inputs[slot - 2]], tensors[node.inputs[1]]
            product = tuple(float(np.float32(x.scale) * scale) for scale in scales(w))
            tensors[node.inputs[slot]] = replace(bias, quant=replace(bias.quant, scale=product))
    return replace(graph, tensors=tuple(tensors))


def rough_cases(op: str) -> Iterator[Case]:
    """Cases of several seeds; those whose scales the operator refuses are left out."""
    for seed in range(SEEDS):
        rng = np.random.default_rng(zlib.crc32(op.encode()) + seed)
        for graph in known_ops()[op].cases(rng):
            content = flatbuffer.write(rough(graph, rng))
            try:
                plan = compile_model(content, op)
            except (Problem, Problems):
                continue
            if op == "DIV" and plan.steps[-1].call.fields["shift"] < 7:
                continue  # small quotients are undefined in TFLite Micro
            inputs = plan.graph.edge("input")
            yield Case(content, plan, np.stack([edges.drawn(inputs, rng) for _ in range(4)])[:, np.newaxis])


COMPUTING = [
    op
    for op in OPS
    if op not in STATEFUL
    and not issubclass(known_ops()[op], Unary)
    and any(
        calibrated(graph, np.random.default_rng(0)) != graph
        for graph in known_ops()[op].cases(np.random.default_rng(0))
    )
]


@pytest.mark.parametrize("op", COMPUTING)
def test_nearly_every_byte_is_an_output_of_the_cases_so_that_one_wrong_answer_shows(op: str) -> None:
    outputs = np.concatenate([python_answers(case).reshape(-1) for case in cases_of(op)])
    values, counts = np.unique(outputs, return_counts=True)
    assert len(values) >= 180
    assert counts[[0, -1]].sum() < 0.9 * outputs.size


def test_computing_operators_are_told_from_those_that_move_bytes() -> None:
    assert {"ADD", "CONV_2D", "CUMSUM", "DIV", "FULLY_CONNECTED", "MEAN", "PRELU"} <= set(COMPUTING)
    assert not {"GATHER", "MAX_POOL_2D", "MAXIMUM", "PAD", "RELU", "TRANSPOSE"} & set(COMPUTING)


@pytest.mark.parametrize("op", [op for op in OPS if op not in STATEFUL])
def test_rough_scales_give_tflite_micros_bytes(op: str) -> None:
    made = list(rough_cases(op))
    assert len(made) >= SEEDS
    truth = reference_answers if hasattr(known_ops()[op], "micro_lacks") else micro_answers
    assert_equal(op, "TFLite Micro", made, [truth(case) for case in made])


@pytest.mark.parametrize("op", ["ABS", "LEAKY_RELU", "LOGISTIC", "RELU", "SOFTMAX", "TANH"])
def test_every_value_of_16_bits_gives_tflite_micros_bytes(op: str) -> None:
    rng = np.random.default_rng(16)
    for graph in known_ops()[op].cases(rng):
        if graph.tensors[0].dtype == "int16":
            made = replace(graph, tensors=tuple(replace(each, shape=(1, 2**14, 4)) for each in graph.tensors))
            content = flatbuffer.write(made)
            window = edges.join(made.edge("input"), [rng.permutation(np.arange(-(2**15), 2**15))])
            case = Case(content, compile_model(content, op), window.reshape(1, 1, -1))
            assert_equal(op, "TFLite Micro", [case], [micro_answers(case)])


def unary(op: str, rng: np.random.Generator) -> Graph:
    """All 256 values at scales whose ratio is a simple fraction, so that results lie half-way between two."""
    x, y = (cases.activation(rng, (1, 256), name, int(rng.integers(16, 64)) / 256) for name in ("input", "output"))
    options = {"table": "LeakyReluOptions", "alpha": 0.2} if op == "LEAKY_RELU" else {}
    return cases.one_node(op, [x], y, options.pop("table", None), **options)


def dense(op: str, rng: np.random.Generator) -> Graph:
    """Many sums: now and then one lies within the last bits of a multiplier of half-way."""
    x, w = cases.activation(rng, (1, 200, 32), "input"), cases.weights(rng, (200, 32), None)
    y = cases.output_for(rng, x, w, (1, 200, 200), 32)
    return cases.one_node(op, [x, w], y, "FullyConnectedOptions", keep_num_dims=True, fused_activation_function=0)


TIES = [
    ("ABS", unary, range(60)),
    ("LEAKY_RELU", unary, range(60)),
    ("RELU", unary, range(60)),
    ("FULLY_CONNECTED", dense, (23, 322)),
]


@pytest.mark.parametrize(("op", "made", "seeds"), TIES)
def test_tflite_micro_divides_scales_in_double_and_tflite_runtime_in_float(op: str, made: Any, seeds: Any) -> None:
    different = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        content = flatbuffer.write(made(op, rng))
        plan = compile_model(content, op)
        shape = edges.shape(plan.graph.edge("input"))
        window = rng.permutation(np.resize(np.arange(-128, 128), math.prod(shape))).astype(np.int8)
        case = Case(content, plan, window.reshape(1, 1, *shape))
        assert_equal(op, "TFLite Micro", [case], [micro_answers(case)])
        different += int((reference_answers(case) != python_answers(case)).sum())
    assert different, "the two agree everywhere: nothing here is near a tie"
