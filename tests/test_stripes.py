"""Views that save copies, and chains computed in stripes: less memory, the same bytes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, stage
from hypothesis import given as drawing
from hypothesis import settings
from hypothesis import strategies as st

from pipeline import flatbuffer, repro, stripes
from pipeline.cores import CORES, PORTABLE, core_of
from pipeline.evaluate import answer
from pipeline.generate import compile_model, sources
from pipeline.graph import Graph, Node, Quant, Tensor
from pipeline.importer import operators
from pipeline.ops import cases
from pipeline.ops.window import output_size
from pipeline.plan import Plan, plan, plan_json
from pipeline.tensors import tensors

READY = """
import pathlib
from pipeline.spec import Provenance, Ready

MADE_UP = Provenance("none", "0", "none", "0" * 64, "made up")
READY = Ready("classification", (LABELS), MADE_UP, windows=8)


def flatbuffer():
    return (pathlib.Path(__file__).parent / "head.tflite").read_bytes()
"""
RNG = np.random.default_rng(5)
GCC = ["gcc", "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror",
       "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DBOARD_ARENA_BYTES=1000000",
       f"-I{ROOT / 'firmware/kernels'}"]  # fmt: skip


def planned(graph: Graph) -> Plan:
    return plan(graph, operators(graph, "m"), PORTABLE)


def run_c(folder: Path, made: Plan, content: bytes, windows: list[np.ndarray]) -> list[bytes]:
    """The generated C's answers, compiled here with the sanitizers; the arena is as long as the plan says."""
    for name, text in sources(made, content, "m").items():
        (folder / name).write_text(text)
    (folder / "main.c").write_text("""
#include <stdio.h>
#include <stdlib.h>
#include "model.h"
int main(void)
{
    int8_t *input = malloc(MODEL_INPUT_BYTES), *output = malloc(MODEL_OUTPUT_BYTES);
    uint8_t *arena = aligned_alloc(16, (MODEL_ARENA_BYTES + 15) / 16 * 16 + 16);
    while (fread(input, 1, MODEL_INPUT_BYTES, stdin) == MODEL_INPUT_BYTES) {
        MODEL_RUN(input, output, arena);
        fwrite(output, 1, MODEL_OUTPUT_BYTES, stdout);
    }
    free(input), free(output), free(arena);
    return 0;
}
""")
    subprocess.run([*GCC, "main.c", "model.c", "weights.c", "-o", "main"], cwd=folder, check=True)
    done = subprocess.run(
        [folder / "main"], input=b"".join(w.tobytes() for w in windows), capture_output=True, check=True
    )
    size = len(done.stdout) // len(windows)
    return [done.stdout[i * size : (i + 1) * size] for i in range(len(windows))]


def drawn(graph: Graph, count: int) -> list[np.ndarray]:
    return [RNG.integers(-128, 128, graph.tensors[graph.inputs[0]].shape).astype(np.int8) for _ in range(count)]


def rows_graph() -> Graph:
    """The rows of the input in two parts, each through a RELU, joined the other way round, and a last RELU."""
    x = cases.activation(RNG, (1, 8, 4), "x")
    part, whole = replace(x, shape=(1, 4, 4), name="part"), replace(x, name="whole")
    axis = cases.constant("axis", 1)
    nodes = (
        Node(0, "SPLIT", (1, 0), (2, 3), {"table": "SplitOptions", "num_splits": 2}),
        Node(1, "RELU", (2,), (4,), {}),
        Node(2, "RELU", (3,), (5,), {}),
        Node(3, "CONCATENATION", (5, 4), (6,), {"table": "ConcatenationOptions", "axis": 1}),
        Node(4, "RELU", (6,), (7,), {}),
    )
    return Graph((x, axis, part, part, part, part, whole, whole), nodes, (0,), (7,))


def test_rows_are_cut_and_joined_without_a_copy(tmp_path: Path) -> None:
    graph = rows_graph()
    made = planned(graph)
    assert [step.op for step in made.steps] == ["RELU", "RELU", "RELU"]
    assert made.layout.arena_bytes == 32
    places = {name: (made.layout.places[i].kind, made.layout.places[i].offset) for name, i in
              {"first": 2, "second": 3, "front": 5, "back": 4}.items()}  # fmt: skip
    assert places == {"first": ("input", 0), "second": ("input", 16), "front": ("arena", 0), "back": ("arena", 16)}
    windows = drawn(graph, 3)
    assert run_c(tmp_path, made, flatbuffer.write(graph), windows) == [
        answer(graph, operators(graph, "m"), w).tobytes() for w in windows
    ]


def test_parts_that_are_joined_elsewhere_do_not_take_over_what_they_are_parts_of(tmp_path: Path) -> None:
    graph = rows_graph()
    first = Node(9, "RELU", (0,), (len(graph.tensors),), {})
    split = replace(graph.nodes[0], inputs=(1, len(graph.tensors)))
    graph = replace(graph, tensors=(*graph.tensors, graph.tensors[0]), nodes=(first, split, *graph.nodes[1:]))
    made = planned(graph)
    assert [step.op for step in made.steps] == ["RELU"] * 4 and made.layout.arena_bytes == 64
    windows = drawn(graph, 3)
    assert run_c(tmp_path, made, flatbuffer.write(graph), windows) == [
        answer(graph, operators(graph, "m"), w).tobytes() for w in windows
    ]


def test_the_plan_says_where_each_piece_of_an_input_comes_from() -> None:
    steps = plan_json(planned(rows_graph()))["operators"]
    assert [step["makers"] for step in steps] == [[[(-1, 0, 16)]], [[(-1, 16, 16)]], [[(1, 0, 16), (0, 0, 16)]]]


def test_parts_that_are_not_aligned_or_not_dense_are_moved() -> None:
    x = cases.activation(RNG, (1, 6, 3), "x")
    for shape, axis in (((1, 3, 3), 1), ((1, 6, 1), 2)):
        count = (6 // shape[1]) * (3 // shape[2])
        graph = cases.joined(RNG, "SPLIT", [cases.constant("axis", axis), x], shape, count, "SplitOptions",
                             num_splits=count)  # fmt: skip
        moved = [step.op for step in planned(graph).steps if step.op == "SPLIT"]
        assert len(moved) == (1 if axis == 1 else 3)  # the first half begins at byte 0, the second at byte 9


def filters(x: Tensor, shape: tuple[int, ...]) -> list[Tensor]:
    weights = cases.weights(RNG, shape, axis=0)
    return [weights, cases.bias(RNG, x, weights, shape[0])]


def drawn_values(shape: tuple[int, ...]) -> np.ndarray:
    return RNG.integers(-128, 128, shape).astype(np.int8)


@st.composite
def chains(draw: st.DrawFn) -> tuple[Graph, stripes.Chain]:
    """Two to four convolutions, pools and sums, one behind the other, over an image or a row; and stripes for them."""
    image = draw(st.booleans())
    shape = (1, draw(st.integers(9, 20)) if image else 1, draw(st.integers(12, 24)), draw(st.integers(1, 3)))
    tensors, nodes = [cases.activation(RNG, shape, "x")], []
    for index in range(draw(st.integers(2, 4))):
        stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 1))
        kernel = (draw(st.integers(1, 3)) if image else 1, draw(st.integers(1, 4)))
        strides = (stride if image else 1, stride)
        made = [output_size(padding, shape[1 + i], kernel[i], strides[i]) for i in (0, 1)]
        if made[0 if image else 1] < 4 or min(made) < 1:
            break
        x = len(tensors) - 1 if index == 0 else nodes[-1].outputs[0]
        options = {"padding": padding, "stride_h": strides[0], "stride_w": strides[1], "fused_activation_function": 0}
        shape = (1, *made, shape[3])
        if draw(st.booleans()):
            channels, shape = shape[3], (1, *made, draw(st.integers(1, 4)))
            tensors += filters(tensors[x], (shape[3], *kernel, channels))
            inputs, table, op = (x, len(tensors) - 2, len(tensors) - 1), "Conv2DOptions", "CONV_2D"
            options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
            y = cases.output_for(RNG, tensors[x], tensors[-2], shape, kernel[0] * kernel[1] * channels)
        elif draw(st.integers(0, 3)) == 0:
            tensors.append(replace(cases.activation(RNG, shape[3:], "b"), data=drawn_values(shape[3:])))
            shape, inputs, table = tensors[x].shape, (x, len(tensors) - 1), "AddOptions"
            op, y = "ADD", replace(tensors[x], name=f"y{index}", quant=Quant((2 * tensors[x].scale,), (3,)))
        else:
            inputs, table, op = (x,), "Pool2DOptions", draw(st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
            options |= {"filter_height": kernel[0], "filter_width": kernel[1]}
            y = replace(tensors[x], shape=shape, name=f"y{index}")
        tensors.append(y)
        nodes.append(Node(index, op, inputs, (len(tensors) - 1,), {"table": table, **options}))
    if len(nodes) < 2:
        return draw(chains())
    graph = Graph(tuple(tensors), tuple(nodes), (0,), nodes[-1].outputs)
    axis = 0 if image else 1
    return graph, stripes.Chain(0, len(nodes) - 1, draw(st.integers(2, shape[1 + axis] // 2)), axis)


@settings(max_examples=150)
@drawing(chains())
def test_stripes_change_no_byte(drawn_chain: tuple[Graph, stripes.Chain]) -> None:
    graph, chain = drawn_chain
    ops = operators(graph, "m")
    made, theirs = stripes.cut(graph, ops, chain)
    for window in drawn(graph, 3):
        assert np.array_equal(answer(made, theirs, window), answer(graph, ops, window))
    plan(made, theirs, PORTABLE)


def head(channels: tuple[int, ...] = (8, 16, 8)) -> Graph:
    """Three convolutions over an image, whose middle is the largest."""
    tensors, nodes, size = [cases.activation(RNG, (1, 24, 24, 2), "x")], [], 24
    for index, count in enumerate(channels):
        x, stride = (nodes[-1].outputs[0] if nodes else 0), 2 if index == 2 else 1
        tensors += filters(tensors[x], (count, 3, 3, tensors[x].shape[3]))
        size //= stride
        tensors.append(cases.output_for(RNG, tensors[x], tensors[-2], (1, size, size, count), 9 * tensors[x].shape[3]))
        options = {"table": "Conv2DOptions", "padding": 0, "stride_h": stride, "stride_w": stride,
                   "dilation_h_factor": 1, "dilation_w_factor": 1, "fused_activation_function": 0}  # fmt: skip
        end = len(tensors)
        nodes.append(Node(index, "CONV_2D", (x, end - 3, end - 2), (end - 1,), options))
    tensors += [cases.constant("axes", [1, 2]), replace(tensors[-1], shape=(1, count), name="out")]
    inputs, options = (nodes[-1].outputs[0], len(tensors) - 2), {"table": "ReducerOptions", "keep_dims": False}
    nodes.append(Node(3, "MEAN", inputs, (len(tensors) - 1,), options))
    return Graph(tuple(tensors), tuple(nodes), (0,), (len(tensors) - 1,))


def test_an_arena_that_would_not_fit_is_made_to(tmp_path: Path) -> None:
    content = flatbuffer.write(head())
    whole = compile_model(content, "m")
    assert whole.layout.arena_bytes >= 24 * 24 * (8 + 16)
    fitting = compile_model(content, "m", most=6000)
    assert fitting.layout.arena_bytes <= 6000
    assert fitting.note.startswith("; operators 0 to 2 in ")
    assert f"or the arena would have {whole.layout.arena_bytes} bytes" in fitting.note
    assert fitting.weights_bytes == whole.weights_bytes  # the stripes share them
    assert compile_model(content, "m", most=100).layout.arena_bytes == whole.layout.arena_bytes
    windows = drawn(whole.graph, 4)
    expected = [answer(whole.graph, operators(whole.graph, "m"), w).tobytes() for w in windows]
    assert run_c(tmp_path, fitting, content, windows) == expected


def test_a_step_of_a_stripe_has_a_folder_of_bytes_and_others_one_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No operator of the file makes a stripe, and none makes its own output out of stripes."""
    graph = head()
    (path := tmp_path / "head.tflite").write_bytes(content := flatbuffer.write(graph))
    plan, (window,) = compile_model(content, "m", most=6000), drawn(graph, 1)
    known, made, alone = tensors(content, window, "m", most=6000), range(len(graph.tensors)), []
    for step in plan.steps:
        (folder := tmp_path / step.name).mkdir()
        needed = {"expected": step.output, "got": step.output, **{f"input{n}": i for n, i in enumerate(step.inputs)}}
        for name, i in needed.items():
            (folder / f"{name}.bin").write_bytes(known[i].tobytes())
        words = [str(path), str(folder), "--tensor", str(step.output), "--inputs", *map(str, step.inputs)]
        assert repro.main(words) == 0
        runs = set(needed.values()) <= set(made)
        alone += [step.op] if runs else []
        told = "run make there" if runs else "no operator of the file makes this, as it does no stripe"
        assert capsys.readouterr().out == f"{folder}: {told}\n"
        assert (folder / "Makefile").exists() == runs
    assert alone == ["MEAN"] and {step.op for step in plan.steps} == {"CONV_2D", "CONCATENATION", "MEAN"}


class Network:
    """Layers one behind the other; `x` is the last one's output."""

    def __init__(self, *shape: int) -> None:
        self.tensors, self.nodes, self.x = [cases.activation(RNG, (1, *shape), "x")], list[Node](), 0

    def add(self, op: str, table: str, inputs: tuple[int, ...], y: Tensor, **options: int) -> int:
        self.tensors.append(replace(y, name=f"y{len(self.nodes)}"))
        self.x = len(self.tensors) - 1
        self.nodes.append(Node(len(self.nodes), op, inputs, (self.x,), {"table": table, **options}))
        return self.x

    def window(self, op: str, table: str, kernel: tuple[int, int], channels: int, **options: int) -> int:
        """A convolution, SAME and with stride 1."""
        x, apart = self.tensors[self.x], op == "DEPTHWISE_CONV_2D"
        depth = 1 if apart else x.shape[3]
        shape = (1, *kernel, channels) if apart else (channels, *kernel, depth)
        weights = cases.weights(RNG, shape, axis=3 if apart else 0)
        self.tensors += [weights, cases.bias(RNG, x, weights, channels)]
        y = cases.output_for(RNG, x, weights, (*x.shape[:3], channels), kernel[0] * kernel[1] * depth)
        inputs = (self.x, len(self.tensors) - 2, len(self.tensors) - 1)
        steps = {"stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1}
        return self.add(op, table, inputs, y, padding=0, fused_activation_function=0, **steps, **options)

    def conv(self, size: int, channels: int) -> int:
        return self.window("CONV_2D", "Conv2DOptions", (size, size), channels)

    def depthwise(self) -> int:
        channels = self.tensors[self.x].shape[3]
        return self.window("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", (3, 3), channels, depth_multiplier=1)

    def pool(self, op: str) -> int:
        """Of 2 x 2."""
        _, height, width, channels = (x := self.tensors[self.x]).shape
        options = {"padding": 1, "stride_h": 2, "stride_w": 2, "filter_height": 2, "filter_width": 2}
        shape = (1, height // 2, width // 2, channels)
        return self.add(op, "Pool2DOptions", (self.x,), replace(x, shape=shape), fused_activation_function=0, **options)

    def sum(self, a: int, b: int) -> int:
        x = self.tensors[a]
        scale = x.scale + self.tensors[b].scale
        return self.add("ADD", "AddOptions", (a, b), replace(x, quant=Quant((scale,), (1,))),
                        fused_activation_function=0)  # fmt: skip

    def ended(self) -> Graph:
        """With the mean of all places."""
        self.tensors.append(cases.constant("axes", [1, 2]))
        y = replace(self.tensors[self.x], shape=(1, self.tensors[self.x].shape[3]))
        self.add("MEAN", "ReducerOptions", (self.x, len(self.tensors) - 1), y, keep_dims=0)
        return Graph(tuple(self.tensors), tuple(self.nodes), (0,), (self.x,))


def fused_networks() -> dict[str, tuple[Graph, int]]:
    """Networks, and the bytes of arena besides scratch that they need when no tensor lies whole between two layers."""
    residual = Network(24, 24, 2)
    x = residual.conv(3, 8)
    residual.conv(3, 8)
    residual.sum(residual.conv(3, 8), x)
    wide = Network(24, 24, 2)
    wide.conv(3, 8)
    wide.conv(1, 24)
    wide.pool("AVERAGE_POOL_2D")
    separable = Network(24, 24, 2)
    separable.conv(3, 8)
    separable.depthwise()
    separable.conv(1, 24)
    separable.pool("AVERAGE_POOL_2D")
    place = 24 * 24
    return {"conv + add": (residual.ended(), place * (8 + 8) + place * 8 // 2),
            "conv + pool": (wide.ended(), place * (8 + 6) + place * 24 // 4),
            "depthwise + 1x1": (separable.ended(), place * (8 + 6) + place * (8 + 24) // 3)}  # fmt: skip


@pytest.mark.parametrize("name", ["conv + add", "conv + pool", "depthwise + 1x1"])
def test_what_costs_no_work_is_fused_even_where_the_arena_fits(name: str, tmp_path: Path) -> None:
    graph, most = fused_networks()[name]
    content = flatbuffer.write(graph)
    made = compile_model(content, "m")
    scratch = max(step.call.scratch for step in made.steps)
    apart = plan(graph, operators(graph, "m")).layout.arena_bytes
    assert made.layout.arena_bytes <= min(most + scratch, 0.9 * apart)
    assert f"or the arena would have {apart} bytes" in made.note and " for 0.0 % more work" in made.note
    assert sum(step.macs for step in made.steps) == sum(op.macs for op in operators(graph, "m"))
    windows = drawn(graph, 3)
    expected = [answer(graph, operators(graph, "m"), w).tobytes() for w in windows]
    assert run_c(tmp_path, made, content, windows) == expected


@pytest.mark.parametrize("core", ["portable", "cortex-m4", "cortex-m55", "rv32imc", "xtensa-lx6"])
def test_depthwise_and_1x1_convolutions_of_one_shape_take_over_their_input(core: str, tmp_path: Path) -> None:
    network = Network(10, 7, 16)
    for _ in range(2):
        network.depthwise()
        network.conv(1, 16)
    graph = network.ended()
    content = flatbuffer.write(graph)
    made = compile_model(content, "m", core_of(core) if core in CORES else PORTABLE)
    scratch = max(step.call.scratch for step in made.steps)
    assert made.layout.arena_bytes <= 10 * 7 * 16 + scratch < 2 * 10 * 7 * 16
    windows = drawn(graph, 3)
    expected = [answer(graph, operators(graph, "m"), w).tobytes() for w in windows]
    assert run_c(tmp_path, made, content, windows) == expected


def random_network(rng: np.random.Generator) -> Graph:
    """Convolutions, pools and sums with what came before, over an image."""
    network = Network(int(rng.integers(8, 20)), int(rng.integers(5, 12)), int(rng.integers(1, 9)))
    for _ in range(int(rng.integers(2, 9))):
        kind, shape = int(rng.integers(8)), network.tensors[network.x].shape
        alike = [node.outputs[0] for node in network.nodes[:-1] if network.tensors[node.outputs[0]].shape == shape]
        if kind < 2 or (kind > 4 and not alike):
            network.conv(3 - 2 * kind % 4, int(rng.integers(1, 17)) if kind < 2 else shape[3])
        elif kind == 2:
            network.depthwise()
        elif kind < 5 and shape[1] > 7:
            network.pool("MAX_POOL_2D" if kind == 3 else "AVERAGE_POOL_2D")
        elif alike:
            network.sum(*rng.permutation([network.x, rng.choice(alike)]).tolist())
    return network.ended()


@pytest.mark.slow
@pytest.mark.parametrize("core", ["portable", "cortex-m4", "cortex-m55", "xtensa-lx6"])
def test_random_networks_give_the_same_bytes_in_less_memory(core: str, tmp_path: Path) -> None:
    """Where a stripe, a buffer that is taken over or a fused kernel went wrong, bytes would differ."""
    rng, striped = np.random.default_rng(3), 0
    for number in range(16):
        graph = random_network(rng)
        content, target = flatbuffer.write(graph), core_of(core) if core in CORES else PORTABLE
        whole = compile_model(content, "m", target)
        made = compile_model(content, "m", target, most=int(0.8 * whole.layout.arena_bytes))
        striped += "stripes" in made.note
        windows = drawn(graph, 2)
        expected = [answer(graph, operators(graph, "m"), w).tobytes() for w in windows]
        (folder := tmp_path / str(number)).mkdir()
        assert run_c(folder, made, content, windows) == expected, f"network {number}{made.note}"
    assert striped > 2


def striped_project(root: Path, board: str) -> Path:
    """A project whose one model, `head`, does not fit the board's arena as it is; built for the board."""
    model = root / "models" / "head"
    model.mkdir(parents=True)
    (root / "boards").mkdir()
    labels = ", ".join(f'"{index}"' for index in range(8))
    (model / "model.py").write_text(READY.replace("LABELS", labels))
    (model / "head.tflite").write_bytes(flatbuffer.write(head()))
    text = (ROOT / "boards" / f"{board}.toml").read_text()
    small = re.sub(r"(?m)^arena_bytes = .*$", "arena_bytes = 6_000", text)
    (root / "boards" / f"{board}.toml").write_text(small)
    shutil.copytree(ROOT / "firmware", root / "firmware")
    for words in (["ready", "head"], ["generate", "head", "--board", board], ["build", "head", "--board", board]):
        done = stage(*words, cwd=root)
        assert done.returncode == 0, done.stdout + done.stderr
        if words[0] == "generate":
            assert "operators 0 to 2 in " in done.stdout
    return root / "build" / "head" / f"{board}-compiled"


@pytest.mark.slow
@pytest.mark.parametrize("board", ["host", "cortex-m4"])
def test_a_board_runs_in_stripes_and_shows_its_steps(board: str, tmp_path: Path) -> None:
    folder = striped_project(tmp_path, board)
    done = stage("hil", "--name", "head", "--board", board, "--layers", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((folder / "report.json").read_text())
    assert report["windows"]["equal"] == 8 and report["size"]["arena"] <= 6000
    assert report["layers"]["words"] == "every step of window 0 equals the reference"
    assert len(report["layers"]["steps"]) > 4
