"""What zeros save: which layers are stored sparse, in how many bytes, and what a stream holds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from pipeline import files, flatbuffer
from pipeline.board import load_board
from pipeline.cores import PORTABLE, core_of
from pipeline.fixedpoint import requantize
from pipeline.generate import compile_model, generate
from pipeline.graph import Graph
from pipeline.ops import cases, sparse
from pipeline.ops.fully_connected import FullyConnected
from pipeline.ops.weighted import Weighted
from pipeline.saving import savings

sys.path.insert(0, str(ROOT / "benchmarks"))
import calibrate
import small_layers
from small_layers import Room


class Dense:
    output_shape = (None, 32)

    def __init__(self, name: str, share: float) -> None:
        self.name, kept = name, np.random.default_rng(1).random((64, 32)) >= share
        self.weights = [kept.astype(np.float32), np.zeros(32, np.float32)]

    def get_weights(self) -> list[np.ndarray]:
        return self.weights


class Conv1D(Dense):
    input_shape, output_shape, strides = (None, 40, 16), (None, 20, 32), (2,)

    def get_weights(self) -> list[np.ndarray]:
        return [self.weights[0].reshape(4, 16, 32), self.weights[1]]


class Flatten(Dense):
    pass


class Network:
    layers = (Conv1D("conv", 0.8), Conv1D("few", 0.2), Dense("classes", 0.8), Flatten("flat", 0.8))


def test_zeros_save_where_they_are_many_and_the_core_has_sparse_kernels() -> None:
    rows = savings(Network(), core_of("rv32imc"))
    assert [(row["layer"], row["format"]) for row in rows] == [
        ("conv", "sparse"), ("few", "dense"), ("classes", "sparse")]  # fmt: skip
    assert rows[0]["dense_bytes"] == 2048 and rows[0]["bytes"] < 0.4 * 2048 and rows[0]["instructions"] < 0.5
    assert (rows[1]["bytes"], rows[1]["instructions"]) == (2048, 1.0)
    assert {row["format"] for row in savings(Network(), PORTABLE)} == {"dense"}


def in_words(inputs: int, outputs: int, share: float) -> np.ndarray:
    """Which weights are left, bool [inputs, outputs], where `share` of the words of pairs are not."""
    groups, both = -(-inputs // 4), -(-outputs // 2)
    words = np.random.default_rng(2).permutation(2 * groups * both) >= round(share * 2 * groups * both)
    wide = np.broadcast_to(words.reshape(groups, 1, 2, both, 1), (groups, 2, 2, both, 2))
    return wide.reshape(4 * groups, 2 * both)[:inputs, :outputs]


def test_zeros_save_words_where_the_core_multiplies_pairs() -> None:
    network = Network()
    network.layers = Conv1D("conv", 0.8), Conv1D("few", 0.2), Dense("classes", 0.2)
    for layer in network.layers:
        layer.weights[0] = in_words(64, 32, 0.8 if layer.name == "conv" else 0.3).astype(np.float32)
    conv, few, classes = savings(network, core_of("cortex-m4"))
    assert conv["format"] == "sparse" and conv["bytes"] == 16 + 5 * np.count_nonzero(network.layers[0].weights[0]) // 4
    assert conv["instructions"] < 0.6
    assert few["format"] == "sparse" and classes["format"] == "dense"  # windows share a word, vectors do not


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.99])
def test_a_stream_holds_every_weight_at_its_place(share: float) -> None:
    rng = np.random.default_rng(int(100 * share))
    weights = (rng.integers(-128, 128, (6, 700)) * (rng.random((6, 700)) >= share)).astype(np.int8)
    weights[3], weights[4, 1:] = 0, 0
    made, read = sparse.stream(weights), np.zeros_like(weights)
    stream = iter(made.tolist())
    for row in read:
        place, both = 0, next(stream)
        while both > 15:
            for distance in (both & 15, both >> 4):
                place += distance
                row[place] += np.int8(np.uint8(next(stream)))
            both = next(stream)
        if both:
            row[place + both] += np.int8(np.uint8(next(stream)))
    assert next(stream, None) is None
    assert np.array_equal(read, weights)


def sums_of(weights: np.ndarray, bias: int = 0, shift: int = -8) -> Weighted:
    count = len(weights)
    constants = np.full(count, bias, np.int32), np.full(count, 3 << 29, np.int32), np.full(count, shift, np.int8)
    return Weighted(weights.astype(np.int8), *constants, 0, 0, (-128, 127))


def test_sums_are_small_where_all_that_is_made_of_them_fits() -> None:
    few, many = np.full((3, 10), 50), np.full((3, 200), 50)
    assert sparse.small(sums_of(few)) is not None
    assert sparse.small(sums_of(many)) is None and sparse.small(sums_of(few, bias=1 << 20)) is None
    assert sparse.small(sums_of(few, shift=-20)) is None and sparse.small(sums_of(few, shift=-1)) is None
    assert sparse.small(sums_of(few, bias=500_000, shift=-2)) is None  # 93,750, which is not of 16 bits


def test_a_row_without_weights_keeps_its_output_at_any_scale() -> None:
    weights = np.full((3, 10), 50)
    weights[1] = 0
    sums = sums_of(weights, bias=7)
    sums.bias[1], sums.shift[1] = -(1 << 30), -25  # -24 of what the output counts
    made = sparse.small(sums)
    assert made is not None
    assert requantize(made["bias"], made["multiplier"], made["shift"])[1] == -24
    assert requantize(sums.bias, sums.multiplier, sums.shift)[1] == -24


def test_the_plan_takes_sparse_weights_unless_told_to_stay_dense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    graph = next(g for g in FullyConnected.cases(np.random.default_rng(3)) if g.tensors[0].shape[-1] == 90)
    path = tmp_path / "model.tflite"
    path.write_bytes(flatbuffer.write(graph))
    kernels, others, predicted = {}, {}, {}
    for dense in (False, True):
        generate(tmp_path / str(dense), path, {"model": "tiny", "board": "rv32", "dense": dense})
        plan = json.loads((tmp_path / str(dense) / "plan.json").read_text())
        kernels[dense] = [(each["kernel"], each["weights_bytes"]) for each in plan["operators"]]
        others[dense] = [each["dense"] for each in plan["operators"]]
        predicted[dense] = [each["predicted"] for each in plan["operators"]]
    assert [name for name, _ in kernels[False]] == ["nn_dense_sparse_s8"]
    assert [name for name, _ in kernels[True]] == ["nn_dense_s8"]
    assert kernels[False][0][1] < kernels[True][0][1] and predicted[False][0] < predicted[True][0]
    assert others == {False: [{"weights_bytes": kernels[True][0][1], "predicted": predicted[True][0]}], True: [None]}


def convolution(rng: np.random.Generator, size: int, depth: int, filters: int) -> Graph:
    """As in rehab: five taps, every second place, a ReLU."""
    w = cases.weights(rng, (filters, 1, 5, depth), 0)
    graph = small_layers.window("CONV_2D", rng, small_layers.activation(rng, (1, 1, size, depth)), w, 2)
    (node,) = graph.nodes
    return replace(graph, nodes=(replace(node, options={**node.options, "fused_activation_function": 1}),))


def vector(rng: np.random.Generator, inputs: int, outputs: int) -> Graph:
    x, w = small_layers.activation(rng, (1, inputs)), cases.weights(rng, (outputs, inputs), None)
    y = cases.output_for(rng, x, w, (1, outputs), inputs)
    return cases.one_node("FULLY_CONNECTED", [x, w, cases.bias(rng, x, w, outputs)], y, "FullyConnectedOptions")


def pruned(graph: Graph, share: float, words: bool) -> Graph:
    """The graph with zeros, in words or where each weight likes."""
    w = graph.tensors[1]
    assert w.data is not None
    if words:
        left = in_words(w.count // w.shape[0], w.shape[0], share).T.reshape(w.shape)
    else:
        left = (np.random.default_rng(3).permutation(w.count) >= round(share * w.count)).reshape(w.shape)
    return replace(graph, tensors=(graph.tensors[0], replace(w, data=w.data * left), *graph.tensors[2:]))


SHAPES = {
    "rehab": [(convolution, (128, 6, 16)), (convolution, (64, 16, 32)), (convolution, (32, 32, 32)), (vector, (32, 7))],
    "bearing": [(vector, sizes) for sizes in ((128, 32), (32, 8), (8, 32), (32, 128))],
}
SCALAR = ("rv32", "esp32", "mega2560")
BARS = [  # share of zeros; instructions and bytes of weights over those of the dense kernels; on AVR cycles
    ("cortex-m4", "rehab", 0.8, 0.60, 0.45),
    ("cortex-m4", "bearing", 0.8, 0.60, 0.45),
    ("cortex-m4", "bearing", 0.95, 0.40, 0.25),
    *((board, "rehab", 0.8, 0.40, 0.45) for board in SCALAR),
    *((board, "bearing", 0.8, bar, 0.45) for board, bar in zip(SCALAR, (0.60, 0.60, 0.50), strict=True)),
    *((board, "bearing", 0.95, 0.40, 0.45) for board in SCALAR),
]


@pytest.mark.slow
@pytest.mark.parametrize(("board_name", "name", "share", "most", "bytes_most"), BARS)
def test_weights_of_zero_take_less(board_name: str, name: str, share: float, most: float, bytes_most: float) -> None:
    board, room, rng = load_board(board_name), Room(1024, 0, 0, 0), np.random.default_rng(5)
    core = core_of(board.core)
    model, words = calibrate.Model(core, room), core.packing == "pairs"
    for make, sizes in SHAPES[name]:
        model.add(pruned(make(rng, *sizes), share, words))
    made = model.plan
    counts = calibrate.counted(board, made, calibrate.window_bytes(room))
    taken = [(step.call.kernel, count, step.weights_bytes) for step, count in zip(made.steps, counts, strict=True)]
    ending = "_pairs_s8" if words else "_s8"
    sparse = [figures for kernel, *figures in taken if kernel.endswith(f"_sparse{ending}")]
    dense = [figures for kernel, *figures in taken if kernel in (f"nn_conv2d{ending}", f"nn_dense{ending}")]
    assert len(dense) == len(sparse) == 4
    instructions, size = np.sum(sparse, axis=0) / np.sum(dense, axis=0)
    assert instructions <= most and size <= bytes_most


@pytest.mark.slow
@pytest.mark.parametrize("board_name", SCALAR)
@pytest.mark.parametrize("name", ["rehab", "bearing"])
def test_the_built_in_models_take_at_most_two_fifths_of_their_dense_builds(
    name: str, board_name: str, trained: Callable[[str], Path]
) -> None:
    folder, board = trained(name), load_board(board_name)
    window = files.read_arrays(folder / "reference.npz", "make")["inputs"][0].tobytes()
    taken = []
    for core in (core_of(board.core), replace(core_of(board.core), sparse=False)):
        plan = compile_model((folder / "model.tflite").read_bytes(), name, core)
        taken.append((calibrate.counted(board, plan, window).sum(), plan.weights_bytes))
    assert not any("_sparse_" in step.call.kernel for step in plan.steps)
    instructions, size = np.array(taken[0]) / taken[1]
    assert instructions <= 0.40 and size <= 0.45
