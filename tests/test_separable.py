"""A depthwise convolution and the one of 1 x 1 behind it in one kernel: where that may be, that no byte changes, and
what it saves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from test_stripes import drawn, run_c

from pipeline import flatbuffer
from pipeline.cores import PORTABLE, core_of
from pipeline.costs import _alone
from pipeline.evaluate import answer
from pipeline.generate import compile_model
from pipeline.graph import Graph
from pipeline.importer import operators
from pipeline.ops import cases
from pipeline.ops.depthwise_conv_2d import DepthwiseConv2D
from pipeline.ops.separable import Separable, pointed

sys.path.insert(0, str(ROOT / "benchmarks"))
import fusion as benchmark
from fusion import Network

ONE = ["nn_depthwise_conv2d_point_s8"]
TWO = ["nn_depthwise_conv2d_s8", "nn_conv2d_s8"]


def kernels(graph: Graph, core: str = "portable", **changes: Any) -> list[str]:
    plan = compile_model(flatbuffer.write(graph), "m", replace(core_of(core), **changes))
    return [step.call.kernel for step in plan.steps]


def pair(shape: tuple[int, ...] = (1, 6, 7, 8), zeros: float = 0.0) -> Network:
    return Network(shape, zeros).depthwise(3, 3).conv(8, 1, 1)


def shown() -> Graph:
    """What lies between is an output of the model too."""
    graph = pair().graph
    return replace(graph, outputs=(graph.nodes[0].outputs[0], *graph.outputs))


def read_twice() -> Graph:
    graph = pair().graph
    between, (y,) = graph.nodes[0].outputs, graph.outputs
    other = cases.behind(replace(graph, outputs=between), "RELU", [], graph.tensors[between[0]], {})
    return replace(other, outputs=(y, *other.outputs))


APART: dict[str, Callable[[], Graph]] = {
    "read by another too": read_twice,
    "an output of the model": shown,
    "a window": lambda: Network((1, 6, 7, 8)).depthwise(3, 3).conv(8, 3, 1, padding=1).graph,
    "places left out": lambda: Network((1, 6, 7, 8)).depthwise(3, 3).conv(8, 1, 1, stride=2).graph,
    "16 bits": lambda: cases.of_16_bits(pair().graph),
    "no depthwise one": lambda: Network((1, 6, 7, 8)).conv(4, 3, 3).conv(8, 1, 1).graph,
}


@pytest.mark.parametrize("why", APART)
def test_stays_apart(why: str) -> None:
    assert not {*kernels(APART[why]())} & {*ONE}


def test_is_one_call_where_the_core_goes_place_by_place() -> None:
    graph = pair().graph
    assert kernels(graph) == ONE and kernels(graph, fuses=False) == TWO
    assert kernels(graph, "rv32imc") == kernels(graph, "cortex-m0plus") == ONE
    thin = pair((1, 8, 8, 64), zeros=0.9).graph
    assert kernels(thin, "rv32imc") == ["nn_depthwise_conv2d_sparse_point_s8"]
    for core in ("cortex-m4", "cortex-m55", "xtensa-lx6"):  # plane by plane, or in tiles
        assert len(kernels(graph, core)) == 2


def test_the_layer_says_what_both_take() -> None:
    content = flatbuffer.write(pair((1, 8, 8, 64), zeros=0.9).graph)
    apart, whole = (compile_model(content, "m", replace(core_of("rv32imc"), fuses=each)) for each in (False, True))
    (step,) = whole.steps
    assert step.macs == sum(each.macs for each in apart.steps) and whole.weights_bytes == apart.weights_bytes
    assert step.zeros == apart.steps[1].zeros and step.dense is not None and apart.steps[1].dense is not None
    assert step.dense["weights_bytes"] > step.weights_bytes
    assert step.predicted and step.dense["predicted"] > step.predicted


@pytest.mark.parametrize("zeros", [0.0, 0.9])
@pytest.mark.parametrize("core", ["portable", "rv32imc"])
def test_the_same_bytes_in_the_place_of_the_input(core: str, zeros: float, tmp_path: Path) -> None:
    network = Network((1, 9, 7, 3), zeros).conv(12, 3, 3).depthwise(3, 3).conv(12, 1, 1).depthwise(3, 3, stride=2)
    graph = network.conv(9, 1, 1).dense(4).graph
    content = flatbuffer.write(graph)
    made = compile_model(content, "m", core_of(core))
    ops = operators(made.graph, "m")
    assert sum(isinstance(each, Separable) for each in ops) == 2
    x, y = made.steps[1].inputs[0], made.steps[1].output
    assert made.layout.places[x] == made.layout.places[y]
    windows = drawn(graph, 6)
    expected = [answer(graph, operators(graph, "m"), window).tobytes() for window in windows]
    assert [answer(made.graph, ops, window).tobytes() for window in windows] == expected
    assert run_c(tmp_path, made, content, windows) == expected


def test_any_depthwise_convolution_may_be_the_first_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    fused, firsts = 0, [graph for graph in DepthwiseConv2D.cases(rng) if graph.edge("input")[0].dtype == "int8"]
    for number, first in enumerate([graph for graph in firsts if len(graph.nodes) == 1]):
        (folder := tmp_path / str(number)).mkdir()
        graph = pointed(rng, first, int(rng.integers(1, 12)), (0.0, 0.85)[number % 2])
        content = flatbuffer.write(graph)
        made = compile_model(content, "m", core_of("rv32imc"))
        windows = drawn(graph, 4)
        expected = [answer(graph, operators(graph, "m"), window).tobytes() for window in windows]
        assert run_c(folder, made, content, windows) == expected
        fused += len(made.steps) == 1
    assert fused >= 12


def test_what_no_stripes_go_through_is_one_call(tmp_path: Path) -> None:
    network = Network((1, 32, 32, 2)).conv(8, 3, 3).depthwise(3, 3).conv(16, 1, 1).depthwise(3, 3, stride=2)
    graph = network.conv(8, 1, 1).depthwise(3, 3).conv(8, 1, 1).dense(4).graph
    content = flatbuffer.write(graph)
    whole = compile_model(content, "m", replace(PORTABLE, fuses=False))
    fitting = compile_model(content, "m", most=12_000)
    assert fitting.layout.arena_bytes <= 12_000 < whole.layout.arena_bytes and " stripes" in fitting.note
    assert {step.call.kernel for step in fitting.steps} >= {*ONE}
    windows = drawn(graph, 4)
    expected = [answer(graph, operators(graph, "m"), window).tobytes() for window in windows]
    assert run_c(tmp_path, fitting, content, windows) == expected


def test_places_without_a_neighbour_are_counted() -> None:
    assert _alone(3, 6, 4) == 0  # of 6 in turns of 4: 4, 2 | 2, 4 | 4, 2
    assert _alone(1, 5, 4) == 1 and _alone(2, 5, 4) == 2  # 2 2 | 1, 2 1 | 2
    assert _alone(2, 5, 1) == 10


@pytest.mark.slow
@pytest.mark.parametrize(("board", "most"), [("rv32", 0.97), ("pico", 0.98)])
def test_takes_less(board: str, most: float) -> None:
    for network in benchmark.separable().values():
        (apart, _), (fused, plan) = benchmark.taken(network, board)
        assert fused <= most * apart
        assert plan.predicted == pytest.approx(fused, rel=0.15)
