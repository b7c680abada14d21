"""How large TFLite Micro's arena must be: measured by running the model in it (the tflite-micro wheel), else computed.

Run as a program it does one such run and lets TFLite Micro print what it allocated.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.arena import Buffer, arena_size, pack
from pipeline.flatbuffer import read
from pipeline.graph import Graph, Node, Tensor
from pipeline.problem import Problem, run
from pipeline.subgraphs import whole

ALIGNMENT = 16  # of every buffer in TFLite Micro's arena
WHEEL = "tflite-micro"
MEANINGS = {
    "persistent": "tensors, nodes, constants of the kernels",
    "activations": "the most that lives at one time, as its planner lays it out",
    "scratch": "the most that a kernel of CMSIS-NN or ESP-NN works in, beside the activations",
    "planning": "what the planner itself works in, before there are activations",
    "margin": "for kernels that keep more than the reference's",
}

# What TFLite Micro allocates for pointers of 8 bytes, and what of that is pointers: bytes saved where they have 4.
SAVED = {
    "TfLiteEvalTensor data": 12,
    "Persistent TfLiteTensor data": 24,
    "Persistent TfLiteTensor quantization data": 6,
    "NodeAndRegistration struct": 32,
}
PART = re.compile(r"Arena allocation (head|tail) (\d+) bytes")
STRUCTS = re.compile(r"'(.+)' used \d+ bytes .*for (\d+) ")
BISECTED = "arena.json"  # what pipeline.tflm_bisect found, beside the generated code
MARGIN = 64  # over what it found
PLANNING_STEP = 64  # bytes to which the planner's own need is found
PLANNING_MOST = 64 * 1024
ARENA_MOST = 1 << 30  # more than any board and any model


@dataclass(frozen=True)
class Size:
    """Bytes of an arena by what they are for; `scratch` lies beside `activations`, `planning` where both lie later."""

    persistent: int
    activations: int
    scratch: int
    planning: int
    margin: int

    @property
    def bytes(self) -> int:
        """The arena itself."""
        return _aligned(self.persistent + max(self.activations + self.scratch, self.planning) + self.margin)


@dataclass(frozen=True)
class Arena:
    """The arena where pointers have 4 bytes, where they have 8, and where ESP-NN copies inputs and weights."""

    source: str
    narrow: Size
    wide: Size
    copying: Size
    bisected: Mapping[str, Any] | None = None

    @property
    def bytes(self) -> int:
        """The arena of the usual board, whose pointers have 4 bytes."""
        return self.bisected["least"] + MARGIN if self.bisected else self.narrow.bytes

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Names of the parts and what they are."""
        return list(MEANINGS.items())

    def as_json(self) -> dict[str, Any]:
        """What plan.json says of it."""
        sizes = {"pointers_of_4_bytes": self.narrow, "pointers_of_8_bytes": self.wide, "esp_nn_copies": self.copying}
        told = {name: {**dataclasses.asdict(size), "bytes": size.bytes} for name, size in sizes.items()}
        return {"source": self.source, **told, **({"bisected": self.bisected} if self.bisected else {})}


def find_arena(graph: Graph, content: bytes) -> Arena:
    """Measured in TFLite Micro where its wheel is installed, else computed and larger than need be."""
    try:
        source = f"measured by running the model in {WHEEL} {version(WHEEL)}"
        wide, saved = _measured(graph, content)
    except PackageNotFoundError:
        source = f"computed and larger than need be, for the package {WHEEL} is not installed"
        wide, saved = computed(graph)
    narrow = replace(wide, persistent=wide.persistent - saved)
    return Arena(source, narrow, wide, replace(narrow, scratch=max(narrow.scratch, _copies(graph))))


def _measured(graph: Graph, content: bytes) -> tuple[Size, int]:
    """The parts where pointers have 8 bytes, and what the persistent one saves where they have 4."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.tflite"
        model.write_bytes(content)
        tensors = [tensor for each in whole(graph) for tensor in each.tensors if tensor.data is None]
        enough = sum(_aligned(tensor.bytes * 8) for tensor in tensors) + len(content) + (1 << 18)
        done = _run_in_wheel(model, enough)
        if done.returncode != 0:
            words = "; ".join(line for line in done.stderr.splitlines() if line.strip())
            raise Problem("TFLite Micro", f"does not run the model: {words}")
        parts = {name: int(size) for name, size in PART.findall(done.stderr)}
        saved = sum(SAVED.get(name, 0) * int(count) for name, count in STRUCTS.findall(done.stderr))
        least = _least(model, parts["head"] + parts["tail"])
    nodes = [(each, node) for each in whole(graph) for node in each.nodes]
    scratch = max((_scratch(*each) for each in nodes), default=0)
    return Size(parts["tail"], parts["head"], scratch, least - parts["tail"], 64 * len(nodes) + 128), saved


def _least(model: Path, total: int) -> int:
    """The smallest arena, to 64 bytes, in which the model starts and runs: the planner may need more than `total`."""
    low, high = total - PLANNING_STEP, total + ALIGNMENT
    while _run_in_wheel(model, high).returncode != 0:
        low, high = high, min(high + 16 * PLANNING_STEP, total + PLANNING_MOST)
        if low == high:
            raise Problem("TFLite Micro", f"does not start in {high} bytes, though it says that it needs {total}")
    while high - low > PLANNING_STEP:
        middle = (low + high) // 2
        low, high = (low, middle) if _run_in_wheel(model, middle).returncode == 0 else (middle, high)
    return high


def _run_in_wheel(model: Path, arena: int) -> subprocess.CompletedProcess[str]:
    """One run in a process of its own: TFLite Micro writes to its standard error, and crashes in arenas too small."""
    command = [sys.executable, "-m", "pipeline.tflm_arena", str(model), "--arena", str(arena)]
    root = Path(__file__).resolve().parents[1]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, errors="replace", check=False)


def computed(graph: Graph) -> tuple[Size, int]:
    """The same without TFLite Micro, from the model alone: at least as much as it would measure; the graphs inside of
    loops beside one another."""
    each = [_computed(part) for part in whole(graph)]
    sums = {field.name: sum(getattr(size, field.name) for size, _ in each) for field in dataclasses.fields(Size)}
    return Size(**sums), sum(saved for _, saved in each)


def _computed(graph: Graph) -> tuple[Size, int]:
    activations = [i for i, tensor in enumerate(graph.tensors) if tensor.data is None]
    lives = {i: [n for n, node in enumerate(graph.nodes) if i in (*node.inputs, *node.outputs)] for i in activations}
    buffers = [
        Buffer(_aligned(graph.tensors[i].bytes), 0 if i in graph.inputs else min(steps),
               len(graph.nodes) if i in graph.outputs else max(steps))
        for i, steps in lives.items() if steps
    ]  # fmt: skip
    packed = arena_size(buffers, pack(buffers))
    channels = sum(_channels(node, weights) for node, weights in _weights(graph))
    persistent = 24 * len(graph.tensors) + (64 + 192) * len(graph.nodes) + 8 * channels + 2048
    scratch = max((_scratch(graph, node) for node in graph.nodes), default=0)
    planning = 96 * len(graph.tensors) + 512
    size = Size(_aligned(persistent), packed + packed // 4, scratch, planning, 64 * len(graph.nodes) + 128)
    return size, 12 * len(graph.tensors) + 32 * len(graph.nodes)


def _weights(graph: Graph) -> list[tuple[Node, Tensor]]:
    """Operators with weights, and those."""
    weighted = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    return [(node, graph.input(node, 1)) for node in graph.nodes if node.op in weighted]


def _channels(node: Node, weights: Tensor) -> int:
    """How many multipliers a kernel keeps: one for each output channel, in a dense layer only where it has several."""
    if node.op == "FULLY_CONNECTED":
        return len(weights.quant.scale) if weights.quant and len(weights.quant.scale) > 1 else 0
    return weights.shape[-1] if node.op == "DEPTHWISE_CONV_2D" else weights.shape[0]


def _scratch(graph: Graph, node: Node) -> int:
    """A bound on what a kernel of CMSIS-NN works in: convolutions two columns of 16 bits, pools a row of 32."""
    if node.op in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        shape = graph.input(node, 1).shape
        return 4 * _aligned(shape[1] * shape[2] * shape[3])
    return 4 * _aligned(graph.output(node).shape[-1]) if graph.output(node).shape else 0


def _copies(graph: Graph) -> int:
    """A bound on what ESP-NN works in on chips with vector instructions: inputs padded, weights aligned."""
    most = 0
    for node, weights in _weights(graph):
        if len(weights.shape) == 4:
            _, height, width, depth = graph.input(node).shape
            filters, rows, columns, _ = weights.shape
            padded = (height + 2 * rows) * (width + 2 * columns) * depth
            aligned = rows * columns * _aligned(depth) * filters
            most = max(most, 2 * (padded + aligned) + 4 * graph.output(node).shape[-1] + 1024)
    return most


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def main(argv: Sequence[str]) -> int:
    """Run one window of zeros through a model in TFLite Micro; what it allocated goes to the standard error."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.tflm_arena", description="Run a model in TFLite Micro.")
    parser.add_argument("model", type=Path, help="a .tflite")
    parser.add_argument("--arena", type=int, required=True, metavar="BYTES", help="the arena it gets")
    options = parser.parse_args(argv)
    import numpy as np
    from tflite_micro import runtime

    content = options.model.read_bytes()
    inputs = read(content, options.model).edge("input")
    if not 0 < options.arena <= ARENA_MOST:
        raise Problem("--arena", f"{options.arena} is no size of an arena: 1 to {ARENA_MOST} bytes")
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=options.arena)
        for i, tensor in enumerate(inputs):
            interpreter.set_input(np.zeros(tensor.shape, tensor.dtype), i)
        interpreter.invoke()
        interpreter.print_allocations()
    except RuntimeError as error:
        raise Problem(options.model, str(error)) from error
    return 0


if __name__ == "__main__":
    run(main)
