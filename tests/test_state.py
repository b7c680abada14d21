"""Operators that keep a state: its start, one inference after another, and what they refuse."""

from __future__ import annotations

import ctypes
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ops.cases_project import cases_of
from ops.test_conformance import micro_answers, python_answers, reference_answers
from ops.test_refusals import OTHER, first, with_options, with_tensor

from pipeline import flatbuffer, oracle, quantize
from pipeline.graph import Graph, Quant
from pipeline.importer import operators
from pipeline.ops.sigmoid16 import ONE, sigmoid16, tanh16
from pipeline.problem import Problem, Problems

ROOT = Path(__file__).resolve().parents[1]
STATEFUL = ("SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM")
LSTM, SVDF = first("UNIDIRECTIONAL_SEQUENCE_LSTM"), first("SVDF")


def slot(graph: Graph, number: int) -> int:
    """The tensor in a slot of the first node."""
    return graph.nodes[0].inputs[number]


def twice(graph: Graph) -> Graph:
    """The same layer once more on the same variables."""
    node = graph.nodes[0]
    again = replace(node, index=1, outputs=(len(graph.tensors),))
    tensors = (*graph.tensors, replace(graph.output(node), name="again"))
    return replace(graph, tensors=tensors, nodes=(node, again))


def with_peephole(graph: Graph) -> Graph:
    node = graph.nodes[0]
    inputs = (*node.inputs[:9], node.inputs[12], *node.inputs[10:])
    return replace(graph, nodes=(replace(node, inputs=inputs),))


REFUSALS = {
    "state that is no variable": (with_tensor(LSTM, slot(LSTM, 18), is_variable=False), "is a int8 tensor"),
    "float state": (with_tensor(SVDF, slot(SVDF, 4), dtype="float32"), "is a float32 variable"),
    "two layers on one state": (twice(LSTM), "shares its state hidden with another operator"),
    "a batch": (with_tensor(LSTM, 0, shape=(2, 3, 1)), "works on 2 sequences, [2, 3, 1]"),
    "peepholes": (with_peephole(LSTM), "has peepholes, a projection or a layer normalization inside"),
    "another activation": (with_options(LSTM, fused_activation_function=1), "has the activation RELU for its cells"),
    "a scale between": (
        with_tensor(LSTM, slot(LSTM, 19), quant=Quant((0.1,), (0,))),
        "which is no power of two up to 4",
    ),
    "weights per channel": (
        with_tensor(LSTM, slot(LSTM, 5), quant=Quant((0.1, 0.2), (0, 0))),
        "are not [1, 1] with one scale",
    ),
    "weights in time of another type": (
        with_tensor(SVDF, slot(SVDF, 4), dtype="int8"),
        "its weights in time are int16 and its state is int8",
    ),
    "weights in time with a zero point": (
        with_tensor(SVDF, slot(SVDF, 2), quant=OTHER),
        "its weights in time are int16",
    ),
    "weights in time that are not constant": (
        with_tensor(SVDF, slot(SVDF, 2), data=None),
        "its weights in time are not constant",
    ),
}


@pytest.mark.parametrize("what", sorted(REFUSALS))
def test_refuses(what: str) -> None:
    graph, words = REFUSALS[what]
    with pytest.raises((Problem, Problems), match=re.escape(words)):
        operators(graph, "m.tflite")


def test_the_reference_refuses_the_state_that_it_would_misread() -> None:
    narrow = with_tensor(SVDF, slot(SVDF, 4), dtype="int8")
    with pytest.raises(Problem, match=r"tflite-runtime 2\.14 misreads the 8-bit state of #0 SVDF"):
        oracle.run(flatbuffer.write(narrow), np.zeros((1, 3), np.int8))


def test_the_reference_agrees_on_16_bit_state() -> None:
    found = cases_of("SVDF")
    wide = [
        case for case in found if not case.kept and case.plan.graph.input(case.plan.graph.nodes[0], 4).dtype == "int16"
    ]
    assert len(wide) > 3
    for case in wide:
        assert np.array_equal(python_answers(case), reference_answers(case))


@pytest.mark.parametrize("op", STATEFUL)
def test_a_kept_state_changes_the_answer_to_the_same_window(op: str) -> None:
    alike: dict[bool, list[bool]] = {False: [], True: []}
    for case in cases_of(op):
        repeated = replace(case, windows=case.windows[-1:].repeat(6, axis=0))
        assert len(case.plan.layout.states) == 1
        assert np.array_equal(python_answers(repeated), micro_answers(repeated))
        alike[case.kept].append(len(np.unique(python_answers(repeated), axis=0)) == 1)
    assert all(alike[False])
    assert sum(alike[True]) < len(alike[True]) / 2


def test_16_bit_cells_are_no_mistake_of_the_quantization() -> None:
    quantize.check_integer(LSTM, "m")


def test_sigmoid_and_tanh_are_close_to_the_real_functions() -> None:
    x = np.arange(-12 * ONE, 12 * ONE, 7)
    assert np.abs(sigmoid16(x) / 2**15 - 1 / (1 + np.exp(-x / ONE))).max() < 5e-5
    assert np.abs(tanh16(x) / 2**15 - np.tanh(x / ONE)).max() < 1e-4


def test_sigmoid_and_tanh_in_c_equal_python_everywhere(tmp_path: Path) -> None:
    names = {"sigmoid": "nn_sigmoid_of", "hyper": "nn_tanh_of"}
    text = "".join(f"int {name}(int x) {{ return {called}(x); }}\n" for name, called in names.items())
    (tmp_path / "s.c").write_text(f'#include "nn_sigmoid.h"\n{text}')
    flags = ["-std=c11", "-shared", "-fPIC", f"-I{ROOT / 'firmware' / 'kernels'}"]
    subprocess.run(["gcc", *flags, str(tmp_path / "s.c"), "-o", str(tmp_path / "s.so")], check=True)
    functions = ctypes.CDLL(str(tmp_path / "s.so"))
    x = np.arange(-(2**17) - 3, 2**17 + 3)
    assert [functions.sigmoid(int(value)) for value in x] == sigmoid16(x).tolist()
    assert [functions.hyper(int(value)) for value in x] == tanh16(x).tolist()
