"""Which engine the reference is from: tflite-runtime where it is right, the integer oracle where it is not."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from ops.cases_project import cases_of
from ops.test_conformance import micro_answers

from pipeline import flatbuffer, reference
from pipeline.graph import Graph
from pipeline.ops import cases
from pipeline.problem import Problem
from pipeline.reference import INTEGER, TFLITE


def micro(content: bytes, windows: NDArray[np.int8]) -> NDArray[np.int8]:
    from ops.cases_project import Case

    from pipeline.generate import compile_model

    return micro_answers(Case(content, compile_model(content, "m"), windows[:, np.newaxis]))[:, 0]


def dense_on_three_axes() -> Graph:
    rng = np.random.default_rng(zlib.crc32(b"dense"))
    x, w = cases.activation(rng, (1, 4, 20), "input"), cases.weights(rng, (6, 20), axis=0)
    y = cases.output_for(rng, x, w, (1, 4, 6), 20)
    inputs = [x, w, cases.bias(rng, x, w, 6)]
    return cases.one_node("FULLY_CONNECTED", inputs, y, "FullyConnectedOptions", keep_num_dims=True)


def test_tflite_runtime_is_the_reference_where_it_equals_tflite_micro() -> None:
    case = cases_of("CONV_2D")[0]
    found, engine = reference.outputs(case.content, case.windows[:, 0], "t")
    assert engine == TFLITE
    assert np.array_equal(found, micro_answers(case)[:, 0])


def test_the_integer_oracle_is_the_reference_where_tflite_runtime_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    content = flatbuffer.write(dense_on_three_axes())
    windows = np.random.default_rng(1).integers(-128, 128, (40, 4, 20)).astype(np.int8)
    found, engine = reference.outputs(content, windows, "t")
    assert engine == INTEGER
    assert np.array_equal(found, micro(content, windows))
    assert "tflite-runtime differs from TFLite Micro on this model" in capfd.readouterr().err


def test_the_integer_oracle_is_the_reference_where_tflite_runtime_refuses() -> None:
    case = cases_of("ELU")[0]
    found, engine = reference.outputs(case.content, case.windows[:, 0], "t")
    assert engine == INTEGER
    assert np.array_equal(found, micro_answers(case)[:, 0])


def test_a_model_that_neither_runs_is_refused() -> None:
    rng = np.random.default_rng(2)
    x = cases.activation(rng, (1, 4), "x")
    content = flatbuffer.write(cases.one_node("CEIL", [x], x))
    with pytest.raises(Problem, match="oracle: ended with exit code"):
        reference.outputs(content, np.zeros((2, 4), np.int8), "t")


def test_a_model_without_kernels_is_left_to_tflite_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases_of("RELU")[0]
    monkeypatch.setattr(reference, "_compiled", lambda content, where: None)
    assert reference.outputs(case.content, case.windows[:, 0], "t")[1] == TFLITE
