"""A convolution and the pool behind it in one kernel: where that may be, that no byte changes, and what it saves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from test_stripes import drawn, run_c

from pipeline import flatbuffer, stripes
from pipeline.cores import PORTABLE, core_of
from pipeline.evaluate import answer, evaluate
from pipeline.fixedpoint import requantize
from pipeline.fusion import fused
from pipeline.generate import compile_model
from pipeline.graph import Graph
from pipeline.importer import operators
from pipeline.ops import cases
from pipeline.ops.conv_2d import Conv2D
from pipeline.ops.pooled_conv import PooledConv, grows, pooled
from pipeline.ops.weighted import Weighted
from pipeline.repro import write_folder
from pipeline.tensors import tensors

sys.path.insert(0, str(ROOT / "benchmarks"))
import fusion as benchmark
from fusion import Network

MULTIPLIERS = (0, 1, 3, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 3 << 29, (1 << 31) - 2, (1 << 31) - 1)
SHIFTS = (-31, -30, -20, -12, -8, -2, -1, 0, 1, 2, 8, 30)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_no_larger_sum_has_a_smaller_output(multiplier: int, shift: int) -> None:
    most = (2**31 - 1) >> max(shift, 0)
    step = 2 ** (31 - shift) / max(multiplier, 1)  # from one output to the next
    edges = [0, most, -most, *(np.arange(-300, 301) / 2 * step).clip(-most, most).astype(np.int64).tolist()]
    sums = np.unique([edge + near for edge in edges for near in range(-40, 41)]).clip(-most, most)
    assert (np.diff(requantize(sums, multiplier, shift)) >= 0).all()
    if shift > 0 and multiplier > 1 << 29:  # what grows() is for
        assert (np.diff(requantize(np.array([most, most + 1]), multiplier, shift)) < 0).all()


def convolution(weights: np.ndarray, bias: int = 0, shift: int = -8) -> Any:
    count = len(weights)
    constants = np.full(count, bias, np.int32), np.full(count, 3 << 29, np.int32), np.full(count, shift, np.int8)
    return Conv2D(None, Weighted(weights.astype(np.int8), *constants, 0, 0, (-128, 127)))  # type: ignore[arg-type]


def test_sums_that_may_wrap_have_no_kernel_with_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conv2D, "groups", 1)
    weights = np.full((2, 1, 1, 16), 127)
    largest = 16 * 127 * 255
    assert grows(convolution(weights)) and grows(convolution(weights, bias=2**31 - 1 - largest))
    assert not grows(convolution(weights, bias=2**31 - 1)) and not grows(convolution(weights, bias=-(2**31)))
    assert grows(convolution(weights, shift=12)) and not grows(convolution(weights, shift=13))
    assert grows(convolution(0 * weights, bias=2**31 - 1))  # always the same, whatever its bias


def layer(shape: tuple[int, ...] = (1, 9, 8, 3), kernel: tuple[int, int] = (3, 3), **changes: Any) -> Graph:
    """A convolution and a pool of 2 x 2."""
    network = Network(shape).conv(5, *kernel)
    return with_pool(pooled(network.graph, (2, 2)), **changes)


def with_pool(graph: Graph, **changes: Any) -> Graph:
    """The graph with other options of its last operator."""
    *nodes, pool = graph.nodes
    return replace(graph, nodes=(*nodes, replace(pool, options={**pool.options, **changes})))


def with_output(graph: Graph, shape: tuple[int, ...]) -> Graph:
    """The graph whose output has another shape."""
    (y,) = graph.outputs
    return replace(graph, tensors=(*graph.tensors[:y], replace(graph.tensors[y], shape=shape)))


def kernels(graph: Graph, core: str = "portable", **changes: Any) -> list[str]:
    plan = compile_model(flatbuffer.write(graph), "m", replace(core_of(core), **changes))
    return [step.call.kernel for step in plan.steps]


def read_twice() -> Graph:
    graph = layer()
    (conv, *_), (y,) = graph.nodes, graph.outputs
    other = cases.behind(replace(graph, outputs=conv.outputs), "RELU", [], graph.tensors[conv.outputs[0]], {})
    return replace(other, outputs=(y, *other.outputs))


def grouped() -> Graph:
    graph = layer((1, 9, 8, 4))
    w = graph.tensors[1]
    assert w.data is not None
    channels = replace(w, shape=(4, 3, 3, 2), data=w.data[:4, :, :, :2], quant=replace(w.quant, scale=w.quant.scale[:4],
                       zero_point=(0,) * 4))  # fmt: skip
    bias = graph.tensors[2]
    four = [replace(t, shape=(*t.shape[:3], 4)) for t in graph.tensors[3:]]
    return replace(graph, tensors=(graph.tensors[0], channels, replace(bias, shape=(4,), data=bias.data[:4],
                   quant=replace(bias.quant, scale=bias.quant.scale[:4], zero_point=(0,) * 4)), *four))  # fmt: skip


APART: dict[str, Callable[[], Graph]] = {
    "read by another too": read_twice,
    "an output of the model": lambda: replace(layer(), outputs=(layer().nodes[0].outputs[0], *layer().outputs)),
    "windows that overlap": lambda: with_output(layer(stride_h=1), (1, 8, 4, 5)),
    "places left out in between": lambda: with_output(layer(stride_w=3), (1, 4, 3, 5)),
    "padding": lambda: with_output(layer(padding=0), (1, 5, 4, 5)),
    "16 bits": lambda: cases.of_16_bits(layer()),
    "groups": grouped,
}


@pytest.mark.parametrize("why", APART)
def test_stays_apart(why: str) -> None:
    assert not any("_pool_s8" in kernel and "conv" in kernel for kernel in kernels(APART[why]()))
    assert any("max_pool" in kernel for kernel in kernels(APART[why]()))


def test_is_one_call_where_windows_lie_side_by_side() -> None:
    assert kernels(layer()) == ["nn_conv2d_pool_s8"]  # of 9 rows the last is in no window
    assert kernels(with_pool(layer((1, 8, 8, 3)), padding=0)) == ["nn_conv2d_pool_s8"]  # which here adds nothing
    assert kernels(layer(), fuses=False) == ["nn_conv2d_s8", "nn_max_pool_s8"]
    row = Network((1, 30, 4)).conv(6, 5).pool(2)
    assert kernels(row.graph) == ["nn_conv2d_pool_s8"]  # through reshapes, which make a column of a row
    turned = replace(row.graph, nodes=row.graph.nodes[:-1], outputs=row.graph.nodes[-2].outputs)
    assert kernels(turned) == ["nn_conv2d_s8", "nn_max_pool_s8"]  # a column that the caller sees


def test_a_core_keeps_apart_what_takes_less_so() -> None:
    wide = Network((1, 12, 12, 16)).conv(32, 3, 3).pool(2, 2).graph
    assert {*kernels(wide, "cortex-m55")} == {"nn_conv2d_tiles_s8", "nn_max_pool_s8"}
    assert kernels(wide, "cortex-m4") == ["nn_conv2d_pool_pairs_s8"]
    assert kernels(Network((1, 12, 12, 16), 0.9).conv(32, 3, 3).pool(2, 2).graph, "rv32imc") == [
        "nn_conv2d_pool_sparse_s8"]  # fmt: skip


@pytest.mark.parametrize("activations", [(0, 0), (1, 0), (0, 3), (3, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("column", [False, True])
def test_the_oracle_gives_the_bytes_of_both(activations: tuple[int, int], column: bool) -> None:
    network = Network((1, 1, 23, 4) if column else (1, 7, 10, 2)).conv(5, *((1, 3) if column else (2, 3)))
    graph = pooled(network.graph, (1, 3) if column else (2, 2), activations[1], column)
    conv = graph.nodes[0]
    options = {**conv.options, "fused_activation_function": activations[0]}
    graph = replace(graph, nodes=(replace(conv, options=options), *graph.nodes[1:]))
    made = compile_model(flatbuffer.write(graph), "m").graph
    ops = operators(made, "m")
    assert isinstance(ops[0], PooledConv)
    for window in drawn(graph, 8):
        assert np.array_equal(answer(made, ops, window), answer(graph, operators(graph, "m"), window))


def test_the_arena_has_no_room_for_what_is_never_made() -> None:
    for name, network in benchmark.networks().items():
        for core in ("rv32imc", "avr"):
            apart, fused = benchmark.plans(network, core)
            assert fused.layout.arena_bytes < 0.77 * apart.layout.arena_bytes, (name, core)
            assert fused.predicted and apart.predicted and fused.predicted < apart.predicted


def test_stays_apart_where_only_so_the_arena_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    content = flatbuffer.write(layer((1, 16, 16, 3)))
    made = PooledConv.ways
    monkeypatch.setattr(PooledConv, "ways", lambda *of: tuple(replace(call, scratch=9000) for call in made(*of)))
    for most, kernel in ((None, "nn_conv2d_pool_s8"), (8000, "nn_conv2d_s8"), (10, "nn_conv2d_s8")):
        assert compile_model(content, "m", most=most).steps[0].call.kernel == kernel


def test_stripes_cut_what_is_fused(tmp_path: Path) -> None:
    network = Network((1, 32, 32, 2)).conv(8, 3, 3).pool(2, 2).conv(8, 3, 3).pool(2, 2).dense(4)
    content = flatbuffer.write(network.graph)
    whole = compile_model(content, "m", replace(PORTABLE, fuses=False))
    fitting = compile_model(content, "m", most=2000)
    assert fitting.layout.arena_bytes <= 2000 < whole.layout.arena_bytes and " stripes" in fitting.note
    assert {step.call.kernel for step in fitting.steps} >= {"nn_conv2d_pool_s8"}
    windows = drawn(whole.graph, 4)
    expected = [answer(network.graph, operators(network.graph, "m"), w).tobytes() for w in windows]
    assert run_c(tmp_path, fitting, content, windows) == expected


@pytest.mark.parametrize("core", ["rv32imc", "cortex-m4", "avr"])
def test_steps_are_compared_with_the_tensors_of_the_file(core: str) -> None:
    for network in benchmark.networks().values():
        content, (window,) = flatbuffer.write(network.graph), drawn(network.graph, 1)
        plan = compile_model(content, "m", core_of(core))
        known = tensors(content, window, "m", core)
        made = evaluate(plan.graph, operators(plan.graph, "m"), window)
        for step in plan.steps:
            assert step.output < len(network.graph.tensors)  # no tensor but the pool's own
            assert known[step.output].tobytes() == made[step.output].tobytes()


def test_a_step_alone_is_both_operators(tmp_path: Path) -> None:
    graph = Network((1, 30, 4)).conv(6, 5).pool(2).graph
    content, (window,) = flatbuffer.write(graph), drawn(graph, 1)
    (step,) = compile_model(content, "m").steps
    expected = tensors(content, window, "m")[step.output].tobytes()
    for name, values in (("input0", window.tobytes()), ("expected", expected), ("got", expected)):
        (tmp_path / f"{name}.bin").write_bytes(values)
    write_folder(tmp_path, content, step.output, list(graph.inputs), "")
    alone = flatbuffer.read((tmp_path / "model.tflite").read_bytes(), "step")
    assert [node.op for node in alone.nodes if node.op != "RESHAPE"] == ["CONV_2D", "MAX_POOL_2D"]
    done = subprocess.run(["make", "-C", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", range(40))
def test_stripes_of_what_is_fused_change_no_byte(seed: int) -> None:
    rng, network = np.random.default_rng(seed), Network((1, 40, 11, 2))
    for pool in ((2, 2), (3, 1)):
        stride, dilation = [(1, 1), (1, 2), (2, 1)][rng.integers(3)]
        kernel, padding = rng.integers(1, 4, 2).tolist(), int(rng.integers(2))
        network.conv(3, *kernel, padding=padding, stride=stride, dilation=dilation).pool(*pool)
    made, ops = fused(network.graph, operators(network.graph, "m"), PORTABLE)
    assert [type(op) for op in ops] == [PooledConv, PooledConv]
    chain = stripes.Chain(0, 1, 2 if made.edge("output")[0].shape[1] > 1 else 1, 0)
    other, theirs = stripes.cut(made, ops, chain)
    for window in drawn(made, 3):
        expected = answer(network.graph, operators(network.graph, "m"), window)
        assert np.array_equal(answer(made, ops, window), expected)
        assert np.array_equal(answer(other, theirs, window), expected)


BARS = {"cortex-m4": (0.78, 0.88), "pico": (0.87, 0.88), "rv32": (0.91, 0.93), "esp32": (0.91, 0.94),
        "mega2560": (0.77, 0.81)}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("board", BARS)
def test_fused_takes_less(board: str) -> None:
    for network, most in zip(benchmark.networks().values(), BARS[board], strict=True):
        (apart, _), (fused, plan) = benchmark.taken(network, board)
        assert fused <= most * apart
        assert plan.predicted == pytest.approx(fused, rel=0.15)
